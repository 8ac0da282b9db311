"""One commit to a collection: attempts until no other writer was first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Generic, Iterable, List, Optional, Sequence, Tuple, TypeVar

from model.edit import Edit, next_id_after, removed_by
from model.gallery import Gallery
from storage.collection_files import CollectionFiles, conflict, crop_file, crops_of, files_of, new_id, next_manifest
from storage.edits import Part, apply_edit
from storage.errors import BlobConflict, BlobNotFound, StorageUnreachable
from storage.galleries import CROPS
from storage.revisions import Cohorts, Revision, RevisionReader
from storage.segments import rounded

Result = TypeVar("Result")
# Decides how a gallery changes, None for not at all, and the commit's result. It may be called several times.
Change = Callable[[Gallery], Tuple[Optional[Edit], Result]]
Arrange = Callable[[Sequence[Part]], List[Part]]


class Commit(Generic[Result]):
    """A change of one collection. Call `run` once."""

    def __init__(
        self, files: CollectionFiles, reader: RevisionReader, cohorts: Cohorts, change: Change[Result], erase: bool
    ) -> None:
        """erase: the change removes something, which no object may contain afterwards."""
        self._files, self._reader, self._cohorts = files, reader, cohorts
        self._change, self._erase = change, erase
        self._id = new_id()
        self._base: Revision | None = None  # the revision that was read last
        self._draft: _Draft[Result] | None = None  # of the last attempt
        self._written: dict[str, str] = {}  # files of all attempts, and the ETag of the manifest that each replaces
        self._listed: set[str] = set()  # files that were there before an attempt
        self._made = False
        self._problem: StorageUnreachable | None = None  # of an attempt of which it is unknown whether it was made
        self._unsettled: str | None = None  # ETag of the manifest that this attempt replaces

    def run(self, attempts: Iterable[None], known: Revision | None, arrange: Arrange) -> tuple[Revision, Result]:
        """Make the change. -> the revision after it, and its result.

        attempts: one for each time that it may be tried; known: a revision whose content is not read again; arrange:
        the parts before they are written. Raises as `Collections.commit`.
        """
        try:
            for _ in attempts:
                done = self._attempt(known, arrange)
                if done:
                    return done
                known = self._base
            raise self._problem or conflict(self._files.name)
        except Exception as error:
            if not self._made:
                self._withdraw(deleted=isinstance(error, BlobNotFound))
            raise

    def _attempt(self, known: Revision | None, arrange: Arrange) -> tuple[Revision, Result] | None:
        """Try once. -> the revision after the change and the result, None if it has to be tried again."""
        # Writers whose files are listed began with this revision or an earlier one, or this change fails. So they fail
        # once it is committed, and what they have written can be removed then.
        listed = self._files.listed() if self._erase else set()
        base = self._base = self._reader.read(self._files.name, self._cohorts, known)
        if listed - files_of(base.manifest):
            listed |= self._files.listed(CROPS)  # only then, because there may be many
        if self._draft and self._id in base.manifest.commits:
            self._made = True
            self._clean_up(self._draft, base, self._listed)
            return base, self._draft.result
        if base.etag != self._unsettled:
            self._problem = None  # that manifest cannot arrive any more
        if self._draft is None or self._draft.replaces != base.etag:
            edit, result = self._change(base.gallery)
            if edit is None:
                self._withdraw()
                return base, result
            self._draft = self._write(base, edit, result, arrange)
        return self._replace_manifest(base, self._draft, listed)

    def _replace_manifest(
        self, base: Revision, draft: _Draft[Result], listed: set[str]
    ) -> tuple[Revision, Result] | None:
        """Write the manifest of a draft, and remove what is not needed any more. Returns as `_attempt`."""
        try:
            etag = self._files.write_manifest(draft.revision.manifest, base.etag)
            self._made = True
            after = replace(draft.revision, etag=etag)
            self._clean_up(draft, after, files_of(base.manifest) | self._listed | listed)
            return after, draft.result
        except (BlobConflict, StorageUnreachable) as error:
            self._listed |= listed
            if isinstance(error, StorageUnreachable):
                self._problem, self._unsettled = error, base.etag
            return None

    def _write(self, base: Revision, edit: Edit, result: Result, arrange: Arrange) -> _Draft[Result]:
        """Write the segments and crops of the change, but not the manifest."""
        if edit.embeddings is not None:
            edit = replace(edit, embeddings=rounded(edit.embeddings))
        parts = [
            part if part.segment else self._files.write_segment(part, self._written, base.etag)
            for part in arrange(apply_edit(base.parts, base.gallery, edit))
        ]
        next_id = next_id_after(base.gallery, edit)
        contents = [part.contents for part in parts]
        after = Gallery(base.gallery.spec, base.gallery.cohort, contents, next_id, base.gallery, base.gallery.clusters)
        for face_id, data in edit.crops.items():
            self._files.write_crop(face_id, data, self._written, base.etag)
        has_crops = base.manifest.crops or bool(edit.crops)
        manifest = replace(
            next_manifest(base.manifest, self._id),
            next_id=next_id,
            people=after.people_count,
            faces=after.face_count,
            segments=tuple(part.segment for part in parts if part.segment),
            crops=has_crops,
        )
        gone = removed_by(base.gallery, edit) if has_crops else set()
        revision = Revision(manifest, "", tuple(parts), after)
        return _Draft(base.etag, revision, result, set(map(crop_file, gone)), set(map(crop_file, edit.crops)))

    def _clean_up(self, draft: _Draft[Result], current: Revision, before: set[str]) -> None:
        """Remove the files that are not needed after the commit. current: the revision that it has made, or a later
        one; before: files that were there before it.
        """
        needed = files_of(current.manifest) | draft.new_crops
        if any(file.startswith(CROPS) for file in before):
            needed |= crops_of(current.gallery)
        obsolete = (before | set(self._written)) - needed
        self._files.remove(obsolete | draft.old_crops, quietly=not self._erase)

    def _withdraw(self, deleted: bool = False) -> None:
        """Remove what was written for a change that is not made, unless its manifest may still arrive.

        deleted: the collection was deleted, so no manifest can arrive.
        """
        unsettled = self._unsettled if self._problem and not deleted else None
        self._files.remove([file for file, etag in self._written.items() if etag != unsettled], quietly=True)


@dataclass(frozen=True)
class _Draft(Generic[Result]):
    """A change whose segments are written.

    replaces: ETag of the manifest; revision: without an ETag; old_crops, new_crops: files that it makes obsolete, and
    that it adds.
    """

    replaces: str
    revision: Revision
    result: Result
    old_crops: set[str]
    new_crops: set[str]
