"""The objects of one batch: its result, and what an attempt keeps for the next one."""

from __future__ import annotations

import json
from typing import List, Optional

from api.bucket_photos import MAX_BYTES
from api.dialects.native import Json
from api.photo_keys import RESULTS, RUNS
from storage.blobs import BlobStore
from storage.errors import BlobNotFound

Answer = Optional[Json]  # the line of an item; None for an item that is no photo and has no line
Answers = List[Answer]


class BatchRecord:
    """Result and progress of a batch. All methods raise StorageError."""

    def __init__(self, bucket: BlobStore, run: str, name: str) -> None:
        self._bucket = bucket
        self._result, self._progress = f"{RESULTS}{run}/{name}.jsonl", f"{RUNS}{run}/{name}.json"
        self._is_kept = False

    def is_finished(self) -> bool:
        """Tell whether the batch has its result."""
        try:
            self._bucket.get(self._result, MAX_BYTES)
        except BlobNotFound:
            return False
        return True

    def progress(self) -> tuple[Answers, int]:
        """Return the answers of earlier attempts, and how many attempts began the next item and did not end."""
        try:
            kept = json.loads(self._bucket.get(self._progress, MAX_BYTES).data)
            answers, begun = list(kept["answers"]), int(kept["begun"])
        except (BlobNotFound, ValueError, TypeError, KeyError, RecursionError):
            return [], 0
        self._is_kept = True
        return answers, begun

    def keep(self, answers: Answers, begun: int = 0) -> None:
        """Keep the answers for the next attempt. begun: attempts to process the next item, with the one to come."""
        self._is_kept = True
        self._bucket.put(self._progress, _encode({"answers": answers, "begun": begun}))

    def finish(self, answers: Answers) -> None:
        """Write the result, unless no item has a line, and remove what was kept."""
        lines = [answer for answer in answers if answer is not None]
        if lines:
            self._bucket.put(self._result, b"".join(_encode(line) + b"\n" for line in lines))
        self.forget()

    def forget(self) -> None:
        """Remove what was kept."""
        if self._is_kept:
            self._bucket.delete(self._progress)


def _encode(value: object) -> bytes:
    """Encode JSON on one line. ASCII alone, because some readers of JSON Lines end a line at U+2028, too."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")
