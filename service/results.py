"""Requests to the service and its results, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, NamedTuple

import numpy as np

from model.embedding import EmbeddingSpec
from model.face import Face
from model.quality import Quality
from model.records import EnrolledFace, Person


@dataclass(frozen=True)
class IdentifyOptions:
    """Options of `identify`.

    top: number of candidates; threshold: confidence in [0, 1], None for the calibrated one; strictness: one of
    STRICTNESS in percent, which chooses the calibrated threshold, None for the deployment's; all_faces: False
    identifies the largest face only; collection: its name, None for the default.
    """

    top: int = 5
    threshold: float | None = None
    strictness: float | None = None
    all_faces: bool = False
    collection: str | None = None


class UploadedPhoto(NamedTuple):
    """A photo to enrol. file: its base name; data: bytes of an image file."""

    file: str
    data: bytes


# Reasons why a photo is not enrolled.
NO_FACE, SEVERAL_FACES, UNREADABLE = "no_face", "several_faces", "unreadable"
TOO_SMALL, DUPLICATE = "too_small", "duplicate"


class Skipped(NamedTuple):
    """A photo that was not enrolled. reason: one of the above; detail: a sentence more about it, or ""."""

    file: str
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class GalleryInfo:
    """The collection that answered. revision: another one after each change; people, faces: in the collection;
    stale: it could not be checked whether this is the current revision.
    """

    collection: str
    revision: str
    people: int
    faces: int
    stale: bool = False


@dataclass(frozen=True)
class CollectionInfo:
    """A collection. embedding: `generic` or `tuned`; created: day, ISO 8601; read_only: published with the model;
    default: requests that name no collection use it.
    """

    name: str
    people: int
    faces: int
    embedding: str
    created: str
    read_only: bool
    default: bool


MAX_LISTED = 1000  # people in one listing


class PersonSummary(NamedTuple):
    """A person in a listing. faces: how many are enrolled."""

    id: int
    name: str
    external_id: str | None = None
    faces: int = 0


@dataclass(frozen=True)
class PeopleList:
    """People by ID. count: in the whole collection; next: the ID after which the listing goes on, if it does."""

    people: tuple[PersonSummary, ...]
    count: int
    gallery: GalleryInfo
    next: int | None = None


@dataclass(frozen=True)
class PersonDetails:
    """A person and their faces."""

    person: Person
    collection: str
    faces: tuple[EnrolledFace, ...]


class Match(NamedTuple):
    """A person and the confidence in [0, 1] that a face shows them."""

    id: int
    name: str
    confidence: float


@dataclass(frozen=True)
class Enrolment:
    """Result of enrolling photos of a person.

    person: with the new faces, or with those that were there already if no photo was new (added: False); skipped:
    photos that were not used; look_alikes: people as whom this person would be identified, at the default strictness;
    same_name: IDs of other people with this name; advice: a sentence, if more photos would help.
    """

    person: PersonDetails
    added: bool
    skipped: tuple[Skipped, ...] = ()
    look_alikes: tuple[Match, ...] = ()
    same_name: tuple[int, ...] = ()
    advice: str | None = None


@dataclass(frozen=True)
class RecognizedFace:
    """A face and its candidates, best first. known: the first candidate reaches the threshold."""

    face: Face
    candidates: tuple[Match, ...]
    known: bool


@dataclass(frozen=True)
class ModelInfo:
    """Served model.

    version: of the networks; people: number of people with faces in the collection; extrapolated: the collection is
    larger than those that the thresholds were measured on.
    """

    version: str
    people: int
    extrapolated: bool = False


@dataclass(frozen=True)
class Identification:
    """A photo's result.

    faces: the identified faces, largest first, at least one; faces_detected: number of all faces in the photo; width,
    height: pixels of the upright photo; timings: milliseconds by phase (decode, detect, classify); others: the faces
    that were not identified, largest first; truncated: the photo's file is cut short, see model/photo.py.
    """

    faces: tuple[RecognizedFace, ...]
    faces_detected: int
    width: int
    height: int
    model: ModelInfo
    gallery: GalleryInfo
    timings: Mapping[str, float] = field(default_factory=dict)
    others: tuple[Face, ...] = ()
    truncated: bool = False


@dataclass(frozen=True)
class Detection:
    """The faces in a photo, largest first, and how well each suits enrolling. Other fields: as in Identification."""

    faces: tuple[tuple[Face, Quality], ...]
    width: int
    height: int
    timings: Mapping[str, float] = field(default_factory=dict)
    truncated: bool = False


@dataclass(frozen=True)
class ComparedFace:
    """A face, and whether it shows the same person as another one. confidence: in [0, 1] that it does."""

    face: Face
    same: bool
    confidence: float


class Size(NamedTuple):
    """Pixels of an upright photo."""

    width: int
    height: int


@dataclass(frozen=True)
class Verification:
    """All faces of a photo (target) compared with one face, the most similar first.

    target_size: of the photo; person: who has the face, None if it is not of a collection.
    """

    faces: tuple[ComparedFace, ...]
    target_size: Size
    timings: Mapping[str, float] = field(default_factory=dict)
    person: Person | None = None


@dataclass(frozen=True)
class Comparison:
    """The largest face of one photo (source) compared with all faces of another one (target).

    others: the other faces of the source; source_size: of that photo.
    """

    source: Face
    others: tuple[Face, ...]
    source_size: Size
    target: Verification
    model: ModelInfo


@dataclass(frozen=True)
class EmbeddedFaces:
    """The faces in a photo, largest first, with embeddings. spec: which embedding it is.

    embeddings: float64 [faces, size] of length 1, rounded to 9 decimals. Other fields: as in Identification.
    """

    faces: tuple[Face, ...]
    embeddings: np.ndarray
    spec: EmbeddingSpec
    width: int
    height: int
    model: ModelInfo
    truncated: bool = False


@dataclass(frozen=True)
class SearchResult:
    """Candidates for an embedding, best first. known: the first candidate reaches the threshold."""

    candidates: tuple[Match, ...]
    known: bool
    model: ModelInfo
    gallery: GalleryInfo
