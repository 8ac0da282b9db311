"""ExternalImageIds of Rekognition's clients: the label that each face shows to them.

Faces that are indexed with one ExternalImageId form one person, whose name and external ID it is. People who were added
otherwise have a label too: their external ID if it has the form of one, else their name in the characters allowed.
"""

from __future__ import annotations

import re
import unicodedata

from model.gallery import EnrolledFace, Person

LONGEST = 255
PATTERN = re.compile(rf"[a-zA-Z0-9_.\-:]{{1,{LONGEST}}}")


def label_of_face(face: EnrolledFace, person: Person) -> str | None:
    """Return the label of a person's face. None if it was indexed without one, unless the person has one."""
    own = face.external_id or person.user_id or is_unnamed(person, face)
    return face.external_id if own else label_of(person)


def label_of(person: Person) -> str:
    """Return the label of a person who is no user."""
    if person.external_id and PATTERN.fullmatch(person.external_id):
        return person.external_id
    letters = unicodedata.normalize("NFKD", person.name)
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    label = re.sub(r"[^a-zA-Z0-9_.\-:]", "_", plain)[:LONGEST]
    # A name in another script would be nothing but underscores.
    return label if label.strip("_") else f"person:{person.id}"


def is_unnamed(person: Person, face: EnrolledFace) -> bool:
    """Tell whether the person was made for this face alone: such a person is called like the face."""
    return person.name == face.id and person.external_id is None


def find_labelled(people: tuple[Person, ...], label: str) -> Person | None:
    """Return the first person with a label who is no user, if there is one."""
    return next((person for person in people if not person.user_id and label_of(person) == label), None)
