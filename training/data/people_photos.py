"""Folders of photos to people: one folder per person, at any depth below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Set, Tuple

from service.results import Skipped
from training.data.folder_names import decoded, display_name, is_full_name, is_part_name, is_split_name, is_utf8
from training.data.skipped import LOOSE, describe, log_each, printable
from training.data.tree import Tree, read_tree
from training.errors import TrainingError, log

SHOWN = 3  # names in a message

# Folders by name, and the paths of folders with photos in each; () stands for photos of its own.
Below = Dict[str, Set[Tuple[str, ...]]]


@dataclass(frozen=True)
class PeoplePhotos:
    """Paths of the photos of each person, sorted by name, and the files that are not among them."""

    people: dict[str, list[Path]]
    skipped: tuple[Skipped, ...] = ()
    ignored: tuple[str, ...] = ()


def read_people(folders: Sequence[Path], level: int | None = None, *, data_set: bool = False) -> PeoplePhotos:
    """Read folders with one folder of photos per person. The same name is the same person.

    level: of the people's folders below each folder that is given, 1 if they are directly in it; None finds out.
    data_set: people may be in a single folder, as in archives of data sets.

    Raises TrainingError if a folder has no photos, or if it is not clear which folders are people.
    """
    people: dict[str, list[Path]] = {}
    skipped: list[Skipped] = []
    ignored: list[str] = []
    for folder in folders:
        found = _read(folder, level, data_set)
        for name, paths in found.people.items():
            people.setdefault(name, []).extend(paths)
        skipped += found.skipped
        ignored += found.ignored
    log_each(skipped)
    return PeoplePhotos(dict(sorted(people.items())), tuple(skipped), tuple(ignored))


def _read(folder: Path, level: int | None, data_set: bool) -> PeoplePhotos:
    if not folder.is_dir():
        raise TrainingError(f"{printable(folder)} is not a folder.")
    tree = read_tree(folder)
    base, level = (folder, level) if level else (_base(folder, tree, data_set), 1)
    people: dict[str, list[Path]] = {}
    loose, legacy = [], set()
    for path in tree.photos:
        parts = path.relative_to(folder).parts[len(base.parts) - len(folder.parts) :]
        if len(parts) <= level or base not in path.parents:
            loose.append(Skipped(printable(path), LOOSE))
            continue
        people.setdefault(display_name(parts[level - 1]), []).append(path)
        if not is_utf8(parts[level - 1]):
            legacy.add(display_name(parts[level - 1]))
    if not people:
        raise _nobody(folder, tree, len(loose))
    if legacy:
        log(f"names of folders that are not UTF-8, read as Windows-1252: {', '.join(sorted(legacy))}")
    return PeoplePhotos(people, (*tree.skipped, *loose), tree.ignored)


def _nobody(folder: Path, tree: Tree, loose: int) -> TrainingError:
    """Explain why a folder has no people, and what to do."""
    shown = printable(folder)
    if loose:
        return TrainingError(
            f"{shown} has {loose} photos, but none is in a person's folder. If they are all of one person, give the "
            f"folder above it, {printable(folder.absolute().parent)}. Otherwise put the photos of each person into a "
            "folder with the person's name."
        )
    hint = f" {describe(tree.skipped[0])}." if tree.skipped else ""
    return TrainingError(f"{shown} has no photos: it needs one folder of photos per person.{hint}")


def _base(folder: Path, tree: Tree, data_set: bool) -> Path:
    """Find the folder in which the people's folders are. Raises TrainingError if the layout is ambiguous."""
    base, below = folder, _subfolders(folder, tree)
    while data_set and len(below) == 1 and not _has_photos(base, tree):
        base = base / next(iter(below))
        inner = {name for path in tree.photos for name in path.relative_to(base).parts[:-1]}
        if _has_photos(base, tree) or all(map(is_part_name, inner)):
            return base.parent  # a single person
        below = _subfolders(base, tree)
        log(f"the people are the folders in {printable(base)}")
    for name in below:
        if _is_group(name, below):
            raise TrainingError(_ambiguous(folder, name, below[name]))
    return base


def _has_photos(base: Path, tree: Tree) -> bool:
    return any(path.parent == base for path in tree.photos)


def _subfolders(base: Path, tree: Tree) -> Below:
    """Return the folders in `base` that have photos, and the paths of folders with photos in each."""
    found: Below = {}
    for path in tree.photos:
        if base in path.parents and path.parent != base:
            name, *inner = path.relative_to(base).parts[:-1]
            found.setdefault(name, set()).add(tuple(inner))
    return found


def _is_group(name: str, below: Below) -> bool:
    """Tell whether a folder may be a group of people instead of a person. below: it and the folders beside it."""
    inner = below[name]
    if is_split_name(name):
        return inner != {()} or sum(map(is_split_name, below)) > 1
    if () in inner or is_full_name(name):
        return False
    people = {path[0] for path in inner if not is_part_name(path[0])}
    if any(is_full_name(folder) and not is_part_name(folder) for path in inner for folder in path):
        return True
    # Where most folders have photos of their own, most folders are people.
    others = 2 * sum(() in each for each in below.values()) <= len(below)
    return bool(people) and (is_part_name(name) or (len(people) > 1 and others))


def _ambiguous(folder: Path, group: str, inner: set[tuple[str, ...]]) -> str:
    """Explain which layouts are possible, and how to choose one."""
    names = [decoded(name) for name in sorted({path[0] for path in inner if path})]
    name = decoded(group)
    start = f"It is not clear which folders in {printable(folder)} are people: {name} "
    if not names:
        return f"{start}is named like a part of a data set. If it is a person, add --level 1."
    shown = ", ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")
    return (
        f"{start}has no photos of its own, but folders with photos ({shown}). If {name} is a person, add --level 1. If "
        f"the people are the folders in {name}, add --level 2."
    )
