"""Use cases for single faces of a collection, independent of people: list, verify and delete them, show their crops."""

from __future__ import annotations

from dataclasses import replace
from typing import Sequence

from model.edit import Edit
from model.errors import UnreadableImage
from model.searchable import SearchableGallery
from model.stored_crop import cut
from service.face_results import FaceCounts, FaceDeletion, ListedFace
from service.faces import FaceService, Stopwatch
from service.galleries import Galleries
from service.lookup import find_face, find_faces, left_empty
from service.results import IdentifyOptions, Verification


class EnrolledFaces:
    """Implements the use cases. Everything that is changed goes through one commit each."""

    def __init__(self, galleries: Galleries, faces: FaceService) -> None:
        self._galleries, self._faces = galleries, faces

    def list(self, collection: str | None) -> tuple[ListedFace, ...]:
        """List all faces, in the order in which they were added. Raises UnknownCollection, ModelUnavailable."""
        gallery = self._galleries.open(collection)().snapshot.gallery
        people = {person.id: person for person in gallery.people}
        # In a database, somebody else may have added a person in between.
        return tuple(ListedFace(face, people[face.person]) for face in gallery.faces if face.person in people)

    def counts(self, collection: str | None) -> FaceCounts:
        """Count faces and users. Raises UnknownCollection, ModelUnavailable."""
        gallery = self._galleries.open(collection)().snapshot.gallery
        return FaceCounts(gallery.face_count, len(gallery.users()))

    def verify(self, face_id: str, target: bytes, options: IdentifyOptions) -> Verification:
        """Compare a face of the collection with all faces of `target`.

        Raises UnknownFace, and as `FaceService.identify`.
        """
        snapshot = self._galleries.open(options.collection)().snapshot
        gallery = snapshot.gallery
        person = find_face(gallery, face_id).person
        embedding, empty = gallery.embeddings_of(gallery.face_rows([face_id])), snapshot.emptied(gallery.spec.name)
        return replace(self._faces.verify(empty, embedding, target, options, Stopwatch()), person=person)

    def crop(self, collection: str | None, face_id: str) -> bytes | None:
        """Return the stored crop of a face as a JPEG file, None if there is none. Raises ModelUnavailable."""
        gallery = self._galleries.open(collection)().snapshot.gallery
        stored = None if gallery.find_face(face_id) is None else self._galleries.crop(collection, face_id)
        try:
            return cut(stored) if stored else None
        except UnreadableImage:
            return None

    def delete(self, collection: str | None, face_ids: Sequence[str]) -> FaceDeletion:
        """Delete faces, and no people. Raises errors of `Galleries.commit`."""

        def change(gallery: SearchableGallery) -> tuple[Edit | None, FaceDeletion]:
            found, missing = find_faces(gallery, face_ids)
            removed = frozenset(listed.face.id for listed in found)
            return Edit(removed_faces=removed) if removed else None, FaceDeletion(found, (), missing)

        return self._galleries.erase(collection, change)

    def delete_indexed(self, collection: str | None, face_ids: Sequence[str]) -> FaceDeletion:
        """Delete faces of people who are no users, and those people whose last faces they are.

        Raises errors of `Galleries.commit`.
        """

        def change(gallery: SearchableGallery) -> tuple[Edit | None, FaceDeletion]:
            found, missing = find_faces(gallery, face_ids)
            kept = tuple(listed for listed in found if listed.person.user_id)
            deleted = tuple(listed for listed in found if not listed.person.user_id)
            removed = frozenset(listed.face.id for listed in deleted)
            edit = Edit(removed_people=left_empty(gallery, removed), removed_faces=removed) if removed else None
            return edit, FaceDeletion(deleted, kept, missing)

        return self._galleries.erase(collection, change)
