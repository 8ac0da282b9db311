"""Services without a model, for tests of the layers around a service."""

from __future__ import annotations

import numpy as np

from model.face import Box, Face
from service.faces import FaceService
from service.galleries import Galleries
from service.people import PeopleService
from service.results import (
    GalleryInfo,
    Identification,
    IdentifyOptions,
    Match,
    ModelInfo,
    PeopleList,
    PersonSummary,
    RecognizedFace,
)
from service.services import Services

MODEL = ModelInfo("20261124-f6b69ad5", people=2)
GALLERY = GalleryInfo("people", "revision-1", people=2, faces=3)
FACE = Face(Box(10.0, 20.0, 30.0, 50.0), 0.99, np.zeros((5, 2), np.float32))
CANDIDATES = (Match(0, "Kofi Annan", 0.98), Match(1, "Alicia Witt", 0.01))
RECOGNIZED = (RecognizedFace(FACE, CANDIDATES, known=True),)
IDENTIFIED = Identification(RECOGNIZED, 1, 250, 250, MODEL, GALLERY, {"decode": 1.0})


class FixedFaces(FaceService):
    """Returns the same results for every photo, or raises an error. Its model is available."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def identify(self, image: bytes, options: IdentifyOptions) -> Identification:
        if self._error:
            raise self._error
        return IDENTIFIED

    def model(self) -> ModelInfo:
        return MODEL


class FixedPeople(PeopleService):
    """Returns the same people for every request, or raises an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def people(self, collection: str | None, after: int = -1, limit: int = 1000) -> PeopleList:
        if self._error:
            raise self._error
        people = tuple(PersonSummary(match.id, match.name, None, 1) for match in CANDIDATES)
        return PeopleList(people, len(people), GALLERY)


class FixedGalleries(Galleries):
    """Has a model and nothing that can change."""

    def __init__(self) -> None:
        """Load nothing."""

    def version(self) -> str | None:
        return MODEL.version


def around(faces: FaceService, error: Exception | None = None) -> Services:
    """Return services that recognize faces as given. error: raised for the list of people."""
    return Services(faces, FixedPeople(error), FixedGalleries())


def fixed(error: Exception | None = None) -> Services:
    """Return services with the same results for every request, or the same error."""
    return around(FixedFaces(error), error)
