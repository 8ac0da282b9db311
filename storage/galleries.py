"""Collections as they are stored: a manifest and immutable segments (docs/format.md).

A segment is a safetensors file with the arrays `embeddings`, float16 [faces, size], `hubness`, float32 [people], and
`records`, uint8: JSON with people and faces, in columns.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, Iterator, NamedTuple, Sequence

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from model.calibration import ScoreNormalization
from model.embedding import EmbeddingSpec
from model.gallery import EnrolledFace, Gallery, Person
from storage.blobs import BlobStore
from storage.cache import CachedStore, Item, changed
from storage.errors import CorruptData

FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_BYTES = 1 << 20  # at most
SEGMENT_ROWS = 4096  # people, and faces, in a segment: about 4.5 MB


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
            known = {name: content[name] for name in cls.__dataclass_fields__}
            segments = tuple(Segment(**segment) for segment in known["segments"])
            return cls(**{**known, "embedding": EmbeddingSpec(**known["embedding"]), "segments": segments})
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise CorruptData(f"The manifest cannot be read: {error!r}.", "a manifest cannot be read") from error

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
    item = Item(prefix + MANIFEST, sha256, MANIFEST_BYTES)
    copy = store.find(item)
    if copy:
        return Manifest.parse(copy.read_bytes())
    data = store.read(item.key, item.limit)
    manifest = Manifest.parse(data)  # before its checksum: a newer format is worth a sentence of its own
    if hashlib.sha256(data).hexdigest() != sha256:
        raise changed(item.key)
    if store.blobs.local_path(item.key) is None:
        store.add(item, data)
    return manifest


def read_gallery(store: CachedStore, prefix: str, manifest: Manifest, normalization: ScoreNormalization) -> Gallery:
    """Read and verify the segments. Raises StorageError."""
    people: dict[int, Person] = {}
    faces: list[EnrolledFace] = []
    embeddings = [np.zeros((0, manifest.embedding.size), np.float16)]
    hubness = [np.zeros(0, np.float32)]
    for segment in manifest.segments:
        path = store.fetch(Item(prefix + segment.file, segment.sha256, segment.bytes))
        found = _decode_segment(path.read_bytes(), segment.file)
        people.update((person.id, person) for person in found.people)
        faces.extend(found.faces)
        embeddings.append(found.embeddings)
        hubness.append(found.hubness)
    if (len(people), len(faces)) != (manifest.people, manifest.faces):
        raise CorruptData("The manifest counts other people and faces than its segments hold.", "a manifest is wrong")
    return Gallery(
        manifest.embedding,
        normalization,
        [people[key] for key in sorted(people)],
        faces,
        np.concatenate(embeddings),
        manifest.next_id,
        np.concatenate(hubness),
    )


class _Contents(NamedTuple):
    """embeddings: float16 [faces, size]; hubness: float32 [people]."""

    people: list[Person]
    faces: list[EnrolledFace]
    embeddings: np.ndarray
    hubness: np.ndarray


def _segments(gallery: Gallery) -> Iterator[tuple[bytes, int, int]]:
    """Encode a gallery. -> bytes of each segment, and how many people and faces it holds."""
    size = max(len(gallery.people), len(gallery.faces))
    for start in range(0, size, SEGMENT_ROWS):
        rows = slice(start, start + SEGMENT_ROWS)
        people, faces = gallery.people[rows], gallery.faces[rows]
        records = {"people": _columns(Person, people), "faces": _columns(EnrolledFace, faces)}
        arrays = {
            "embeddings": gallery.embeddings[rows].astype(np.float16),
            "hubness": gallery.hubness[rows],
            "records": np.frombuffer(json.dumps(records, ensure_ascii=False).encode(), np.uint8),
        }
        yield safetensors.numpy.save(arrays), len(people), len(faces)


def _decode_segment(data: bytes, file: str) -> _Contents:
    try:
        arrays = safetensors.numpy.load(data)
        records = json.loads(arrays["records"].tobytes())
        people = [Person(*row) for row in zip(*(records["people"][name] for name in Person._fields))]
        columns = (records["faces"][name] for name in EnrolledFace._fields)
        faces = [EnrolledFace(key, person, tuple(photos), added) for key, person, photos, added in zip(*columns)]
        return _Contents(people, faces, arrays["embeddings"], arrays["hubness"])
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise CorruptData(f"The segment {file} cannot be read: {error!r}.", "a segment cannot be read") from error


def _columns(kind: type, rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Rows of a named tuple -> its columns by name."""
    return {name: [getattr(row, name) for row in rows] for name in kind._fields}  # type: ignore[attr-defined]
