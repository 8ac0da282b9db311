"""Photos in a bucket, processed by `on_upload`, with a local S3 API."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator
from urllib.parse import quote_plus

import pytest

import handler
from api.bucket_photos import MAX_BYTES
from api.errors import BadRequest
from app import compose, create_app
from service.errors import ModelUnavailable
from service.faces import FaceService
from service.results import Identification, IdentifyOptions, ModelInfo
from settings import Settings
from storage.errors import BlobNotFound, StorageUnreachable
from testing.emulator import Emulator
from testing.paths import SAMPLES
from testing.servers import free_port
from tests.api.buckets import S3Bucket, new_bucket
from tests.api.test_s3_events import WRAPPERS, bridged, in_queue
from tests.services import FixedFaces, around, fixed

KNOWN = (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes()
STRANGER = (SAMPLES / "astronaut.jpg").read_bytes()
NUMBERS = itertools.count()


class Bucket(S3Bucket):
    def put(self, key: str, data: bytes) -> dict[str, Any]:
        """Upload an object. -> its notification, as S3 sends it."""
        return notification(self.name, key, self.upload(key, data).strip('"'), len(data))

    def read(self, key: str) -> dict[str, Any]:
        return json.loads(self.content(key))

    def written(self, key: str) -> Any:
        return self.s3.head_object(Bucket=self.name, Key=key)["LastModified"], self.read(key)["request_id"]


def notification(bucket: str, key: str, etag: str, size: int) -> dict[str, Any]:
    entry = {"key": quote_plus(key, safe="/"), "size": size, "eTag": etag, "sequencer": "0A1B2C3D4E5F678901"}
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "us-east-1",
                "eventTime": "2026-11-24T00:00:00.000Z",
                "eventName": "ObjectCreated:Put",
                "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": bucket}, "object": entry},
            }
        ]
    }


def context() -> Any:
    return SimpleNamespace(aws_request_id=f"request-{next(NUMBERS)}")


@pytest.fixture()
def bucket(s3_environment: dict[str, str]) -> Iterator[Bucket]:
    with new_bucket(Bucket) as found:
        yield found


def test_result_of_a_photo(bucket: Bucket) -> None:
    event = bucket.put("photos/2026/group 1+2 é.jpg", KNOWN)
    assert handler.on_upload(event, context()) == {"answered": 1}
    assert bucket.keys() == ["photos/2026/group 1+2 é.jpg", "results/2026/group 1+2 é.jpg.json"]
    found = bucket.read("results/2026/group 1+2 é.jpg.json")
    assert found["predicted_name"] == "Kofi Annan"
    assert [face["predicted_name"] for face in found["faces"]] == ["Kofi Annan"]
    assert found["file"] == "group 1+2 é.jpg"
    etag = event["Records"][0]["s3"]["object"]["eTag"]
    assert found["source"] == {"bucket": bucket.name, "key": "photos/2026/group 1+2 é.jpg", "etag": etag}


def test_repeated_event_is_processed_once(bucket: Bucket) -> None:
    event = bucket.put("photos/a.jpg", KNOWN)
    handler.on_upload(event, context())
    before = bucket.written("results/a.jpg.json")
    assert handler.on_upload(event, context()) == {"done_before": 1}
    assert bucket.written("results/a.jpg.json") == before


class NewerModel(FaceService):
    """Another service with a newer model version."""

    def __init__(self, service: FaceService) -> None:
        self._service = service

    def identify(self, image: bytes, options: IdentifyOptions) -> Identification:
        return replace(self._service.identify(image, options), model=self.model())

    def model(self) -> ModelInfo:
        return ModelInfo("20990101-00000000", self._service.model().people)


class RecordingService(FixedFaces):
    """Remembers the options of each photo."""

    def __init__(self) -> None:
        super().__init__()
        self.options: list[IdentifyOptions] = []

    def identify(self, image: bytes, options: IdentifyOptions) -> Identification:
        self.options.append(options)
        return super().identify(image, options)


def test_strictness_is_that_of_the_deployment(bucket: Bucket) -> None:
    service = RecordingService()
    compose(Settings(strictness=0.1), around(service)).on_upload(bucket.put("photos/a.jpg", KNOWN), context())
    assert service.options == [IdentifyOptions(strictness=None, all_faces=True)]


def test_changed_photo_or_model_is_processed_again(bucket: Bucket) -> None:
    handler.on_upload(bucket.put("photos/a.jpg", STRANGER), context())
    event = bucket.put("photos/a.jpg", KNOWN)
    assert handler.on_upload(event, context()) == {"answered": 1}
    assert bucket.read("results/a.jpg.json")["known"] is True
    newer = compose(Settings(), around(NewerModel(handler.app.services.faces)))
    assert newer.on_upload(event, context()) == {"answered": 1}
    assert bucket.read("results/a.jpg.json")["model"]["version"] == "20990101-00000000"
    assert newer.on_upload(event, context()) == {"done_before": 1}


INVALID_RESULTS = (
    b"",
    b"no JSON",
    b"[]",
    b"{}",
    b'{"source": null, "model": {"version": 1}}',
    b"[" * 100_000,
    b"\xff",
)


@pytest.mark.parametrize("data", INVALID_RESULTS, ids=lambda data: data[:20])
def test_invalid_result_is_replaced(data: bytes, bucket: Bucket) -> None:
    bucket.put("results/a.jpg.json", data)
    assert handler.on_upload(bucket.put("photos/a.jpg", KNOWN), context()) == {"answered": 1}
    assert bucket.read("results/a.jpg.json")["predicted_name"] == "Kofi Annan"


def test_late_event_processes_the_current_photo(bucket: Bucket) -> None:
    old = bucket.put("photos/a.jpg", STRANGER)
    new = bucket.put("photos/a.jpg", KNOWN)
    assert handler.on_upload(old, context()) == {"answered": 1}
    assert bucket.read("results/a.jpg.json")["predicted_name"] == "Kofi Annan"
    assert handler.on_upload(new, context()) == {"done_before": 1}


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"no photo", "unsupported_media_type"), (KNOWN[:5000], "unreadable_image"), (b"", "unsupported_media_type")],
    ids=["no photo", "cut short", "empty"],
)
def test_failure_is_listed_until_the_photo_is_replaced(data: bytes, code: str, bucket: Bucket) -> None:
    assert handler.on_upload(bucket.put("photos/a.jpg", data), context()) == {"failed": 1}
    assert bucket.keys() == ["failures/a.jpg.json", "photos/a.jpg"]
    found = bucket.read("failures/a.jpg.json")
    assert found["error"]["code"] == code
    assert found["source"]["key"] == "photos/a.jpg"
    assert handler.on_upload(bucket.put("photos/a.jpg", KNOWN), context()) == {"answered": 1}
    assert bucket.keys() == ["photos/a.jpg", "results/a.jpg.json"]
    # And in the other direction.
    assert handler.on_upload(bucket.put("photos/a.jpg", data), context()) == {"failed": 1}
    assert bucket.keys() == ["failures/a.jpg.json", "photos/a.jpg"]


def test_size_limit(bucket: Bucket) -> None:
    largest = KNOWN.ljust(MAX_BYTES, b"\0")
    assert handler.on_upload(bucket.put("photos/a.jpg", largest + b"\0"), context()) == {"failed": 1}
    assert bucket.read("failures/a.jpg.json")["error"]["code"] == "too_large"
    assert handler.on_upload(bucket.put("photos/a.jpg", largest), context()) == {"answered": 1}


class FailsOnce(FaceService):
    """Raises an unexpected error for the first photo only."""

    def __init__(self, service: FaceService) -> None:
        self._service = service
        self._errors = iter([ZeroDivisionError("secret")])

    def identify(self, image: bytes, options: IdentifyOptions) -> Identification:
        for error in self._errors:
            raise error
        return self._service.identify(image, options)

    def model(self) -> ModelInfo:
        return self._service.model()


def test_bug_fails_one_photo_only(bucket: Bucket) -> None:
    events = [bucket.put(f"photos/{name}.jpg", data) for name, data in (("a", STRANGER), ("b", KNOWN))]
    both = {"Records": [*events[0]["Records"], *events[1]["Records"]]}
    app = compose(Settings(), around(FailsOnce(handler.app.services.faces)))
    assert app.on_upload(both, context()) == {"failed": 1, "answered": 1}
    error = bucket.read("failures/a.jpg.json")["error"]
    assert error["code"] == "internal"
    assert "secret" not in error["message"]


def test_missing_model_makes_lambda_retry(bucket: Bucket) -> None:
    event = bucket.put("photos/a.jpg", KNOWN)
    with pytest.raises(ModelUnavailable):
        create_app(Settings(model_uri="/nowhere")).on_upload(event, context())
    # The same if it becomes unavailable later.
    with pytest.raises(ModelUnavailable):
        compose(Settings(), fixed(ModelUnavailable("It is gone."))).on_upload(event, context())
    assert bucket.keys() == ["photos/a.jpg"]


def test_s3_errors_make_lambda_retry(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BlobNotFound, match="NoSuchBucket"):
        handler.on_upload(notification("no-such-bucket", "photos/a.jpg", "0", 1), context())
    event = bucket.put("photos/Jane_Roe.jpg", KNOWN)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(StorageUnreachable) as caught:
        handler.on_upload(event, context())
    # Lambda logs the message.
    assert "Roe" not in str(caught.value)
    assert bucket.name not in str(caught.value)


def test_deleted_photo_is_skipped(bucket: Bucket) -> None:
    event = bucket.put("photos/a.jpg", KNOWN)
    bucket.s3.delete_object(Bucket=bucket.name, Key="photos/a.jpg")
    assert handler.on_upload(event, context()) == {"gone": 1}
    assert bucket.keys() == []


@pytest.mark.parametrize("key", ["results/a.jpg.json", "failures/a.jpg.json", "a.jpg", "photos/", "other/photos/a.jpg"])
def test_other_keys_are_ignored(key: str, bucket: Bucket) -> None:
    assert handler.on_upload(bucket.put(key, KNOWN), context()) == {"ignored": 1}
    assert bucket.keys() == [key]


def test_test_event_is_ignored() -> None:
    """S3 sends it when the trigger is set up."""
    assert handler.on_upload({"Service": "Amazon S3", "Event": "s3:TestEvent"}, context()) == {"ignored": 1}


KEY = "photos/2026/group 1+2 é%41.jpg"


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_ways_of_a_notification(wrap: Any, bucket: Bucket) -> None:
    assert handler.on_upload(wrap(bucket.put(KEY, KNOWN)), context()) == {"answered": 1}
    assert bucket.read("results/2026/group 1+2 é%41.jpg.json")["source"]["key"] == KEY
    assert handler.on_upload(wrap(bucket.put(KEY, KNOWN)), context()) == {"done_before": 1}


def test_event_of_eventbridge(bucket: Bucket) -> None:
    etag = bucket.put(KEY, KNOWN)["Records"][0]["s3"]["object"]["eTag"]
    event = bridged(bucket.name, KEY, etag)
    assert handler.on_upload(in_queue(event, bridged(bucket.name, KEY, etag, "Object Deleted")), context()) == {
        "answered": 1,
        "ignored": 1,
    }
    assert handler.on_upload(event, context()) == {"done_before": 1}
    assert bucket.read("results/2026/group 1+2 é%41.jpg.json")["source"]["key"] == KEY


@pytest.mark.parametrize(
    "event", [{}, {"Records": []}, None, [], {"source": "aws.ec2", "detail-type": "x", "detail": {}}]
)
def test_event_of_another_source_fails(event: Any, lines: Any) -> None:
    app = compose(Settings(), handler.app.services)
    with pytest.raises(BadRequest, match="not complete notifications from S3"):
        app.on_upload(event, context())
    assert [line["photos"] for line in lines() if "photos" in line] == [{"refused": 1}]


def test_wrong_messages_of_a_queue_do_not_hold_up_the_others(bucket: Bucket) -> None:
    """Lambda gives the whole batch back to the queue, which gives up on it in the end."""
    event = in_queue({"name": "Jane_Roe"}, bucket.put("photos/Jane_Roe.jpg", KNOWN))
    with pytest.raises(BadRequest) as caught:
        handler.on_upload(event, context())
    assert "Roe" not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"
    assert bucket.read("results/Jane_Roe.jpg.json")["predicted_name"] == "Kofi Annan"


def test_log_and_metrics_contain_no_personal_data(bucket: Bucket, lines: Any) -> None:
    app = compose(Settings(), handler.app.services)
    for data in (KNOWN, b"no photo"):
        app.on_upload(bucket.put("photos/Jane_Roe.jpg", data), context())
    found = lines()
    counts = [line["photos"] for line in found if line.get("message") == "worked through"]
    assert counts == [{"answered": 1}, {"failed": 1}]
    assert [line["Requests"] for line in found if "_aws" in line] == [[1.0], [1.0]]
    printed = json.dumps(found, ensure_ascii=False)
    assert '"Known"' in printed
    for word in ("Roe", "Kofi", "Annan", bucket.name):
        assert word not in printed


def test_in_the_lambda_emulator(bucket: Bucket, tmp_path: Path) -> None:
    function = Emulator(tmp_path / "log", handler="handler.on_upload", MODEL_URI="")
    try:
        assert function.answer(bucket.put("photos/a.jpg", KNOWN)) == {"answered": 1}
        failed = function.answer(notification("no-such-bucket", "photos/a.jpg", "0", 1))
        assert "NoSuchBucket" in failed["errorMessage"]
    finally:
        function.close()
    assert bucket.read("results/a.jpg.json")["predicted_name"] == "Kofi Annan"
