"""people: list, add, rename, merge and delete people of a collection, at a place or behind a running endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from service.results import PersonSummary, Skipped, UploadedPhoto
from training.data.skipped import log_each
from training.errors import TrainingError, log
from training.publishing.collections import Access, service_errors
from training.publishing.export import require_serving_torch


class People(Protocol):
    """The people of one collection. Every method raises TrainingError."""

    def list(self) -> Sequence[PersonSummary]: ...

    def add(self, name: str, photos: Sequence[UploadedPhoto]) -> tuple[PersonSummary, Sequence[Skipped]]:
        """Add a person. -> the person, and the photos that were left out."""

    def rename(self, person_id: int, name: str) -> None: ...

    def merge(self, person_id: int, into: int) -> None: ...

    def delete(self, person_id: int) -> None: ...


class StoredPeople:
    """The people of a collection in a folder or in S3."""

    def __init__(self, access: Access, collection: str | None) -> None:
        self._people, self._collection = access.people, collection

    def list(self) -> Sequence[PersonSummary]:
        found: list[PersonSummary] = []
        with service_errors():
            after: int | None = -1
            while after is not None:
                page = self._people.people(self._collection, after)
                found += page.people
                after = page.next
        return found

    def add(self, name: str, photos: Sequence[UploadedPhoto]) -> tuple[PersonSummary, Sequence[Skipped]]:
        require_serving_torch()
        with service_errors():
            enrolled = self._people.add(self._collection, name, None, photos)
        person = enrolled.person.person
        return PersonSummary(person.id, person.name, None, len(enrolled.person.faces)), enrolled.skipped

    def rename(self, person_id: int, name: str) -> None:
        with service_errors():
            self._people.update(self._collection, person_id, name, None, keep_external=True)

    def merge(self, person_id: int, into: int) -> None:
        with service_errors():
            self._people.merge(self._collection, person_id, into)

    def delete(self, person_id: int) -> None:
        with service_errors():
            self._people.delete(self._collection, person_id)


def add_person(people: People, name: str, paths: Sequence[Path]) -> None:
    """Add a person with photos from disk, and say which ones were left out. Raises TrainingError."""
    try:
        photos = [UploadedPhoto(str(path), path.read_bytes()) for path in paths]
    except OSError as error:
        raise TrainingError(f"{error.filename} cannot be read: {error.strerror}.") from error
    person, skipped = people.add(name, photos)
    log_each(skipped)
    log(f"{person.name}: ID {person.id}, {person.faces} photo{'s' * (person.faces != 1)} added")


def table(people: Sequence[PersonSummary]) -> str:
    """Format people for printing, without a newline at the end."""
    if not people:
        return "There is nobody."
    width = max(len(str(person.id)) for person in people)
    return "\n".join(f"{person.id:>{width}}  {person.faces:>5}  {person.name}" for person in people)
