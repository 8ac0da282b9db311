"""Attempts at a commit by one of several writers.

The first attempt is made at once. Writers that got in each other's way take turns: whoever creates the object
`turn.json` is next, and deletes it afterwards. That only saves attempts that would fail: no guarantee depends on it.
"""

from __future__ import annotations

import random
import time
import uuid
from contextlib import suppress
from typing import Callable, Iterator

from storage.blobs import BlobStore
from storage.errors import BlobConflict, BlobNotFound, StorageError

TURN = "turn.json"
ABANDONED = 2.0  # seconds after which a writer that has the turn is taken for dead; a commit takes much less
FIRST_PAUSE, LONGEST_PAUSE = 0.03, 0.3  # seconds before the turn is looked at again, at most

Sleep = Callable[[float], None]


class Attempts:
    """The attempts at one commit. Iterate over it in a `with` block, which gives the turn back.

    contended: another writer was first, or had the turn.
    """

    def __init__(self, blobs: BlobStore, collection: str, seconds: float, contended: bool, sleep: Sleep) -> None:
        """seconds: for all attempts; contended: take turns from the first attempt on."""
        self._blobs, self._key, self._sleep = blobs, f"{collection}/{TURN}", sleep
        self._until = time.monotonic() + seconds
        self._takes_turns = contended
        self._has_turn = False
        self.contended = False

    def __enter__(self) -> Attempts:
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_turn:
            with suppress(StorageError):  # others wait until it counts as abandoned then
                self._blobs.delete(self._key)

    def __iter__(self) -> Iterator[None]:
        while not self._takes_turns or self._has_turn or self._wait():
            yield
            self.contended = self._takes_turns = True
            if time.monotonic() >= self._until:
                return
            self._sleep(random.uniform(0, FIRST_PAUSE))

    def _wait(self) -> bool:
        """Wait for a turn. -> False if the time is over."""
        pause, etag, seen = FIRST_PAUSE, "", time.monotonic()
        while time.monotonic() < self._until:
            try:
                blob = self._blobs.get_if_changed(self._key, etag)
                if blob:
                    etag, seen = blob.etag, time.monotonic()
                elif time.monotonic() - seen > ABANDONED and self._take(if_match=etag):
                    return True
            except BlobNotFound:
                if self._take(if_absent=True):
                    return True
            self.contended = True
            self._sleep(random.uniform(pause / 2, pause))
            pause = min(1.5 * pause, LONGEST_PAUSE)
        return False

    def _take(self, if_match: str | None = None, if_absent: bool = False) -> bool:
        with suppress(BlobConflict, BlobNotFound):
            data = f'{{"turn": "{uuid.uuid4()}"}}\n'.encode()
            self._blobs.put(self._key, data, if_match=if_match, if_absent=if_absent)
            self._has_turn = True
        return self._has_turn
