"""Compute the embeddings of a collection anew from its stored crops, for another network."""

from __future__ import annotations

from typing import Callable, Iterable

import numpy as np

from model.cohort import NO_COHORT
from model.embedding import GENERIC
from model.errors import UnreadableImage
from model.gallery import Gallery
from model.landmarks import SIZE
from model.records import EnrolledFace
from model.stored_crop import unpack
from service.enrolment import BATCH
from service.errors import InvalidRequest
from storage.engine import Engine
from storage.networks import Snapshot
from storage.segments import rounded

Progress = Callable[[Iterable[int]], Iterable[int]]


def reembed(collections: Engine, name: str, snapshot: Snapshot, progress: Progress = iter) -> int:
    """Move a collection to the embedding `generic` of the snapshot's networks. -> number of faces.

    progress: wraps the numbers of the batches. Raises InvalidRequest if a face has no usable crop; StorageError,
    BlobNotFound where there is no such collection, BlobConflict if it has changed meanwhile.
    """
    network, spec = snapshot.emptied(), snapshot.network.config.specs[GENERIC]
    before = collections.read(name, lambda _: NO_COHORT)
    old = before.gallery.loaded()
    parts = [np.zeros((0, spec.size), np.float32)]
    for start in progress(range(0, len(old.faces), BATCH)):
        parts.append(_embed(collections, name, old.faces[start : start + BATCH], network))
    cohort = snapshot.network.cohort(GENERIC)
    embeddings = rounded(np.concatenate(parts))
    collections.replace(before, Gallery.of(spec, cohort, old.people, old.faces, embeddings, old.next_id))
    return len(old.faces)


def _embed(collections: Engine, name: str, faces: tuple[EnrolledFace, ...], network: Snapshot) -> np.ndarray:
    size = network.network.config.crop.size
    try:
        stored = [collections.crop(name, face.id) for face in faces]
        crops, landmark_crops = zip(*(unpack(data, size, SIZE) for data in stored if data is not None))
    except (UnreadableImage, ValueError) as error:
        raise _missing() from error
    if len(crops) < len(faces):
        raise _missing()
    return network.embed_to_enrol(np.stack(crops), np.stack(landmark_crops))[1]


def _missing() -> InvalidRequest:
    return InvalidRequest(
        "Not all faces of the collection have a stored crop, so the photos are needed: enrol them again in a new "
        "collection. Crops are stored with KEEP_CROPS=on."
    )
