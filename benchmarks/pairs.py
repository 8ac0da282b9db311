"""Pairs of photos in the form of LFW's pairs.txt, drawn from a folder or archive that is not all of LFW.

    python -m benchmarks.pairs lfw-deepfunneled-subset.tgz > pairs.txt

The figure is then one for these pairs; to compare with others', take LFW's own pairs.txt with all of LFW.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

from training.data.sources import unpack

FOLDS, EACH = 10, 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.data if arguments.data.is_dir() else unpack(arguments.data, Path(folder) / "photos")
        people: dict[str, list[int]] = {}
        for path in sorted(root.rglob("*_[0-9][0-9][0-9][0-9].jpg")):
            people.setdefault(path.parent.name, []).append(int(path.stem[-4:]))
    names = draw.sample(sorted(people), len(people))
    print(f"{FOLDS}\t{EACH}")
    for fold in range(FOLDS):
        # No person stands in two folds.
        here = names[fold::FOLDS]
        several = [name for name in here if len(people[name]) > 1]
        for _ in range(EACH):
            name = draw.choice(several)
            one, other = draw.sample(people[name], 2)
            print(f"{name}\t{one}\t{other}")
        for _ in range(EACH):
            first, second = draw.sample(here, 2)
            print(f"{first}\t{draw.choice(people[first])}\t{second}\t{draw.choice(people[second])}")


if __name__ == "__main__":
    main()
