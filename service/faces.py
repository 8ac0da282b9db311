"""Use cases of face recognition."""

from __future__ import annotations

from contextlib import contextmanager
from time import perf_counter
from typing import Iterator

import numpy as np

import model.errors
from model.crop import crop
from model.current import CurrentModel
from model.detection.detector import Detector
from model.face import Face
from model.photo import decode
from model.recognizer import Recognizer
from service.errors import ModelUnavailable, NoFace
from service.results import (
    Identification,
    IdentifyOptions,
    Match,
    ModelInfo,
    PeopleList,
    PersonSummary,
    RecognizedFace,
)


class FaceService:
    """Identifies faces with the current model."""

    def __init__(self, current: CurrentModel, detector: Detector) -> None:
        self._current, self._detector = current, detector

    def identify(self, image: bytes, options: IdentifyOptions) -> Identification:
        """Identify the largest face or all faces. image: an image file. Raises ServiceError or RecognitionError."""
        recognizer, clock = self._loaded(), _Stopwatch()
        with clock("decode"):
            photo = decode(image)
        with clock("detect"):
            faces = self._detector.detect(photo)
        if not faces:
            raise NoFace("No face was found in the photo.")
        with clock("classify"):
            selected = faces if options.all_faces else faces[:1]
            crops = np.stack([crop(photo, face, recognizer.config.crop) for face in selected])
            confidences, _ = recognizer.classify(crops)
        recognized = (_recognized(face, row, options, recognizer) for face, row in zip(selected, confidences))
        return Identification(
            tuple(recognized), len(faces), photo.width, photo.height, _info(recognizer), clock.milliseconds
        )

    def people(self) -> PeopleList:
        """List the gallery. Raises ModelUnavailable."""
        return PeopleList(tuple(PersonSummary(person.id, person.name) for person in self._loaded().people))

    def model(self) -> ModelInfo:
        """Describe the loaded model. Raises ModelUnavailable."""
        return _info(self._loaded())

    def version(self) -> str | None:
        """Return the loaded model's version, or None while there is none."""
        return self._current.version()

    def _loaded(self) -> Recognizer:
        try:
            return self._current.get()
        except model.errors.ModelUnavailable as error:
            raise ModelUnavailable(str(error)) from error


class _Stopwatch:
    """Milliseconds by phase."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        started = perf_counter()
        yield
        self.milliseconds[phase] = (perf_counter() - started) * 1000


def _info(recognizer: Recognizer) -> ModelInfo:
    return ModelInfo(recognizer.version, len(recognizer.people))


def _recognized(
    face: Face, confidences: np.ndarray, options: IdentifyOptions, recognizer: Recognizer
) -> RecognizedFace:
    """confidences: float [people]."""
    threshold = recognizer.config.threshold if options.threshold is None else options.threshold
    order = np.argsort(-confidences, kind="stable")[: options.top]
    candidates = tuple(Match(int(i), recognizer.people[i].name, float(confidences[i])) for i in order)
    return RecognizedFace(face, candidates, candidates[0].confidence >= threshold)
