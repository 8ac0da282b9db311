"""Results of the use cases for single faces and for users, which only other dialects than the native one need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from model.face import Face
from model.records import EnrolledFace, Person
from service.external_ids import label_of_face
from service.results import Identification, Size


class ListedFace(NamedTuple):
    """A face of a collection, and its person."""

    face: EnrolledFace
    person: Person

    @property
    def label(self) -> str | None:
        """ExternalImageId of the face, None if it has none."""
        return label_of_face(self.face, self.person)


class FaceCounts(NamedTuple):
    """Number of faces in a collection, and of people with a user ID."""

    faces: int
    users: int


class FaceMatch(NamedTuple):
    """A face of a collection, and the confidence in [0, 1] that another face shows the same person."""

    found: ListedFace
    confidence: float


@dataclass(frozen=True)
class FaceDeletion:
    """Result of deleting faces. deleted: these faces; kept: those that belong to users; missing: IDs of no face."""

    deleted: tuple[ListedFace, ...] = ()
    kept: tuple[ListedFace, ...] = ()
    missing: tuple[str, ...] = ()


class IndexedFace(NamedTuple):
    """A face in a photo, and as it is in the collection."""

    face: Face
    listed: ListedFace


@dataclass(frozen=True)
class Indexing:
    """Result of indexing the faces of a photo. left_out: faces that are not indexed, with the reasons."""

    indexed: tuple[IndexedFace, ...]
    left_out: tuple[tuple[Face, tuple[str, ...]], ...]
    size: Size


@dataclass(frozen=True)
class FaceSearch:
    """Faces of people who resemble a face of the collection, best first. searched: that face."""

    searched: ListedFace
    matches: tuple[FaceMatch, ...]


@dataclass(frozen=True)
class PhotoSearch:
    """Faces of people who resemble the largest face of a photo, best first."""

    identified: Identification
    matches: tuple[FaceMatch, ...]


class UserSummary(NamedTuple):
    """A user in a listing. faces: how many are associated."""

    user_id: str
    faces: int


class UserMatch(NamedTuple):
    """A user, and the confidence in [0, 1] that a face shows them."""

    user_id: str
    confidence: float


@dataclass(frozen=True)
class UserSearch:
    """Users who resemble a user or a face, best first. user_id: of the user, None for a face."""

    matches: tuple[UserMatch, ...]
    user_id: str | None


@dataclass(frozen=True)
class UserPhotoSearch:
    """Users who resemble the largest face of a photo, best first."""

    identified: Identification
    matches: tuple[UserMatch, ...]


class RefusedFace(NamedTuple):
    """A face that was not associated or disassociated.

    reason: see service/users.py; user_id: of the user who has the face; confidence: in [0, 1], if it was too low.
    """

    face_id: str
    reason: str
    user_id: str | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class Association:
    """Result of associating or disassociating faces. done: their IDs; active: the user has faces afterwards."""

    done: tuple[str, ...]
    refused: tuple[RefusedFace, ...]
    active: bool
