"""Reading collections that change at runtime: a revision is what a manifest and its segments hold at one time."""

from __future__ import annotations

import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Callable, NamedTuple

from model.clusters import Clusters
from model.cohort import Cohort
from model.embedding import EmbeddingSpec
from model.gallery import Gallery
from storage.blobs import BlobStore
from storage.cluster_files import IndexFile, decode_clusters
from storage.edits import Part
from storage.errors import BlobNotFound, CorruptData
from storage.galleries import MANIFEST, MANIFEST_BYTES, Manifest, assemble
from storage.segments import Segment, decode, stored

READS = 5  # of a manifest whose segments are gone, because a writer has just replaced them
READERS = 8  # segments that are read at the same time

log = logging.getLogger(__name__)

Cohorts = Callable[[EmbeddingSpec], Cohort]  # raises EmbeddingMismatch for an embedding of another network


@dataclass(frozen=True)
class Revision:
    """A collection as it was at one time. etag: of its manifest."""

    manifest: Manifest
    etag: str
    parts: tuple[Part, ...] = field(repr=False)
    gallery: Gallery = field(repr=False)

    @property
    def name(self) -> str:
        return self.manifest.collection


class Stored(NamedTuple):
    """A manifest that exists, and its ETag."""

    manifest: Manifest
    etag: str


class RevisionReader:
    """Reads the collections below one prefix. Safe for several threads."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def read(
        self,
        name: str,
        cohorts: Cohorts,
        known: Revision | None = None,
        deadline: float | None = None,
        answered: Callable[[], object] = lambda: None,
    ) -> Revision:
        """Read the current revision.

        known: a revision whose content is not read again; deadline: as in BlobStore.get; answered: called when the
        manifest has been read, before the segments.

        Raises StorageError, BlobNotFound where the collection does not exist; EmbeddingMismatch.
        """
        for _ in range(READS):
            stored = self._changed(name, known, deadline)
            answered()
            try:
                if stored is None:
                    assert known is not None, "without a known revision everything counts as changed"
                    return with_cohort(known, cohorts)
                return self._load(stored, cohorts, known, deadline)
            except BlobNotFound:  # a writer has replaced segments since the manifest was read
                continue
        raise CorruptData(f"A segment of the collection {name} is missing.", "a segment is missing")

    def find(self, name: str) -> Stored | None:
        """Read a collection's manifest, also of a deleted one; None if there never was one. Raises StorageError."""
        try:
            blob = self._blobs.get(f"{name}/{MANIFEST}", MANIFEST_BYTES)
        except BlobNotFound:
            return None
        return Stored(_parse(name, blob.data), blob.etag)

    def _changed(self, name: str, known: Revision | None, deadline: float | None) -> Stored | None:
        """Read the manifest, or return None if it is that of the known revision. Raises StorageError."""
        key = f"{name}/{MANIFEST}"
        blob = (
            self._blobs.get_if_changed(key, known.etag, MANIFEST_BYTES, deadline)
            if known
            else self._blobs.get(key, MANIFEST_BYTES, deadline)
        )
        if blob is None:
            return None
        manifest = _parse(name, blob.data)
        if manifest.deleted:
            raise missing(name)
        return Stored(manifest, blob.etag)

    def _load(self, found: Stored, cohorts: Cohorts, known: Revision | None, deadline: float | None) -> Revision:
        """Read the segments that are not known. Raises StorageError, EmbeddingMismatch."""
        manifest = found.manifest
        cohort = cohorts(manifest.embedding)
        have = {part.segment: part for part in known.parts} if known else {}
        missing = [segment for segment in manifest.segments if segment not in have]
        read = partial(self._read_segment, manifest, deadline=deadline)
        if len(missing) > 1:
            with ThreadPoolExecutor(READERS) as pool:
                new = dict(zip(missing, pool.map(read, missing)))
        else:
            new = {segment: read(segment) for segment in missing}
        parts = tuple(new.get(segment) or have[segment] for segment in manifest.segments)
        before = known.gallery if known else None
        clusters = self._clusters(manifest, known, deadline)
        gallery = assemble(manifest, [part.contents for part in parts], cohort, before, clusters)
        return Revision(manifest, found.etag, parts, gallery)

    def _clusters(self, manifest: Manifest, known: Revision | None, deadline: float | None) -> Clusters | None:
        """Read the index that is not known. None if there is none that can be used. Raises StorageError."""
        index = manifest.index
        if index is None:
            return None
        if known and known.manifest.index == index:
            return known.gallery.clusters
        try:
            return decode_clusters(self._read_file(manifest, index, deadline), manifest.embedding)
        except (BlobNotFound, CorruptData) as error:
            log.warning("A collection is searched without its index: %s.", error.reason)
            return None

    def _read_segment(self, manifest: Manifest, segment: Segment, deadline: float | None) -> Part:
        data = self._read_file(manifest, segment, deadline)
        return Part(stored(decode(data, segment, manifest.embedding.size), data, segment), segment)

    def _read_file(self, manifest: Manifest, entry: Segment | IndexFile, deadline: float | None) -> bytes:
        data = self._blobs.get(f"{manifest.collection}/{entry.file}", entry.bytes, deadline).data
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            message = f"{entry.file} of {manifest.collection} is not the file that was written: its checksum differs."
            raise CorruptData(message, "a segment is not the one that was written: its checksum differs")
        return data


def _parse(name: str, data: bytes) -> Manifest:
    manifest = Manifest.parse(data)
    if manifest.collection != name:
        raise CorruptData(f"The manifest of {name} is one of {manifest.collection}.", "a manifest is wrong")
    return manifest


def with_cohort(known: Revision, cohorts: Cohorts) -> Revision:
    """Return a revision for the networks that are served now. Raises EmbeddingMismatch."""
    old, cohort = known.gallery, cohorts(known.manifest.embedding)
    if old.cohort is cohort:
        return known
    return replace(known, gallery=Gallery(old.spec, cohort, old.parts, old.next_id, old, old.clusters))


def missing(name: str) -> BlobNotFound:
    return BlobNotFound(f"There is no collection {name}.", "there is no such collection")
