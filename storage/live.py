"""The version that a running function serves: loaded at its start, and exchanged while requests go on."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import Callable, NamedTuple

from model.errors import FormatError
from storage.background import Task, in_background
from storage.blobs import BlobStore
from storage.cache import CachedStore
from storage.errors import NothingLoaded, StorageError, StorageUnreachable
from storage.fields import describe
from storage.networks import Pointer, Snapshot, load_version, read_pointer
from storage.s3_settings import SERVING_POLICY

RETRY = 5  # seconds between two attempts to load while nothing is loaded
REFRESH = 60  # seconds between two readings of the pointer while a version is loaded

log = logging.getLogger(__name__)


class _State(NamedTuple):
    """snapshot: None where nothing is loaded; problem says why.

    confirmed: the pointer names it. Otherwise it is the version that was served last, while S3 cannot be reached.
    """

    snapshot: Snapshot | None
    confirmed: bool = True
    problem: str = ""


class LiveModel:
    """Loads the current version of a store and keeps it current.

    While nothing is loaded, an attempt is made every RETRY seconds, and requests in between fail at once. While a
    version is loaded, the pointer is read again every REFRESH seconds beside the requests; a new version is loaded
    there too and served from the next request on. Until that has succeeded, the loaded one is served.

    A function that starts while S3 cannot be reached serves the version that was served last, where the temp folder
    still has it. What the pointer says replaces it as soon as the pointer can be read.
    """

    def __init__(
        self,
        open_store: Callable[[], BlobStore],
        refresh: bool = True,
        seconds: float = SERVING_POLICY.total,
        clock: Callable[[], float] = time.time,
        start: Callable[[Task], None] = in_background,
    ) -> None:
        """open_store: opens the store of published versions; refresh: False for a store that never changes; seconds:
        for loading a version; clock: in seconds; start: runs a task beside the requests.
        """
        self._open, self._refreshing, self._seconds = open_store, refresh, seconds
        self._clock, self._start = clock, start
        self._state = _State(None)
        self._checked = 0.0
        self._busy = False

    def get(self) -> Snapshot:
        """Return the version to serve. Raises NothingLoaded."""
        if self._state.snapshot is None:
            if self._due(RETRY):
                self._state = self._load()
        elif self._refreshing and not self._busy and self._due(REFRESH):
            self._busy = True
            self._start(self._refresh)
        state = self._state  # the other thread may replace it at any time
        if state.snapshot is None:
            raise NothingLoaded("Nothing is loaded that can be served.", state.problem)
        return state.snapshot

    def version(self) -> str | None:
        """Return the loaded version, if any."""
        snapshot = self._state.snapshot
        return snapshot.version if snapshot else None

    def _due(self, pause: float) -> bool:
        # The time of day: a monotonic clock may stand still while Lambda freezes the function between requests. A clock
        # that was set back must not make it wait.
        now = self._clock()
        due = not 0 <= now - self._checked < pause
        if due:
            self._checked = now
        return due

    def _load(self) -> _State:
        try:
            with self._open() as blobs:
                store = self._cached(blobs)
                try:
                    pointer = read_pointer(store)
                except StorageUnreachable as error:
                    return self._fall_back(error, _last_good(blobs))
                return _State(_loaded(store, pointer))
        except (StorageError, FormatError) as error:
            return self._fall_back(error, None)
        finally:
            self._checked = self._clock()  # an attempt that fails takes its time too

    def _refresh(self) -> None:
        before = self._state
        reading = True
        try:
            with self._open() as blobs:
                store = self._cached(blobs)
                pointer = read_pointer(store)
                reading = False
                if before.snapshot and pointer == before.snapshot.pointer:
                    self._state = before._replace(confirmed=True)
                else:
                    self._state = _State(_loaded(store, pointer))
                    log.info("Serving %s from now on.", self.version())
        except (StorageError, FormatError) as error:
            if before.confirmed or (reading and isinstance(error, StorageUnreachable)):
                log.warning("%s Still serving %s.%s", error, self.version(), _cause(error))
            else:  # a version that was withdrawn while S3 could not be reached must not be served any longer
                self._state = self._fall_back(error, None)
        finally:
            self._busy = False

    def _cached(self, blobs: BlobStore) -> CachedStore:
        """All reads of one load share a time limit."""
        return CachedStore(blobs, time.monotonic() + self._seconds)

    def _fall_back(self, error: Exception, snapshot: Snapshot | None) -> _State:
        log.warning("%s Serving %s for now.%s", error, snapshot.version if snapshot else "nothing", _cause(error))
        return _State(snapshot, confirmed=False, problem=_problem(error))


def _loaded(store: CachedStore, pointer: Pointer) -> Snapshot:
    snapshot = load_version(store, pointer)
    # The note is of use only another day, if ever, and today there is a version to serve.
    with suppress(OSError):
        store.mark_good(pointer.to_json(), snapshot.digests)
    return snapshot


def _last_good(blobs: BlobStore) -> Snapshot | None:
    """Load the version that was served last from the temp folder, if all of it is there."""
    try:
        store = CachedStore(blobs, offline=True)
        note = store.last_good()
        return load_version(store, Pointer.parse(note)) if note else None
    except (StorageError, FormatError):
        return None


def _cause(error: Exception) -> str:
    """For the log: the library's own words."""
    return f" Cause: {describe(error.__cause__)}." if error.__cause__ else ""


def _problem(error: Exception) -> str:
    """Describe a problem to callers: no bucket, key or path."""
    return f"The model cannot be loaded: {error.reason}." if isinstance(error, StorageError) else str(error)
