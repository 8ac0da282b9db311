"""Requests to the service and its results, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, NamedTuple

from model.face import Face


@dataclass(frozen=True)
class IdentifyOptions:
    """Options of `identify`.

    top: number of candidates; threshold: confidence in [0, 1], None for the calibrated one; strictness: one of
    STRICTNESS in percent, which chooses the calibrated threshold, None for the deployment's; all_faces: False
    identifies the largest face only.
    """

    top: int = 5
    threshold: float | None = None
    strictness: float | None = None
    all_faces: bool = False


class PersonSummary(NamedTuple):
    """A person in a listing."""

    id: int
    name: str


@dataclass(frozen=True)
class PeopleList:
    """Everybody in the gallery, by ID."""

    people: tuple[PersonSummary, ...]


class Match(NamedTuple):
    """A person and the confidence in [0, 1] that a face shows them."""

    id: int
    name: str
    confidence: float


@dataclass(frozen=True)
class RecognizedFace:
    """A face and its candidates, best first. known: the first candidate reaches the threshold."""

    face: Face
    candidates: tuple[Match, ...]
    known: bool


@dataclass(frozen=True)
class ModelInfo:
    """Served model.

    version: of the network and its gallery; people: number of people in the gallery; extrapolated: the gallery is
    larger than those that the thresholds were measured on.
    """

    version: str
    people: int
    extrapolated: bool = False


@dataclass(frozen=True)
class Identification:
    """A photo's result.

    faces: the identified faces, largest first, at least one; faces_detected: all faces in the photo; width, height:
    pixels of the upright photo; timings: milliseconds by phase (decode, detect, classify).
    """

    faces: tuple[RecognizedFace, ...]
    faces_detected: int
    width: int
    height: int
    model: ModelInfo
    timings: Mapping[str, float] = field(default_factory=dict)
