"""Events about objects in S3, whichever way they come.

    from S3 or SNS          {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {...}}]}
    from SQS                {"Records": [{"eventSource": "aws:sqs", "body": JSON}]}
    from SNS                {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": JSON}}]}
    from SNS through SQS    {"Type": "Notification", "Message": JSON}
    from EventBridge        {"source": "aws.s3", "detail-type": "Object Created", "detail": {...}}
    when a trigger is made  {"Event": "s3:TestEvent"}

The JSON is another one of these events.
"""

from __future__ import annotations

import json
import re
from typing import Any, Iterator, Mapping, NamedTuple
from urllib.parse import unquote_plus

_CREATED = "ObjectCreated:"


class S3Photo(NamedTuple):
    """An object of a bucket. etag: as the event has it; the object may have been replaced since."""

    bucket: str
    key: str
    etag: str


class ObjectEvents(NamedTuple):
    """photos: objects that were created; ignored: number of S3's other events, such as deletions; refused: number of
    messages that are no event of S3.
    """

    photos: tuple[S3Photo, ...]
    ignored: int
    refused: int


def parse_object_events(event: Any) -> ObjectEvents:
    """Read an event of any of these sources. One wrong message does not keep the others from being read."""
    photos: list[S3Photo] = []
    ignored = refused = 0
    for message in _messages(event):
        try:
            photo = _photo(message)
        except (KeyError, TypeError, ValueError, AttributeError):
            refused += 1
            continue
        if photo is None:
            ignored += 1
        else:
            photos.append(photo)
    return ObjectEvents(tuple(photos), ignored, refused)


def _messages(event: Any) -> Iterator[Any]:
    """Unwrap an event. -> records of S3, events of EventBridge, S3's test event, and anything else that it contains."""
    if not isinstance(event, Mapping):
        yield event
    elif isinstance(event.get("Records"), list) and event["Records"]:
        for record in event["Records"]:
            yield from _messages_of_record(record)
    elif event.get("Type") == "Notification":
        yield from _messages(_parsed(event, "Message"))
    else:
        yield event


def _messages_of_record(record: Any) -> Iterator[Any]:
    if isinstance(record, Mapping) and record.get("eventSource") == "aws:sqs":
        yield from _messages(_parsed(record, "body"))
    elif isinstance(record, Mapping) and record.get("EventSource") == "aws:sns":
        yield from _messages(_parsed(record.get("Sns"), "Message"))
    else:
        yield record


def _parsed(content: Any, name: str) -> Any:
    """Parse a field that is JSON. -> None if it is not."""
    try:
        return json.loads(content[name])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _photo(message: Any) -> S3Photo | None:
    """Return the object that was created, or None for another event of S3.

    Raises KeyError, TypeError, ValueError or AttributeError for anything else.
    """
    if message.get("Event") == "s3:TestEvent":
        return None
    if message.get("eventSource") == "aws:s3":
        name, found = message.get("eventName", _CREATED), message["s3"]
        if not re.match(f"(s3:)?{_CREATED}", name):
            return None
        # Only here the key is encoded as in a URL.
        return _checked(found["bucket"]["name"], unquote_plus(found["object"]["key"]), found["object"]["eTag"])
    kind = message["detail-type"]
    if message["source"] != "aws.s3" or not kind.startswith("Object "):
        raise ValueError("not an event of S3")
    if kind != "Object Created":
        return None
    found = message["detail"]
    return _checked(found["bucket"]["name"], found["object"]["key"], found["object"]["etag"])


def _checked(*values: Any) -> S3Photo:
    """values: bucket, key and ETag. Raises ValueError."""
    if not all(isinstance(value, str) and value for value in values):
        raise ValueError("a field of the event is empty or not text")
    return S3Photo(*values)
