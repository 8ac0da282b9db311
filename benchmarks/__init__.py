"""Benchmarks behind the figures in README and docs. Each module's docstring shows its command.

module      measures                                                            figures are in
bench       speed compared with the baseline (baseline)                         README, results.md, docs/engine.md
start_reads files and megabytes that a cold start reads                         docs/deploy.md
served      accuracy of the served path, end to end                             docs/engine.md
crowds      people found in photos of groups, time and memory (photo_cost)      docs/engine.md
soak        memory and speed over many requests                                 docs/reliability.md
changes     collections that change                                             docs/reliability.md
cost        monthly cost on AWS                                                 docs/costs.md
bulk        throughput of `make bulk`                                           docs/costs.md
peers       comparison with other face recognition systems                      README, docs/comparison.md
scale       large collections (scale_engines, scale_database)                   docs/scale.md
open_set    open-set accuracy by size of the gallery                            README, docs/training.md
transfer    training for people who are enrolled later                          docs/training.md
pairs       draws pairs of photos for LFW's verification protocol               docs/training.md
thresholds  accuracy at the thresholds of other services' clients               docs/migrate.md
groups      accuracy by group of people and turn of the head                    docs/limits.md

Shared: functions (Lambda functions in AWS's emulator), bundled (the bundled model's split and scores), synthetic (large
collections of people who do not exist), lfw (photos of LFW), usage (time and memory) and options (the command line).
"""
