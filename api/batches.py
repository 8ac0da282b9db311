"""Batches of photos or people of a bucket that a state machine sends, answered as JSON Lines in the same bucket.

A batch leaves one object, `results/<run>/<name>.jsonl`, with a line for each photo or person. The name follows from the
content of the batch, so a repeated batch is found done. A batch that cannot be ended keeps its lines in
`runs/<run>/<name>.json`, where the next attempt goes on. An attempt that is not the first one also keeps that it begins
an item: if the runtime ends twice at the same one, the next attempt gives up that item and goes on.
"""

from __future__ import annotations

import functools
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from api.batch_enrol import Enrolling
from api.batch_events import ENROL, Batch, parse_batch
from api.batch_record import Answers, BatchRecord
from api.batch_source import Source
from api.batch_task import Classifying, Task
from api.bucket_photos import OpenBucket, PhotoIdentifier, without_names
from api.errors import ApiError
from api.problems import Problem, attempt
from service.errors import ServiceError
from storage.blobs import BlobStore
from storage.errors import StorageError

if TYPE_CHECKING:  # the service imports torch
    from service.people import PeopleService

RESERVE_MS = 70_000  # of the function's time, in which no item is begun: to read a slow photo (60 s), and to write

DEATHS = 2  # of the runtime at the same item, after which it is given up

RemainingTime = Callable[[], int]  # milliseconds until Lambda ends the function


class BatchUnfinished(Exception):
    """The time was up. The work so far is kept, and the state machine sends the batch again."""


class BatchFailed(Exception):
    """A bug, about which the log says more."""


EXPECTED = (ApiError, ServiceError, StorageError, BatchUnfinished)


class Batches:
    """Processes batches. Errors that pass are named in the Retry of the state machines."""

    def __init__(self, photos: PhotoIdentifier, people: PeopleService, open_bucket: OpenBucket) -> None:
        self._photos, self._people, self._open_bucket = photos, people, open_bucket

    def process_event(self, event: Any, request_id: str, remaining: RemainingTime) -> dict[str, int]:
        """Process a batch. -> its number of items by kind: answered, failed, skipped, and done_before for all of them.

        Errors contain neither keys nor names. Raises BadRequest for another event; BatchUnfinished, ModelUnavailable,
        StorageUnreachable and Conflict, after which the batch can be repeated; other errors of service and storage;
        BatchFailed.
        """
        batch = parse_batch(event)
        log_bug = functools.partial(self._photos.telemetry.bug, request_id)
        counts = attempt(lambda: self._process(batch, request_id, remaining), log_bug, EXPECTED)
        if isinstance(counts, Problem):
            raise BatchFailed(counts.message)
        self._photos.telemetry.photos(request_id, counts)
        return counts

    def _process(self, batch: Batch, request_id: str, remaining: RemainingTime) -> dict[str, int]:
        version = self._photos.version()
        try:
            with closing(self._open_bucket(batch.bucket)) as bucket:
                record = BatchRecord(bucket, batch.run, batch.name(version))
                if record.is_finished():
                    return {"done_before": len(batch.items)}
                return _Attempt(batch, record, self._task(batch, bucket, request_id), remaining).run()
        except StorageError as error:
            raise without_names(error) from None

    def _task(self, batch: Batch, bucket: BlobStore, request_id: str) -> Task:
        source = Source(bucket, batch.bucket)
        if batch.task == ENROL:
            return Enrolling(source, self._people, batch.collection, request_id)
        return Classifying(source, self._photos, batch.collection, request_id)


class _Attempt(NamedTuple):
    """One attempt to process a batch."""

    batch: Batch
    record: BatchRecord
    task: Task
    remaining: RemainingTime

    def run(self) -> dict[str, int]:
        """Process the items without an answer. -> the number of items by kind."""
        answers, begun = self.record.progress()
        if begun >= DEATHS and len(answers) < len(self.batch.items):
            answers.append(self.task.gave_up(self.batch.items[len(answers)]))
            begun = 0
        try:
            self._complete(answers, begun)
        except Exception:
            if answers:
                with suppress(StorageError):  # the error that ended the attempt says more
                    self.record.keep(answers)
            raise
        self._check(answers)
        self.record.finish(answers)
        return _counts(answers)

    def _check(self, answers: Answers) -> None:
        """Raise StorageError for worthless answers, and forget them: the batch may be repeated with other rights."""
        try:
            self.task.check(answers)
        except StorageError:
            with suppress(StorageError):
                self.record.forget()
            raise

    def _complete(self, answers: Answers, begun: int) -> None:
        """Add the missing answers. Raises BatchUnfinished if the time is up, but not before one was added.

        begun: how often the first missing one was begun by attempts that did not end.
        """
        items = self.batch.items
        before = len(answers)
        while len(answers) < len(items):
            if len(answers) > before and not self._has_time():
                raise BatchUnfinished("The time of the function is up, and the next attempt goes on.")
            rest = items[len(answers) :]
            if self.batch.attempt or begun:
                self.record.keep(answers, begun + 1)
                rest, begun = rest[:1], 0
            for answer in self.task.answer(rest, self._has_time):
                answers.append(answer)  # at once, so that it is kept if the next one raises an error

    def _has_time(self) -> bool:
        return self.remaining() > RESERVE_MS


def _counts(answers: Answers) -> dict[str, int]:
    counts: dict[str, int] = {}
    for answer in answers:
        kind = "skipped" if answer is None else "failed" if "error" in answer else "answered"
        counts[kind] = counts.get(kind, 0) + 1
    return counts
