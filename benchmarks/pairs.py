"""Draw verification pairs in the format of LFW's pairs.txt from a folder or archive with a part of LFW.

    python -m benchmarks.pairs lfw-deepfunneled-subset.tgz > pairs.txt

Accuracy on these pairs is not comparable with published results: those need LFW's pairs.txt and all of LFW.
"""

from __future__ import annotations

import random
from pathlib import Path

from benchmarks.lfw import photos_by_person
from benchmarks.options import parser_of

FOLDS, PAIRS = 10, 300  # pairs of one person, and as many of two people, in each fold


def print_fold(draw: random.Random, photos: dict[str, list[int]]) -> None:
    """Print PAIRS pairs of one person and PAIRS pairs of two people. photos: their numbers by person."""
    names = list(photos)
    several = [name for name in names if len(photos[name]) > 1]
    for _ in range(PAIRS):
        name = draw.choice(several)
        first, second = draw.sample(photos[name], 2)
        print(f"{name}\t{first}\t{second}")
    for _ in range(PAIRS):
        one, other = draw.sample(names, 2)
        print(f"{one}\t{draw.choice(photos[one])}\t{other}\t{draw.choice(photos[other])}")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with photos_by_person(options.data) as files:
        photos = {name: [int(path.stem[-4:]) for path in paths] for name, paths in files.items()}
    names = draw.sample(sorted(photos), len(photos))
    print(f"{FOLDS}\t{PAIRS}")
    for fold in range(FOLDS):
        # Folds share no person.
        print_fold(draw, {name: photos[name] for name in names[fold::FOLDS]})


if __name__ == "__main__":
    main()
