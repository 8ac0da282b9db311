"""Benchmarks behind the figures in README and docs. Each module's docstring shows its command.

module    measures                                                              figures are in
bench     speed compared with the baseline (baseline), scaling (growth)         README, results.md, docs/engine.md
served    accuracy of the served path, end to end                               docs/engine.md
soak      memory and speed over many requests                                   docs/reliability.md
cost      monthly cost on AWS                                                   docs/costs.md
peers     comparison with other face recognition systems                        docs/comparison.md
scale     large collections: search, memory, start, changes (scale_engines)     docs/scale.md
open_set  open-set accuracy by size of the gallery                              docs/training.md
transfer  training for people who are enrolled later                            docs/training.md
groups    accuracy by group of people                                           docs/limits.md
pairs     draws pairs of photos for LFW's verification protocol                 docs/training.md

Shared: functions (Lambda functions in AWS's emulator), bundled (the bundled model's split and scores) and synthetic
(large collections of people who do not exist).
"""
