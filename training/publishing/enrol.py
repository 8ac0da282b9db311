"""enrol: folders of photos -> people in a collection that the service reads, without training.

The photos go through the service's own code, in batches of one commit each. A run that was interrupted is continued by
the next one, because photos that are enrolled already are skipped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from service.addition import ADVICE
from service.enrolment import PreparedFace
from service.errors import NothingEnrolled, UnknownCollection
from service.names import clean
from service.results import DUPLICATE, Enrolment, Skipped, UploadedPhoto
from training.data.duplicates import log_look_alikes, look_alikes
from training.data.people_photos import PeoplePhotos, read_people
from training.data.skipped import COPY, Summary, log_each, printable
from training.errors import TrainingError, log
from training.publishing.collections import Access, service_errors
from training.publishing.export import require_serving_torch

BATCH = 64  # photos in a commit, about


@dataclass
class Report:
    """Result of an enrolment.

    added: photos by person; single: people with only one photo; skipped: photos that were not enrolled.
    """

    added: dict[str, int] = field(default_factory=dict)
    single: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def enrol(
    folders: Sequence[Path],
    access: Access,
    copy: str | None = None,
    *,
    level: int | None = None,
    strict: bool = False,
    dry_run: bool = False,
) -> Report:
    """Enrol people, one folder of photos per person, in the default collection, which is created if it is missing.

    copy: collection whose people a new collection begins with; level: of the people's folders, see `read_people`;
    strict: a photo that is skipped is an error; dry_run: only find the faces.

    Raises TrainingError, also if no photo could be used.
    """
    require_serving_torch()
    photos = read_people(folders, level)
    people = _people(photos)
    log_look_alikes(look_alikes(people))
    report = Report()
    with service_errors():
        if not dry_run:
            _begin(access, copy)
        _enrol(report, access, people, dry_run)
        _log(report, access, dry_run)
    Summary(len(report.added), sum(report.added.values()), [*photos.skipped, *report.skipped], photos.ignored).finish(
        strict
    )
    if not report.added and not any(photo.reason == DUPLICATE for photo in report.skipped):
        raise TrainingError("No photo could be used: nobody was enrolled.")
    return report


def _people(photos: PeoplePhotos) -> dict[str, list[Path]]:
    """Return the photos of each person. Raises TrainingError."""
    try:
        return {clean(name): paths for name, paths in photos.people.items()}
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


def _enrol(report: Report, access: Access, people: Mapping[str, Sequence[Path]], dry_run: bool) -> None:
    """Read the photos of all people and add their faces, unless it is a dry run."""
    with tqdm(total=sum(map(len, people.values())), desc="enrol", unit="photo", disable=None) as bar:
        reader = _Reader(report, bar)
        for batch in _batches(people):
            read = {name: reader.read(paths) for name, paths in batch.items()}
            if dry_run:
                _find(report, access, read)
                continue
            for name, result in access.people.add_many(None, read).items():
                _add(report, name, result)


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


class _Reader:
    """Reads photos one at a time, without copies of those that it has read."""

    def __init__(self, report: Report, bar: tqdm[None]) -> None:
        self._report, self._bar = report, bar
        self._read: dict[bytes, Path] = {}  # by the digest of the bytes

    def read(self, paths: Sequence[Path]) -> Iterator[UploadedPhoto]:
        """Read photos. The path stands for the name."""
        for path in paths:
            try:
                data = path.read_bytes()
            except OSError:
                data = b""  # it is reported as one that cannot be read
            first = self._read.setdefault(hashlib.sha256(data).digest(), path) if data else path
            if first == path:
                yield UploadedPhoto(printable(path), data)
            else:
                self._report.skipped.append(Skipped(printable(path), COPY, f"It is the same as {printable(first)}."))
            self._bar.update()


def _find(report: Report, access: Access, photos: Mapping[str, Iterator[UploadedPhoto]]) -> None:
    """Find the faces that would be enrolled."""
    for name, prepared in access.people.find_faces(None, photos):
        report.skipped += [photo for photo in prepared if isinstance(photo, Skipped)]
        count = len({photo.digest for photo in prepared if isinstance(photo, PreparedFace)})
        if count:
            report.added[name] = count
            log(f"{name}: {_photos(count)} would be added")


def _add(report: Report, name: str, result: Enrolment | NothingEnrolled) -> None:
    report.skipped += result.skipped
    if isinstance(result, NothingEnrolled) or not result.added:
        return
    person = result.person.person
    count = report.added[name] = len(result.person.faces)
    log(f"{name}: ID {person.id}, {_photos(count)} added")
    for match in result.look_alikes:
        like = f"{name} looks like {match.name} (confidence {match.confidence:.2f})"
        log(f"{like}: if they are the same person, merge them")
    if result.advice:
        report.single.append(name)


def _photos(count: int) -> str:
    return f"{count} photo{'s' * (count != 1)}"


def _log(report: Report, access: Access, dry_run: bool) -> None:
    if report.single:
        log(f"only one photo of {', '.join(report.single)}. {ADVICE}")
    log_each(report.skipped)
    if dry_run:
        log("dry run: nothing was changed")
    elif report.added:
        info = access.galleries.open(None)().info
        log(f"the collection {info.collection} has {info.people} people and {info.faces} faces")
    elif any(photo.reason == DUPLICATE for photo in report.skipped):
        log("nothing new: all photos with a face are enrolled already")
