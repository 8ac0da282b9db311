"""prepare: split archives and folders of photos into training, validation and strangers -> photos.csv."""

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
    """One photo.

    path: of the image file. person: class index, -1 for strangers. split: train, val or stranger. digest: 16 hex digits
    of the file's SHA-256.
    """

    path: str
    person: int
    split: str
    digest: str


def examples(run: Run) -> tuple[list[str], list[Example]]:
    """Read the names by class index, and all photos. Raises TrainingError if `prepare` has not been run."""
    names: list[str] = run.record("prepare")["facts"]["people"]
    with (run.out / PHOTOS).open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        return names, [Example(row["path"], int(row["person"]), row["split"], row["digest"]) for row in rows]


def prepare(run: Run, data: Path | None, people: Sequence[Path], min_images: int, val_share: float, seed: int) -> None:
    """Run the step `prepare`: a seeded split of each person's photos.

    data: a folder or an archive; people in it with fewer than `min_images` photos are strangers. people: folders whose
    people are all classes. Copies of a photo are used once. Raises TrainingError and OSError.
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
        return _write_photos(run, known, strangers, val_share, seed)

    run.step("prepare", inputs, [PHOTOS], work)


def _write_photos(
    run: Run, known: dict[str, list[Path]], strangers: dict[str, list[Path]], val_share: float, seed: int
) -> dict[str, Any]:
    """Write photos.csv without the copies, and return the facts of the step."""
    similar_names = look_alikes([*known, *strangers])
    for group in similar_names:
        log(f"{' / '.join(group)}: if this is one person, give the folders the same name")
    found = [(name, path) for group in (known, strangers) for name, paths in group.items() for path in paths]
    digests, first = find_duplicates([path for _, path in found])
    _log_duplicates(found, first)
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
        "look_alikes": similar_names,
        "digest": digest([[row.digest, row.person, row.split] for row in rows]),
    }


def _merge(
    run: Run, data: Path | None, people: Sequence[Path], min_images: int
) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Return photos by name of the people to train on, and of the strangers. The same name is the same person.

    Raises TrainingError if there are fewer than two people.
    """
    others = people_folders(data if data.is_dir() else unpack(data, run.out / "photos")) if data else {}
    own = {name: paths + others.pop(name, []) for name, paths in merged_folders(people).items()}
    # People from `people` come last, so that adding one does not change the class indices of the others.
    known = {name: others.pop(name) for name in list(others) if len(others[name]) >= min_images}
    known.update(own)
    if len(known) < 2:
        raise TrainingError(
            f"Only {len(known)} of the people in {data or people[0]} have at least {min_images} photos, but a model "
            "needs two people: add photos, or lower --min-images."
        )
    return known, others


def _log_duplicates(found: list[tuple[str, Path]], first: list[int]) -> None:
    """Log each photo that is skipped because it is a copy. found: name and path; first: index of the first copy."""
    for i, j in enumerate(first):
        if i != j:
            (name, path), (first_name, first_path) = found[i], found[j]
            other_name = "" if name == first_name else f", but named {name} instead of {first_name}"
            log(f"{path}: same photo as {first_path}{other_name}; skipped")


def split(rows: Sequence[Example], names: Sequence[str], val_share: float, seed: int) -> list[Example]:
    """Assign `val_share` of each person's photos, rounded down, to validation and the others to training.

    Depends only on the seed, the person's name and the number of their photos. Strangers stay as they are.
    """
    by_person: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        by_person.setdefault(row.person, []).append(i)
    by_person.pop(-1, None)
    result = list(rows)
    for person, indices in by_person.items():
        count = math.floor(val_share * len(indices))
        for place, i in enumerate(random.Random(f"{seed}:{names[person]}").sample(indices, len(indices))):
            result[i] = replace(rows[i], split=VAL if place < count else TRAIN)
    return result
