"""Collections as they are stored: a manifest and immutable segments (docs/format.md).

A person's row may occur in several segments: the last one counts. So a person with a new face is written again, without
the segment that they were in.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from typing import Sequence

from model.clusters import Clusters
from model.cohort import Cohort
from model.contents import Contents
from model.embedding import EmbeddingSpec
from model.gallery import Gallery
from storage.blobs import BlobStore
from storage.cache import CachedStore, Item
from storage.cluster_files import IndexFile
from storage.errors import CorruptData
from storage.fields import describe, pick
from storage.segments import SEGMENT_ROWS, Segment, decode, describe_segment, encode

FORMAT = 2
MANIFEST = "manifest.json"
MANIFEST_BYTES = 1 << 20  # at most
SEGMENTS = "segments/"
SUFFIX = ".safetensors"
CROPS = "crops/"  # below the collection, one for each face: <face's ID>.jpg


@dataclass(frozen=True)
class Manifest:
    """The content of manifest.json.

    created: day, ISO 8601, UTC; next_id: of the next person; people, faces: in all segments, each person once. In a
    collection that can change, also: changes: number of changes so far; commits: IDs of the last ones; deleted: the
    collection does not exist any more, and the manifest remains so that no ID is assigned again; crops: some faces have
    stored crops; index: the clusters of its people, of a large collection.
    """

    collection: str
    embedding: EmbeddingSpec
    created: str
    next_id: int
    people: int
    faces: int
    segments: tuple[Segment, ...]
    format: int = FORMAT
    changes: int = 0
    commits: tuple[str, ...] = ()
    deleted: bool = False
    crops: bool = False
    index: IndexFile | None = None

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
            found["commits"] = tuple(map(str, found.get("commits", ())))
            if "index" in found:
                found["index"] = IndexFile(**pick(IndexFile, found["index"]))
            return cls(**found)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            message = f"The manifest cannot be read: {describe(error)}."
            raise CorruptData(message, "a manifest cannot be read") from error

    def to_json(self) -> bytes:
        """Leave out fields that have their defaults, except the format."""
        content = asdict(self)
        for field in fields(self):
            if field.name != "format" and content[field.name] == field.default:
                del content[field.name]
        return json.dumps(content, indent=1).encode() + b"\n"


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
    for piece in gallery.whole().pieces(SEGMENT_ROWS):
        data = encode(piece)
        # Named by its content, so that the same people become the same version.
        nameless = describe_segment("", data, piece)
        segment = replace(nameless, file=f"{SEGMENTS}{nameless.sha256[:32]}{SUFFIX}")
        blobs.put(prefix + segment.file, data)
        segments.append(segment)
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
    """Read and verify the segments of a published collection. Raises StorageError."""
    parts = [
        decode(store.load(Item(prefix + segment.file, segment.sha256, segment.bytes)), segment, manifest.embedding.size)
        for segment in manifest.segments
    ]
    return assemble(manifest, parts, cohort)


def assemble(
    manifest: Manifest,
    parts: Sequence[Contents],
    cohort: Cohort,
    before: Gallery | None = None,
    clusters: Clusters | None = None,
) -> Gallery:
    """Build the gallery from the contents of its segments. before, clusters: as of Gallery.

    Raises CorruptData where they do not fit together.
    """
    gallery = Gallery(manifest.embedding, cohort, parts, manifest.next_id, before, clusters)
    ids = gallery.ids
    if (gallery.people_count, gallery.face_count) != (manifest.people, manifest.faces):
        problem = "other people and faces than its segments hold"
    elif len(ids) and not 0 <= ids[0] <= ids[-1] < manifest.next_id:
        problem = "people with IDs that were never assigned"
    elif not gallery.has_owners():
        problem = "faces of people who are not there"
    else:
        return gallery
    raise CorruptData(f"The manifest of {manifest.collection} lists {problem}.", "a manifest is wrong")
