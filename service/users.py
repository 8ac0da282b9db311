"""Use cases for users, as Rekognition's clients call people to whom they associate faces.

A user is a person with a user ID. Associating moves a face from the person whose it was to the user.
"""

from __future__ import annotations

from typing import Sequence

import numpy as np

from model.gallery import Edit, EnrolledFace, Gallery, Person
from service.addition import MAX_PEOPLE, check_room
from service.enrolled_faces import find_face, find_faces, left_empty
from service.errors import CollectionFull, Exists, UnknownUser
from service.external_ids import find_labelled, is_unnamed, label_of
from service.faces import FaceService
from service.galleries import Galleries
from service.indexing import similar_people
from service.results import (
    Association,
    IdentifyOptions,
    ListedFace,
    RefusedFace,
    UserMatch,
    UserPhotoSearch,
    UserSearch,
    UserSummary,
)
from storage.networks import Snapshot

MAX_FACES_OF_USER = 100
# Reasons why a face is not associated or disassociated.
MISSING, OTHER_USER, NOT_SIMILAR = "missing", "other_user", "not_similar"


class UserService:
    """Implements the use cases. Everything that is changed goes through one commit each."""

    def __init__(self, galleries: Galleries, faces: FaceService) -> None:
        self._galleries, self._faces = galleries, faces

    def list(self, collection: str | None) -> tuple[UserSummary, ...]:
        """List the users. Raises UnknownCollection, ModelUnavailable."""
        gallery = self._galleries.open(collection)().snapshot.gallery
        counts = zip(gallery.people, gallery.face_counts.tolist())
        return tuple(UserSummary(person.user_id, faces) for person, faces in counts if person.user_id)

    def create(self, collection: str | None, user_id: str) -> None:
        """Add a user without faces. Raises Exists, CollectionFull; errors of `Galleries.commit`."""

        def change(gallery: Gallery) -> tuple[Edit, None]:
            if _user(gallery, user_id):
                raise Exists("The collection has this user already.")
            check_room(gallery, 1, 0)
            return Edit((Person(gallery.next_id, user_id, None, user_id),)), None

        self._galleries.commit(self._galleries.snapshot(), collection, change)

    def delete(self, collection: str | None, user_id: str) -> None:
        """Delete a user. Their faces remain, as after `disassociate`. Raises as `disassociate`."""

        def change(gallery: Gallery) -> tuple[Edit, None]:
            user = find_user(gallery, user_id)
            faces = gallery.faces_of(user.id)
            return _moved_back(gallery, faces, removed=frozenset([user.id])), None

        self._galleries.erase(collection, change)

    def associate(self, collection: str | None, user_id: str, face_ids: Sequence[str], threshold: float) -> Association:
        """Move faces to a user. A face must resemble the user's other faces, if there are any.

        threshold: the least confidence, in [0, 1], that a face shows the user. Raises UnknownUser, CollectionFull for
        more than MAX_FACES_OF_USER; errors of `Galleries.commit`.
        """
        snapshot = self._galleries.snapshot()

        def change(gallery: Gallery) -> tuple[Edit | None, Association]:
            user = find_user(gallery, user_id)
            found, missing = find_faces(gallery, face_ids)
            refused = [RefusedFace(key, MISSING) for key in missing]
            moved: list[ListedFace] = []
            own = [gallery.face_rows[face.id] for face in gallery.faces_of(user.id)]
            for listed in found:
                row = gallery.face_rows[listed.face.id]
                if listed.person.user_id:
                    if listed.person.id != user.id:
                        refused.append(RefusedFace(listed.face.id, OTHER_USER, listed.person.user_id))
                    continue
                confidence = _confidence(snapshot._replace(gallery=gallery), own, row)
                if confidence is not None and confidence < threshold:
                    refused.append(RefusedFace(listed.face.id, NOT_SIMILAR, None, confidence))
                    continue
                own.append(row)
                moved.append(listed)
            if len(own) > MAX_FACES_OF_USER:
                raise CollectionFull(f"The user would have more than {MAX_FACES_OF_USER} faces, which is the limit.")
            gone = {face.face_id for face in refused}
            accepted = tuple(listed.face.id for listed in found if listed.face.id not in gone)
            edit = _moved(gallery, moved, user) if moved else None
            return edit, Association(accepted, tuple(refused), bool(own))

        return self._galleries.commit(snapshot, collection, change, erase=True)[1]

    def disassociate(self, collection: str | None, user_id: str, face_ids: Sequence[str]) -> Association:
        """Take faces from a user. Each returns to the person of its external ID, or is a person of its own again.

        Raises UnknownUser; errors of `Galleries.commit`.
        """

        def change(gallery: Gallery) -> tuple[Edit | None, Association]:
            user = find_user(gallery, user_id)
            found, missing = find_faces(gallery, face_ids)
            refused = [RefusedFace(key, MISSING) for key in missing]
            others = [listed for listed in found if listed.person.id != user.id]
            refused += [RefusedFace(each.face.id, OTHER_USER, each.person.user_id) for each in others]
            faces = [listed.face for listed in found if listed.person.id == user.id]
            remain = len(gallery.faces_of(user.id)) > len(faces)
            edit = _moved_back(gallery, faces) if faces else None
            return edit, Association(tuple(face.id for face in faces), tuple(refused), remain)

        return self._galleries.commit(self._galleries.snapshot(), collection, change, erase=True)[1]

    def search_photo(self, collection: str | None, image: bytes, limit: int, threshold: float) -> UserPhotoSearch:
        """Find the users whom the largest face of a photo shows. Raises as `FaceService.identify`, but not NoFace.

        limit: number of users; threshold: the least confidence, in [0, 1].
        """
        options = IdentifyOptions(MAX_PEOPLE, threshold, collection=collection)
        identified, gallery = self._faces.identify_in(image, options)
        users = ((gallery.by_id[match.id], match.confidence) for match in identified.faces[0].candidates)
        matches = [UserMatch(user.user_id, value) for user, value in users if user.user_id and value >= threshold]
        return UserPhotoSearch(identified, tuple(matches[:limit]))

    def search_user(self, collection: str | None, user_id: str, limit: int, threshold: float) -> UserSearch:
        """Find the users who resemble a user. Raises UnknownUser, UnknownCollection, ModelUnavailable."""
        snapshot = self._galleries.open(collection)().snapshot
        gallery = snapshot.gallery
        user = find_user(gallery, user_id)
        row = int(np.searchsorted(gallery.ids, user.id))
        if not gallery.face_counts[row]:
            return UserSearch((), user_id)
        return UserSearch(_users_like(snapshot, gallery.means[[row]], limit, threshold, user.id), user_id)

    def search_face(self, collection: str | None, face_id: str, limit: int, threshold: float) -> UserSearch:
        """Find the users who resemble a face. Raises UnknownFace, UnknownCollection, ModelUnavailable."""
        snapshot = self._galleries.open(collection)().snapshot
        gallery = snapshot.gallery
        find_face(gallery, face_id)
        embedding = gallery.embeddings[[gallery.face_rows[face_id]]]
        return UserSearch(_users_like(snapshot, embedding, limit, threshold), None)


def find_user(gallery: Gallery, user_id: str) -> Person:
    """Return a user. Raises UnknownUser."""
    found = _user(gallery, user_id)
    if found is None:
        raise UnknownUser("The collection has no such user.")
    return found


def _user(gallery: Gallery, user_id: str) -> Person | None:
    return next((person for person in gallery.people if person.user_id == user_id), None)


def _users_like(
    snapshot: Snapshot, embedding: np.ndarray, limit: int, threshold: float, exclude: int | None = None
) -> tuple[UserMatch, ...]:
    people = similar_people(snapshot, embedding, MAX_PEOPLE, threshold, exclude)
    users = ((snapshot.gallery.by_id[key].user_id, confidence) for key, confidence in people)
    return tuple([UserMatch(user_id, confidence) for user_id, confidence in users if user_id][:limit])


def _confidence(snapshot: Snapshot, own: Sequence[int], row: int) -> float | None:
    """Compare a face with those of one person. -> confidence in [0, 1], None if the person has none.

    own, row: rows of the faces in the snapshot's gallery.
    """
    if not own:
        return None
    gallery, empty = snapshot.gallery, snapshot.emptied(snapshot.gallery.spec.name)
    faces = [gallery.faces[each]._replace(person=0) for each in own]
    one = empty._replace(gallery=empty.gallery.add(Person(0, ""), faces, gallery.embeddings[list(own)]))
    return similar_people(one, gallery.embeddings[[row]], 1, 0)[0][1]


def _moved(gallery: Gallery, faces: Sequence[ListedFace], user: Person) -> Edit:
    """Move faces to a user. They keep their labels; people who are left without a face are removed."""
    labelled = [
        found.face
        if is_unnamed(found.person, found.face) or found.face.external_id
        else found.face._replace(external_id=label_of(found.person))
        for found in faces
    ]
    return _given(gallery, [face._replace(person=user.id) for face in labelled], (user,))


def _moved_back(gallery: Gallery, faces: Sequence[EnrolledFace], removed: frozenset[int] = frozenset()) -> Edit:
    """Move a user's faces to the people of their labels, or to people of their own. removed: the user, or nobody."""
    people: list[Person] = []
    moved = []
    for face in faces:
        new_id = gallery.next_id + len(people)
        if face.external_id is None:
            person = Person(new_id, face.id)
        else:
            known = find_labelled((*gallery.people, *people), face.external_id)
            person = known or Person(new_id, face.external_id, face.external_id)
        if person.id >= new_id:
            people.append(person)
        moved.append(face._replace(person=person.id))
    return _given(gallery, moved, tuple(people), removed)


def _given(
    gallery: Gallery, faces: Sequence[EnrolledFace], people: tuple[Person, ...], removed: frozenset[int] = frozenset()
) -> Edit:
    """Return the edit that gives faces to other people."""
    ids = frozenset(face.id for face in faces)
    rows = [gallery.face_rows[face.id] for face in faces]
    return Edit(people, tuple(faces), gallery.embeddings[rows], left_empty(gallery, ids) | removed, ids)
