"""The model that a running function serves: loaded when it starts, and exchanged while requests go on."""

from __future__ import annotations

import logging
import threading
import time
from typing import Callable, NamedTuple

from model.errors import ModelUnavailable, SourceUnreachable
from model.recognizer import Recognizer
from model.s3 import SERVING
from model.store import BUNDLED, current, fetch, recall, remember

RETRY = ModelUnavailable.retry_after  # seconds between two attempts to load a model while there is none
REFRESH = 60  # seconds between two looks at the pointer while there is one

log = logging.getLogger(__name__)

Work = Callable[[], None]


class _State(NamedTuple):
    """recognizer: None where there is none, and problem says why.

    confirmed: the pointer named it. Else it is the one that was served last, for want of an answer from S3.
    """

    recognizer: Recognizer | None
    confirmed: bool = True
    problem: str = ""


def in_background(work: Work) -> None:
    """Lambda freezes it between requests, and it goes on beside the next."""
    threading.Thread(target=work, name="refresh", daemon=True).start()


class CurrentModel:
    """While there is no model it is looked for, but not with every request: most are told at once.

    While there is one, the pointer is read again every REFRESH seconds beside the requests, and what it names then is
    loaded there too and served from the next request on. Until that has worked out, the one at hand is served on.

    While S3 cannot be reached, a function that starts serves the model that was served last, where the temp folder has
    it. Whatever latest.json says wins as soon as it can be read.
    """

    def __init__(
        self, uri: str, clock: Callable[[], float] = time.time, start: Callable[[Work], None] = in_background
    ) -> None:
        """clock: in seconds; start: begins work that goes on beside the requests."""
        self._uri, self._clock, self._start = uri, clock, start
        self._state = _State(None)
        self._looked = 0.0
        self._looking = False

    def get(self) -> Recognizer:
        """Raises ModelUnavailable."""
        if self._state.recognizer is None:
            if self._due(RETRY):
                self._state = self._load()
        elif self._uri != BUNDLED and not self._looking and self._due(REFRESH):
            self._looking = True
            self._start(self._refresh)
        state = self._state  # the other thread may exchange it at any time
        if state.recognizer is None:
            raise ModelUnavailable(state.problem)
        return state.recognizer

    def version(self) -> str | None:
        """Of the model that is loaded, if any."""
        recognizer = self._state.recognizer
        return recognizer.version if recognizer else None

    def _due(self, pause: float) -> bool:
        # The time of day, because a monotonic clock may stand still while Lambda freezes the function between requests.
        # One that has been set back must not make it wait.
        now = self._clock()
        due = not 0 <= now - self._looked < pause
        if due:
            self._looked = now
        return due

    def _load(self) -> _State:
        try:
            return self._fetched()
        except SourceUnreachable as error:
            return self._without(error, self._last_good())
        except ModelUnavailable as error:
            return self._without(error, None)
        finally:
            self._looked = self._clock()  # an attempt in vain takes its time, too

    def _refresh(self) -> None:
        at_hand = self._state
        try:
            if at_hand.recognizer and current(self._uri, SERVING).version == at_hand.recognizer.version:
                self._state = at_hand._replace(confirmed=True)
            else:
                self._state = self._fetched()
                log.info("Serving %s from now on.", self.version())
        except ModelUnavailable as error:
            if at_hand.confirmed or isinstance(error, SourceUnreachable):
                log.warning("%s Serving %s on. Cause: %r", error, self.version(), error.__cause__)
            else:  # what was rolled back or withdrawn while S3 could not be reached must not be served on
                self._state = self._without(error, None)
        finally:
            self._looking = False

    def _fetched(self) -> _State:
        path, pointer = fetch(self._uri, SERVING)
        state = _State(Recognizer(path, pointer.version))
        remember(self._uri, pointer)
        return state

    def _without(self, error: ModelUnavailable, instead: Recognizer | None) -> _State:
        version = instead.version if instead else "no model"
        log.warning("%s Serving %s for now. Cause: %r", error, version, error.__cause__)
        return _State(instead, confirmed=False, problem=str(error))

    def _last_good(self) -> Recognizer | None:
        try:
            found = recall(self._uri)
            return Recognizer(found[0], found[1].version) if found else None
        except ModelUnavailable:
            return None
