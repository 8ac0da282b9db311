"""Look up faces and users in a gallery. One that is missing is an error of the caller."""

from __future__ import annotations

from typing import Sequence

from model.gallery import Gallery, Person
from service.errors import UnknownFace, UnknownUser
from service.face_results import ListedFace


def find_user(gallery: Gallery, user_id: str) -> Person:
    """Return the person with a user ID. Raises UnknownUser."""
    found = next((person for person in gallery.people if person.user_id == user_id), None)
    if found is None:
        raise UnknownUser("The collection has no such user.")
    return found


def find_face(gallery: Gallery, face_id: str) -> ListedFace:
    """Return a face. Raises UnknownFace."""
    found, _ = find_faces(gallery, [face_id])
    if not found:
        raise UnknownFace("The collection has no such face.")
    return found[0]


def find_faces(gallery: Gallery, face_ids: Sequence[str]) -> tuple[tuple[ListedFace, ...], tuple[str, ...]]:
    """Look up faces. -> those that are there, each once, and the other IDs."""
    ids = dict.fromkeys(face_ids)
    faces = [gallery.faces[gallery.face_rows[key]] for key in ids if key in gallery.face_rows]
    found = tuple(ListedFace(face, gallery.by_id[face.person]) for face in faces)
    return found, tuple(key for key in ids if key not in gallery.face_rows)


def left_empty(gallery: Gallery, face_ids: frozenset[str]) -> frozenset[int]:
    """Return the IDs of the people whose last faces these are."""
    owners = {gallery.faces[gallery.face_rows[key]].person for key in face_ids}
    remaining = {face.person for face in gallery.faces if face.id not in face_ids}
    return frozenset(owners - remaining)
