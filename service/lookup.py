"""Look up faces and users in a gallery. One that is missing is an error of the caller."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from model.records import EnrolledFace, Person
from model.searchable import SearchableGallery
from service.errors import UnknownFace, UnknownUser
from service.face_results import ListedFace


def find_user(gallery: SearchableGallery, user_id: str) -> Person:
    """Return the person with a user ID. Raises UnknownUser."""
    found = gallery.user(user_id)
    if found is None:
        raise UnknownUser("The collection has no such user.")
    return found


def find_face(gallery: SearchableGallery, face_id: str) -> ListedFace:
    """Return a face. Raises UnknownFace."""
    found, _ = find_faces(gallery, [face_id])
    if not found:
        raise UnknownFace("The collection has no such face.")
    return found[0]


def find_faces(gallery: SearchableGallery, face_ids: Sequence[str]) -> tuple[tuple[ListedFace, ...], tuple[str, ...]]:
    """Look up faces. -> those that are there, each once, and the other IDs."""
    rows = {face_id: gallery.find_face(face_id) for face_id in face_ids}
    faces = [gallery.face(row) for row in rows.values() if row is not None]
    found = tuple(ListedFace(face, owner(gallery, face)) for face in faces)
    return found, tuple(face_id for face_id, row in rows.items() if row is None)


def owner(gallery: SearchableGallery, face: EnrolledFace) -> Person:
    """Return the person of a face of the gallery."""
    return gallery.found(np.array([face.person]))[0]


def left_empty(gallery: SearchableGallery, face_ids: frozenset[str]) -> frozenset[int]:
    """Return the IDs of the people whose last faces these are."""
    owners = {gallery.face(row).person for row in gallery.face_rows(face_ids)}
    return frozenset(key for key in owners if face_ids.issuperset(face.id for face in gallery.faces_of(key)))
