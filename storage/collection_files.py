"""The files of collections that change: manifests, segments and crops (docs/format.md)."""

from __future__ import annotations

import hashlib
import uuid
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Callable, Collection

from model.gallery import Gallery
from storage.background import Task
from storage.blobs import BlobStore
from storage.cluster_files import IndexFile
from storage.edits import Part
from storage.errors import BlobConflict, BlobNotFound, StorageError, StorageRefused
from storage.galleries import CROPS, FORMAT, MANIFEST, SEGMENTS, SUFFIX, Manifest
from storage.segments import describe_segment, stored

CROP_BYTES = 1 << 18  # of a stored crop, at most; it has about 15 kB
COMMITS = 128  # IDs of commits in a manifest: more than other writers make while one waits


class CollectionFiles:
    """Writes and removes the files of one collection. Every method raises StorageError."""

    def __init__(self, blobs: BlobStore, name: str, start: Callable[[Task], None]) -> None:
        """start: runs the removal of files that nobody needs any more, for which no answer has to wait."""
        self._blobs, self.name, self._start = blobs, name, start

    def write_manifest(self, manifest: Manifest, etag: str | None) -> str:
        """Write the manifest in place of the one with that ETag, or of none. -> its ETag. Raises BlobConflict."""
        key = f"{self.name}/{MANIFEST}"
        try:
            return self._blobs.put(key, manifest.to_json(), if_match=etag, if_absent=etag is None)
        except BlobNotFound as error:
            if etag is None:  # there is no bucket, or no folder can be made
                raise StorageRefused(str(error), error.reason) from error
            raise conflict(self.name) from error  # S3's answer to If-Match where there is no object

    def write_segment(self, part: Part, written: dict[str, str], etag: str) -> Part:
        """Write the segment of a part, and add it to `written` with that ETag first."""
        # Named at random: a segment with the same content may be removed by another writer at this moment.
        segment = describe_segment(f"{SEGMENTS}{uuid.uuid4().hex}{SUFFIX}", part.data, part.contents)
        written[segment.file] = etag
        self._blobs.put(f"{self.name}/{segment.file}", part.data)
        return Part(stored(part.contents, part.data, segment), segment)

    def write_index(self, data: bytes) -> IndexFile:
        """Write an index, which counts as a segment when files are listed or removed."""
        index = IndexFile(f"{SEGMENTS}{uuid.uuid4().hex}{SUFFIX}", hashlib.sha256(data).hexdigest(), len(data))
        self._blobs.put(f"{self.name}/{index.file}", data)
        return index

    def write_crop(self, face_id: str, data: bytes, written: dict[str, str], etag: str) -> None:
        """Write the crop of a face, and add it to `written` with that ETag first."""
        written[crop_file(face_id)] = etag
        self._blobs.put(f"{self.name}/{crop_file(face_id)}", data)

    def read_crop(self, face_id: str) -> bytes | None:
        """Read the crop of a face; None if there is none."""
        try:
            return self._blobs.get(f"{self.name}/{crop_file(face_id)}", CROP_BYTES).data
        except BlobNotFound:
            return None

    def listed(self, folder: str = SEGMENTS) -> set[str]:
        """List the files of all segments or crops, also those that no manifest names."""
        with suppress(BlobNotFound):
            return {entry.key[len(self.name) + 1 :] for entry in self._blobs.list(f"{self.name}/{folder}")}
        return set()

    def remove(self, files: Collection[str], quietly: bool = False) -> None:
        """Remove segments and crops. quietly: what cannot be removed stays until something is erased."""
        if quietly and files:
            self._start(partial(self._remove_quietly, files))
            return
        for file in sorted(files):
            self._blobs.delete(f"{self.name}/{file}")

    def _remove_quietly(self, files: Collection[str]) -> None:
        with suppress(StorageError):
            self.remove(files)


def crop_file(face_id: str) -> str:
    """Return the key of a face's crop, below the collection."""
    return f"{CROPS}{face_id}.jpg"


def crops_of(gallery: Gallery) -> set[str]:
    """Return the keys that the crops of all faces have, below the collection."""
    return {crop_file(face.id) for face in gallery.faces}


def files_of(manifest: Manifest) -> set[str]:
    """Return the keys of all segments and of the index, below the collection."""
    return {segment.file for segment in manifest.segments} | ({manifest.index.file} if manifest.index else set())


def next_manifest(manifest: Manifest, commit: str) -> Manifest:
    """Return the manifest as it is after a commit with that ID."""
    return replace(
        manifest, format=FORMAT, changes=manifest.changes + 1, commits=(*manifest.commits, commit)[-COMMITS:]
    )


def new_id() -> str:
    """Return the ID of a commit."""
    return uuid.uuid4().hex[:16]


def conflict(name: str) -> BlobConflict:
    """The error of a writer that was never the first."""
    return BlobConflict(f"Other writers changed {name} at the same time, again and again.", "other writers were first")
