"""Use cases: identify the people in a photo, and list the people in the gallery.

photo -> faces -> crops -> embeddings -> gallery search -> calibrated confidence -> known or not.
"""

from __future__ import annotations

from contextlib import contextmanager
from time import perf_counter
from typing import Iterator, Sequence

import numpy as np

from model.calibration import Calibration
from model.crop import crop
from model.detection.detector import Detector
from model.face import Face
from model.gallery import Gallery, Matches
from model.photo import Photo, decode
from service.errors import ModelUnavailable, NoFace
from service.results import Identification, IdentifyOptions, Match, ModelInfo, PeopleList, PersonSummary, RecognizedFace
from storage.errors import NothingLoaded
from storage.live import LiveModel
from storage.networks import Snapshot


class FaceService:
    """Implements the use cases and decides who is known. Depends only on the detector and the served model."""

    def __init__(self, live: LiveModel, detector: Detector) -> None:
        self._live, self._detector = live, detector

    def identify(self, image: bytes, options: IdentifyOptions) -> Identification:
        """Identify the faces in an image file. Raises RecognitionError, NoFace, ModelUnavailable."""
        snapshot, clock = self._snapshot(), Stopwatch()
        with clock("decode"):
            photo = decode(image)
        with clock("detect"):
            faces = self._detector.detect(photo)
        if not faces:
            raise NoFace("No face was found in the photo.")
        with clock("classify"):
            selected = faces if options.all_faces else faces[:1]
            matches = snapshot.gallery.search(_embed(photo, selected, snapshot), options.top)
            recognized = _recognize(selected, matches, snapshot, options.threshold)
        return Identification(recognized, len(faces), photo.width, photo.height, _info(snapshot), clock.ms)

    def people(self) -> PeopleList:
        """List everybody in the gallery by id. Raises ModelUnavailable."""
        return PeopleList(tuple(PersonSummary(person.id, person.name) for person in self._snapshot().gallery.people))

    def model(self) -> ModelInfo:
        """Describe the served model. Raises ModelUnavailable."""
        return _info(self._snapshot())

    def version(self) -> str | None:
        """Return the version that is loaded, if any, for logs and metrics."""
        return self._live.version()

    def _snapshot(self) -> Snapshot:
        try:
            return self._live.get()
        except NothingLoaded as error:
            raise ModelUnavailable(error.reason) from error


class Stopwatch:
    """Measures phases. ms: milliseconds by phase, to a tenth."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        started = perf_counter()
        yield
        self.ms[phase] = round((perf_counter() - started) * 1000, 1)


def _embed(photo: Photo, faces: Sequence[Face], snapshot: Snapshot) -> np.ndarray:
    """Embed the faces with the embedding of the gallery. -> float32 [faces, size]."""
    crops = np.stack([crop(photo, face, snapshot.network.config.crop) for face in faces])
    return snapshot.embed(crops)


def _recognize(
    faces: Sequence[Face], matches: Matches, snapshot: Snapshot, threshold: float | None
) -> tuple[RecognizedFace, ...]:
    """Combine faces and candidates. threshold: confidence in [0, 1], None for the calibrated one."""
    calibration = snapshot.calibration
    minimum = calibration.threshold if threshold is None else threshold
    return tuple(
        RecognizedFace(face, candidates, known=bool(candidates) and candidates[0].confidence >= minimum)
        for face, candidates in zip(faces, _candidates(matches, snapshot.gallery, calibration))
    )


def _candidates(matches: Matches, gallery: Gallery, calibration: Calibration) -> Iterator[tuple[Match, ...]]:
    for ids, confidences in zip(matches.ids.tolist(), calibration.confidence(matches.scores).tolist()):
        yield tuple(Match(key, gallery.by_id[key].name, confidence) for key, confidence in zip(ids, confidences))


def _info(snapshot: Snapshot) -> ModelInfo:
    return ModelInfo(snapshot.version, len(snapshot.gallery.people))
