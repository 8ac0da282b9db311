"""The tasks of a batch, and the first of them: identify photos."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Callable, Iterable, Sequence

from api.batch_events import Item
from api.batch_record import Answer, Answers
from api.batch_source import Source
from api.bucket_photos import Outcome, PhotoIdentifier, result
from api.photo_keys import is_photo
from api.problems import Problem
from api.s3_events import S3Photo

GAVE_UP = Problem(500, "gave_up", "The runtime ended while it processed this, again and again.")

HasTime = Callable[[], bool]


class Task(ABC):
    """Work on the items of a batch. collection: None for the default."""

    def __init__(self, source: Source, collection: str | None, request_id: str) -> None:
        self._source, self._collection, self._request_id = source, collection, request_id

    @abstractmethod
    def answer(self, items: Sequence[Item], has_time: HasTime) -> Iterable[Answer]:
        """Process items in their order, at least the first one, and the others while there is time. -> their answers.

        Raises ModelUnavailable, UnknownCollection, StorageError, Conflict and other errors of the service.
        """

    @abstractmethod
    def gave_up(self, item: Item) -> Answer:
        """Return the answer of an item that ended the runtime."""

    def check(self, answers: Answers) -> None:
        """Raise StorageRefused if all answers are worthless, because S3 has refused everything."""
        self._source.check(answers)


class Classifying(Task):
    """Identifies photos."""

    def __init__(self, source: Source, photos: PhotoIdentifier, collection: str | None, request_id: str) -> None:
        super().__init__(source, collection, request_id)
        self._photos = photos

    def answer(self, items: Sequence[Item], has_time: HasTime) -> Iterable[Answer]:
        for number, item in enumerate(items):
            if number and not has_time():
                return
            yield self._answer(item) if is_photo(item.key) else None

    def _answer(self, item: Item) -> Answer:
        started = time.perf_counter()
        read = self._source.read(item.key, item.size, item.storage)
        outcome: Outcome
        if isinstance(read, Problem):
            outcome, etag = read, item.etag
        else:
            outcome, etag = self._photos.identify(read.data, self._request_id, self._collection), read.etag
        self._photos.record(outcome, started)
        return result(S3Photo(self._source.name, item.key, etag), outcome, self._request_id)

    def gave_up(self, item: Item) -> Answer:
        return result(S3Photo(self._source.name, item.key, item.etag), GAVE_UP, self._request_id)
