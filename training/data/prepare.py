"""prepare: split archives and folders of photos into training, validation and strangers -> photos.csv."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from service.results import Skipped
from storage.cache import sha256_of
from training.atomic_files import atomic_write
from training.data.archives import unpack
from training.data.duplicates import find_duplicates, log_look_alikes, look_alikes
from training.data.people_photos import PeoplePhotos, read_people
from training.data.skipped import COPY, Summary, log_each, printable
from training.data.tree import read_tree
from training.errors import TrainingError, log
from training.records import Run, digest

TRAIN, VAL, STRANGER = "train", "val", "stranger"
PHOTOS = "photos.csv"
UNPACKED = "photos"  # folder of the photos of an archive
PATHS = "surrogateescape"  # for paths that are not UTF-8
# How the person's face is told from other faces in the photo, see `align`.
CENTRAL, DOMINANT = "central", "dominant"


@dataclass(frozen=True)
class Example:
    """One photo.

    path: of the image file. person: class index, -1 for strangers. split: train, val or stranger. digest: 16 hex digits
    of the file's SHA-256. face: CENTRAL in a data set, DOMINANT in photos of the user's own people.
    """

    path: str
    person: int
    split: str
    digest: str
    face: str = CENTRAL


@dataclass(frozen=True)
class Layout:
    """How people are found in the sources. level: as in `read_people`; encoding: as in `unpack`."""

    level: int | None = None
    encoding: str | None = None


def examples(run: Run) -> tuple[list[str], list[Example]]:
    """Read the names by class index, and all photos. Raises TrainingError if `prepare` has not been run."""
    names: list[str] = run.record("prepare")["facts"]["people"]
    with (run.out / PHOTOS).open(newline="", encoding="utf-8", errors=PATHS) as file:
        rows = csv.DictReader(file)
        return names, [
            Example(row["path"], int(row["person"]), row["split"], row["digest"], row["face"]) for row in rows
        ]


def write_examples(run: Run, rows: Iterable[Example]) -> None:
    """Write photos.csv, which `examples` reads. Raises OSError."""
    with atomic_write(run.out / PHOTOS) as partial, partial.open(
        "w", newline="", encoding="utf-8", errors=PATHS
    ) as file:
        csv.writer(file).writerows([[field.name for field in fields(Example)], *map(astuple, rows)])


def prepare(
    run: Run,
    data: Path | None,
    people: Sequence[Path],
    min_images: int,
    val_share: float,
    seed: int,
    layout: Layout = Layout(),
) -> None:
    """Run the step `prepare`: a seeded split of each person's photos.

    data: a folder or an archive; people in it with fewer than `min_images` photos are strangers. people: folders whose
    people are all classes. Copies of a photo are used once. Raises TrainingError and OSError.
    """
    inputs = {
        "data": _fingerprint(data) if data else None,
        "people": [_fingerprint(folder) for folder in people],
        "min_images": min_images,
        "val_share": val_share,
        "seed": seed,
        "layout": asdict(layout),
    }

    def work() -> dict[str, Any]:
        return _write_photos(run, _read(run, data, people, min_images, layout), val_share, seed)

    run.step("prepare", inputs, [PHOTOS] if data is None or data.is_dir() else [PHOTOS, UNPACKED], work)


def prepared(run: Run) -> Summary:
    """Return the people and photos of the step `prepare`. Raises TrainingError if it has not been run."""
    facts = run.record("prepare")["facts"]
    photos = facts["train_images"] + facts["val_images"]
    copies = [Skipped(path, COPY) for path, _ in facts["duplicates"]]
    skipped = [*(Skipped(*each) for each in facts["skipped"]), *copies]
    return Summary(len(facts["people"]), photos, skipped, facts["ignored"])


class _Sources(NamedTuple):
    """Photos by name of the people to train on, and of the strangers.

    own: photos of the user's own people; left_out: files that are not used.
    """

    known: dict[str, list[Path]]
    strangers: dict[str, list[Path]]
    own: frozenset[Path]
    left_out: PeoplePhotos


def _fingerprint(source: Path) -> str:
    """Return a digest of an archive's bytes, or of the names, sizes and times of the files in a folder.

    Raises TrainingError if the source does not exist.
    """
    if source.is_dir():
        tree = read_tree(source)
        found = [(path, path.stat()) for path in tree.photos]
        files = [[printable(path.relative_to(source)), stat.st_size, stat.st_mtime_ns] for path, stat in found]
        return digest([printable(source.resolve()), files, tree.skipped, tree.ignored])
    if not source.exists():
        raise TrainingError(f"{printable(source)} does not exist.")
    return sha256_of(source)


def _read(run: Run, data: Path | None, people: Sequence[Path], min_images: int, layout: Layout) -> _Sources:
    """Read the photos of all people. The same name is the same person. Raises TrainingError."""
    own = read_people(people, layout.level)
    found = _read_data(run, data, layout) if data else PeoplePhotos({})
    others = dict(found.people)
    both = {name: paths + others.pop(name, []) for name, paths in own.people.items()}
    # People from `people` come last, so that adding one does not change the class indices of the others.
    known = {name: others.pop(name) for name in list(others) if len(others[name]) >= min_images}
    known.update(both)
    left_out = PeoplePhotos({}, (*found.skipped, *own.skipped), (*found.ignored, *own.ignored))
    enough = f" in {printable(data)} have at least {min_images} photos" if data else " have photos"
    _check_classes(known, f"Only {len(known)} of the people{enough}")
    return _Sources(known, others, frozenset(path for paths in own.people.values() for path in paths), left_out)


def _read_data(run: Run, data: Path, layout: Layout) -> PeoplePhotos:
    """Read a data set in a folder or an archive. Raises TrainingError."""
    if data.is_dir():
        return read_people([data], layout.level, data_set=True)
    unpacked = unpack(data, run.out / UNPACKED, layout.encoding)
    log_each(unpacked.skipped)
    found = read_people([unpacked.folder], layout.level, data_set=True)
    return PeoplePhotos(found.people, (*unpacked.skipped, *found.skipped), (*unpacked.ignored, *found.ignored))


def _check_classes(people: Collection[str], reason: str) -> None:
    if len(people) < 2:
        raise TrainingError(f"{reason}, but a model needs two people: add photos, or lower --min-images.")


def _write_photos(run: Run, sources: _Sources, val_share: float, seed: int) -> dict[str, Any]:
    """Write photos.csv without the copies, and return the facts of the step. Raises TrainingError."""
    similar_names = look_alikes([*sources.known, *sources.strangers])
    log_look_alikes(similar_names)
    groups = (sources.known, sources.strangers)
    found = [(name, path) for group in groups for name, paths in group.items() for path in paths]
    digests, first = find_duplicates([path for _, path in found])
    log_each(_copies(found, first))
    people = _with_photos(sources.known, {name for i, (name, _) in enumerate(found) if first[i] == i})
    ids = {name: i for i, name in enumerate(people)}
    rows = [
        Example(
            str(path.absolute()), ids.get(name, -1), STRANGER, digests[i], DOMINANT if path in sources.own else CENTRAL
        )
        for i, (name, path) in enumerate(found)
        if first[i] == i
    ]
    rows = split(rows, people, val_share, seed)
    write_examples(run, rows)
    return {
        "people": people,
        "images": sum(len(paths) for paths in sources.known.values()),
        "train_images": sum(row.split == TRAIN for row in rows),
        "val_images": sum(row.split == VAL for row in rows),
        "strangers": len(sources.strangers),
        "stranger_images": sum(row.split == STRANGER for row in rows),
        "duplicates": [[printable(found[i][1]), printable(found[j][1])] for i, j in enumerate(first) if i != j],
        "look_alikes": similar_names,
        "skipped": sources.left_out.skipped,
        "ignored": sources.left_out.ignored,
        "digest": digest([[row.digest, row.person, row.split] for row in rows]),
    }


def _copies(found: Sequence[tuple[str, Path]], first: Sequence[int]) -> Iterator[Skipped]:
    """List the photos that are copies. found: name and path; first: index of the first copy of each."""
    for i, j in enumerate(first):
        if i != j:
            (name, path), (first_name, first_path) = found[i], found[j]
            other_name = "" if name == first_name else f", but named {name} instead of {first_name}"
            yield Skipped(printable(path), COPY, f"It is the same as {printable(first_path)}{other_name}.")


def _with_photos(people: Iterable[str], used: Collection[str]) -> list[str]:
    """Return the people who have photos of their own, and say who has copies only. Raises TrainingError."""
    people, copied = [name for name in people if name in used], [name for name in people if name not in used]
    for name in copied:
        log(f"{name}: all photos are copies of photos under other names, so this is no class")
    _check_classes(people, f"Only {len(people)} people have photos that are not copies")
    return people


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
