"""Collections of people that change at runtime, in a folder or in S3 (docs/format.md).

A change is one commit: new segments first, then the manifest, on the condition that nobody has written it meanwhile.
Otherwise the change is made again on what is there now. So no change is lost, and a writer that dies leaves the
previous revision as it was. Manifests list the last commits, so a writer that got no answer finds out whether its
commit was made.
"""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Callable, Collection, Generic, Iterator, List, Optional, Sequence, Tuple, TypeVar

import numpy as np

from model.embedding import EmbeddingSpec
from model.gallery import Edit, Gallery
from storage.background import Task, at_once
from storage.blobs import BlobStore
from storage.collection_names import is_collection_name
from storage.edits import Part, apply_edit, compacted, needs_compaction
from storage.errors import BlobConflict, BlobNotFound, StorageError, StorageRefused, StorageUnreachable
from storage.galleries import CROPS, MANIFEST, SEGMENTS, SUFFIX, Manifest, contents_of, today
from storage.revisions import READERS, Cohorts, Revision, RevisionReader, missing
from storage.segments import describe_segment, encode
from storage.turns import Attempts, Sleep

PATIENCE = 5.0  # seconds, after which a change that loses against other writers is given up
CROP_BYTES = 1 << 18  # of a stored crop, at most; it has about 15 kB
COMMITS = 128  # IDs of commits in a manifest: more than other writers make in PATIENCE
Result = TypeVar("Result")
# Decides how a gallery changes, None for not at all, and what `commit` returns then. It may be called several times.
Change = Callable[[Gallery], Tuple[Optional[Edit], Result]]
Arrange = Callable[[Sequence[Part]], List[Part]]


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
            self._write(_next(manifest, _new_id()), stored and stored.etag)
        except BlobConflict:  # another writer was first
            return False
        return True

    def delete(self, name: str) -> Manifest:
        """Delete a collection and everything in it. -> its last manifest. Raises StorageError, BlobNotFound."""
        commit = _new_id()
        obsolete: set[str] = set()
        last: Manifest | None = None
        with self._attempts(name) as attempts:
            for _ in attempts:
                listed = self._listed(name)
                stored = self._reader.find(name)
                if last and stored and commit in stored.manifest.commits:
                    self._remove(name, obsolete)
                    return last
                if stored is None or stored.manifest.deleted:
                    raise missing(name)
                last, obsolete = stored.manifest, obsolete | listed
                obsolete |= self._listed(name, CROPS) if last.crops else set()
                empty = replace(last, people=0, faces=0, segments=(), deleted=True)
                with suppress(BlobConflict, StorageUnreachable):
                    self._write(_next(empty, commit), stored.etag)
                    self._remove(name, obsolete)
                    return last
        raise _conflict(name)

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
        work = _Commit(_new_id(), change, arrange, erase)
        with self._attempts(name) as attempts:
            try:
                for _ in attempts:
                    done = self._attempt(name, cohorts, known, work)
                    if done:
                        return done
                    known = work.base
                raise work.problem or _conflict(name)
            except Exception as error:
                self._withdraw(name, work, settled=isinstance(error, BlobNotFound))
                raise

    def _attempt(
        self, name: str, cohorts: Cohorts, known: Revision | None, work: _Commit[Result]
    ) -> tuple[Revision, Result] | None:
        """Try to make a change once. -> the revision after it and the result, None if it has to be tried again."""
        # Listed before reading: a writer whose new segments are listed began with this revision or an earlier one. It
        # fails once this change is committed, so they can be removed then.
        listed = self._listed(name) if work.erase else set()
        base = work.base = self._reader.read(name, cohorts, known)
        if work.draft and work.id in base.manifest.commits:
            obsolete = (work.obsolete | set(work.written)) - files_of(base.manifest) - work.draft.new_crops
            self._remove(name, obsolete | work.draft.old_crops, quietly=not work.erase)
            return base, work.draft.result
        edit, result = work.change(base.gallery)
        if edit is None:
            return base, result
        draft = work.draft = self._draft(base, edit, result, work)
        try:
            etag = self._write(draft.revision.manifest, base.etag)
            everything = work.obsolete | listed | files_of(base.manifest) | set(work.written)
            obsolete = everything - draft.files - draft.new_crops
            self._remove(name, obsolete | draft.old_crops, quietly=not work.erase)
            return replace(draft.revision, etag=etag), result
        except (BlobConflict, StorageUnreachable) as error:
            work.obsolete |= listed
            work.problem = error if isinstance(error, StorageUnreachable) else None
            return None

    def _withdraw(self, name: str, work: _Commit[Result], settled: bool) -> None:
        """Remove what was written for a change that is given up, unless its manifest may still arrive.

        settled: the collection was deleted. A manifest cannot arrive either if the one that it replaces is not there
        any more.
        """
        unsettled = work.base.etag if work.base and work.problem and not settled else None
        self._remove(name, [file for file, etag in work.written.items() if etag != unsettled], quietly=True)

    def sweep(self, name: str, cohorts: Cohorts) -> None:
        """Remove segments and crops that are nobody's: killed writers have left them. Raises as `commit`."""
        listed, crops = self._listed(name), self._listed(name, CROPS)
        revision = self._reader.read(name, cohorts)
        if listed - files_of(revision.manifest):
            self.commit(name, cohorts, lambda _: (Edit(), None), revision, erase=True)
        self._remove(name, crops - {crop_file(face.id) for face in revision.gallery.faces})

    def crop(self, name: str, face_id: str) -> bytes | None:
        """Read the stored crop of a face, see model/stored_crop.py; None if there is none. Raises StorageError."""
        try:
            return self._blobs.get(f"{name}/{crop_file(face_id)}", CROP_BYTES).data
        except BlobNotFound:
            return None

    def replace(self, known: Revision, gallery: Gallery) -> Revision:
        """Write a collection anew, with another embedding. known: the revision from which the gallery was made.

        Raises BlobConflict if the collection has changed since then; StorageError.
        """
        work = _Commit(_new_id(), lambda _: (None, None), list, erase=False)
        pieces = contents_of(gallery).pieces()
        parts = [self._written(known, Part(piece, None, encode(piece)), work) for piece in pieces]
        segments = tuple(part.segment for part in parts if part.segment)
        manifest = _next(replace(known.manifest, embedding=gallery.spec, segments=segments), work.id)
        try:
            etag = self._write(manifest, known.etag)
        except BlobConflict:
            self._withdraw(known.name, work, settled=True)
            raise
        self._remove(known.name, files_of(known.manifest))
        return Revision(manifest, etag, tuple(parts), gallery)

    def compact(self, name: str, cohorts: Cohorts, known: Revision) -> Revision:
        """Join small segments, if there are many. Raises as `commit`."""
        if not needs_compaction(known.parts):
            return known
        size = known.manifest.embedding.size
        arrange = partial(compacted, size=size)
        return self.commit(name, cohorts, lambda _: (Edit(), None), known, arrange=arrange)[0]

    def _draft(self, before: Revision, edit: Edit, result: Result, work: _Commit[Result]) -> _Draft[Result]:
        """Make a change of a revision and write its segments and crops, but not its manifest."""
        edit = _rounded(edit)
        after = before.gallery.edited(edit)
        arranged = work.arrange(apply_edit(before.parts, before.gallery, after, edit))
        parts = [part if part.segment else self._written(before, part, work) for part in arranged]
        for face_id, data in edit.crops.items():
            work.written[crop_file(face_id)] = before.etag
            self._blobs.put(f"{before.name}/{crop_file(face_id)}", data)
        has_crops = before.manifest.crops or bool(edit.crops)
        manifest = replace(
            before.manifest,
            next_id=after.next_id,
            people=len(after.people),
            faces=len(after.faces),
            segments=tuple(part.segment for part in parts if part.segment),
            crops=has_crops,
        )
        old_crops = {crop_file(face_id) for face_id in edit.gone(before.gallery)} if has_crops else set()
        new_crops = set(map(crop_file, edit.crops))
        return _Draft(Revision(_next(manifest, work.id), "", tuple(parts), after), result, old_crops, new_crops)

    def _written(self, base: Revision, part: Part, work: _Commit[Any]) -> Part:
        """Write the segment of a part. base: the revision that is changed."""
        # Named at random: a segment with the same content may be removed by another writer at this moment.
        segment = describe_segment(f"{SEGMENTS}{uuid.uuid4().hex}{SUFFIX}", part.data, part.contents)
        work.written[segment.file] = base.etag
        self._blobs.put(f"{base.name}/{segment.file}", part.data)
        return Part(part.contents, segment)

    def _write(self, manifest: Manifest, etag: str | None) -> str:
        """Write a manifest in place of the one with that ETag, or of none. -> its ETag. Raises StorageError."""
        key = f"{manifest.collection}/{MANIFEST}"
        try:
            return self._blobs.put(key, manifest.to_json(), if_match=etag, if_absent=etag is None)
        except BlobNotFound as error:
            if etag is None:  # there is no bucket, or no folder can be made
                raise StorageRefused(str(error), error.reason) from error
            raise _conflict(manifest.collection) from error  # S3's answer to If-Match where there is no object

    def _listed(self, name: str, folder: str = SEGMENTS) -> set[str]:
        """List the files of all segments or crops of a collection, also those that no manifest names."""
        with suppress(BlobNotFound):
            return {entry.key[len(name) + 1 :] for entry in self._blobs.list(f"{name}/{folder}")}
        return set()

    def _remove(self, name: str, files: Collection[str], quietly: bool = False) -> None:
        """Remove segments and crops. quietly: what cannot be removed stays until something is erased.

        Raises StorageError.
        """
        if quietly and files:
            self._start(partial(self._remove_quietly, name, files))
            return
        for file in sorted(files):
            self._blobs.delete(f"{name}/{file}")

    def _remove_quietly(self, name: str, files: Collection[str]) -> None:
        with suppress(StorageError):
            self._remove(name, files)

    @contextmanager
    def _attempts(self, name: str) -> Iterator[Attempts]:
        """Attempts at a change. Writers take turns from the first one on if others were in the way the last time."""
        with Attempts(self._blobs, name, self._patience, name in self._contended, self._sleep) as attempts:
            try:
                yield attempts
            finally:
                (self._contended.add if attempts.contended else self._contended.discard)(name)


@dataclass
class _Commit(Generic[Result]):
    """One commit over all its attempts.

    id: in the manifest; base: the revision that was read last; draft: the last attempt; written: files of all attempts,
    and the ETag of the manifest that each was to replace; obsolete: files that were there before; problem: of the last
    attempt, if it is unknown whether it was made.
    """

    id: str
    change: Change[Result]
    arrange: Arrange
    erase: bool
    base: Revision | None = None
    draft: _Draft[Result] | None = None
    written: dict[str, str] = field(default_factory=dict)
    obsolete: set[str] = field(default_factory=set)
    problem: StorageError | None = None


@dataclass(frozen=True)
class _Draft(Generic[Result]):
    """A change whose segments are written.

    revision: without an ETag; old_crops, new_crops: files that it makes obsolete, and that it adds.
    """

    revision: Revision
    result: Result
    old_crops: set[str]
    new_crops: set[str]

    @property
    def files(self) -> set[str]:
        return files_of(self.revision.manifest)


def crop_file(face_id: str) -> str:
    """Return the key of a face's crop, below the collection."""
    return f"{CROPS}{face_id}.jpg"


def files_of(manifest: Manifest) -> set[str]:
    """Return the keys of all segments, below the collection."""
    return {segment.file for segment in manifest.segments}


def _next(manifest: Manifest, commit: str) -> Manifest:
    return replace(manifest, changes=manifest.changes + 1, commits=(*manifest.commits, commit)[-COMMITS:])


def _new_id() -> str:
    return uuid.uuid4().hex[:16]


def _rounded(edit: Edit) -> Edit:
    """Round embeddings as segments hold them, so that this process sees what others read."""
    if edit.embeddings is None:
        return edit
    return replace(edit, embeddings=edit.embeddings.astype(np.float16).astype(np.float32))


def _conflict(name: str) -> BlobConflict:
    return BlobConflict(f"Other writers changed {name} at the same time, again and again.", "other writers were first")
