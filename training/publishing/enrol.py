"""enrol: folders of photos -> people in a collection that the service reads, without training.

The photos go through the service's own code, in batches of one commit each. A run that was interrupted is continued by
the next one, because photos that are enrolled already are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from service.addition import ADVICE
from service.errors import NothingEnrolled, UnknownCollection
from service.names import clean
from service.results import DUPLICATE, NO_FACE, SEVERAL_FACES, TOO_SMALL, UNREADABLE, Enrolment, UploadedPhoto
from training.data.sources import merged_folders
from training.errors import TrainingError, log
from training.publishing.collections import Access, service_errors
from training.publishing.export import require_serving_torch

BATCH = 64  # photos in a commit, about
REASONS = {
    DUPLICATE: "enrolled already",
    NO_FACE: "no face found",
    SEVERAL_FACES: "several faces, none at least twice as large as the next one",
    TOO_SMALL: "the face is too small",
    UNREADABLE: "cannot be read",
}


@dataclass
class Report:
    """Result of an enrolment.

    added: photos by person; single: people with only one photo; skipped: path and reason of each photo that was not
    enrolled.
    """

    added: dict[str, int] = field(default_factory=dict)
    single: list[str] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)


def enrol(folders: Sequence[Path], access: Access, copy: str | None = None) -> Report:
    """Enrol people, one folder of photos per person, in the default collection, which is created if it is missing.

    copy: collection whose people a new collection begins with. Raises TrainingError, also if no photo could be used.
    """
    require_serving_torch()
    people = _people(folders)
    report = Report()
    with service_errors():
        _begin(access, copy)
        with tqdm(total=sum(map(len, people.values())), desc="enrol", unit="photo", disable=None) as bar:
            for batch in _batches(people):
                results = access.people.add_many(None, {name: _read(paths, bar) for name, paths in batch.items()})
                for name, result in results.items():
                    _add(report, name, result)
        _log(report, access)
    return report


def _people(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the photos of each person. Raises TrainingError."""
    people = merged_folders(folders)
    try:
        return {clean(name): paths for name, paths in people.items()}
    except ValueError as error:
        raise TrainingError(f"Rename a folder: {error}") from error


def _begin(access: Access, copy: str | None) -> None:
    """Begin a new collection with the people of another one, or say that it begins without them."""
    name, before = access.galleries.default, access.galleries.open(None)()
    if copy:
        try:
            source = access.galleries.open(copy)().snapshot.gallery.loaded()
        except UnknownCollection as error:
            names = ", ".join(info.name for info in access.galleries.list())
            raise TrainingError(f"There is no collection {copy} to begin with: there are {names}.") from error
        if before.info.collection == name and set(source.people) <= set(before.snapshot.gallery.people):
            return  # an earlier run has begun it
        people = access.galleries.restore(source, None).info.people
        log(f"the collection {name} begins with the {people} people of {copy}")
    elif before.info.collection != name:
        other = before.info.collection
        log(f"the collection {name} is new and begins without the people of {other}; --from {other} begins with them")


def _batches(people: Mapping[str, Sequence[Path]]) -> Iterator[dict[str, Sequence[Path]]]:
    """Group people so that each group has about BATCH photos."""
    batch: dict[str, Sequence[Path]] = {}
    for name, paths in people.items():
        if batch and sum(map(len, batch.values())) + len(paths) > BATCH:
            yield batch
            batch = {}
        batch[name] = paths
    if batch:
        yield batch


def _read(paths: Sequence[Path], bar: tqdm[None]) -> Iterator[UploadedPhoto]:
    """Read photos one at a time; the path stands for the name."""
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError:
            data = b""  # it is reported as one that cannot be read
        yield UploadedPhoto(str(path), data)
        bar.update()


def _add(report: Report, name: str, result: Enrolment | NothingEnrolled) -> None:
    report.skipped += [(Path(photo.file), photo.reason) for photo in result.skipped]
    if isinstance(result, NothingEnrolled) or not result.added:
        return
    person = result.person.person
    count = report.added[name] = len(result.person.faces)
    log(f"{name}: ID {person.id}, {count} photo{'s' * (count != 1)} added")
    for match in result.look_alikes:
        like = f"{name} looks like {match.name} (confidence {match.confidence:.2f})"
        log(f"{like}: if they are the same person, merge them")
    if result.advice:
        report.single.append(name)


def _log(report: Report, access: Access) -> None:
    if report.single:
        log(f"only one photo of {', '.join(report.single)}. {ADVICE}")
    for path, reason in report.skipped:
        log(f"{path}: left out, {REASONS[reason]}")
    if report.added:
        info = access.galleries.open(None)().info
        log(f"the collection {info.collection} has {info.people} people and {info.faces} faces")
    elif any(reason == DUPLICATE for _, reason in report.skipped):
        log("nothing new: all photos with a face are enrolled already")
    else:
        raise TrainingError("No photo could be used: nobody was enrolled.")
