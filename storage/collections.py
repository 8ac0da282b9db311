"""Collections of people that change at runtime, in a folder or in S3 (docs/format.md).

A change is one commit: new segments first, then the manifest, on the condition that nobody has written it meanwhile.
Otherwise the change is made again on what is there now. So no change is lost, and a writer that dies leaves the
previous revision as it was. Manifests list the last commits, so a writer that got no answer finds out whether its
commit was made.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Callable, Iterator

from model.clusters import Clusters
from model.edit import Edit
from model.embedding import EmbeddingSpec
from model.gallery import Gallery
from storage import engine
from storage.background import Task, at_once
from storage.blobs import BlobStore
from storage.cluster_files import encode_clusters
from storage.collection_files import CollectionFiles, conflict, crops_of, files_of, new_id, next_manifest
from storage.collection_names import is_collection_name
from storage.commits import Arrange, Change, Commit, Result
from storage.edits import compacted, needs_compaction, new_part
from storage.errors import BlobConflict, BlobNotFound, StorageUnreachable
from storage.galleries import CROPS, MANIFEST, Manifest, today
from storage.revisions import READERS, Cohorts, Revision, RevisionReader, missing
from storage.segments import SEGMENT_ROWS
from storage.turns import Attempts, Sleep

PATIENCE = 5.0  # seconds, after which a change that loses against other writers is given up


class Collections:
    """The collections below one prefix. Safe for several threads and processes."""

    def __init__(
        self,
        blobs: BlobStore,
        patience: float = PATIENCE,
        sleep: Sleep = time.sleep,
        start: Callable[[Task], None] = at_once,
    ) -> None:
        """patience: seconds for a change that loses against other writers; sleep: between two attempts; start: runs
        the removal of files that nobody needs any more, for which no answer has to wait.
        """
        self._blobs, self._patience, self._sleep, self._start = blobs, patience, sleep, start
        self._contended: set[str] = set()  # collections that other writers changed at the same time
        self._reader = RevisionReader(blobs)
        self.read = self._reader.read

    def manifests(self) -> list[Manifest]:
        """List the collections, by name. Raises StorageError."""
        try:
            keys = [entry.key for entry in self._blobs.list()]
        except BlobNotFound:  # nothing has been written to the folder yet
            return []
        names = [key[: -len(MANIFEST) - 1] for key in keys if key.endswith(f"/{MANIFEST}")]
        with ThreadPoolExecutor(READERS) as pool:
            found = list(pool.map(self._reader.find, filter(is_collection_name, names)))
        return [stored.manifest for stored in found if stored and not stored.manifest.deleted]

    def manifest(self, name: str) -> Manifest:
        """Read the manifest of a collection. Raises StorageError, BlobNotFound where it does not exist."""
        stored = self._reader.find(name)
        if stored is None or stored.manifest.deleted:
            raise missing(name)
        return stored.manifest

    def create(self, name: str, spec: EmbeddingSpec) -> bool:
        """Create an empty collection. -> False if it exists. Raises StorageError."""
        stored = self._reader.find(name)
        if stored and not stored.manifest.deleted:
            return False
        before = stored.manifest if stored else Manifest(name, spec, today(), 0, 0, 0, ())
        manifest = replace(before, embedding=spec, created=today(), deleted=False)
        try:
            self._files(name).write_manifest(next_manifest(manifest, new_id()), stored and stored.etag)
        except BlobConflict:  # another writer was first
            return False
        return True

    def delete(self, name: str) -> Manifest:
        """Delete a collection and everything in it. -> its last manifest. Raises StorageError, BlobNotFound."""
        files, commit = self._files(name), new_id()
        obsolete: set[str] = set()
        last: Manifest | None = None
        problem: StorageUnreachable | None = None
        with self._attempts(name) as attempts:
            for _ in attempts:
                listed = files.listed() | files.listed(CROPS)
                stored = self._reader.find(name)
                if last and stored and commit in stored.manifest.commits:
                    files.remove(obsolete)
                    return last
                if stored is None or stored.manifest.deleted:
                    # An earlier deletion may have been made without removing everything.
                    files.remove(listed if stored else ())
                    raise missing(name)
                last, obsolete = stored.manifest, obsolete | listed
                empty = replace(last, people=0, faces=0, segments=(), deleted=True, index=None)
                try:
                    files.write_manifest(next_manifest(empty, commit), stored.etag)
                    files.remove(obsolete)
                    return last
                except (BlobConflict, StorageUnreachable) as error:
                    problem = error if isinstance(error, StorageUnreachable) else None
        raise problem or conflict(name)

    def commit(
        self,
        name: str,
        cohorts: Cohorts,
        change: Change[Result],
        known: Revision | None = None,
        *,
        erase: bool = False,
        arrange: Arrange = list,
    ) -> tuple[Revision, Result]:
        """Make a change. -> the revision after it, and the result of `change`. Without an edit, nothing is written.

        known: a revision whose content is not read again; erase: the change removes something, which no object may
        contain afterwards, including those that killed writers have left; arrange: the parts before they are written.

        Raises what `change` raises; BlobConflict where other writers were always first; StorageUnreachable where it is
        unknown whether the change was made; StorageError, BlobNotFound, EmbeddingMismatch as `read`.
        """
        commit = Commit(self._files(name), self._reader, cohorts, change, erase)
        with self._attempts(name) as attempts:
            return commit.run(attempts, known, arrange)

    def sweep(self, name: str, cohorts: Cohorts, known: Revision | None = None) -> None:
        """Remove segments and crops that are nobody's: killed writers have left them. Raises as `commit`.

        known: a revision whose content is not read again.
        """
        files = self._files(name)
        crops = files.listed(CROPS)
        listed = files.listed()  # after the crops: so segments of a writer whose crops are listed are listed, too
        revision: Revision = self._reader.read(name, cohorts, known)
        if listed - files_of(revision.manifest):
            revision, _ = self.commit(name, cohorts, lambda _: (Edit(), None), revision, erase=True)
        files.remove(crops - crops_of(revision.gallery) if crops else ())

    def crop(self, name: str, face_id: str) -> bytes | None:
        """Read the stored crop of a face, see model/stored_crop.py; None if there is none. Raises StorageError."""
        return self._files(name).read_crop(face_id)

    def replace(self, known: engine.Revision, gallery: Gallery) -> Revision:
        """Write a collection anew, with another embedding. known: the revision from which the gallery was made.

        Raises BlobConflict if the collection has changed since then; StorageError.
        """
        files = self._files(known.name)
        written: dict[str, str] = {}
        pieces = gallery.whole().pieces(SEGMENT_ROWS)
        parts = [files.write_segment(new_part(piece), written, known.etag) for piece in pieces]
        segments = tuple(part.segment for part in parts if part.segment)
        manifest = next_manifest(known.manifest, new_id())
        manifest = replace(manifest, embedding=gallery.spec, segments=segments, index=None)
        try:
            etag = files.write_manifest(manifest, known.etag)
        except BlobConflict:
            files.remove(written, quietly=True)
            raise
        files.remove(files_of(known.manifest))
        return Revision(manifest, etag, tuple(parts), gallery)

    def write_index(self, name: str, clusters: Clusters) -> None:
        """Write the index of a collection, in place of the one that it has. Changes in the meantime do not matter.

        Raises as `commit`.
        """
        files = self._files(name)
        index = files.write_index(encode_clusters(clusters))
        with self._attempts(name) as attempts:
            for _ in attempts:
                stored = self._reader.find(name)
                if stored is None or stored.manifest.deleted:
                    files.remove([index.file])
                    raise missing(name)
                with suppress(BlobConflict):
                    files.write_manifest(replace(next_manifest(stored.manifest, new_id()), index=index), stored.etag)
                    files.remove([stored.manifest.index.file] if stored.manifest.index else [], quietly=True)
                    return
        files.remove([index.file])
        raise conflict(name)

    def compact(self, name: str, cohorts: Cohorts, known: Revision) -> Revision:
        """Join small segments, if there are many. Raises as `commit`."""
        if not needs_compaction(known.parts):
            return known
        return self.commit(name, cohorts, lambda _: (Edit(), None), known, arrange=compacted)[0]

    def _files(self, name: str) -> CollectionFiles:
        return CollectionFiles(self._blobs, name, self._start)

    @contextmanager
    def _attempts(self, name: str) -> Iterator[Attempts]:
        """Attempts at a change. Writers take turns from the first one on if others were in the way the last time."""
        with Attempts(self._blobs, name, self._patience, name in self._contended, self._sleep) as attempts:
            try:
                yield attempts
            finally:
                (self._contended.add if attempts.contended else self._contended.discard)(name)
