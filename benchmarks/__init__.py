"""What the figures in README and docs are measured with; each module says how it is run.

module    question                                                                 figures stand in
bench     how long beside the plain way (plain), how it grows (growth)?            README, results.md, docs/engine.md
served    does the service still find the same faces, and name them as well?       docs/engine.md
soak      does it keep its memory and its pace over a long life?                   docs/reliability.md
cost      what does it cost a month?                                               README
peers     how good and fast are others on the same photos?                         README
engine    what would another engine than torch 1.5.0 give?                         docs/engine.md
groups    whom does it serve better or worse, as far as LFW can show?              README
pairs     pairs of photos for LFW's verification protocol                          docs/training.md

functions and bundled hold what several of them need: functions under AWS's emulator, and the bundled model's split.
"""
