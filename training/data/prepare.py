"""prepare: archives and folders of photos -> who is in the data set, and what each photo is for."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

from training.atomic_files import atomic_write
from training.data.duplicates import find_duplicates, look_alikes
from training.data.sources import fingerprint, merged_folders, people_folders, unpack
from training.errors import TrainingError, log
from training.records import Run, digest

TRAIN, VAL, STRANGER = "train", "val", "stranger"
PHOTOS = "photos.csv"


@dataclass(frozen=True)
class Example:
    """path: of the image; person: index of the class, -1 for strangers; split: train, val or stranger.

    digest: 16 hex digits of the file's bytes.
    """

    path: str
    person: int
    split: str
    digest: str


def examples(run: Run) -> tuple[list[str], list[Example]]:
    """Names by class index, and all photos: what `prepare` left for the other steps."""
    names: list[str] = run.record("prepare")["facts"]["people"]
    with (run.out / PHOTOS).open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        return names, [Example(row["path"], int(row["person"]), row["split"], row["digest"]) for row in rows]


def prepare(run: Run, data: Path | None, people: Sequence[Path], min_images: int, val_share: float, seed: int) -> None:
    """Split the photos below `data` (a folder or an archive) and the folders in `people` per person, seeded.

    People in `data` with fewer than `min_images` photos are strangers; those in `people` are all classes. A photo that
    is there twice is kept once. Raises TrainingError.
    """
    inputs = {
        "data": fingerprint(data) if data else None,
        "people": [fingerprint(folder) for folder in people],
        "min_images": min_images,
        "val_share": val_share,
        "seed": seed,
    }

    def work() -> dict[str, Any]:
        known, strangers = _merge(run, data, people, min_images)
        alike = look_alikes([*known, *strangers])
        for group in alike:
            log(f"{' / '.join(group)}: if that is one person, give the folders one name")
        found = [(name, path) for group in (known, strangers) for name, paths in group.items() for path in paths]
        digests, first = find_duplicates([path for _, path in found])
        _tell_duplicates(found, first)
        ids = {name: i for i, name in enumerate(known)}
        rows = [
            Example(str(path.absolute()), ids.get(name, -1), STRANGER, digests[i])
            for i, (name, path) in enumerate(found)
            if first[i] == i
        ]
        rows = split(rows, list(known), val_share, seed)
        with atomic_write(run.out / PHOTOS) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([[field.name for field in fields(Example)], *map(astuple, rows)])
        return {
            "people": list(known),
            "images": sum(len(paths) for paths in known.values()),
            "train_images": sum(row.split == TRAIN for row in rows),
            "val_images": sum(row.split == VAL for row in rows),
            "strangers": len(strangers),
            "stranger_images": sum(row.split == STRANGER for row in rows),
            "duplicates": [[str(found[i][1]), str(found[j][1])] for i, j in enumerate(first) if i != j],
            "look_alikes": alike,
            "digest": digest([[row.digest, row.person, row.split] for row in rows]),
        }

    run.step("prepare", inputs, [PHOTOS], work)


def _merge(
    run: Run, data: Path | None, people: Sequence[Path], min_images: int
) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Photos by name: of the people to know and of the strangers. One name in two sources is one person."""
    others = people_folders(data if data.is_dir() else unpack(data, run.out / "photos")) if data else {}
    own = {name: paths + others.pop(name, []) for name, paths in merged_folders(people).items()}
    # Own people come last, so that one more of them does not move everybody else's class.
    known = {name: others.pop(name) for name in list(others) if len(others[name]) >= min_images}
    known.update(own)
    if len(known) < 2:
        raise TrainingError(
            f"Only {len(known)} of the people in {data or people[0]} have {min_images} photos or more, and a model "
            "needs two people: add photos, or lower --min-images."
        )
    return known, others


def _tell_duplicates(found: list[tuple[str, Path]], first: list[int]) -> None:
    """Say which photos are left out because they are there already."""
    for i, j in enumerate(first):
        if i != j:
            (name, path), (first_name, first_path) = found[i], found[j]
            otherwise = "" if name == first_name else f", but named {name} and not {first_name}"
            log(f"{path}: the same photo as {first_path}{otherwise}; left out")


def split(rows: Sequence[Example], names: Sequence[str], val_share: float, seed: int) -> list[Example]:
    """The same rows with `val_share` of each person's photos, rounded down, to validate with and the others to train.

    Depends on nothing but the seed, a person's name and how many photos they have.
    """
    of_person: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        of_person.setdefault(row.person, []).append(i)
    of_person.pop(-1, None)
    result = list(rows)
    for person, indices in of_person.items():
        count = math.floor(val_share * len(indices))
        for place, i in enumerate(random.Random(f"{seed}:{names[person]}").sample(indices, len(indices))):
            result[i] = replace(rows[i], split=VAL if place < count else TRAIN)
    return result
