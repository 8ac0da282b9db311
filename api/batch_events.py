"""Batches as the Distributed Maps of deploy/bulk-classify.json and deploy/bulk-enrol.json send them.

    {"BatchInput": {"task": "classify", "bucket": "b", "run": "r", "collection": ""}, "Attempt": 0,
     "Items": [{"Key": "a.jpg", "Size": 1, "Etag": "...", "LastModified": 0, "StorageClass": "STANDARD"}]}

Items of the task `enrol` are folders of people: {"Folder": "people/Jane Roe/"}. Attempt: how often the batch was tried.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Mapping, NamedTuple

from api.errors import BadRequest
from storage.collection_names import is_collection_name

CLASSIFY, ENROL = "classify", "enrol"
RUN = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # an execution of Step Functions has such a name of up to 80 characters


class Item(NamedTuple):
    """A photo, or with an empty ETag the folder of a person. size: bytes; storage: storage class."""

    key: str
    etag: str = ""
    size: int = 0
    storage: str = ""


class Batch(NamedTuple):
    """task: CLASSIFY or ENROL; collection: None for the default; attempt: how often the batch was tried before."""

    task: str
    bucket: str
    run: str
    collection: str | None
    items: tuple[Item, ...]
    attempt: int

    def name(self, version: str) -> str:
        """Return a name that the same batch has whenever the same model processes it. version: of the model."""
        content = [self.task, self.collection, version, [item[:2] for item in self.items]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def parse_batch(event: Any) -> Batch:
    """Read a batch. Raises BadRequest, which quotes nothing of the event."""
    try:
        given, read = event["BatchInput"], _TASKS[event["BatchInput"]["task"]]
        items = tuple(read(item) for item in event["Items"])
        batch = Batch(
            given["task"], given["bucket"], given["run"], given["collection"] or None, items, int(event["Attempt"])
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadRequest("The event is not a batch of the state machines in deploy/.") from None
    texts = (batch.bucket, batch.run, *(item.key for item in items))
    if not all(isinstance(text, str) for text in texts) or not RUN.fullmatch(batch.run):
        raise BadRequest("The batch names its bucket, its run or its items in another way than the state machines.")
    if batch.collection is not None and not (
        isinstance(batch.collection, str) and is_collection_name(batch.collection)
    ):
        raise BadRequest("The batch names a collection that cannot exist.")
    return batch


def _photo(item: Mapping[str, Any]) -> Item:
    return Item(item["Key"], item["Etag"].strip('"'), int(item["Size"]), str(item.get("StorageClass") or ""))


def _folder(item: Mapping[str, Any]) -> Item:
    if not item["Folder"].endswith("/"):
        raise ValueError("a folder ends with a slash")
    return Item(item["Folder"])


_TASKS = {CLASSIFY: _photo, ENROL: _folder}
