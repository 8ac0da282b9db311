"""people export, import and reembed: a whole collection as one file (docs/format.md), or with other embeddings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from tqdm import tqdm

from model.edit import Edit
from model.embedding import EmbeddingSpec
from model.gallery import Gallery
from service.people import find_person
from storage.fields import describe, pick
from storage.galleries import Manifest, assemble
from storage.revisions import Cohorts
from storage.segments import Segment, decode, encode
from training.atomic_files import atomic_write
from training.errors import TrainingError
from training.publishing.collections import Access, service_errors
from training.publishing.export import require_serving_torch

COLLECTION = "collection"  # name of the array with what a segment does not have: JSON
CROPS, CROP_BYTES = "crops", "crop_bytes"  # names of the arrays with the stored crops, if there are any
SHA256 = "sha256"  # in that JSON: of the arrays and of the rest of it


def write_backup(access: Access, collection: str | None, path: Path, person_id: int | None = None) -> int:
    """Write a collection, or one person of it, to a file. -> number of people. Raises TrainingError, OSError."""
    with service_errors():
        opened = access.galleries.open(collection)()
        gallery = opened.snapshot.gallery.loaded()
        if person_id is not None:
            find_person(gallery, person_id)
            others = frozenset(gallery.ids.tolist()) - {person_id}
            gallery = gallery.edited(Edit(removed_people=others))
        crops = [access.collections.crop(opened.info.collection, face.id) or b"" for face in gallery.faces]
    facts: dict[str, Any] = {"embedding": asdict(gallery.spec), "next_id": gallery.next_id}
    facts["people"] = len(gallery.people)
    arrays = safetensors.numpy.load(encode(gallery.whole()))
    if any(crops):
        arrays[CROPS] = np.frombuffer(b"".join(crops), np.uint8)
        arrays[CROP_BYTES] = np.array([len(crop) for crop in crops], np.int64)
    facts[SHA256] = _checksum(facts, arrays)
    arrays[COLLECTION] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    with atomic_write(path) as unfinished:
        unfinished.touch(mode=0o600)  # names and biometric data are not for other users of the machine
        unfinished.write_bytes(safetensors.numpy.save(arrays))
    return len(gallery.people)


def reembed_collection(access: Access, collection: str | None) -> int:
    """Compute the embeddings of a collection anew from its crops. -> number of faces. Raises TrainingError."""
    require_serving_torch()
    with service_errors():
        return access.galleries.reembed(collection, partial(tqdm, desc="reembed", disable=None))


def read_backup(access: Access, collection: str | None, path: Path) -> int:
    """Begin a collection with the content of a file. -> number of people. Raises TrainingError, OSError."""
    data = path.read_bytes()
    with service_errors():
        gallery, crops = _parse(str(path), data, access.galleries.snapshot().cohort)
        access.galleries.restore(gallery, collection, crops)
    return len(gallery.people)


def _parse(name: str, data: bytes, cohorts: Cohorts) -> tuple[Gallery, dict[str, bytes]]:
    """Read the bytes of a file. -> the people, and crops by the faces' IDs.

    Raises TrainingError, CorruptData, EmbeddingMismatch.
    """
    try:
        arrays = safetensors.numpy.load(data)
        facts = json.loads(arrays.pop(COLLECTION).tobytes())
        if facts.pop(SHA256) != _checksum(facts, arrays):
            raise ValueError("its checksum differs")
        spec = EmbeddingSpec(**pick(EmbeddingSpec, facts["embedding"]))
        counts = facts["people"], len(arrays["embeddings"])
        manifest = Manifest(name, spec, "", facts["next_id"], *counts, ())
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise TrainingError(f"{name} is not a file of `people export`: {describe(error)}.") from error
    contents = decode(data, Segment(name, "", len(data), *counts), spec.size)
    ends = np.cumsum(arrays.get(CROP_BYTES, np.zeros(0, np.int64))).tolist()
    whole = arrays.get(CROPS, np.zeros(0, np.uint8)).tobytes()
    pieces = zip(contents.faces.id, [0, *ends], ends)
    crops = {str(face_id): whole[start:end] for face_id, start, end in pieces if end > start}
    return assemble(manifest, [contents], cohorts(spec)), crops


def _checksum(facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
