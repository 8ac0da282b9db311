"""ExternalImageIds of Rekognition's clients: the label that each face shows to them.

Faces that are indexed with one ExternalImageId form one person, whose name and external ID it is. People who were added
otherwise show a label too: their external ID if it has the form of one, else their name in the characters allowed.
"""

from __future__ import annotations

import re
import unicodedata

from model.records import EnrolledFace, Person
from model.searchable import SearchableGallery
from service.names import EXTERNAL_ID, LONGEST_EXTERNAL_ID


def label_of_face(face: EnrolledFace, person: Person) -> str | None:
    """Return the label of a face. None if it was indexed without one, unless the person has one."""
    if face.external_id or person.user_id or is_unnamed(person, face):
        return face.external_id
    return label_of(person)


def label_of(person: Person) -> str:
    """Return the label of a person who is no user."""
    if person.external_id and EXTERNAL_ID.fullmatch(person.external_id):
        return person.external_id
    letters = unicodedata.normalize("NFKD", person.name)
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    label = re.sub(r"[^a-zA-Z0-9_.\-:]", "_", plain)[:LONGEST_EXTERNAL_ID]
    # A name in another script would be nothing but underscores.
    return label if label.strip("_") else f"person:{person.id}"


def is_unnamed(person: Person, face: EnrolledFace) -> bool:
    """Tell whether the person was made for this face alone: such a person is called like the face."""
    return person.name == face.id and person.external_id is None


def is_labelled(person: Person) -> bool:
    """Tell whether the person was made for an ExternalImageId: it is their name and external ID."""
    return person.external_id is not None and person.name == person.external_id


class LabelledPeople:
    """The people of a gallery by external ID or name, for a change that gives faces to them.

    Labels that only resemble a name do not count: faces of different people would become one person.
    """

    def __init__(self, gallery: SearchableGallery) -> None:
        self.new: list[Person] = []  # made by `find_or_make` and `make_unnamed`
        self._gallery, self._next_id = gallery, gallery.next_id
        self._made_by_label: dict[str, Person] = {}

    def find_or_make(self, label: str) -> Person:
        """Return the person of a label, who is new if there is none."""
        found = self._find(label) or self._made_by_label.get(label)
        if found is None:
            found = self._made_by_label[label] = self._made(label, label)
        return found

    def _find(self, label: str) -> Person | None:
        """Return the first person of the gallery with an external ID, or else with a name."""
        known = [person for person in self._gallery.with_external_id(label) if not person.user_id]
        if not known and self._gallery.find_face(label) is None:
            named = self._gallery.named(label)
            known = [person for person in named if person.external_id is None and not person.user_id]
        return next(iter(known), None)

    def make_unnamed(self, face_id: str) -> Person:
        """Return a new person for one face."""
        return self._made(face_id, None)

    def _made(self, name: str, external_id: str | None) -> Person:
        person = Person(self._next_id, name, external_id)
        self._next_id += 1
        self.new.append(person)
        return person
