"""Use cases: identify the people in a photo, and list the people in the gallery.

photo -> faces -> crops -> embeddings -> gallery search -> calibrated confidence -> known or not.
"""

from __future__ import annotations

from contextlib import contextmanager
from time import perf_counter
from typing import Iterator, Sequence

import numpy as np

from model.calibration import DEFAULT_STRICTNESS
from model.cascade import Found
from model.crop import crop
from model.detection.detector import Detector
from model.face import Face
from model.gallery import Gallery
from model.landmarks import is_reliable, landmark_crop
from model.photo import Photo, decode
from service.errors import ModelUnavailable, NoFace
from service.results import Identification, IdentifyOptions, Match, ModelInfo, PeopleList, PersonSummary, RecognizedFace
from storage.errors import NothingLoaded
from storage.live import LiveModel
from storage.networks import Snapshot


class FaceService:
    """Implements the use cases and decides who is known. Depends only on the detector and the served model."""

    def __init__(self, live: LiveModel, detector: Detector, strictness: float = DEFAULT_STRICTNESS) -> None:
        """strictness: one of STRICTNESS in percent, for requests that name none."""
        self._live, self._detector, self._strictness = live, detector, strictness

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
            strictness = options.strictness or self._strictness
            found = _search(photo, selected, snapshot, options.top, strictness)
            recognized = _recognize(selected, found, snapshot.gallery, options.threshold)
        return Identification(recognized, len(faces), photo.width, photo.height, _info(snapshot, strictness), clock.ms)

    def people(self) -> PeopleList:
        """List everybody in the gallery by id. Raises ModelUnavailable."""
        return PeopleList(tuple(PersonSummary(person.id, person.name) for person in self._snapshot().gallery.people))

    def model(self) -> ModelInfo:
        """Describe the served model. Raises ModelUnavailable."""
        return _info(self._snapshot(), self._strictness)

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


def _search(photo: Photo, faces: Sequence[Face], snapshot: Snapshot, top: int, strictness: float) -> Found:
    """Search the faces in the gallery. InceptionResnetV1's crops are cut only for the faces that need it."""
    mobile = snapshot.network.mobile(np.stack([landmark_crop(photo, face) for face in faces]))
    reliable = np.array([is_reliable(photo, face) for face in faces])

    def inception(rows: np.ndarray) -> np.ndarray:
        crops = np.stack([crop(photo, faces[row], snapshot.network.config.crop) for row in rows])
        return snapshot.network.inception(crops, snapshot.gallery.spec.name)

    return snapshot.cascade.search(mobile, reliable, inception, top, strictness)


def _recognize(
    faces: Sequence[Face], found: Found, gallery: Gallery, threshold: float | None
) -> tuple[RecognizedFace, ...]:
    """Combine faces and candidates. threshold: confidence in [0, 1], None for the one of the chosen strictness."""
    recognized = []
    for face, ids, confidences, known in zip(
        faces, found.ids.tolist(), found.confidences.tolist(), found.known.tolist()
    ):
        candidates = tuple(Match(key, gallery.by_id[key].name, value) for key, value in zip(ids, confidences))
        if threshold is not None:
            known = bool(candidates) and candidates[0].confidence >= threshold
        recognized.append(RecognizedFace(face, candidates, known))
    return tuple(recognized)


def _info(snapshot: Snapshot, strictness: float) -> ModelInfo:
    people = len(snapshot.gallery)
    return ModelInfo(snapshot.version, people, snapshot.cascade.joined.extrapolated(people, strictness))
