"""Use cases that change nothing: identify, compare, detect and embed faces, and search for an embedding.

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
from model.embedding import join, normalize
from model.face import Face
from model.freed_memory import release_freed_memory
from model.gallery import Gallery
from model.landmarks import is_reliable, landmark_crop
from model.photo import Photo, decode
from model.quality import measure
from model.records import EnrolledFace, Person
from model.searchable import SearchableGallery
from service.errors import InvalidRequest, NoFace
from service.galleries import Galleries
from service.results import (
    ComparedFace,
    Comparison,
    Detection,
    EmbeddedFaces,
    Identification,
    IdentifyOptions,
    Match,
    ModelInfo,
    RecognizedFace,
    SearchResult,
    Size,
    Verification,
)
from storage.networks import Snapshot

HIGHEST = 1 - 1e-9  # confidence: nothing is certain, and a threshold of 1 is never reached
DECIMALS = 9  # of an embedding's numbers. More are not in float32, and with them 400 faces exceed Lambda's 6 MB
CHUNK = 4  # faces that InceptionResnetV1 embeds at a time: more take more memory and hardly less time


class FaceService:
    """Implements the use cases and decides who is known. Depends only on the detector and the collections."""

    def __init__(self, galleries: Galleries, detector: Detector, strictness: float = DEFAULT_STRICTNESS) -> None:
        """strictness: one of STRICTNESS in percent, for requests that name none."""
        self._galleries, self._detector, self._strictness = galleries, detector, strictness

    def identify(self, image: bytes, options: IdentifyOptions) -> Identification:
        """Identify the faces in an image file.

        Raises RecognitionError, NoFace, UnknownCollection, ModelUnavailable.
        """
        return self.identify_in(image, options)[0]

    def identify_in(self, image: bytes, options: IdentifyOptions) -> tuple[Identification, SearchableGallery]:
        """Identify the faces in an image file. -> the result, and the searched gallery. Raises as `identify`."""
        opening, clock = self._galleries.open(options.collection), Stopwatch()
        photo, faces = self._detect(image, clock, all_faces=options.all_faces)
        with clock("classify"):
            selected = faces if options.all_faces else faces[:1]
            strictness = options.strictness or self._strictness
            snapshot, info = opening()
            found = _search(photo, selected, snapshot, options.top, strictness)
            recognized = _recognize(selected, found, snapshot.gallery, options.threshold)
        model = _info(snapshot, strictness)
        size, others = (photo.width, photo.height), tuple(faces[len(selected) :])
        identified = Identification(recognized, len(faces), *size, model, info, clock.ms, others, photo.truncated)
        return identified, snapshot.gallery

    def detect(self, image: bytes) -> Detection:
        """Find the faces in an image file, which may show none. Raises RecognitionError."""
        clock = Stopwatch()
        photo, faces = self._detect(image, clock, all_faces=True, required=False)
        measured = tuple((face, measure(photo, face)) for face in faces)
        return Detection(measured, photo.width, photo.height, clock.ms, photo.truncated)

    def compare(self, source: bytes, target: bytes, options: IdentifyOptions) -> Comparison:
        """Compare the largest face of `source` with all faces of `target`. Raises as `identify`."""
        served, clock = self._galleries.snapshot(), Stopwatch()
        photo, faces = self._detect(source, clock)
        with clock("classify"):
            embedding = _embed(photo, faces[:1], served.emptied())
        verified = self.verify(served.emptied(), embedding, target, options, clock)
        size, model = Size(photo.width, photo.height), ModelInfo(served.version, len(served.gallery))
        return Comparison(faces[0], tuple(faces[1:]), size, verified, model)

    def verify(
        self, empty: Snapshot, embedding: np.ndarray, target: bytes, options: IdentifyOptions, clock: Stopwatch
    ) -> Verification:
        """Compare all faces of `target` with an embedding, float32 [1, size]. Raises as `identify`.

        empty: networks with an empty collection of that embedding.
        """
        photo, faces = self._detect(target, clock, all_faces=True)
        with clock("classify"):
            spec, cohort = empty.gallery.spec, empty.gallery.cohort
            one = Gallery.of(spec, cohort, [Person(0, "")], [EnrolledFace("", 0, ("",), "")], embedding)
            found = _search(photo, faces, empty._replace(gallery=one), 1, options.strictness or self._strictness)
            recognized = _recognize(faces, found, one, options.threshold)
        compared = (ComparedFace(each.face, each.known, each.candidates[0].confidence) for each in recognized)
        ordered = sorted(compared, key=lambda each: each.confidence, reverse=True)
        return Verification(tuple(ordered), Size(photo.width, photo.height), clock.ms)

    def embed(self, image: bytes, options: IdentifyOptions) -> EmbeddedFaces:
        """Compute the embeddings of faces in an image file, as the collection holds them. Raises as `identify`."""
        opening = self._galleries.open(options.collection)
        photo, faces = self._detect(image, Stopwatch(), all_faces=options.all_faces)
        selected = faces if options.all_faces else faces[:1]
        snapshot, _ = opening()
        embeddings = _embed(photo, selected, snapshot).astype(np.float64).round(DECIMALS)
        model = _info(snapshot, self._strictness)
        size, spec = (photo.width, photo.height), snapshot.gallery.spec
        return EmbeddedFaces(tuple(selected), embeddings, spec, *size, model, photo.truncated)

    def search(self, embedding: np.ndarray, options: IdentifyOptions) -> SearchResult:
        """Find the people most similar to an embedding, float [size] of any length but 0, as `embed` returns it.

        Raises InvalidRequest for another size or length; UnknownCollection, ModelUnavailable.
        """
        snapshot, info = self._galleries.open(options.collection)()
        gallery, strictness = snapshot.gallery, options.strictness or self._strictness
        probe = _probe(embedding, gallery.spec.size)
        matches, calibration, people = gallery.search(probe, options.top), snapshot.cascade.joined, len(gallery)
        confidences = calibration.confidence(matches.scores, people)[0].tolist()
        candidates = _matches(gallery, matches.ids[0], confidences)
        known = bool(candidates) and bool(matches.scores[0, 0] >= calibration.threshold(people, strictness))
        return SearchResult(candidates, _known(candidates, known, options.threshold), _info(snapshot, strictness), info)

    def model(self) -> ModelInfo:
        """Describe the served model. Raises ModelUnavailable."""
        return _info(self._galleries.snapshot(), self._strictness)

    def find(self, image: bytes, *, all_faces: bool) -> tuple[Photo, Sequence[Face]]:
        """Decode a photo and find its faces, largest first. It may show none. Raises RecognitionError.

        all_faces: search small faces, too.
        """
        return self._detect(image, Stopwatch(), all_faces=all_faces, required=False)

    def _detect(
        self, image: bytes, clock: Stopwatch, *, all_faces: bool = False, required: bool = True
    ) -> tuple[Photo, Sequence[Face]]:
        """Decode a photo and find its faces, largest first. Raises RecognitionError, and NoFace if one is required."""
        with clock("decode"):
            release_freed_memory()  # of a large photo before this one
            photo = decode(image)
        with clock("detect"):
            faces = self._detector.detect_all(photo) if all_faces else self._detector.detect(photo)
        if required and not faces:
            raise NoFace("No face was found in the photo.")
        return photo, faces


class Stopwatch:
    """Measures phases. ms: milliseconds by phase, to a tenth; of a phase that occurs twice, the sum."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        started = perf_counter()
        yield
        self.ms[phase] = round(self.ms.get(phase, 0) + (perf_counter() - started) * 1000, 1)


def _search(photo: Photo, faces: Sequence[Face], snapshot: Snapshot, top: int, strictness: float) -> Found:
    """Search the faces in the gallery. InceptionResnetV1's crops are cut only for the faces that need it."""
    mobile = _mobile(photo, faces, snapshot)
    reliable = np.array([is_reliable(photo, face) for face in faces])

    def inception(rows: np.ndarray) -> np.ndarray:
        release_freed_memory()  # of the other network
        return _inception(photo, [faces[row] for row in rows], snapshot)

    return snapshot.cascade.search(mobile, reliable, inception, top, strictness)


def _recognize(
    faces: Sequence[Face], found: Found, gallery: SearchableGallery, threshold: float | None
) -> tuple[RecognizedFace, ...]:
    """Combine faces and candidates. threshold: confidence in [0, 1], None for the one of the chosen strictness."""
    return tuple(
        RecognizedFace(face, candidates, _known(candidates, known, threshold))
        for face, ids, confidences, known in zip(faces, found.ids, found.confidences.tolist(), found.known.tolist())
        for candidates in (_matches(gallery, ids, confidences),)
    )


def _matches(gallery: SearchableGallery, ids: np.ndarray, confidences: Sequence[float]) -> tuple[Match, ...]:
    people = gallery.found(ids)
    return tuple(Match(person.id, person.name, min(value, HIGHEST)) for person, value in zip(people, confidences))


def _known(candidates: Sequence[Match], known: bool, threshold: float | None) -> bool:
    """Decide by a threshold, confidence in [0, 1], instead of the calibrated one, if it is given."""
    return known if threshold is None else bool(candidates) and candidates[0].confidence >= threshold


def _embed(photo: Photo, faces: Sequence[Face], snapshot: Snapshot) -> np.ndarray:
    """Embed faces with both networks, as the snapshot's gallery holds them, float32 [faces, size] of length 1."""
    return join(_inception(photo, faces, snapshot), _mobile(photo, faces, snapshot))


def _mobile(photo: Photo, faces: Sequence[Face], snapshot: Snapshot) -> np.ndarray:
    """Embed at least one face with MobileFaceNet, float32 [faces, 192]."""
    # One at a time: four at a time take 70 MB more, and 15 % less time.
    return np.concatenate([snapshot.network.mobile(landmark_crop(photo, face)[None]) for face in faces])


def _inception(photo: Photo, faces: Sequence[Face], snapshot: Snapshot) -> np.ndarray:
    """Embed at least one face with InceptionResnetV1, float32 [faces, 512]."""
    network, name = snapshot.network, snapshot.gallery.spec.name
    parts = []
    for start in range(0, len(faces), CHUNK):
        crops = [crop(photo, face, network.config.crop) for face in faces[start : start + CHUNK]]
        parts.append(network.inception(np.stack(crops), name))
    return np.concatenate(parts)


def _probe(embedding: np.ndarray, size: int) -> np.ndarray:
    """Return an embedding as float32 [1, size] of length 1. Raises InvalidRequest."""
    if embedding.shape != (size,):
        raise InvalidRequest(f"`embedding` has {embedding.size} numbers and not {size}.")
    length = np.linalg.norm(embedding.astype(np.float64))
    if not np.isfinite(length) or length == 0:
        raise InvalidRequest("`embedding` is all zeros, or has numbers that are not finite.")
    return normalize(embedding[None].astype(np.float64) / length).astype(np.float32)


def _info(snapshot: Snapshot, strictness: float) -> ModelInfo:
    people = len(snapshot.gallery)
    return ModelInfo(snapshot.version, people, snapshot.cascade.joined.extrapolated(people, strictness))
