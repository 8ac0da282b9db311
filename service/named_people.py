"""Use cases for people who are given by their names instead of their IDs.

Names are compared without case. A name stands for all people who have it, and a new photo is the first one's.
"""

from __future__ import annotations

from model.edit import Edit
from model.records import Person
from model.searchable import SearchableGallery
from service.addition import check_room
from service.errors import Exists, UnknownPerson
from service.face_results import ListedFace
from service.galleries import Galleries
from service.people import PeopleService, merged
from service.results import Enrolment, UploadedPhoto


class NamedPeople:
    """Implements the use cases. Everything that is changed goes through one commit each."""

    def __init__(self, people: PeopleService, galleries: Galleries) -> None:
        self._people, self._galleries = people, galleries

    def names(self, collection: str | None) -> tuple[str, ...]:
        """List the names of all people, by ID. Raises UnknownCollection, ModelUnavailable."""
        return tuple(person.name for person in self._galleries.open(collection)().snapshot.gallery.people)

    def create(self, collection: str | None, name: str) -> Person:
        """Add a person without faces. Raises Exists, CollectionFull; errors of `Galleries.commit`."""

        def change(gallery: SearchableGallery) -> tuple[Edit, Person]:
            if named(gallery, name):
                raise Exists("The collection has a person of this name already.")
            check_room(gallery, 1, 0)
            person = Person(gallery.next_id, name)
            return Edit((person,)), person

        return self._galleries.commit(self._galleries.snapshot(), collection, change, create=True)[1]

    def enrol(self, collection: str | None, name: str, photo: UploadedPhoto, min_confidence: float = 0.0) -> Enrolment:
        """Enrol a photo of a person, who is added if they are new. Raises as `PeopleService.add`.

        min_confidence: of the detector, in [0, 1]; other faces do not count.
        """

        def person_of(gallery: SearchableGallery) -> Person:
            return next(iter(named(gallery, name)), Person(gallery.next_id, name))

        return self._people.enrol(collection, person_of, [photo], create=True, min_confidence=min_confidence)

    def rename(self, collection: str | None, name: str, new: str) -> bool:
        """Rename people, or move their faces to the one who has the new name. -> False if they have it already.

        Raises UnknownPerson, CollectionFull; errors of `Galleries.commit`.
        """

        def change(gallery: SearchableGallery) -> tuple[Edit | None, bool]:
            people = find_named(gallery, name)
            if all(person.name == new for person in people):
                return None, False
            target = next((person for person in named(gallery, new) if person not in people), None)
            if target is None:
                return Edit(tuple(person._replace(name=new) for person in people)), True
            return merged(gallery, people, target), True

        return self._galleries.commit(self._galleries.snapshot(), collection, change, erase=True)[1]

    def faces(self, collection: str | None, name: str) -> tuple[ListedFace, ...]:
        """List the faces of people. Raises UnknownCollection, ModelUnavailable."""
        gallery = self._galleries.open(collection)().snapshot.gallery
        selected = {person.id: person for person in named(gallery, name)}
        rows = sorted(row for person_id in selected for row in gallery.face_rows_of(person_id))
        return tuple(ListedFace(face, selected[face.person]) for face in map(gallery.face, rows))

    def delete(self, collection: str | None, name: str) -> tuple[str, int]:
        """Delete people. -> their name, and the number of their faces.

        Raises UnknownPerson; errors of `Galleries.commit`.
        """

        def change(gallery: SearchableGallery) -> tuple[Edit, tuple[str, int]]:
            people = find_named(gallery, name)
            faces = sum(len(gallery.face_rows_of(person.id)) for person in people)
            return Edit(removed_people=frozenset(person.id for person in people)), (people[0].name, faces)

        return self._galleries.erase(collection, change)

    def delete_all(self, collection: str | None) -> tuple[int, int]:
        """Delete all people. -> how many people and faces there were. Raises errors of `Galleries.commit`."""

        def change(gallery: SearchableGallery) -> tuple[Edit | None, tuple[int, int]]:
            ids = frozenset(gallery.ids.tolist())
            return Edit(removed_people=ids) if ids else None, (len(ids), gallery.face_count)

        return self._galleries.erase(collection, change)


def find_named(gallery: SearchableGallery, name: str) -> tuple[Person, ...]:
    """Return the people of a name, those who are written like it first. Raises UnknownPerson."""
    found = named(gallery, name)
    if not found:
        raise UnknownPerson("Nobody in this collection has this name.")
    return found


def named(gallery: SearchableGallery, name: str) -> tuple[Person, ...]:
    """Return the people of a name, those who are written like it first."""
    return tuple(sorted(gallery.named_alike(name), key=lambda person: person.name != name))
