"""Draw verification pairs in the format of LFW's pairs.txt from a folder or archive with a part of LFW.

    python -m benchmarks.pairs lfw-deepfunneled-subset.tgz > pairs.txt

Accuracy on these pairs is not comparable with published results: those need LFW's pairs.txt and all of LFW.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

from training.data.archives import unpack

FOLDS, PAIRS = 10, 300  # pairs of one person, and as many of two people, in each fold


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    photos = photo_numbers(options.data)
    names = draw.sample(sorted(photos), len(photos))
    print(f"{FOLDS}\t{PAIRS}")
    for fold in range(FOLDS):
        # Folds share no person.
        print_fold(draw, {name: photos[name] for name in names[fold::FOLDS]})


def photo_numbers(data: Path) -> dict[str, list[int]]:
    """Numbers of the photos by person. data: archive or folder with files <name>/<name>_<number>.jpg."""
    photos: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = data if data.is_dir() else unpack(data, Path(folder) / "photos").folder
        for path in sorted(root.rglob("*_[0-9][0-9][0-9][0-9].jpg")):
            photos.setdefault(path.parent.name, []).append(int(path.stem[-4:]))
    return photos


def print_fold(draw: random.Random, photos: dict[str, list[int]]) -> None:
    """Print PAIRS pairs of one person and PAIRS pairs of two people."""
    names = list(photos)
    several = [name for name in names if len(photos[name]) > 1]
    for _ in range(PAIRS):
        name = draw.choice(several)
        first, second = draw.sample(photos[name], 2)
        print(f"{name}\t{first}\t{second}")
    for _ in range(PAIRS):
        one, other = draw.sample(names, 2)
        print(f"{one}\t{draw.choice(photos[one])}\t{other}\t{draw.choice(photos[other])}")


if __name__ == "__main__":
    main()
