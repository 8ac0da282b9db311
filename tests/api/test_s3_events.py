"""Events about objects in S3, as AWS documents them: from S3, SNS, SQS and EventBridge, and one within another."""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.s3_events import ObjectEvents, S3Photo, parse_object_events

PHOTO = S3Photo("ours", "photos/a é+%41.jpg", "0a")
CODED = "photos/a+%C3%A9%2B%2541.jpg"
TEST = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-24T00:00:00.000Z", "Bucket": "ours"}


def record(name: str = "ObjectCreated:Put", **changes: Any) -> dict[str, Any]:
    entry = {"key": CODED, "size": 1, "eTag": "0a", "sequencer": "0A1B2C3D4E5F678901"}
    content = {"s3SchemaVersion": "1.0", "bucket": {"name": "ours"}, "object": {**entry, **changes}}
    return {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": name, "s3": content}


def notified(*records: dict[str, Any]) -> dict[str, Any]:
    return {"Records": list(records or [record()])}


def bridged(
    bucket: str = "ours", key: str = PHOTO.key, etag: str = "0a", kind: str = "Object Created"
) -> dict[str, Any]:
    entry = {"key": key, "size": 1, "etag": etag, "sequencer": "0A1B2C3D4E5F678901"}
    detail = {"version": "0", "bucket": {"name": bucket}, "object": entry, "reason": "PutObject"}
    return {"version": "0", "id": "1", "detail-type": kind, "source": "aws.s3", "account": "1", "detail": detail}


def in_queue(*messages: Any) -> dict[str, Any]:
    """An event of SQS. messages: JSON, or text."""
    bodies = (message if isinstance(message, str) else json.dumps(message) for message in messages)
    return {
        "Records": [
            {"messageId": "1", "body": body, "attributes": {}, "eventSource": "aws:sqs", "eventSourceARN": "arn"}
            for body in bodies
        ]
    }


def in_topic(*messages: Any) -> dict[str, Any]:
    """An event of SNS."""
    return {
        "Records": [
            {"EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": "arn", "Sns": enveloped(message)}
            for message in messages
        ]
    }


def enveloped(message: Any) -> dict[str, Any]:
    """A message that SNS delivers to a queue, unless raw delivery is on."""
    return {
        "Type": "Notification",
        "MessageId": "1",
        "Subject": "Amazon S3 Notification",
        "Message": json.dumps(message),
    }


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "bare": lambda event: event,
    "SQS": in_queue,
    "SNS": in_topic,
    "SNS in SQS": lambda event: in_queue(enveloped(event)),
    "SNS in SNS in SQS": lambda event: in_queue(enveloped(enveloped(event))),
}
wrapped = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)


@wrapped
def test_photos(wrap: Callable[[Any], Any]) -> None:
    other = S3Photo("ours", "b.jpg", "0b")
    assert parse_object_events(wrap(notified())) == ObjectEvents((PHOTO,), 0, 0)
    assert parse_object_events(wrap(bridged())) == ObjectEvents((PHOTO,), 0, 0)
    two = notified(record(), record("ObjectCreated:CompleteMultipartUpload", key="b.jpg", eTag="0b"))
    assert parse_object_events(wrap(two)) == ObjectEvents((PHOTO, other), 0, 0)


def test_several_messages() -> None:
    messages = (notified(), TEST, bridged(), enveloped(notified(record("ObjectRemoved:Delete"), record())), "x")
    assert parse_object_events(in_queue(*messages)) == ObjectEvents((PHOTO, PHOTO, PHOTO), 2, 1)
    assert parse_object_events(in_topic(notified(), "x", bridged())) == ObjectEvents((PHOTO, PHOTO), 0, 1)


def test_name_of_an_event_with_a_prefix_or_without_any() -> None:
    assert parse_object_events(notified(record("s3:ObjectCreated:Copy"))).photos == (PHOTO,)
    nameless = {name: value for name, value in record().items() if name != "eventName"}
    assert parse_object_events(notified(nameless)).photos == (PHOTO,)


def without_etag(name: str) -> dict[str, Any]:
    removed = record(name)
    del removed["s3"]["object"]["eTag"]
    return removed


@wrapped
@pytest.mark.parametrize(
    "event",
    [
        TEST,
        *(
            notified(without_etag(name))
            for name in ("ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated", "LifecycleExpiration:Delete")
        ),
        notified(record("ObjectTagging:Put")),
        notified(record("ObjectRestore:Completed")),
        *(bridged(kind=kind) for kind in ("Object Deleted", "Object Restore Completed", "Object Tags Added")),
    ],
)
def test_other_events_of_s3_are_ignored(event: Any, wrap: Callable[[Any], Any]) -> None:
    assert parse_object_events(wrap(event)) == ObjectEvents((), 1, 0)


def changed(event: dict[str, Any], *path: Any, value: Any = None) -> dict[str, Any]:
    """A copy of an event with another value in one place."""
    copy = json.loads(json.dumps(event))
    place = copy
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return copy


S3 = ("Records", 0, "s3")
WRONG: tuple[Any, ...] = (None, "", 7, {})
REFUSED: list[Any] = [
    *(None, "x", 7, [], [notified()], {}, {"Records": []}, {"Records": None}, {"Records": {}}, {"Records": [None]}),
    *(changed(notified(), *S3, *path) for path in ((), ("bucket",), ("bucket", "name"), ("object",))),
    *(changed(notified(), *S3, "object", name, value=value) for name in ("key", "eTag") for value in WRONG),
    changed(notified(), "Records", 0, "eventSource", value="aws:dynamodb"),
    changed(notified(), "Records", 0, "eventName", value=7),
    *(changed(bridged(), "detail", *path) for path in ((), ("bucket",), ("bucket", "name"), ("object", "etag"))),
    changed(bridged(), "source", value="aws.ec2"),
    changed(bridged(), "source", value="my.app"),
    changed(bridged(), "detail-type", value="AWS API Call via CloudTrail"),
    changed(bridged(), "detail-type"),
    {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}},
    {"invocationSchemaVersion": "1.0", "id": "1", "tasks": [{"taskId": "1", "s3Key": "a.jpg"}]},
    {"Type": "SubscriptionConfirmation", "Message": "You have chosen to subscribe", "SubscribeURL": "https://"},
    {"Type": "Notification", "Message": "hello"},
    {"Type": "Notification"},
    {"httpMethod": "POST", "path": "/classify", "requestContext": {}},
]


@wrapped
@pytest.mark.parametrize("event", REFUSED, ids=lambda event: json.dumps(event)[:40])
def test_everything_else_is_refused(event: Any, wrap: Callable[[Any], Any]) -> None:
    assert parse_object_events(wrap(event)) == ObjectEvents((), 0, 1)


@pytest.mark.parametrize("body", ["", "no JSON", "[" * 100_000, '{"Records": ' * 10_000, "\ud800"])
def test_messages_that_are_not_json(body: str) -> None:
    assert parse_object_events(in_queue(body)) == ObjectEvents((), 0, 1)
    broken = changed(in_topic({}), "Records", 0, "Sns", "Message", value=body)
    assert parse_object_events(broken) == ObjectEvents((), 0, 1)
    for path in (("Records", 0, "Sns"), ("Records", 0, "Sns", "Message")):
        assert parse_object_events(changed(in_topic({}), *path)) == ObjectEvents((), 0, 1)
    assert parse_object_events(changed(in_queue(""), "Records", 0, "body")) == ObjectEvents((), 0, 1)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["aws:s3", "aws:sqs", "aws.s3"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Records", "eventSource", "s3", "bucket", "name", "object", "key", "Sns", "Message", "body"]
            )
            | st.sampled_from(["source", "detail-type", "detail", "Type", "Event", "eventName"]),
            inner,
            max_size=5,
        )
    ),
)


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(anything)
def test_any_event_is_counted(event: Any) -> None:
    found = parse_object_events(event)
    assert len(found.photos) + found.ignored + found.refused > 0
    again = parse_object_events(in_queue(event))
    assert (again.photos, again.ignored) == (found.photos, found.ignored)
