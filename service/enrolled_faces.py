"""Use cases for single faces of a collection, whosever they are: list, find and delete them."""

from __future__ import annotations

from typing import Sequence

from model.errors import UnreadableImage
from model.gallery import Edit, Gallery
from model.stored_crop import cut
from service.errors import UnknownFace
from service.galleries import Galleries
from service.results import FaceDeletion, FaceList, ListedFace


class EnrolledFaces:
    """Implements the use cases. Everything that is changed goes through one commit each."""

    def __init__(self, galleries: Galleries) -> None:
        self._galleries = galleries

    def list(self, collection: str | None) -> FaceList:
        """List all faces. Raises UnknownCollection, ModelUnavailable."""
        opened = self._galleries.open(collection)()
        gallery = opened.snapshot.gallery
        faces = tuple(ListedFace(face, gallery.by_id[face.person]) for face in gallery.faces)
        return FaceList(faces, opened.info, sum(person.user_id is not None for person in gallery.people))

    def crop(self, collection: str | None, face_id: str) -> bytes | None:
        """Return the stored crop of a face as a JPEG file, None if there is none. Raises ModelUnavailable."""
        gallery = self._galleries.open(collection)().snapshot.gallery
        stored = self._galleries.crop(collection, face_id) if face_id in gallery.face_rows else None
        try:
            return cut(stored) if stored else None
        except UnreadableImage:
            return None

    def delete(self, collection: str | None, face_ids: Sequence[str]) -> FaceDeletion:
        """Delete faces, and no people. Raises errors of `Galleries.commit`."""

        def change(gallery: Gallery) -> tuple[Edit | None, FaceDeletion]:
            found, missing = find_faces(gallery, face_ids)
            removed = frozenset(listed.face.id for listed in found)
            return Edit(removed_faces=removed) if removed else None, FaceDeletion(found, (), missing)

        return self._galleries.erase(collection, change)

    def delete_indexed(self, collection: str | None, face_ids: Sequence[str]) -> FaceDeletion:
        """Delete faces of people who are no users, and those people whose last faces they are.

        Raises errors of `Galleries.commit`.
        """

        def change(gallery: Gallery) -> tuple[Edit | None, FaceDeletion]:
            found, missing = find_faces(gallery, face_ids)
            kept = tuple(listed for listed in found if listed.person.user_id)
            deleted = tuple(listed for listed in found if not listed.person.user_id)
            removed = frozenset(listed.face.id for listed in deleted)
            edit = Edit(removed_people=left_empty(gallery, removed), removed_faces=removed) if removed else None
            return edit, FaceDeletion(deleted, kept, missing)

        return self._galleries.erase(collection, change)


def find_faces(gallery: Gallery, face_ids: Sequence[str]) -> tuple[tuple[ListedFace, ...], tuple[str, ...]]:
    """Look up faces. -> those that are there, each once, and the other IDs."""
    ids = dict.fromkeys(face_ids)
    faces = [gallery.faces[gallery.face_rows[key]] for key in ids if key in gallery.face_rows]
    found = tuple(ListedFace(face, gallery.by_id[face.person]) for face in faces)
    return found, tuple(key for key in ids if key not in gallery.face_rows)


def find_face(gallery: Gallery, face_id: str) -> ListedFace:
    """Return a face. Raises UnknownFace."""
    found, _ = find_faces(gallery, [face_id])
    if not found:
        raise UnknownFace("The collection has no such face.")
    return found[0]


def left_empty(gallery: Gallery, face_ids: frozenset[str]) -> frozenset[int]:
    """Return the IDs of people who are no users, and whose last faces these are."""
    owners = {face.person for face in gallery.faces if face.id in face_ids}
    remaining = {face.person for face in gallery.faces if face.id not in face_ids}
    return frozenset(key for key in owners - remaining if not gallery.by_id[key].user_id)
