"""Find the collection that a request is about: one that can change, or the one that was published with the model."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import Callable, Iterator, Mapping, NamedTuple, TypeVar

from model.cohort import NO_COHORT
from model.edit import Edit
from model.embedding import GENERIC
from model.errors import EmbeddingMismatch, FormatError
from model.gallery import Gallery
from model.searchable import EditableGallery, SearchableGallery
from service.errors import (
    Conflict,
    ModelUnavailable,
    ReadOnly,
    ServiceError,
    UnknownCollection,
    UnknownFace,
    UnknownPerson,
    of_storage,
)
from service.reembedding import Progress, reembed
from service.results import CollectionInfo, GalleryInfo
from storage.engine import Change, Check, Engine, Revision
from storage.errors import BlobNotFound, NothingLoaded, StorageError
from storage.galleries import Manifest
from storage.live import LiveModel
from storage.networks import Snapshot

DEFAULT = "people"  # the collection of requests that name none, once it exists

Result = TypeVar("Result")


class Opened(NamedTuple):
    """A collection and the networks. snapshot: its gallery is that of the collection."""

    snapshot: Snapshot
    info: GalleryInfo


class Galleries:
    """The collections of a deployment."""

    def __init__(self, live: LiveModel, collections: Engine | None = None, default: str = "") -> None:
        """collections: None if nothing can change; default: the collection of requests that name none, if it exists."""
        self._live, self._collections = live, collections
        self.default = default or DEFAULT

    def version(self) -> str | None:
        """Return the version that is loaded, if any, for logs and metrics."""
        return self._live.version()

    def snapshot(self) -> Snapshot:
        """Return the networks, with the gallery that was published with them. Raises ModelUnavailable."""
        try:
            return self._live.get()
        except NothingLoaded as error:
            raise ModelUnavailable(error.reason) from error

    def prefetch(self) -> Callable[[float], None]:
        """Begin to read the default collection, before the networks are loaded. -> a function that waits for it.

        The function takes the seconds that it may wait, and prepares the collection for requests. Any problem is left
        to the requests, and so is a collection that takes longer: it is loaded meanwhile.
        """
        if self._collections is None:
            return lambda _: None
        check = self._collections.check(self.default, lambda _: NO_COHORT)
        return lambda seconds: self._prepare(check, seconds)

    def _prepare(self, check: Check, seconds: float) -> None:
        with suppress(StorageError, FormatError, ServiceError):
            check.result(max(0, seconds))
            self.open(None)().snapshot.gallery.prepare()

    def open(self, name: str | None) -> Callable[[], Opened]:
        """Begin to read a collection. -> a function that waits for it.

        name: None for the default. The function raises UnknownCollection, ModelUnavailable. Raises ModelUnavailable.
        """
        snapshot = self.snapshot()
        if self._collections is None:
            return lambda: self._published(snapshot, name)
        check = self._collections.check(name or self.default, snapshot.cohort)
        return lambda: self._result(snapshot, name, check)

    def known_photos(self, name: str | None) -> Callable[[str], bool]:
        """Return a function that tells whether a photo is in a collection, by its digest. None is if it does not exist.

        Raises ModelUnavailable.
        """
        snapshot, key = self.snapshot(), name or self.default
        with storage_errors(), suppress(BlobNotFound):
            return self._changeable().check(key, snapshot.cohort).result().revision.gallery.has_photo
        return lambda _: False

    def restore(self, gallery: Gallery, name: str | None, crops: Mapping[str, bytes] | None = None) -> Opened:
        """Begin a collection with the people and the embedding of a gallery. -> the new one.

        crops: to store, by the faces' IDs. The collection that was published can become one that changes.

        Raises ModelUnavailable, Conflict; ReadOnly if the collection has people already, or is another one that was
        published.
        """
        snapshot, collections, key = self.snapshot(), self._changeable(), name or self.default
        if gallery is not snapshot.gallery:
            self._check_creatable(snapshot, key)

        def change(empty: SearchableGallery) -> tuple[Edit, None]:
            if empty.people_count or empty.spec != gallery.spec:
                raise ReadOnly(f"The collection {key} exists already: begin a new one.")
            everything = gallery.people, gallery.faces, gallery.embeddings
            return Edit(*everything, next_id=gallery.next_id, crops=crops or {}), None

        with storage_errors():
            collections.create(key, gallery.spec)
            revision, _ = collections.commit(key, snapshot.cohort, change)
        return _opened(snapshot, revision)

    def reembed(self, name: str | None, progress: Progress) -> int:
        """Compute the embeddings of a collection anew from its stored crops. -> number of faces.

        progress: as of `reembedding.reembed`. Raises InvalidRequest where crops are missing; UnknownCollection,
        ModelUnavailable, Conflict, ReadOnly.
        """
        key, collections = name or self.default, self._changeable()
        with storage_errors():
            try:
                return reembed(collections, key, self.snapshot(), progress)
            except BlobNotFound:
                raise UnknownCollection(f"There is no collection {key} that can change.") from None

    def commit(
        self,
        snapshot: Snapshot,
        name: str | None,
        change: Change[Result],
        *,
        create: bool = False,
        erase: bool = False,
    ) -> tuple[Opened, Result]:
        """Change a collection. -> the collection after it, and the change's result.

        snapshot: the networks; create: create the default collection if it is missing; erase: the change removes
        something. Raises UnknownCollection, ReadOnly, Conflict, ModelUnavailable, and what `change` raises.
        """
        collections, key = self._changeable(), name or self.default
        with storage_errors():
            for _ in range(2):
                try:
                    revision, result = collections.commit(key, snapshot.cohort, change, erase)
                    return _opened(snapshot, revision), result
                except BlobNotFound:
                    # Without a name, everything but the creation is about the published collection.
                    self._check_creatable(snapshot, key if name or create else snapshot.pointer.collection)
                    if not (create and key == self.default):
                        raise UnknownCollection(f"There is no collection {key}.") from None
                    collections.create(key, snapshot.network.config.specs[GENERIC])
        raise Conflict("The collection was deleted at the same time: try again.")

    def erase(self, name: str | None, change: Change[Result]) -> Result:
        """Remove something from a collection. -> the change's result. Raises as `commit`.

        Where there is nothing to remove, an earlier deletion may have been made without removing everything, and this
        is its repetition. So what killed writers have left is removed then.
        """
        snapshot, edits = self.snapshot(), []

        def watched(gallery: EditableGallery) -> tuple[Edit | None, Result]:
            edit, result = change(gallery)
            edits.append(edit)
            return edit, result

        try:
            _, result = self.commit(snapshot, name, watched, erase=True)
        except (UnknownPerson, UnknownFace):
            self._sweep(snapshot, name)
            raise
        if edits[-1] is None:
            self._sweep(snapshot, name)
        return result

    def crop(self, name: str | None, face_id: str) -> bytes | None:
        """Read the stored crop of a face, see model/stored_crop.py; None if there is none. Raises ModelUnavailable."""
        if self._collections is None:
            return None
        with storage_errors():
            return self._collections.crop(name or self.default, face_id)

    def _sweep(self, snapshot: Snapshot, name: str | None) -> None:
        """Remove what killed writers have left. Raises as `commit`."""
        try:
            with storage_errors():
                self._changeable().sweep(name or self.default, snapshot.cohort)
        except BlobNotFound as error:
            raise of_storage(error) from None

    def list(self) -> tuple[CollectionInfo, ...]:
        """List all collections, by name. Raises ModelUnavailable."""
        snapshot = self.snapshot()
        found = []
        if self._collections:
            with storage_errors():
                found = self._collections.manifests()
        names = [manifest.collection for manifest in found]
        default = self.default if self.default in names else snapshot.pointer.collection
        infos = [_described(manifest, default) for manifest in found]
        if snapshot.pointer.collection not in names:
            infos.append(_published_info(snapshot, default))
        return tuple(sorted(infos, key=lambda info: info.name))

    def find(self, name: str) -> CollectionInfo:
        """Describe a collection. Raises UnknownCollection, ModelUnavailable."""
        snapshot = self.snapshot()
        manifest = self._manifest(name)
        if manifest:
            return _described(manifest, self.default)
        if name == snapshot.pointer.collection:
            return _published_info(snapshot, self.default if self._manifest(self.default) else name)
        raise UnknownCollection(f"There is no collection {name}.")

    def create(self, name: str) -> bool:
        """Create an empty collection. -> False if it exists. Raises ReadOnly, ModelUnavailable."""
        snapshot, collections = self.snapshot(), self._changeable()
        if self._manifest(name):
            return False
        self._check_creatable(snapshot, name)
        with storage_errors():
            return collections.create(name, snapshot.network.config.specs[GENERIC])

    def delete(self, name: str) -> Manifest:
        """Delete a collection with everything in it. -> its last manifest.

        Raises UnknownCollection, ReadOnly, Conflict, ModelUnavailable.
        """
        snapshot, collections = self.snapshot(), self._changeable()
        with storage_errors():
            try:
                last = collections.delete(name)
            except BlobNotFound:
                self._check_creatable(snapshot, name)
                raise UnknownCollection(f"There is no collection {name}.") from None
        return last

    def _manifest(self, name: str) -> Manifest | None:
        """Read the manifest of a collection that can change; None if there is no such collection."""
        if self._collections is None:
            return None
        with storage_errors(), suppress(BlobNotFound):
            return self._collections.manifest(name)
        return None

    def _changeable(self) -> Engine:
        if self._collections is None:
            raise ReadOnly(
                "This deployment has no place for changes: set GALLERY_URI to a folder, an S3 prefix or a database."
            )
        return self._collections

    def _check_creatable(self, snapshot: Snapshot, name: str) -> None:
        """Raises ReadOnly for the name of the collection that was published with the model."""
        if name == snapshot.pointer.collection:
            raise ReadOnly(f"The collection {name} was published with the model and does not change: name another one.")

    def _result(self, snapshot: Snapshot, name: str | None, check: Check) -> Opened:
        try:
            with storage_errors():
                revision, stale = check.result()
        except BlobNotFound:
            return self._published(snapshot, name)
        return _opened(snapshot, revision, stale)

    def _published(self, snapshot: Snapshot, name: str | None) -> Opened:
        pointer, gallery = snapshot.pointer, snapshot.gallery
        if name not in (None, pointer.collection):
            raise UnknownCollection(f"There is no collection {name}.")
        info = GalleryInfo(pointer.collection, pointer.manifest_sha256[:32], gallery.people_count, gallery.face_count)
        return Opened(snapshot, info)


@contextmanager
def storage_errors() -> Iterator[None]:
    """Convert errors of the storage. Raises ModelUnavailable, Conflict; BlobNotFound passes."""
    try:
        yield
    except BlobNotFound:
        raise
    except StorageError as error:
        raise of_storage(error) from error
    except EmbeddingMismatch as error:
        raise ModelUnavailable(str(error)) from error


def _opened(snapshot: Snapshot, revision: Revision, stale: bool = False) -> Opened:
    manifest = revision.manifest
    info = GalleryInfo(revision.name, revision.etag, manifest.people, manifest.faces, stale)
    return Opened(snapshot._replace(gallery=revision.gallery), info)


def _described(manifest: Manifest, default: str) -> CollectionInfo:
    name = manifest.collection
    return CollectionInfo(
        name, manifest.people, manifest.faces, manifest.embedding.name, manifest.created, False, name == default
    )


def _published_info(snapshot: Snapshot, default: str) -> CollectionInfo:
    pointer, gallery = snapshot.pointer, snapshot.gallery
    counts = gallery.people_count, gallery.face_count
    name, created = pointer.collection, pointer.created[:10]
    return CollectionInfo(name, *counts, gallery.spec.name, created, True, name == default)
