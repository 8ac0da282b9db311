"""Where collections are that change at runtime: in objects, or in a database. Use cases see no difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, NamedTuple, Optional, Protocol, Tuple, TypeVar

if TYPE_CHECKING:
    from model.edit import Edit
    from model.embedding import EmbeddingSpec
    from model.gallery import Gallery
    from model.searchable import EditableGallery, SearchableGallery
    from storage.galleries import Manifest
    from storage.revisions import Cohorts


Result = TypeVar("Result")
# Decides how a gallery changes, None for not at all, and the result. It may be called several times. If it has a method
# `prepare`, that may be called before with the collection's EmbeddingSpec: for what takes long, while others can change
# the collection.
Change = Callable[["EditableGallery"], Tuple[Optional["Edit"], Result]]


class Revision(Protocol):
    """A collection as it is at one time."""

    @property
    def name(self) -> str: ...
    @property
    def manifest(self) -> Manifest: ...
    @property
    def etag(self) -> str: ...
    @property
    def gallery(self) -> SearchableGallery: ...


class Current(NamedTuple):
    """A collection to serve. stale: it could not be checked whether it is the current revision."""

    revision: Revision
    stale: bool


class Check(Protocol):
    """A collection that is being read in another thread."""

    def result(self, seconds: float | None = None) -> Current:
        """Wait for the revision. Raises BlobNotFound where the collection does not exist, EmbeddingMismatch;
        StorageError where nothing can be served.

        seconds: to wait if nothing is in memory, None for as long as a request waits.
        """


class Engine(Protocol):
    """The collections of a deployment. Every method raises StorageError."""

    def check(self, name: str, cohorts: Cohorts) -> Check:
        """Begin to read the current revision of a collection."""

    def read(self, name: str, cohorts: Cohorts) -> Revision:
        """Read the current revision. Raises BlobNotFound where the collection does not exist, EmbeddingMismatch."""

    def commit(
        self, name: str, cohorts: Cohorts, change: Change[Result], erase: bool = False
    ) -> tuple[Revision, Result]:
        """Make a change. -> the revision after it, and the result of `change`. Without an edit, nothing is written.

        erase: the change removes something, which must not be stored afterwards. Raises what `change` raises;
        BlobConflict where other writers were always first; BlobNotFound, EmbeddingMismatch as `read`.
        """

    def replace(self, known: Revision, gallery: Gallery) -> Revision:
        """Write a collection anew, with another embedding. known: the revision from which the gallery was made.

        Raises BlobConflict if the collection has changed since then.
        """

    def sweep(self, name: str, cohorts: Cohorts) -> None:
        """Remove what killed writers have left. Raises as `commit`."""

    def create(self, name: str, spec: EmbeddingSpec) -> bool:
        """Create an empty collection. -> False if it exists."""

    def delete(self, name: str) -> Manifest:
        """Delete a collection and everything in it. -> its last manifest. Raises BlobNotFound."""

    def manifest(self, name: str) -> Manifest:
        """Describe a collection. Raises BlobNotFound where it does not exist."""

    def manifests(self) -> list[Manifest]:
        """Describe all collections, by name."""

    def crop(self, name: str, face_id: str) -> bytes | None:
        """Read the stored crop of a face, see model/stored_crop.py; None if there is none, or no such collection."""
