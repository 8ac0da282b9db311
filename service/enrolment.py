"""Photos to faces that can be enrolled: one face of each photo, with a reason for each photo that is left out."""

from __future__ import annotations

from typing import Container, Iterable, NamedTuple, Sequence

import numpy as np

from model.crop import CropSpec, crop
from model.detection.detector import Detector
from model.errors import RecognitionError
from model.face import Face
from model.landmarks import landmark_crop
from model.photo import decode
from service.results import DUPLICATE, NO_FACE, SEVERAL_FACES, TOO_SMALL, UNREADABLE, Skipped, UploadedPhoto
from storage.networks import Snapshot

DOMINANT = 2.0  # the largest face is the person's if it has this many times the area of the next one
SMALLEST = 20  # pixels of the shorter side of the box: smaller faces are rarely identified
BATCH = 4  # faces at a time, to limit the memory for embeddings


class PreparedFace(NamedTuple):
    """The face of a photo to enrol. digest: of the photo; crop, landmark_crop: uint8 [size, size, 3] RGB."""

    file: str
    digest: str
    face: Face
    crop: np.ndarray
    landmark_crop: np.ndarray


def prepare(
    photos: Iterable[UploadedPhoto], detector: Detector, spec: CropSpec, known: Container[str] = ()
) -> list[PreparedFace | Skipped]:
    """Find and cut the face of each photo. -> for each photo its face, or the reason why none can be used.

    known: digests of photos that are enrolled already, to save time.
    """
    return [_prepare(photo, detector, spec, known) for photo in photos]


def _prepare(
    upload: UploadedPhoto, detector: Detector, spec: CropSpec, known: Container[str]
) -> PreparedFace | Skipped:
    try:
        photo = decode(upload.data)
        digest = photo.digest()
        if digest in known:
            return Skipped(upload.file, DUPLICATE)
        found = detector.detect(photo)
        if not found:
            return Skipped(upload.file, NO_FACE)
        face = found[0]
        if len(found) > 1 and face.box.area < DOMINANT * found[1].box.area:
            return Skipped(upload.file, SEVERAL_FACES)
        if min(face.box.width, face.box.height) < SMALLEST:
            return Skipped(upload.file, TOO_SMALL)
        return PreparedFace(upload.file, digest, face, crop(photo, face, spec), landmark_crop(photo, face))
    except RecognitionError:
        return Skipped(upload.file, UNREADABLE)


def embed(faces: Sequence[PreparedFace], snapshot: Snapshot) -> np.ndarray:
    """Compute the embeddings that the snapshot's gallery keeps of faces, float32 [faces, size]."""
    parts = [np.zeros((0, snapshot.gallery.spec.size), np.float32)]
    for start in range(0, len(faces), BATCH):
        some = faces[start : start + BATCH]
        crops, landmark_crops = np.stack([face.crop for face in some]), np.stack([face.landmark_crop for face in some])
        parts.append(snapshot.embed_to_enrol(crops, landmark_crops)[1])
    return np.concatenate(parts)
