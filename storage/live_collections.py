"""The collections that a running function serves: read when they are first asked for, and checked with each request.

The check is a conditional GET of the manifest in a thread beside the request. So a change that has been answered is
seen by every later request of every runtime, and the check hardly costs time.

A collection of which nothing is in memory is loaded once, however many requests ask for it. Loading goes on while they
are told to come back: of a collection that is there in part, known people would be strangers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, TimeoutError
from typing import Callable, TypeVar

from model.embedding import EmbeddingSpec
from model.errors import FormatError
from model.gallery import Gallery
from storage import engine
from storage.background import Task, in_background
from storage.blobs import BlobStore
from storage.collections import Collections
from storage.commits import Change
from storage.engine import Current
from storage.errors import BlobNotFound, StorageError, StorageRefused, StorageUnreachable
from storage.galleries import Manifest
from storage.revisions import Cohorts, Revision, with_cohort

PATIENCE = 0.3  # seconds that a request waits for the manifest, before it is answered from what is in memory
LOADING = 3.0  # seconds that it waits for segments once it is known that the collection has changed
FIRST = 12.0  # seconds that it waits for a collection of which nothing is in memory
# Collections in memory, and faces of about 1 KB each in all of them. The last collection is always kept. A face of one
# that is not packed counts as several.
KEPT, KEPT_FACES, UNPACKED = 16, 1_200_000, 6

ENDED = threading.Event()
ENDED.set()

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class LiveCollections:
    """The collections of one store in the memory of this process, see storage/engine.py. Safe for several threads."""

    def __init__(
        self,
        open_store: Callable[[], BlobStore],
        start: Callable[[Task], None] = in_background,
        patience: float = PATIENCE,
        first: float = FIRST,
    ) -> None:
        """open_store: opens the store; start: runs a task beside the requests; patience, first: see above."""
        self._open, self._start, self.patience, self.first = open_store, start, patience, first
        self._lock = threading.Lock()
        self._stored: Collections | None = None
        self._known: OrderedDict[str, Revision] = OrderedDict()
        self._loads: dict[str, threading.Event] = {}  # of collections that are being loaded; set at the end

    @property
    def stored(self) -> Collections:
        """The collections themselves. Raises StorageRefused for an address that cannot be opened."""
        with self._lock:
            if self._stored is None:
                self._stored = Collections(self._open(), start=self._start)
            return self._stored

    def check(self, name: str, cohorts: Cohorts) -> LiveCheck:
        """Begin to read the current revision of a collection."""
        check = LiveCheck(self, name, cohorts, self.known(name))
        self._start(check.run)
        return check

    def known(self, name: str) -> Revision | None:
        """Return the revision in memory."""
        with self._lock:
            return self._known.get(name)

    def keep(self, revision: Revision) -> None:
        """Keep a revision in memory, unless a newer one is there."""
        with self._lock:
            known = self._known.pop(revision.name, None)
            newer = known and known.manifest.changes > revision.manifest.changes
            self._known[revision.name] = known if known and newer else revision
            while len(self._known) > 1 and (len(self._known) > KEPT or self._faces() > KEPT_FACES):
                self._known.popitem(last=False)

    def begin_load(self, name: str) -> threading.Event | None:
        """Return None if the caller has to load a collection, otherwise the event at the end of the other load."""
        with self._lock:
            if name in self._known:  # it has ended since the caller looked
                return ENDED
            running = self._loads.get(name)
            if running is None:
                self._loads[name] = threading.Event()
            return running

    def end_load(self, name: str) -> None:
        """Let others know that a load has ended, with success or without."""
        with self._lock:
            self._loads.pop(name).set()

    def _faces(self) -> int:
        pairs = ((known.manifest.faces, known.gallery.is_large) for known in self._known.values())
        return sum(faces * (1 if is_large else UNPACKED) for faces, is_large in pairs)

    def reopen(self) -> None:
        """Open the store anew at the next use: the credentials may have been renewed since it was opened."""
        with self._lock:
            self._stored = None

    def forget(self, name: str) -> None:
        """Remove a collection from memory."""
        with self._lock:
            self._known.pop(name, None)

    def commit(
        self, name: str, cohorts: Cohorts, change: Change[Result], erase: bool = False
    ) -> tuple[Revision, Result]:
        """Make a change, see Collections.commit. Small segments are joined beside the requests."""
        revision, result = self.stored.commit(name, cohorts, change, self.known(name), erase=erase)
        self.keep(revision)
        self._start(lambda: self._compact(revision, cohorts))
        return revision, result

    def sweep(self, name: str, cohorts: Cohorts) -> None:
        """Remove what killed writers have left, see Collections.sweep."""
        self.stored.sweep(name, cohorts, self.known(name))

    def read(self, name: str, cohorts: Cohorts) -> Revision:
        return self.stored.read(name, cohorts)

    def replace(self, known: engine.Revision, gallery: Gallery) -> Revision:
        return self.stored.replace(known, gallery)

    def create(self, name: str, spec: EmbeddingSpec) -> bool:
        return self.stored.create(name, spec)

    def delete(self, name: str) -> Manifest:
        last = self.stored.delete(name)
        self.forget(name)
        return last

    def manifest(self, name: str) -> Manifest:
        return self.stored.manifest(name)

    def manifests(self) -> list[Manifest]:
        return self.stored.manifests()

    def crop(self, name: str, face_id: str) -> bytes | None:
        return self.stored.crop(name, face_id)

    def _compact(self, revision: Revision, cohorts: Cohorts) -> None:
        try:
            self.keep(self.stored.compact(revision.name, cohorts, revision))
        except (StorageError, FormatError) as error:  # it is tried again after the next change
            log.warning("Segments were not joined: %s", error.reason if isinstance(error, StorageError) else error)


class LiveCheck:
    """A collection that is being read in another thread."""

    def __init__(self, live: LiveCollections, name: str, cohorts: Cohorts, known: Revision | None) -> None:
        self._live, self._name, self._cohorts, self._known = live, name, cohorts, known
        self._started = time.monotonic()
        self._answered = threading.Event()  # it is known whether the collection has changed
        self._revision: Future[Revision] = Future()

    def run(self) -> None:
        """Read the current revision."""
        try:
            revision = self._refreshed(self._known) if self._known else self._loaded()
            self._revision.set_result(revision)
            revision.gallery.complete()
        except Exception as error:  # noqa: BLE001 it is raised in the thread that waits
            if isinstance(error, StorageRefused):
                self._live.reopen()
            if not self._revision.done():
                self._revision.set_exception(error)
        finally:
            self._answered.set()

    def _refreshed(self, known: Revision) -> Revision:
        """Read what has changed since a revision."""
        deadline = self._started + self._live.first
        revision = self._live.stored.read(self._name, self._cohorts, known, deadline, self._answered.set)
        revision.gallery.pack()
        self._live.keep(revision)
        return revision

    def _loaded(self) -> Revision:
        """Load the collection, or wait until another request has loaded it."""
        while True:
            running = self._live.begin_load(self._name)
            if running is None:
                break
            running.wait()
            known = self._live.known(self._name)
            if known:
                return self._refreshed(known)
        try:
            revision = self._live.stored.read(self._name, self._cohorts)
            revision.gallery.pack()
            self._live.keep(revision)
            return revision
        finally:
            self._live.end_load(self._name)

    def result(self, seconds: float | None = None) -> Current:
        """Wait for the revision. Raises BlobNotFound where the collection does not exist, EmbeddingMismatch;
        StorageError where nothing is in memory.

        seconds: to wait if nothing is in memory, None for `first` since the request.
        """
        if self._known is None:
            left = self._started + self._live.first - time.monotonic() if seconds is None else seconds
            try:
                return Current(self._revision.result(max(0, left)), stale=False)
            except TimeoutError as error:
                message = "The collection is still being loaded."
                raise StorageUnreachable(message, "it is still being loaded") from error
        try:
            if self._answered.wait(max(0, self._started + self._live.patience - time.monotonic())):
                return Current(self._revision.result(LOADING), stale=False)
        except TimeoutError:
            pass
        except BlobNotFound:
            self._live.forget(self._name)
            raise
        except StorageError as error:
            log.warning("Serving people from memory: %s.", error.reason)
        # It may have been read for other networks, or before there were any.
        return Current(with_cohort(self._known, self._cohorts), stale=True)
