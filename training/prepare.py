"""prepare: archives and folders of photos -> who is in the data set, and what each photo is for."""

from __future__ import annotations

import math
import os
import random
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tqdm import tqdm

from model.store import sha256
from training.steps import Run, TrainingError, digest

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
TRAIN, VAL, STRANGER = "train", "val", "stranger"


@dataclass(frozen=True)
class Photo:
    """path: of the image; person: index of the class, -1 for strangers; split: train, val or stranger."""

    path: str
    person: int
    split: str


def display(folder: str) -> str:
    """A folder's name as people read it: Rohit_Sharma -> Rohit Sharma."""
    return " ".join(folder.replace("_", " ").split())


def people_folders(folder: Path) -> dict[str, list[Path]]:
    """The photos of each person in a folder that has a folder a person, perhaps some levels down. Sorted.

    Raises TrainingError where there is none.
    """
    if not folder.is_dir():
        raise TrainingError(f"{folder} is not a folder.")
    people: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file() and path.parent != folder:
            people.setdefault(display(path.parent.name), []).append(path)
    if not people:
        raise TrainingError(f"{folder} has no photos: it needs a folder for each person, with {_suffixes()} files.")
    return dict(sorted(people.items()))


def photos(run: Run) -> tuple[list[str], list[Photo]]:
    """Names by class index, and all photos: what `prepare` left for the other steps."""
    facts = run.record("prepare")["facts"]
    return facts["people"], [Photo(*entry) for entry in facts["photos"]]


def prepare(run: Run, data: Path, people: Path | None, min_images: int, val_share: float, seed: int) -> None:
    """Split the photos below `data` (a folder or an archive) and `people` (a folder) per person, seeded.

    People in `data` with fewer than `min_images` photos are strangers; those in `people` are all classes.
    Raises TrainingError.
    """
    inputs = {
        "data": _fingerprint(data),
        "people": _fingerprint(people) if people else None,
        "min_images": min_images,
        "val_share": val_share,
        "seed": seed,
    }

    def work() -> dict[str, Any]:
        folder = data if data.is_dir() else _unpack(data, run.out / "photos")
        crowd = people_folders(folder)
        known = {name: paths for name, paths in crowd.items() if len(paths) >= min_images}
        strangers = {name: paths for name, paths in crowd.items() if len(paths) < min_images}
        for name, paths in (people_folders(people) if people else {}).items():
            # Somebody who stands in both sources is one person.
            known[name] = known.pop(name, []) + strangers.pop(name, []) + paths
        if len(known) < 2:
            raise TrainingError(
                f"Only {len(known)} of the people in {data} have {min_images} photos or more, and a model needs two "
                "people: add photos, or lower --min-images."
            )
        rows: list[Photo] = []
        for person, (name, paths) in enumerate(known.items()):
            shuffled = random.Random(f"{seed}:{name}").sample(paths, len(paths))
            held_out = math.floor(val_share * len(paths))
            rows += [Photo(str(path), person, VAL) for path in sorted(shuffled[:held_out])]
            rows += [Photo(str(path), person, TRAIN) for path in sorted(shuffled[held_out:])]
        rows += [Photo(str(path), -1, STRANGER) for paths in strangers.values() for path in paths]
        return {
            "people": list(known),
            "images": sum(row.person >= 0 for row in rows),
            "train_images": sum(row.split == TRAIN for row in rows),
            "val_images": sum(row.split == VAL for row in rows),
            "strangers": len(strangers),
            "stranger_images": sum(row.split == STRANGER for row in rows),
            "photos": [[row.path, row.person, row.split] for row in rows],
        }

    run.step("prepare", inputs, [], work)


def _suffixes() -> str:
    return ", ".join(SUFFIXES[:-1]) + f" or {SUFFIXES[-1]}"


def _fingerprint(source: Path) -> str:
    """Changes when an archive's bytes do, or a folder's photos in name, size or date."""
    if source.is_dir():
        files = (path for path in sorted(source.rglob("*")) if path.suffix.lower() in SUFFIXES)
        return digest(
            [str(source.resolve())]
            + [[str(f.relative_to(source)), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
        )
    if not source.exists():
        raise TrainingError(f"{source} does not exist.")
    return sha256(source)


def _unpack(archive: Path, target: Path) -> Path:
    """The photos of a tar or zip archive as target/person/photo. Nothing else in it is looked at.

    Names are taken apart and put together again from their last two parts, so no entry can leave the target.
    """
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for name, file in tqdm(_entries(archive), desc=f"unpack {archive.name}", unit=" files"):
            parts = PurePosixPath(name).parts
            if len(parts) < 2 or ".." in parts[-2:] or not name.lower().endswith(SUFFIXES):
                continue
            path = partial.joinpath(*parts[-2:])
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as out:
                shutil.copyfileobj(file, out)
        shutil.rmtree(target, ignore_errors=True)
        if partial.exists():
            os.replace(partial, target)
        else:
            target.mkdir()
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.filename is None and error.errno:
            raise  # the disk, not the archive
        raise TrainingError(f"{archive} is broken or not a tar or zip archive: {error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _entries(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each file in an archive."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as pack:
            for info in pack.infolist():
                if not info.is_dir():
                    with pack.open(info) as file:
                        yield info.filename, file
        return
    with tarfile.open(archive) as pack:
        for member in pack:
            content = pack.extractfile(member) if member.isfile() else None
            if content is not None:
                yield member.name, content
