"""Use cases for users, as Rekognition's clients call people to whom they associate faces.

A user is a person with a user ID. Associating moves a face from its person to the user; disassociating moves it back.
"""

from __future__ import annotations

from typing import Sequence

import numpy as np

from model.edit import Edit
from model.records import EnrolledFace, Person
from model.searchable import SearchableGallery
from service.addition import check_room
from service.errors import CollectionFull, Exists
from service.external_ids import LabelledPeople, is_labelled, is_unnamed, label_of_face
from service.face_results import (
    Association,
    ListedFace,
    RefusedFace,
    UserMatch,
    UserPhotoSearch,
    UserSearch,
    UserSummary,
)
from service.faces import FaceService
from service.galleries import Galleries
from service.lookup import find_face, find_faces, find_user, left_empty
from service.results import IdentifyOptions
from service.similarity import confidence_of_rows, similar_people
from storage.networks import Snapshot

MAX_FACES_OF_USER = 100
RANKED = 100_000  # people, users or not, among whom users are looked for
# Reasons why a face is not associated or disassociated.
MISSING, OTHER_USER, NOT_SIMILAR = "missing", "other_user", "not_similar"


class UserService:
    """Implements the use cases. Everything that is changed goes through one commit each."""

    def __init__(self, galleries: Galleries, faces: FaceService) -> None:
        self._galleries, self._faces = galleries, faces

    def list(self, collection: str | None) -> tuple[UserSummary, ...]:
        """List the users. Raises UnknownCollection, ModelUnavailable."""
        gallery = self._galleries.open(collection)().snapshot.gallery
        users = ((user.user_id, len(gallery.face_rows_of(user.id))) for user in gallery.users())
        return tuple(UserSummary(user_id, faces) for user_id, faces in users if user_id)

    def create(self, collection: str | None, user_id: str) -> None:
        """Add a user without faces. Raises Exists, CollectionFull; errors of `Galleries.commit`."""

        def change(gallery: SearchableGallery) -> tuple[Edit, None]:
            if gallery.user(user_id):
                raise Exists("The collection has this user already.")
            check_room(gallery, 1, 0)
            return Edit((Person(gallery.next_id, user_id, None, user_id),)), None

        self._galleries.commit(self._galleries.snapshot(), collection, change)

    def delete(self, collection: str | None, user_id: str) -> None:
        """Delete a user. Their faces remain, as after `disassociate`. Raises as `disassociate`."""

        def change(gallery: SearchableGallery) -> tuple[Edit, None]:
            user = find_user(gallery, user_id)
            faces = gallery.faces_of(user.id)
            return _moved_back(gallery, faces, removed=frozenset([user.id])), None

        self._galleries.erase(collection, change)

    def associate(self, collection: str | None, user_id: str, face_ids: Sequence[str], threshold: float) -> Association:
        """Move faces to a user. Each must resemble the user's other faces, if there are any. Faces of the user stay.

        threshold: the least confidence, in [0, 1], that a face shows the user. Raises UnknownUser, CollectionFull for
        more than MAX_FACES_OF_USER; errors of `Galleries.commit`.
        """
        snapshot = self._galleries.snapshot()

        def change(gallery: SearchableGallery) -> tuple[Edit | None, Association]:
            user = find_user(gallery, user_id)
            found, missing = find_faces(gallery, face_ids)
            moved, refused = _acceptable(snapshot._replace(gallery=gallery), user, found, threshold)
            refused += [RefusedFace(key, MISSING) for key in missing]
            count = len(gallery.face_rows_of(user.id)) + len(moved)
            if count > MAX_FACES_OF_USER:
                raise CollectionFull(f"The user would have more than {MAX_FACES_OF_USER} faces, which is the limit.")
            edit = _moved(gallery, moved, user) if moved else None
            return edit, Association(tuple(listed.face.id for listed in moved), tuple(refused), count > 0)

        return self._galleries.commit(snapshot, collection, change, erase=True)[1]

    def disassociate(self, collection: str | None, user_id: str, face_ids: Sequence[str]) -> Association:
        """Move faces of a user back to the people from whom they were taken. Each may be a person of its own.

        Raises UnknownUser; errors of `Galleries.commit`.
        """

        def change(gallery: SearchableGallery) -> tuple[Edit | None, Association]:
            user = find_user(gallery, user_id)
            found, missing = find_faces(gallery, face_ids)
            refused = [RefusedFace(key, MISSING) for key in missing]
            others = [listed for listed in found if listed.person.id != user.id]
            for face, person in others:
                refused.append(RefusedFace(face.id, OTHER_USER if person.user_id else MISSING, person.user_id))
            faces = [listed.face for listed in found if listed.person.id == user.id]
            remain = len(gallery.face_rows_of(user.id)) > len(faces)
            edit = _moved_back(gallery, faces) if faces else None
            return edit, Association(tuple(face.id for face in faces), tuple(refused), remain)

        return self._galleries.commit(self._galleries.snapshot(), collection, change, erase=True)[1]

    def search_photo(self, collection: str | None, image: bytes, limit: int, threshold: float) -> UserPhotoSearch:
        """Find the users whom the largest face of a photo shows. Raises as `FaceService.identify`.

        limit: number of users; threshold: the least confidence, in [0, 1].
        """
        options = IdentifyOptions(RANKED, threshold, collection=collection)
        identified, gallery = self._faces.identify_in(image, options)
        found = [match for match in identified.faces[0].candidates if match.confidence >= threshold]
        people = gallery.found(np.array([match.id for match in found], np.int64))
        matches = [UserMatch(user.user_id, match.confidence) for user, match in zip(people, found) if user.user_id]
        return UserPhotoSearch(identified, tuple(matches[:limit]))

    def search_user(self, collection: str | None, user_id: str, limit: int, threshold: float) -> UserSearch:
        """Find the users who resemble a user. Raises UnknownUser, UnknownCollection, ModelUnavailable."""
        snapshot = self._galleries.open(collection)().snapshot
        gallery = snapshot.gallery
        user = find_user(gallery, user_id)
        if not gallery.face_rows_of(user.id):
            return UserSearch((), user_id)
        return UserSearch(_users_like(snapshot, gallery.mean_of(user.id), limit, threshold, user.id), user_id)

    def search_face(self, collection: str | None, face_id: str, limit: int, threshold: float) -> UserSearch:
        """Find the users who resemble a face. Raises UnknownFace, UnknownCollection, ModelUnavailable."""
        snapshot = self._galleries.open(collection)().snapshot
        gallery = snapshot.gallery
        find_face(gallery, face_id)
        embedding = gallery.embeddings_of(gallery.face_rows([face_id]))
        return UserSearch(_users_like(snapshot, embedding, limit, threshold), None)


def _users_like(
    snapshot: Snapshot, embedding: np.ndarray, limit: int, threshold: float, exclude: int | None = None
) -> tuple[UserMatch, ...]:
    people = similar_people(snapshot, embedding, RANKED, threshold, exclude)
    users = snapshot.gallery.found(np.array([key for key, _ in people], np.int64))
    pairs = zip(users, people)
    return tuple([UserMatch(user.user_id, confidence) for user, (_, confidence) in pairs if user.user_id][:limit])


def _acceptable(
    snapshot: Snapshot, user: Person, found: Sequence[ListedFace], threshold: float
) -> tuple[list[ListedFace], list[RefusedFace]]:
    """Select the faces that can become those of a user. -> these, and others with the reasons.

    Faces that the user has already are neither.
    """
    gallery = snapshot.gallery
    own = gallery.face_rows_of(user.id)
    accepted: list[ListedFace] = []
    refused: list[RefusedFace] = []
    for listed in found:
        key, owner = listed.face.id, listed.person
        if owner.id == user.id:
            continue
        if owner.user_id:
            refused.append(RefusedFace(key, OTHER_USER, owner.user_id))
            continue
        (row,) = gallery.face_rows([key])
        confidence = confidence_of_rows(snapshot, own, row) if own else 1.0
        if confidence < threshold:
            refused.append(RefusedFace(key, NOT_SIMILAR, None, confidence))
        else:
            accepted.append(listed)
            own.append(row)
    return accepted, refused


def _moved(gallery: SearchableGallery, faces: Sequence[ListedFace], user: Person) -> Edit:
    """Move faces to a user. People who were made by indexing are removed with their last face."""
    ids = frozenset(listed.face.id for listed in faces)
    empty = left_empty(gallery, ids)
    moved, removed = [], set()
    for face, person in faces:
        origin: int | str | None = person.id
        if is_labelled(person) or is_unnamed(person, face):
            origin = person.external_id
            removed |= {person.id} & empty
        label = label_of_face(face, person)
        moved.append(face._replace(person=user.id, external_id=label, origin=origin))
    return _given(gallery, moved, (user,), frozenset(removed))


def _moved_back(
    gallery: SearchableGallery, faces: Sequence[EnrolledFace], removed: frozenset[int] = frozenset()
) -> Edit:
    """Move a user's faces back, or to people of their own. removed: the user, or nobody."""
    people = LabelledPeople(gallery)
    moved = []
    for face in faces:
        own_label = None
        before = gallery.person(face.origin) if isinstance(face.origin, int) else None
        if before:
            person = before
        elif isinstance(face.origin, str):
            person = people.find_or_make(face.origin)
        else:
            person, own_label = people.make_unnamed(face.id), face.external_id
        moved.append(face._replace(person=person.id, external_id=own_label, origin=None))
    return _given(gallery, moved, tuple(people.new), removed)


def _given(
    gallery: SearchableGallery, faces: Sequence[EnrolledFace], people: tuple[Person, ...], removed: frozenset[int]
) -> Edit:
    """Return the edit that gives faces to other people. removed: IDs of people who are left without a face."""
    ids = [face.id for face in faces]
    embeddings = gallery.embeddings_of(gallery.face_rows(ids))
    return Edit(people, tuple(faces), embeddings, removed, frozenset(ids))
