"""Use cases that change collections: enrol people and photos, rename, merge and delete people, list them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Callable, Iterable, Iterator, Mapping, Sequence, TypeVar

from model.detection.detector import Detector
from model.edit import Edit
from model.records import Person
from model.searchable import SearchableGallery
from service.addition import Addition, check_faces_of_one
from service.batch import Batch, named
from service.enrolment import PreparedFace, prepare
from service.errors import InvalidRequest, NothingEnrolled, UnknownFace, UnknownPerson
from service.galleries import Galleries
from service.results import MAX_LISTED, Enrolment, PeopleList, PersonDetails, PersonSummary, Skipped, UploadedPhoto
from storage.engine import Change
from storage.networks import Snapshot

Result = TypeVar("Result")


class PeopleService:
    """Implements the use cases. Everything that is changed goes through one commit each."""

    def __init__(self, galleries: Galleries, detector: Detector, keep_crops: bool = False) -> None:
        """keep_crops: store the crops of enrolled faces, so that another network can embed them later."""
        self._galleries, self._detector, self._keep_crops = galleries, detector, keep_crops

    def people(self, collection: str | None, after: int = -1, limit: int = MAX_LISTED) -> PeopleList:
        """List people with higher IDs than `after`, by ID. Raises UnknownCollection, ModelUnavailable."""
        opened = self._galleries.open(collection)()
        gallery = opened.snapshot.gallery
        found = gallery.people_after(after, limit + 1)
        listed = tuple(PersonSummary(*person[:3], faces) for person, faces in found[:limit])
        more = bool(listed) and len(found) > limit
        return PeopleList(listed, gallery.people_count, opened.info, listed[-1].id if more else None)

    def person(self, collection: str | None, person_id: int) -> PersonDetails:
        """Return a person with their faces. Raises UnknownPerson, UnknownCollection, ModelUnavailable."""
        opened = self._galleries.open(collection)()
        return _details(opened.snapshot.gallery, opened.info.collection, person_id)

    def add(
        self, collection: str | None, name: str, external_id: str | None, photos: Sequence[UploadedPhoto]
    ) -> Enrolment:
        """Enrol a new person, with photos or without. The default collection is created if it is missing.

        Raises NothingEnrolled if none of the photos can be used; CollectionFull; errors of `Galleries.commit`.
        """

        def person_of(gallery: SearchableGallery) -> Person:
            return Person(gallery.next_id, name, external_id)

        return self.enrol(collection, person_of, photos, create=True)

    def add_faces(self, collection: str | None, person_id: int, photos: Sequence[UploadedPhoto]) -> Enrolment:
        """Enrol photos of a person. Raises UnknownPerson, and as `add`.

        If all photos with a usable face are enrolled already, the result has the existing faces.
        """
        return self.enrol(collection, lambda gallery: find_person(gallery, person_id), photos)

    def add_many(
        self, collection: str | None, people: Mapping[str, Iterable[UploadedPhoto]]
    ) -> dict[str, Enrolment | NothingEnrolled]:
        """Enrol photos of several people in one commit. -> the result for each name.

        A name that is in the collection already stands for that person. The default collection is created if it is
        missing. Photos that are enrolled already are skipped at once.

        Raises CollectionFull; errors of `Galleries.commit`.
        """
        snapshot = self._galleries.snapshot()
        additions: dict[str, Addition] = {}
        results: dict[str, Enrolment | NothingEnrolled] = {}
        for name, prepared in self._prepared(snapshot, collection, people):
            try:
                additions[name] = Addition(snapshot, partial(named, name), prepared, self._keep_crops)
            except NothingEnrolled as error:
                results[name] = error
        if additions:
            change = Batch(tuple(additions.values()))
            _, made = self._galleries.commit(snapshot, collection, change, create=True)
            results.update(zip(additions, made))
        return results

    def find_faces(
        self, collection: str | None, people: Mapping[str, Iterable[UploadedPhoto]]
    ) -> Iterator[tuple[str, Sequence[PreparedFace | Skipped]]]:
        """Find the faces that `add_many` enrols, and change nothing. -> name, and for each photo its face or why not.

        Raises ModelUnavailable.
        """
        return self._prepared(self._galleries.snapshot(), collection, people)

    def _prepared(
        self, snapshot: Snapshot, collection: str | None, people: Mapping[str, Iterable[UploadedPhoto]]
    ) -> Iterator[tuple[str, Sequence[PreparedFace | Skipped]]]:
        """Find and cut the faces of people, one person at a time, as these networks need them."""
        known = self._galleries.known_photos(collection)
        for name, photos in people.items():
            yield name, prepare(photos, self._detector, snapshot.network.config.crop, known)

    def update(
        self, collection: str | None, person_id: int, name: str | None, external_id: str | None, *, keep_external: bool
    ) -> PersonDetails:
        """Change the name, unless it is None, or the external ID, unless it is to be kept.

        Raises UnknownPerson, and errors of `Galleries.commit`.
        """

        def change(gallery: SearchableGallery) -> tuple[Edit, None]:
            person = find_person(gallery, person_id)
            other = person.external_id if keep_external else external_id
            return Edit(people=(person._replace(name=name or person.name, external_id=other),)), None

        return self._change(collection, change, person_id)

    def merge(self, collection: str | None, person_id: int, into: int) -> PersonDetails:
        """Move all faces of a person to another one, who remains. -> the other one.

        Raises InvalidRequest for a person into themselves; UnknownPerson; CollectionFull; errors of `Galleries.commit`.
        """
        if person_id == into:
            raise InvalidRequest("`into` is the ID of another person.")

        def change(gallery: SearchableGallery) -> tuple[Edit, None]:
            return merged(gallery, [find_person(gallery, person_id)], find_person(gallery, into)), None

        return self._change(collection, change, into)

    def delete(self, collection: str | None, person_id: int) -> int:
        """Delete a person with all faces. -> how many. Raises UnknownPerson, and errors of `Galleries.commit`."""

        def change(gallery: SearchableGallery) -> tuple[Edit, int]:
            find_person(gallery, person_id)
            return Edit(removed_people=frozenset([person_id])), len(gallery.face_rows_of(person_id))

        return self._galleries.erase(collection, change)

    def delete_face(self, collection: str | None, person_id: int, face_id: str) -> None:
        """Delete a face. Raises UnknownPerson, UnknownFace, and errors of `Galleries.commit`."""

        def change(gallery: SearchableGallery) -> tuple[Edit, None]:
            find_person(gallery, person_id)
            if face_id not in {face.id for face in gallery.faces_of(person_id)}:
                raise UnknownFace("This person has no such face.")
            return Edit(removed_faces=frozenset([face_id])), None

        self._galleries.erase(collection, change)

    def _change(self, collection: str | None, change: Change[None], person_id: int) -> PersonDetails:
        opened, _ = self._galleries.commit(self._galleries.snapshot(), collection, change, erase=True)
        return _details(opened.snapshot.gallery, opened.info.collection, person_id)

    def enrol(
        self,
        collection: str | None,
        person_of: Callable[[SearchableGallery], Person],
        photos: Sequence[UploadedPhoto],
        *,
        create: bool = False,
        min_confidence: float = 0.0,
    ) -> Enrolment:
        """Enrol photos of the person whom `person_of` finds in a gallery, or makes. Raises as `add`.

        create: create the default collection if it is missing; min_confidence: as in `prepare`.
        """
        snapshot = self._galleries.snapshot()
        prepared = prepare(photos, self._detector, snapshot.network.config.crop, min_confidence=min_confidence)
        addition = Addition(snapshot, person_of, prepared, self._keep_crops)
        opened, enrolled = self._galleries.commit(snapshot, collection, addition, create=create)
        return replace(enrolled, person=replace(enrolled.person, collection=opened.info.collection))


def find_person(gallery: SearchableGallery, person_id: int) -> Person:
    """Return a person. Raises UnknownPerson."""
    person = gallery.person(person_id)
    if person is None:
        raise UnknownPerson("Nobody in this collection has this ID.")
    return person


def merged(gallery: SearchableGallery, people: Sequence[Person], target: Person) -> Edit:
    """Move all faces of people to another person, and remove these people. Raises CollectionFull."""
    removed = frozenset(person.id for person in people)
    rows = sorted(row for person_id in removed for row in gallery.face_rows_of(person_id))
    check_faces_of_one(gallery, target, len(rows))
    faces = tuple(gallery.face(row)._replace(person=target.id) for row in rows)
    return Edit((target,), faces, gallery.embeddings_of(rows), removed_people=removed)


def _details(gallery: SearchableGallery, collection: str, person_id: int) -> PersonDetails:
    return PersonDetails(find_person(gallery, person_id), collection, gallery.faces_of(person_id))
