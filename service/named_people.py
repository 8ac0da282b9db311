"""Use cases for people who are given by their names instead of their IDs.

A name is compared without case if nobody has it exactly. Of several people with one name it is the first one's.
"""

from __future__ import annotations

from model.gallery import Edit, EnrolledFace, Gallery, Person
from service.addition import check_room
from service.errors import Exists, UnknownPerson
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

        def change(gallery: Gallery) -> tuple[Edit, Person]:
            if _find(gallery, name):
                raise Exists("The collection has a person of this name already.")
            check_room(gallery, 1, 0)
            person = Person(gallery.next_id, name)
            return Edit((person,)), person

        return self._galleries.commit(self._galleries.snapshot(), collection, change, create=True)[1]

    def enrol(self, collection: str | None, name: str, photo: UploadedPhoto) -> Enrolment:
        """Enrol a photo of a person, who is added if they are new. Raises as `PeopleService.add`."""
        return self._people.enrol(
            collection, lambda gallery: _find(gallery, name) or Person(gallery.next_id, name), [photo], create=True
        )

    def rename(self, collection: str | None, name: str, new: str) -> bool:
        """Rename a person, or move their faces to the one who has the new name. -> False if they have it already.

        Raises UnknownPerson, CollectionFull; errors of `Galleries.commit`.
        """

        def change(gallery: Gallery) -> tuple[Edit | None, bool]:
            person, target = find_named(gallery, name), _find(gallery, new)
            if person.name == new:
                return None, False
            if target and target.id != person.id:
                return merged(gallery, person, target), True
            return Edit((person._replace(name=new),)), True

        return self._galleries.commit(self._galleries.snapshot(), collection, change, erase=True)[1]

    def delete(self, collection: str | None, name: str) -> tuple[Person, tuple[EnrolledFace, ...]]:
        """Delete a person. -> the person and their faces. Raises UnknownPerson; errors of `Galleries.commit`."""

        def change(gallery: Gallery) -> tuple[Edit, tuple[Person, tuple[EnrolledFace, ...]]]:
            person = find_named(gallery, name)
            return Edit(removed_people=frozenset([person.id])), (person, gallery.faces_of(person.id))

        return self._galleries.erase(collection, change)

    def delete_all(self, collection: str | None) -> tuple[int, int]:
        """Delete all people. -> how many people and faces there were. Raises errors of `Galleries.commit`."""

        def change(gallery: Gallery) -> tuple[Edit | None, tuple[int, int]]:
            ids = frozenset(gallery.by_id)
            return Edit(removed_people=ids) if ids else None, (len(ids), len(gallery.faces))

        return self._galleries.erase(collection, change)


def find_named(gallery: Gallery, name: str) -> Person:
    """Return the person of a name. Raises UnknownPerson."""
    found = _find(gallery, name)
    if found is None:
        raise UnknownPerson("Nobody in this collection has this name.")
    return found


def _find(gallery: Gallery, name: str) -> Person | None:
    folded = name.casefold()
    alike = [person for person in gallery.people if person.name.casefold() == folded]
    return next((person for person in alike if person.name == name), alike[0] if alike else None)
