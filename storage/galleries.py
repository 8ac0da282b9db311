"""Collections as they are stored: a manifest and immutable segments (docs/format.md).

A segment is a safetensors file with the arrays `embeddings`, float16 [faces, size], `nearness`, float32 [people, 2],
and `records`, uint8: JSON with people and faces, in columns.
"""

from __future__ import annotations

import hashlib
import json
import operator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, Iterator, NamedTuple, Sequence

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from model.cohort import Cohort
from model.embedding import EmbeddingSpec
from model.gallery import EnrolledFace, Gallery, Person
from storage.blobs import BlobStore
from storage.cache import CachedStore, Item
from storage.errors import CorruptData
from storage.fields import describe, pick

FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_BYTES = 1 << 20  # at most
SEGMENT_ROWS = 4096  # people, and faces, in a segment: about 7 MB


@dataclass(frozen=True)
class Segment:
    """file: key below the collection; people, faces: how many it holds."""

    file: str
    sha256: str
    bytes: int
    people: int
    faces: int


@dataclass(frozen=True)
class Manifest:
    """The content of manifest.json. created: day, ISO 8601, UTC; next_id: of the next person."""

    collection: str
    embedding: EmbeddingSpec
    created: str
    next_id: int
    people: int
    faces: int
    segments: tuple[Segment, ...]
    format: int = FORMAT

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """Fields that it does not know are ignored. Raises CorruptData."""
        try:
            content = json.loads(data)
            if content["format"] > FORMAT:
                raise CorruptData(
                    f"The manifest has format {content['format']} and this release reads up to {FORMAT}: update it.",
                    "a manifest has a newer format: update the service",
                )
            found = pick(cls, content)
            found["embedding"] = EmbeddingSpec(**pick(EmbeddingSpec, found["embedding"]))
            found["segments"] = tuple(Segment(**pick(Segment, segment)) for segment in found["segments"])
            return cls(**found)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            message = f"The manifest cannot be read: {describe(error)}."
            raise CorruptData(message, "a manifest cannot be read") from error

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode() + b"\n"


def now() -> str:
    """Return the time, ISO 8601 in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def today() -> str:
    """Return the day, ISO 8601 in UTC."""
    return now()[:10]


def write_gallery(blobs: BlobStore, prefix: str, collection: str, gallery: Gallery) -> bytes:
    """Write a new collection below `prefix`: segments first, then the manifest. -> the manifest's bytes.

    Raises StorageError; BlobConflict where the collection exists.
    """
    segments = []
    for data, people, faces in _segments(gallery):
        digest = hashlib.sha256(data).hexdigest()
        file = f"segments/{digest[:32]}.safetensors"
        blobs.put(prefix + file, data)
        segments.append(Segment(file, digest, len(data), people, faces))
    manifest = Manifest(
        collection,
        gallery.spec,
        today(),
        gallery.next_id,
        len(gallery.people),
        len(gallery.faces),
        tuple(segments),
    ).to_json()
    blobs.put(prefix + MANIFEST, manifest, if_absent=True)
    return manifest


def read_manifest(store: CachedStore, prefix: str, sha256: str) -> Manifest:
    """Read and verify the manifest of a published collection. Raises StorageError."""
    return Manifest.parse(store.load(Item(prefix + MANIFEST, sha256, MANIFEST_BYTES)))


def read_gallery(store: CachedStore, prefix: str, manifest: Manifest, cohort: Cohort) -> Gallery:
    """Read and verify the segments. Raises StorageError."""
    parts = [_read_segment(store, prefix, segment, manifest.embedding.size) for segment in manifest.segments]
    people = [person for part in parts for person in part.people]
    faces = [face for part in parts for face in part.faces]
    _check_people(manifest, people, faces)
    return Gallery(
        manifest.embedding,
        cohort,
        people,
        faces,
        np.concatenate([np.zeros((0, manifest.embedding.size), np.float16), *(part.embeddings for part in parts)]),
        manifest.next_id,
        np.concatenate([np.zeros((0, 2), np.float32), *(part.nearness for part in parts)]),
    )


def _check_people(manifest: Manifest, people: Sequence[Person], faces: Sequence[EnrolledFace]) -> None:
    """Raises CorruptData where segments do not fit together."""
    ids = [person.id for person in people]
    if (len(people), len(faces)) != (manifest.people, manifest.faces):
        problem = "other people and faces than its segments hold"
    elif any(first >= second for first, second in zip(ids, [*ids[1:], manifest.next_id])):
        problem = "people whose ids do not ascend"
    elif not {face.person for face in faces} <= set(ids):
        problem = "faces of people who are not there"
    else:
        return
    raise CorruptData(f"The manifest of {manifest.collection} lists {problem}.", "a manifest is wrong")


class _Contents(NamedTuple):
    """embeddings: float16 [faces, size]; nearness: float32 [people, 2]."""

    people: list[Person]
    faces: list[EnrolledFace]
    embeddings: np.ndarray
    nearness: np.ndarray


def _segments(gallery: Gallery) -> Iterator[tuple[bytes, int, int]]:
    """Encode a gallery. -> bytes of each segment, and how many people and faces it holds."""
    size = max(len(gallery.people), len(gallery.faces))
    for start in range(0, size, SEGMENT_ROWS):
        rows = slice(start, start + SEGMENT_ROWS)
        people, faces = gallery.people[rows], gallery.faces[rows]
        records = {"people": _columns(Person, people), "faces": _columns(EnrolledFace, faces)}
        arrays = {
            "embeddings": gallery.embeddings[rows].astype(np.float16),
            "nearness": gallery.nearness[rows],
            "records": np.frombuffer(json.dumps(records, ensure_ascii=False).encode(), np.uint8),
        }
        yield safetensors.numpy.save(arrays), len(people), len(faces)


def _read_segment(store: CachedStore, prefix: str, segment: Segment, size: int) -> _Contents:
    """size: numbers in an embedding. Raises StorageError."""
    data = store.load(Item(prefix + segment.file, segment.sha256, segment.bytes))
    try:
        found = _decode_segment(data)
        shapes = {"embeddings": found.embeddings.shape, "nearness": found.nearness.shape}
        counted = {"embeddings": (len(found.faces), size), "nearness": (len(found.people), 2)}
        if shapes != counted or (len(found.people), len(found.faces)) != (segment.people, segment.faces):
            raise ValueError("arrays, records and manifest do not fit together")
        return found
    except (SafetensorError, ValueError, TypeError, KeyError, RecursionError) as error:
        message = f"The segment {segment.file} cannot be read: {describe(error)}."
        raise CorruptData(message, "a segment cannot be read") from error


def _decode_segment(data: bytes) -> _Contents:
    """Raises SafetensorError, ValueError, TypeError, KeyError, RecursionError."""
    arrays = safetensors.numpy.load(data)
    records = json.loads(arrays["records"].tobytes())
    for key in (*records["people"]["id"], *records["faces"]["person"]):
        operator.index(key)  # TypeError unless it is an integer
    people = [Person(*row) for row in zip(*(records["people"][name] for name in Person._fields))]
    columns = (records["faces"][name] for name in EnrolledFace._fields)
    faces = [EnrolledFace(key, person, tuple(photos), added) for key, person, photos, added in zip(*columns)]
    return _Contents(people, faces, arrays["embeddings"], arrays["nearness"])


def _columns(kind: type, rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Rows of a named tuple -> its columns by name."""
    return {name: [getattr(row, name) for row in rows] for name in kind._fields}  # type: ignore[attr-defined]
