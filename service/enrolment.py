"""Photos to faces that can be enrolled: one face of each photo, with a reason for each photo that is left out."""

from __future__ import annotations

from typing import Callable, Iterable, NamedTuple, Sequence

import numpy as np

from model.crop import CropSpec, crop
from model.detection.detector import Detector
from model.embedding import EmbeddingSpec
from model.errors import RecognitionError
from model.face import Face
from model.landmarks import landmark_crop
from model.photo import Photo, decode
from model.records import EnrolledFace
from model.stored_crop import pack
from service.results import DUPLICATE, NO_FACE, SEVERAL_FACES, TOO_SMALL, UNREADABLE, Skipped, UploadedPhoto
from storage.networks import Snapshot

DOMINANT = 2.0  # the largest face is the person's if it has this many times the area of the next one
SMALLEST = 20  # pixels of the shorter side of the box: smaller faces are rarely identified
BATCH = 4  # faces at a time, to limit the memory for embeddings


class PreparedFace(NamedTuple):
    """A face of a photo to enrol.

    digest, photo_size: of the photo, width and height in pixels; crop, landmark_crop: uint8 [size, size, 3] RGB.
    """

    file: str
    digest: str
    photo_size: tuple[int, int]
    face: Face
    crop: np.ndarray
    landmark_crop: np.ndarray

    @classmethod
    def of(cls, file: str, photo: Photo, digest: str, face: Face, spec: CropSpec) -> PreparedFace:
        """Cut a face out of its photo. Raises UnreadableImage."""
        size = photo.width, photo.height
        return cls(file, digest, size, face, crop(photo, face, spec), landmark_crop(photo, face))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The face's box as a gallery lists it: XYXY, to a tenth of a pixel."""
        box = self.face.box
        return round(box.left, 1), round(box.top, 1), round(box.right, 1), round(box.bottom, 1)

    def packed(self) -> bytes:
        """Return both crops as they are stored, see model/stored_crop.py."""
        return pack(self.crop, self.landmark_crop)

    def enrolled(self, face_id: str, person_id: int, added: str, external_id: str | None = None) -> EnrolledFace:
        """Return the face as a gallery lists it."""
        photos, confidence = (self.digest,), round(self.face.confidence, 4)
        return EnrolledFace(face_id, person_id, photos, added, self.box, confidence, self.photo_size, external_id)


def prepare(
    photos: Iterable[UploadedPhoto],
    detector: Detector,
    spec: CropSpec,
    known: Callable[[str], bool] = lambda _: False,
    min_confidence: float = 0.0,
) -> list[PreparedFace | Skipped]:
    """Find and cut the face of each photo. -> for each photo its face, or the reason why none can be used.

    known: tells by its digest whether a photo is enrolled already, to save time; min_confidence: of the detector, in
    [0, 1]; other faces do not count.
    """
    return [_prepare(photo, detector, spec, known, min_confidence) for photo in photos]


def _prepare(
    upload: UploadedPhoto, detector: Detector, spec: CropSpec, known: Callable[[str], bool], min_confidence: float
) -> PreparedFace | Skipped:
    try:
        photo = decode(upload.data)
        digest = photo.digest()
        if known(digest):
            return Skipped(upload.file, DUPLICATE)
        found = [face for face in detector.detect(photo) if face.confidence >= min_confidence]
        if not found:
            return Skipped(upload.file, NO_FACE)
        face = dominant_face(found)
        if face is None:
            return Skipped(upload.file, SEVERAL_FACES)
        if min(face.box.width, face.box.height) < SMALLEST:
            return Skipped(upload.file, TOO_SMALL)
        return PreparedFace.of(upload.file, photo, digest, face, spec)
    except RecognitionError as error:
        return Skipped(upload.file, UNREADABLE, str(error))


def dominant_face(faces: Sequence[Face]) -> Face | None:
    """Return the face that is at least DOMINANT times as large as the next one. faces: one or more, largest first."""
    return faces[0] if len(faces) == 1 or faces[0].box.area >= DOMINANT * faces[1].box.area else None


class FaceEmbeddings:
    """The embeddings of faces to enrol, computed once for all attempts to commit."""

    def __init__(self, faces: Sequence[PreparedFace], snapshot: Snapshot) -> None:
        self._faces, self._snapshot = faces, snapshot
        self._computed: dict[str, np.ndarray] = {}  # by the embedding's name

    def of(self, spec: EmbeddingSpec) -> np.ndarray:
        """Return them as a gallery with that embedding keeps them, float32 [faces, size]."""
        if spec.name not in self._computed:
            self._computed[spec.name] = _embed(self._faces, self._snapshot.emptied(spec.name))
        return self._computed[spec.name]


def _embed(faces: Sequence[PreparedFace], snapshot: Snapshot) -> np.ndarray:
    """Compute the embeddings that the snapshot's gallery keeps of faces, float32 [faces, size]."""
    parts = [np.zeros((0, snapshot.gallery.spec.size), np.float32)]
    for start in range(0, len(faces), BATCH):
        some = faces[start : start + BATCH]
        crops, landmark_crops = np.stack([face.crop for face in some]), np.stack([face.landmark_crop for face in some])
        parts.append(snapshot.embed_to_enrol(crops, landmark_crops)[1])
    return np.concatenate(parts)
