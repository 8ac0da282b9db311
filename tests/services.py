"""Services without a model, for tests of the layers around a service."""

from __future__ import annotations

import numpy as np

from model.face import Box, Face
from service.faces import FaceService
from service.results import (
    Identification,
    IdentifyOptions,
    Match,
    ModelInfo,
    PeopleList,
    PersonSummary,
    RecognizedFace,
)

MODEL = ModelInfo("20261124-f6b69ad5", people=2)
FACE = Face(Box(10.0, 20.0, 30.0, 50.0), 0.99, np.zeros((5, 2), np.float32))
CANDIDATES = (Match(0, "Kofi Annan", 0.98), Match(1, "Alicia Witt", 0.01))
IDENTIFIED = Identification((RecognizedFace(FACE, CANDIDATES, known=True),), 1, 250, 250, MODEL, {"decode": 1.0})


class FixedService(FaceService):
    """Returns the same results for every photo."""

    def __init__(self) -> None:
        """Load nothing."""

    def identify(self, image: bytes, options: IdentifyOptions) -> Identification:
        return IDENTIFIED

    def people(self) -> PeopleList:
        return PeopleList(tuple(PersonSummary(match.id, match.name) for match in CANDIDATES))

    def model(self) -> ModelInfo:
        return MODEL

    def version(self) -> str | None:
        return MODEL.version


class FailingService(FixedService):
    """Raises an error for photos and for the list of people. Its model is available."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def identify(self, image: bytes, options: IdentifyOptions) -> Identification:
        raise self._error

    def people(self) -> PeopleList:
        raise self._error
