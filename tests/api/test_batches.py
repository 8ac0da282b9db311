"""Batches of photos and people in a bucket, as a state machine sends them to `on_batch`, with a local S3 API."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Iterator

import pytest

import handler
from api.batch_source import Source
from api.batches import RESERVE_MS, BatchFailed, BatchUnfinished
from api.bucket_photos import MAX_BYTES
from api.errors import BadRequest
from app import App, compose, create_app, open_bucket
from service.errors import Conflict, ModelUnavailable, ReadOnly, UnknownCollection
from service.results import Identification, IdentifyOptions
from settings import Settings
from storage.blobs import Blob, BlobStore
from storage.errors import BlobNotFound, StorageRefused, StorageUnreachable
from storage.folder import FolderBlobs
from storage.live import LiveModel
from testing.emulator import Emulator
from testing.paths import SAMPLES
from testing.servers import free_port
from testing.wrapped_blobs import WrappedBlobs
from tests.api.buckets import S3Bucket, new_bucket
from tests.services import FixedFaces, around, fixed

KOFI, SERENA, TONY = (
    (SAMPLES / f"{name}.jpg").read_bytes() for name in ("Kofi_Annan_0006", "Serena_Williams_0006", "Tony_Blair_0007")
)
STRANGER = (SAMPLES / "astronaut.jpg").read_bytes()
NUMBERS = itertools.count()
NOT_AN_IMAGE = "The file is not an image that can be read here: JPEG, PNG, WebP, GIF, HEIC or AVIF."
ENOUGH = 10 * RESERVE_MS


class Bucket(S3Bucket):
    def put(self, key: str, data: bytes) -> dict[str, Any]:
        """Upload an object. -> its entry in a listing, as Step Functions passes it on."""
        etag = self.upload(key, data)
        return {"Etag": etag, "Key": key, "LastModified": 1796071222, "Size": len(data), "StorageClass": "STANDARD"}

    def lines(self, run: str = "r") -> list[dict[str, Any]]:
        """Read the lines of a run."""
        texts = [self.content(key) for key in self.keys(f"results/{run}/")]
        return [json.loads(line) for text in texts for line in text.splitlines()]

    def batch(self, *items: dict[str, Any], task: str = "classify", run: str = "r", attempt: int = 0) -> dict[str, Any]:
        given = {"task": task, "bucket": self.name, "run": run, "collection": ""}
        return {"BatchInput": given, "Items": list(items), "Attempt": attempt}


def context(*milliseconds: int) -> Any:
    """The context of an event. milliseconds: time left, at each question; the last one is repeated."""
    left = itertools.chain(milliseconds, itertools.repeat(milliseconds[-1] if milliseconds else ENOUGH))
    return SimpleNamespace(aws_request_id=f"request-{next(NUMBERS)}", get_remaining_time_in_millis=lambda: next(left))


@pytest.fixture()
def bucket(s3_environment: dict[str, str]) -> Iterator[Bucket]:
    with new_bucket(Bucket) as found:
        yield found


def test_results_of_a_batch(bucket: Bucket) -> None:
    items = [
        bucket.put("2026/a.jpg", KOFI),
        bucket.put("2026/b.jpg", STRANGER),
        bucket.put("2026/broken.jpg", KOFI[:5000]),
        bucket.put("2026/notes.txt", b"text"),
    ]
    assert handler.on_batch(bucket.batch(*items), context()) == {"answered": 2, "failed": 1, "skipped": 1}
    (key,) = bucket.keys("results/")
    assert key.startswith("results/r/")
    assert key.endswith(".jsonl")
    kofi, stranger, broken = bucket.lines()
    assert kofi["predicted_name"] == "Kofi Annan"
    assert [face["predicted_name"] for face in kofi["faces"]] == ["Kofi Annan"]
    assert kofi["file"] == "a.jpg"
    assert kofi["source"] == {"bucket": bucket.name, "key": "2026/a.jpg", "etag": items[0]["Etag"].strip('"')}
    assert stranger["known"] is False
    assert broken["error"]["code"] == "unreadable_image"
    assert broken["source"]["key"] == "2026/broken.jpg"
    assert bucket.keys("runs/") == []


def test_repeated_batch_is_processed_once(bucket: Bucket) -> None:
    batch = bucket.batch(bucket.put("a.jpg", KOFI), bucket.put("b.jpg", b"no photo"))
    handler.on_batch(batch, context())
    (key,) = bucket.keys("results/")
    before = bucket.content(key)
    assert handler.on_batch({**batch, "Attempt": 2}, context()) == {"done_before": 2}
    assert bucket.content(key) == before
    # Another run, another photo and another collection are other batches.
    assert handler.on_batch(bucket.batch(*batch["Items"], run="second"), context()) == {"answered": 1, "failed": 1}
    changed = bucket.batch(bucket.put("a.jpg", STRANGER), batch["Items"][1])
    assert handler.on_batch(changed, context()) == {"answered": 1, "failed": 1}
    other = bucket.batch(*changed["Items"])
    other["BatchInput"]["collection"] = "lfw"
    assert handler.on_batch(other, context()) == {"answered": 1, "failed": 1}
    assert len(bucket.keys("results/r/")) == 3


def test_photos_and_other_objects(bucket: Bucket) -> None:
    read = ["photo", "a/b.c/photo", "A.JPG", "a.jpeg", "a.webp", "a.heic"]
    skipped = ["a.txt", "a.jpg.json", "folder.jpg/", "a.MOV", "results/a.jpg", "failures/a.jpg", "runs/a.jpg", "a."]
    items = [bucket.put(key, KOFI) for key in (*read, *skipped)]
    counts = handler.on_batch(bucket.batch(*items), context())
    assert counts == {"answered": len(read) + 1, "skipped": len(skipped) - 1}  # "a." has no ending


def test_batch_without_photos_leaves_nothing(bucket: Bucket) -> None:
    items = [bucket.put(f"{number}.txt", b"") for number in range(3)]
    assert handler.on_batch(bucket.batch(*items), context()) == {"skipped": 3}
    assert bucket.keys("results/") == bucket.keys("runs/") == []


KEYS = {
    "spaces": "a b  c .jpg",
    "plus and percent": "a+b%20c%.jpg",
    "Unicode": "é/日本語/\U0001f600 \u2028.jpg",
    "tab": "a\tb.jpg",
    "quotes and backslash": "a\"b'c\\d<&>#?;=.jpg",
    "1,024 bytes": "é" * 510 + ".jpg",
    "slashes": "/a//b.jpg",
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_keys_of_any_characters(key: str, bucket: Bucket) -> None:
    item = bucket.put(key, KOFI)
    assert handler.on_batch(bucket.batch(item), context()) == {"answered": 1}
    (result,) = bucket.keys("results/")
    assert bucket.content(result).count(b"\n") == 1
    assert bucket.content(result).isascii()
    (line,) = bucket.lines()
    assert (line["predicted_name"], line["source"]["key"]) == ("Kofi Annan", key)


def test_key_with_line_breaks(tmp_path: Path) -> None:
    """The local S3 has no such keys, but a folder has."""
    folder = FolderBlobs(tmp_path / "bucket")
    etag = folder.put("a\r\nb.jpg", KOFI)
    item = {"Key": "a\r\nb.jpg", "Etag": etag, "Size": len(KOFI)}
    app = compose(Settings(metrics=False), handler.app.services, lambda _: folder)
    assert app.on_batch(Bucket(None, "bucket").batch(item), context()) == {"answered": 1}
    (result,) = folder.list("results/")
    (line,) = folder.get(result.key).data.splitlines()
    assert json.loads(line)["source"]["key"] == "a\r\nb.jpg"


@pytest.mark.parametrize("key", ["a/../b.jpg", "./a.jpg", "a\0.jpg", "\ud800.jpg"])
def test_keys_that_cannot_be_read(key: str, bucket: Bucket) -> None:
    good = bucket.put("good.jpg", KOFI)
    assert handler.on_batch(bucket.batch({**good, "Key": key}, good), context()) == {"failed": 1, "answered": 1}
    assert bucket.lines()[0]["error"]["code"] == "bad_key"


def test_photos_that_are_not_read(bucket: Bucket) -> None:
    good = bucket.put("good.jpg", KOFI)
    gone = bucket.put("gone.jpg", KOFI)
    bucket.s3.delete_object(Bucket=bucket.name, Key="gone.jpg")
    large = {**good, "Key": "large.jpg", "Size": MAX_BYTES + 1}
    archived = {**good, "Key": "old.jpg", "StorageClass": "DEEP_ARCHIVE"}
    assert handler.on_batch(bucket.batch(gone, large, archived, good), context()) == {"failed": 3, "answered": 1}
    codes = [line["error"]["code"] for line in bucket.lines() if "error" in line]
    assert codes == ["gone", "too_large", "archived"]


def test_replaced_photo(bucket: Bucket) -> None:
    item = bucket.put("a.jpg", STRANGER)
    etag = bucket.put("a.jpg", KOFI)["Etag"].strip('"')
    handler.on_batch(bucket.batch(item), context())
    (line,) = bucket.lines()
    assert (line["predicted_name"], line["source"]["etag"]) == ("Kofi Annan", etag)


class Refusing(WrappedBlobs):
    """S3 refuses some objects, such as those that are encrypted with a key of somebody else."""

    def __init__(self, wrapped: BlobStore, *keys: str) -> None:
        super().__init__(wrapped)
        self._keys = keys

    def get(self, key: str, limit: int | None = None, deadline: float | None = None) -> Blob:
        if key in self._keys:
            raise StorageRefused(f"S3 denies {key}.", "S3 denies access (AccessDenied)")
        return super().get(key, limit, deadline)


def test_refused_photos(bucket: Bucket) -> None:
    items = [bucket.put(key, KOFI) for key in ("Jane_Roe.jpg", "b.jpg")]

    def refusing(*keys: str) -> App:
        return compose(Settings(metrics=False), handler.app.services, lambda name: Refusing(open_bucket(name), *keys))

    # Without any right, no result is better than one line for each photo.
    for attempt in range(2):
        with pytest.raises(StorageRefused, match="AccessDenied") as caught:
            refusing("Jane_Roe.jpg", "b.jpg").on_batch(bucket.batch(*items, attempt=attempt), context())
        assert "Roe" not in str(caught.value)
        assert bucket.keys("results/") == bucket.keys("runs/") == []
    assert refusing("Jane_Roe.jpg").on_batch(bucket.batch(*items), context()) == {"failed": 1, "answered": 1}
    assert bucket.lines()[0]["error"]["code"] == "refused"


def test_time_that_is_up(bucket: Bucket) -> None:
    items = [bucket.put(f"{number}.jpg", KOFI) for number in range(4)]
    batch = bucket.batch(*items)
    with pytest.raises(BatchUnfinished):
        handler.on_batch(batch, context(ENOUGH, RESERVE_MS))
    assert bucket.keys("results/") == []
    assert len(json.loads(bucket.content(*bucket.keys("runs/")))["answers"]) == 2
    # Each attempt processes one photo at least.
    with pytest.raises(BatchUnfinished):
        handler.on_batch(batch, context(0))
    assert handler.on_batch(batch, context(0)) == {"answered": 4}
    assert [line["source"]["key"] for line in bucket.lines()] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert bucket.keys("runs/") == []


class Trouble(FixedFaces):
    """Raises an error for one of the photos."""

    def __init__(self, error: BaseException, number: int) -> None:
        super().__init__()
        self.raised, self.number, self.calls = error, number, 0

    def identify(self, image: bytes, options: IdentifyOptions) -> Identification:
        self.calls += 1
        if self.calls == self.number:
            raise self.raised
        return super().identify(image, options)


@pytest.mark.parametrize("error", [ModelUnavailable("It is gone."), StorageUnreachable("S3 is down.")])
def test_transient_error_keeps_the_work(error: Exception, bucket: Bucket) -> None:
    batch = bucket.batch(*(bucket.put(f"{number}.jpg", KOFI) for number in range(3)))
    with pytest.raises(type(error)):
        compose(Settings(), around(Trouble(error, 3))).on_batch(batch, context())
    faces = Trouble(error, 0)
    assert compose(Settings(), around(faces)).on_batch({**batch, "Attempt": 1}, context()) == {"answered": 3}
    assert faces.calls == 1
    assert bucket.keys("runs/") == []


class Killed(BaseException):
    """Ends the attempt as a crash ends the runtime: nothing is written after it."""


def test_photo_that_ends_the_runtime_every_time(bucket: Bucket) -> None:
    batch = bucket.batch(*(bucket.put(f"{number}.jpg", KOFI) for number in range(3)))
    for attempt, number in ((0, 2), (1, 2), (2, 1)):
        with pytest.raises(Killed):
            compose(Settings(), around(Trouble(Killed(), number))).on_batch({**batch, "Attempt": attempt}, context())
    faces = Trouble(Killed(), 0)
    # A run that is resumed begins to count anew.
    counts = compose(Settings(), around(faces)).on_batch({**batch, "Attempt": 0}, context())
    assert counts == {"answered": 2, "failed": 1}
    assert faces.calls == 1
    assert [line.get("error", {}).get("code") for line in bucket.lines()] == [None, "gave_up", None]
    assert bucket.keys("runs/") == []


def test_photo_that_ends_the_runtime_once(bucket: Bucket) -> None:
    batch = bucket.batch(*(bucket.put(f"{number}.jpg", KOFI) for number in range(2)))
    with pytest.raises(Killed):
        compose(Settings(), around(Trouble(Killed(), 2))).on_batch({**batch, "Attempt": 1}, context())
    assert handler.on_batch({**batch, "Attempt": 2}, context()) == {"answered": 2}


def test_bug_fails_one_photo_only(bucket: Bucket) -> None:
    batch = bucket.batch(*(bucket.put(f"{number}.jpg", KOFI) for number in range(2)))
    app = compose(Settings(), around(Trouble(ZeroDivisionError("secret"), 1)))
    assert app.on_batch(batch, context()) == {"failed": 1, "answered": 1}
    error = bucket.lines()[0]["error"]
    assert error["code"] == "internal"
    assert "secret" not in error["message"]


DAMAGED = (b"", b"no JSON", b"[]", b"{}", b'{"answers": 1, "begun": 0}', b"[" * 100_000, b"\xff")


@pytest.mark.parametrize("data", DAMAGED, ids=lambda data: data[:20])
def test_damaged_progress_is_ignored(data: bytes, bucket: Bucket) -> None:
    batch = bucket.batch(bucket.put("a.jpg", KOFI), bucket.put("b.jpg", KOFI))
    with pytest.raises(BatchUnfinished):
        handler.on_batch(batch, context(0))
    (key,) = bucket.keys("runs/")
    bucket.put(key, data)
    assert handler.on_batch(batch, context()) == {"answered": 2}


def test_missing_model_and_bucket(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = bucket.batch(bucket.put("Jane_Roe.jpg", KOFI))
    with pytest.raises(ModelUnavailable):
        create_app(Settings(model_uri="/nowhere")).on_batch(batch, context())
    nowhere = {**batch, "BatchInput": {**batch["BatchInput"], "bucket": "no-such-bucket"}}
    with pytest.raises(BlobNotFound, match="NoSuchBucket"):
        handler.on_batch(nowhere, context())
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(StorageUnreachable) as caught:
        handler.on_batch(batch, context())
    assert "Roe" not in str(caught.value)
    assert bucket.name not in str(caught.value)


def test_unknown_collection_fails_the_batch(bucket: Bucket) -> None:
    batch = bucket.batch(bucket.put("a.jpg", KOFI))
    batch["BatchInput"]["collection"] = "nobody"
    with pytest.raises(UnknownCollection):
        handler.on_batch(batch, context())
    assert bucket.keys("results/") == []


GIVEN = {"task": "classify", "bucket": "b", "run": "r", "collection": ""}
ITEM = {"Key": "Jane_Roe.jpg", "Etag": '"0"', "Size": 1}
WRONG: dict[str, Any] = {
    "no batch": {},
    "a list": [],
    "null": None,
    "a notification": {"Records": []},
    "no items": {"BatchInput": GIVEN, "Attempt": 0},
    "no attempt": {"BatchInput": GIVEN, "Items": [ITEM]},
    "another task": {"BatchInput": {**GIVEN, "task": "delete"}, "Items": [ITEM], "Attempt": 0},
    "a task that is no text": {"BatchInput": {**GIVEN, "task": []}, "Items": [ITEM], "Attempt": 0},
    "a run elsewhere": {"BatchInput": {**GIVEN, "run": "../photos"}, "Items": [ITEM], "Attempt": 0},
    "no run": {"BatchInput": {**GIVEN, "run": None}, "Items": [ITEM], "Attempt": 0},
    "a bucket that is no text": {"BatchInput": {**GIVEN, "bucket": 1}, "Items": [ITEM], "Attempt": 0},
    "a collection that cannot exist": {"BatchInput": {**GIVEN, "collection": "a b"}, "Items": [ITEM], "Attempt": 0},
    "a collection that is no text": {"BatchInput": {**GIVEN, "collection": 5}, "Items": [ITEM], "Attempt": 0},
    "an item that is no object": {"BatchInput": GIVEN, "Items": ["Jane_Roe.jpg"], "Attempt": 0},
    "an item without size": {"BatchInput": GIVEN, "Items": [{**ITEM, "Size": "large"}], "Attempt": 0},
    "a key that is no text": {"BatchInput": GIVEN, "Items": [{**ITEM, "Key": 5}], "Attempt": 0},
    "a folder that is none": {"BatchInput": {**GIVEN, "task": "enrol"}, "Items": [{"Folder": "a"}], "Attempt": 0},
}


@pytest.mark.parametrize("event", WRONG.values(), ids=WRONG)
def test_event_of_another_form(event: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        handler.on_batch(event, context())
    assert "Roe" not in str(caught.value)


def test_log_contains_no_personal_data(bucket: Bucket, lines: Callable[[], list[dict[str, Any]]]) -> None:
    app = compose(Settings(), handler.app.services)
    app.on_batch(bucket.batch(bucket.put("Jane_Roe.jpg", KOFI), bucket.put("b.jpg", b"no photo")), context())
    found = lines()
    assert [line["photos"] for line in found if line.get("message") == "worked through"] == [
        {"answered": 1, "failed": 1}
    ]
    assert [line["Requests"] for line in found if "_aws" in line] == [[1.0], [1.0]]
    printed = json.dumps(found, ensure_ascii=False)
    for word in ("Roe", "Kofi", "Annan", bucket.name):
        assert word not in printed


def test_bug_outside_of_a_photo(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    def broken(self: Source, key: str, size: int = 0, storage: str = "") -> Blob:
        raise KeyError(key)

    monkeypatch.setattr(Source, "read", broken)
    with pytest.raises(BatchFailed) as caught:
        compose(Settings(), fixed()).on_batch(bucket.batch(bucket.put("Jane_Roe.jpg", KOFI)), context())
    assert "Roe" not in str(caught.value)
    (line,) = [line for line in lines() if line.get("message") == "bug"]
    assert line["error"] == "KeyError"
    assert "Roe" not in json.dumps(line)


def test_in_the_lambda_emulator(bucket: Bucket, tmp_path: Path) -> None:
    function = Emulator(tmp_path / "log", handler="handler.on_batch", MODEL_URI="")
    try:
        batch = bucket.batch(bucket.put("a.jpg", KOFI))
        assert function.answer(batch) == {"answered": 1}
        assert function.answer(batch) == {"done_before": 1}
        failed = function.answer({"BatchInput": {}})
        assert failed["errorType"] == "BadRequest"  # the state machines do not try it again
    finally:
        function.close()
    assert bucket.lines()[0]["predicted_name"] == "Kofi Annan"


class TestPeople:
    """Folders of people."""

    @pytest.fixture()
    def app(self, live: LiveModel, tmp_path: Path) -> App:
        return create_app(Settings(gallery_uri=str(tmp_path / "galleries"), metrics=False), live)

    def people(self, app: App) -> dict[str, int]:
        return {person.name: person.faces for person in app.services.people.people("people").people}

    def batch(self, bucket: Bucket, *folders: str, **more: Any) -> dict[str, Any]:
        return bucket.batch(*({"Folder": folder} for folder in folders), task="enrol", **more)

    def test_enrol(self, app: App, bucket: Bucket) -> None:
        bucket.put("people/Kofi Annan/1.jpg", KOFI)
        bucket.put("people/Kofi Annan/notes.txt", b"text")
        bucket.put("people/Kofi Annan/old/2.jpg", STRANGER)
        bucket.put("people/ Se\u0301re\u0301na  /a.jpg", SERENA)
        bucket.put("people/ Se\u0301re\u0301na  /b.jpg", b"no photo")
        bucket.put("people/Nobody/1.jpg", b"no photo")
        bucket.put("people/Empty/notes.txt", b"")
        folders = [f"people/{name}/" for name in ("Kofi Annan", " Se\u0301re\u0301na  ", "Nobody", "Empty", "a\x07")]
        assert app.on_batch(self.batch(bucket, *folders), context()) == {"answered": 2, "failed": 3}
        assert self.people(app) == {"Kofi Annan": 1, "S\u00e9r\u00e9na": 1}
        kofi, serena, nobody, empty, bad = bucket.lines()
        assert (kofi["id"], kofi["name"], kofi["added"], len(kofi["faces"])) == (0, "Kofi Annan", True, 1)
        assert kofi["source"] == {"bucket": bucket.name, "folder": "people/Kofi Annan/"}
        assert serena["skipped"] == [{"file": "b.jpg", "reason": "unreadable", "message": NOT_AN_IMAGE}]
        assert nobody["error"]["code"] == "unreadable_image"
        assert nobody["skipped"] == [{"file": "1.jpg", "reason": "unreadable", "message": NOT_AN_IMAGE}]
        assert (empty["error"]["code"], bad["error"]["code"]) == ("no_photos", "bad_name")

    def test_repetition_enrols_nobody_twice(self, app: App, bucket: Bucket) -> None:
        bucket.put("people/A/1.jpg", KOFI)
        bucket.put("people/B/1.jpg", SERENA)
        folders = ("people/A/", "people/B/")
        app.on_batch(self.batch(bucket, *folders), context())
        assert app.on_batch(self.batch(bucket, *folders), context()) == {"done_before": 2}
        before = app.services.galleries.find("people")
        # Another run finds the photos by their digests.
        assert app.on_batch(self.batch(bucket, *folders, run="second"), context()) == {"answered": 2}
        assert app.services.galleries.find("people") == before
        assert [(line["name"], line["added"]) for line in bucket.lines("second")] == [("A", False), ("B", False)]
        bucket.put("people/A/2.jpg", STRANGER)
        assert app.on_batch(self.batch(bucket, *folders, run="third"), context()) == {"answered": 2}
        assert self.people(app) == {"A": 2, "B": 1}

    def test_one_commit_for_a_batch(self, app: App, bucket: Bucket, tmp_path: Path) -> None:
        for name, photo in (("A", KOFI), ("B", SERENA), ("C", TONY)):
            bucket.put(f"people/{name}/1.jpg", photo)
        app.on_batch(self.batch(bucket, "people/A/", "people/B/", "people/C/"), context())
        assert len(list((tmp_path / "galleries/people/segments").iterdir())) == 1

    def test_at_most_twenty_photos_of_a_person(self, app: App, bucket: Bucket) -> None:
        for number in range(21):
            bucket.put(f"people/A/{number:02}.jpg", KOFI if number == 19 else SERENA if number == 20 else b"no photo")
        assert app.on_batch(self.batch(bucket, "people/A/"), context()) == {"answered": 1}
        (line,) = bucket.lines()
        assert (len(line["faces"]), len(line["skipped"]), line["more_photos"]) == (1, 19, True)

    def test_photos_that_cannot_be_read(self, app: App, bucket: Bucket) -> None:
        for key in ("1.jpg", "2.jpg"):
            bucket.put(f"people/A/{key}", KOFI)
        refusing = compose(
            Settings(metrics=False), app.services, lambda name: Refusing(open_bucket(name), "people/A/1.jpg")
        )
        assert refusing.on_batch(self.batch(bucket, "people/A/"), context()) == {"answered": 1}
        assert bucket.lines()[0]["skipped"] == [{"file": "1.jpg", "reason": "refused"}]

    def test_no_right_to_read(self, app: App, bucket: Bucket) -> None:
        for name in "AB":
            bucket.put(f"people/{name}/1.jpg", KOFI)
        refusing = compose(
            Settings(metrics=False),
            app.services,
            lambda name: Refusing(open_bucket(name), "people/A/1.jpg", "people/B/1.jpg"),
        )
        with pytest.raises(StorageRefused, match="AccessDenied"):
            refusing.on_batch(self.batch(bucket, "people/A/", "people/B/"), context())
        assert app.on_batch(self.batch(bucket, "people/A/", "people/B/"), context()) == {"answered": 2}

    def test_two_folders_with_one_name(self, app: App, bucket: Bucket) -> None:
        bucket.put("people/A/1.jpg", KOFI)
        bucket.put("people/A /1.jpg", STRANGER)
        assert app.on_batch(self.batch(bucket, "people/A/", "people/A /"), context()) == {"answered": 2}
        assert self.people(app) == {"A": 2}

    def test_time_that_is_up(self, app: App, bucket: Bucket) -> None:
        for name, photo in (("A", KOFI), ("B", SERENA), ("C", TONY)):
            bucket.put(f"people/{name}/1.jpg", photo)
        batch = self.batch(bucket, "people/A/", "people/B/", "people/C/")
        with pytest.raises(BatchUnfinished):
            app.on_batch(batch, context(ENOUGH, 0))
        assert self.people(app) == {"A": 1, "B": 1}
        assert app.on_batch({**batch, "Attempt": 1}, context(0)) == {"answered": 3}
        assert self.people(app) == {"A": 1, "B": 1, "C": 1}
        assert bucket.keys("runs/") == []

    def test_conflict_is_repeated(self, app: App, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        bucket.put("people/A/1.jpg", KOFI)
        batch = self.batch(bucket, "people/A/")

        def conflict(*_: Any, **__: Any) -> Any:
            raise Conflict("Others change this collection at the same time: try again.")

        with monkeypatch.context() as patch:
            patch.setattr(app.services.galleries, "commit", conflict)
            with pytest.raises(Conflict):
                app.on_batch(batch, context())
        assert app.on_batch({**batch, "Attempt": 1}, context()) == {"answered": 1}

    def test_person_who_ends_the_runtime_every_time(
        self, app: App, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, photo in (("A", KOFI), ("B", SERENA)):
            bucket.put(f"people/{name}/1.jpg", photo)
        batch = self.batch(bucket, "people/A/", "people/B/")
        read = Source.read

        def killed(self: Source, key: str, size: int = 0, storage: str = "") -> Any:
            if key.startswith("people/A/"):
                raise Killed
            return read(self, key, size, storage)

        monkeypatch.setattr(Source, "read", killed)
        for attempt in range(3):
            with pytest.raises(Killed):
                app.on_batch({**batch, "Attempt": attempt}, context())
        assert app.on_batch({**batch, "Attempt": 3}, context()) == {"failed": 1, "answered": 1}
        assert bucket.lines()[0]["error"]["code"] == "gave_up"
        assert self.people(app) == {"B": 1}

    def test_no_place_for_people(self, bucket: Bucket) -> None:
        bucket.put("people/A/1.jpg", KOFI)
        with pytest.raises(ReadOnly):
            handler.on_batch(self.batch(bucket, "people/A/"), context())
