"""What the handler answers while the model's source fails, and how it recovers: a real S3 API behind a faulty proxy."""

from __future__ import annotations

import json
import re
import resource
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Iterator

import boto3
import model.current
from model.current import REFRESH, RETRY, in_background
from model.recognizer import FORMAT, load_script
from model.s3 import SERVING, Patience
from model.store import BUNDLED, FILE, POINTER, Copies, Pointer, fetch

from app import create_app
from settings import Settings
from testing.events import request
from testing.servers import free_port
from tests.faulty import Proxy, cuts, drips, meanwhile, refuses, running, says, stalls
from training.store import save_version

BUCKET = "faulty"
URI = f"s3://{BUCKET}/faces"
HURRIED = Patience(connect=1, read=0.6, attempts=2, total=3)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Place:
    """Where models are published, and the way there."""

    def __init__(self, s3: Any, proxy: Proxy) -> None:
        self.proxy, self._s3 = proxy, s3

    def point(self, text: bytes) -> None:
        self._s3.put_object(Bucket=BUCKET, Key=f"faces/{POINTER}", Body=text)

    def publish(self, models: str) -> str:
        """Its version, from now on the current one."""
        pointer = fetch(models)[1]
        self.point(pointer.to_json().encode())
        return pointer.version

    def withdraw(self) -> None:
        self._s3.delete_object(Bucket=BUCKET, Key=f"faces/{POINTER}")


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with another version of the bundled model."""
    return written(tmp_path_factory.mktemp("newer"), threshold=0.9)


def written(folder: Path, **config: Any) -> str:
    script, found, people = load_script(fetch(BUNDLED)[0])
    save_version(script, replace(found, **config), people, folder, "")
    return str(folder)


@pytest.fixture(scope="module")
def s3(s3_server: str, newer: str) -> Any:
    """A client that takes the way around the proxy. Both models are there, and nothing points to them."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=s3_server, **keys)
    client.create_bucket(Bucket=BUCKET)
    for models in (BUNDLED, newer):
        path, pointer = fetch(models)
        client.upload_file(str(path), BUCKET, f"faces/{pointer.file}")
    return client


@pytest.fixture()
def place(s3: Any, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Place]:
    """The bundled model, published behind the proxy; a temp folder of its own; little patience."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(model.current, "SERVING", HURRIED)
    with running(Proxy(s3_environment["AWS_ENDPOINT_URL"])) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        found = Place(s3, proxy)
        found.publish(BUNDLED)
        yield found


class Runtime:
    """The function, from INIT on, as Lambda would start it."""

    def __init__(self, uri: str, monkeypatch: pytest.MonkeyPatch, begin: Callable[..., None]) -> None:
        monkeypatch.setenv("MODEL_URI", uri)
        self.clock = Clock()
        monkeypatch.setattr(model.current.CurrentModel.__init__, "__defaults__", (self.clock, begin))
        self.app = create_app(Settings.from_env())

    def health(self) -> tuple[int, str]:
        """Status, and the model's version or what is wrong."""
        answer = self.app.handle(request("GET", "/health"), SimpleNamespace(aws_request_id="request-1"))
        body = json.loads(answer["body"])
        if answer["statusCode"] == 200:
            return 200, body["model"]["version"]
        assert body["error"]["code"] == "model_unavailable"
        assert answer["multiValueHeaders"]["Retry-After"] == [str(RETRY)]
        return answer["statusCode"], body["error"]["message"]


Start = Callable[..., Runtime]


@pytest.fixture()
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    """What goes on beside the requests is done at once, unless `begin` is another."""
    return lambda uri=URI, begin=lambda work: work(): Runtime(uri, monkeypatch, begin)


@pytest.fixture()
def down(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on nothing listens where S3 was."""
    return lambda: monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")


@pytest.fixture()
def up(place: Place, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setenv("AWS_ENDPOINT_URL", place.proxy.url)


OLD = fetch(BUNDLED)[1].version
NEVER = 30  # seconds, longer than anybody waits
HTML = b"<!doctype html><title>Sign in</title>"

FAULTS = {
    "stall at the pointer": (POINTER, stalls(NEVER), "cannot be reached"),
    "stall in the pointer": (POINTER, stalls(NEVER, after=50), "cannot be reached"),
    "pointer cut": (POINTER, cuts(50), "cannot be reached"),
    "forbidden": (POINTER, refuses(403, "AccessDenied"), "not let the service read it"),
    "no bucket": (POINTER, refuses(404, "NoSuchBucket"), "no such bucket"),
    "no model": (POINTER, refuses(404, "NoSuchKey"), "publish it first"),
    "S3's own trouble": (POINTER, refuses(500, "InternalError"), "trouble of its own .InternalError"),
    "too many requests": (POINTER, refuses(503, "SlowDown"), "trouble of its own .SlowDown"),
    "a gateway's page": (POINTER, says(502, HTML), "trouble of its own"),
    "a page that says no": (POINTER, says(403, b"<html><b>no</b></html>"), "S3 says no .403"),
    "not quite S3": (POINTER, says(403, b"<Error><Code><i/></Code></Error>"), "S3 says no .403"),
    "a login page": (POINTER, says(200, HTML), "not a pointer"),
    "elsewhere, for ever": (POINTER, says(301, Location="http://127.0.0.1/"), "S3 says no .301"),
    "a pointer without end": (POINTER, says(200, bytes(100_000)), "larger than it should be"),
    "no such version": (FILE, refuses(404, "NoSuchKey"), "publish it first"),
    "stall at the model": (FILE, stalls(NEVER), "cannot be reached"),
    "stall in the model": (FILE, stalls(NEVER, after=10_000_000), "cannot be reached"),
    "model too slow": (FILE, drips(2_000_000), "too slowly"),
    "model cut": (FILE, cuts(10_000_000), "cannot be reached"),
    "model truncated": (FILE, says(200, bytes(1000)), "checksum differs"),
    "model swapped": (FILE, says(200, bytes(fetch(BUNDLED)[1].bytes)), "checksum differs"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_503_until_it_is_over(place: Place, start: Start, tmp_path: Path, name: str) -> None:
    path, fault, sentence = FAULTS[name]
    place.proxy.faults[path] = fault
    runtime = start()
    status, message = runtime.health()
    assert status == 503
    assert re.search(rf"{sentence}.*\.$", message), message
    assert list(tmp_path.iterdir()) == []
    place.proxy.faults.clear()
    runtime.clock.now += RETRY
    assert runtime.health() == (200, OLD)


def test_down_at_init_and_up_again(
    place: Place, start: Start, down: Callable[[], None], up: Callable[[], None]
) -> None:
    down()
    runtime = start()
    assert runtime.health() == (503, "The model cannot be fetched: S3 cannot be reached (NewConnectionError).")
    up()
    runtime.clock.now += RETRY
    assert runtime.health() == (200, OLD)


def test_a_bucket_that_stalls_is_given_up_in_time(place: Place, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the patience that serves. A fault that lasts is met at INIT, for which Lambda has 10 s."""
    monkeypatch.setattr(model.current, "SERVING", SERVING)
    place.proxy.faults[FILE] = stalls(NEVER, after=10_000_000)
    started = time.monotonic()
    assert start().health()[0] == 503
    assert time.monotonic() - started < 6
    attempts = SERVING.attempts * (SERVING.connect + SERVING.read) + 1  # the pause between two
    assert attempts < 8


def test_a_failure_is_remembered_for_a_while(place: Place, start: Start) -> None:
    """No request waits for S3 where one has just done so in vain."""
    place.withdraw()
    runtime = start()
    place.publish(BUNDLED)
    asked = len(place.proxy.asked)
    first = runtime.health()
    runtime.clock.now += RETRY - 0.1
    assert runtime.health() == first
    assert first[0] == 503
    assert len(place.proxy.asked) == asked
    runtime.clock.now += 0.1
    assert runtime.health() == (200, OLD)


def test_a_clock_that_is_set_back_does_not_make_it_wait(place: Place, start: Start) -> None:
    place.withdraw()
    runtime = start()
    place.publish(BUNDLED)
    runtime.clock.now -= 1e6
    assert runtime.health() == (200, OLD)


def test_a_pointer_from_the_future(place: Place, start: Start) -> None:
    pointer = replace(fetch(BUNDLED)[1], created="2999-01-01T00:00:00+00:00")
    place.point(pointer.to_json().encode())
    assert start().health() == (200, OLD)


def test_fields_that_a_later_publisher_adds(place: Place, start: Start) -> None:
    place.point(json.dumps({**json.loads(fetch(BUNDLED)[1].to_json()), "format": 2, "signed": True}).encode())
    assert start().health() == (200, OLD)


def test_a_model_of_a_later_format(place: Place, start: Start, s3: Any, tmp_path: Path) -> None:
    later = written(tmp_path / "later", format=FORMAT + 1)
    path, pointer = fetch(later)
    s3.upload_file(str(path), BUCKET, f"faces/{pointer.file}")
    place.publish(later)
    runtime = start()
    assert runtime.health() == (503, "The model has format 2 and this service reads up to 1: update the service.")
    place.publish(BUNDLED)
    runtime.clock.now += RETRY
    assert runtime.health() == (200, OLD)


def test_a_file_that_was_published_and_is_no_model(place: Place, start: Start, s3: Any, tmp_path: Path) -> None:
    draft = tmp_path / "draft"
    draft.write_bytes(b"weights")
    pointer = Pointer.of(draft)
    s3.upload_file(str(draft), BUCKET, f"faces/{pointer.file}")
    place.point(pointer.to_json().encode())
    assert start().health() == (503, "The model file is not one that this version of torch can load.")


def test_published_while_it_starts(place: Place, start: Start, newer: str) -> None:
    """Versions stay as they are, so the one that was the current one a moment ago is still there."""
    place.proxy.faults[POINTER] = meanwhile(lambda: place.publish(newer))
    assert start().health() == (200, OLD)
    assert start().health() == (200, fetch(newer)[1].version)


# A model that is published, or rolled back, while the function runs


def test_a_published_model_is_served_within_a_minute(place: Place, start: Start, newer: str) -> None:
    runtime = start()
    asked = len(place.proxy.asked)
    place.publish(newer)
    runtime.clock.now += REFRESH - 0.1
    assert runtime.health() == (200, OLD)
    assert len(place.proxy.asked) == asked
    runtime.clock.now += 0.1
    assert runtime.health() == (200, fetch(newer)[1].version)
    place.publish(BUNDLED)
    runtime.clock.now += REFRESH
    assert runtime.health() == (200, OLD)


def test_only_the_pointer_is_read_where_nothing_is_new(place: Place, start: Start) -> None:
    runtime = start()
    before = len(place.proxy.asked)
    for _ in range(3):
        runtime.clock.now += REFRESH
        assert runtime.health() == (200, OLD)
    assert place.proxy.asked[before:] == [f"/{BUCKET}/faces/{POINTER}"] * 3


@pytest.mark.parametrize("name", FAULTS)
def test_the_model_at_hand_is_served_on_through_any_fault(place: Place, start: Start, newer: str, name: str) -> None:
    runtime = start()
    place.publish(newer)
    path, fault, _ = FAULTS[name]
    place.proxy.faults[path] = fault
    runtime.clock.now += REFRESH
    assert runtime.health() == (200, OLD)
    place.proxy.faults.clear()
    runtime.clock.now += REFRESH
    assert runtime.health() == (200, fetch(newer)[1].version)


def test_no_request_waits_for_a_look_at_the_pointer(
    place: Place, start: Start, newer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = start(begin=in_background)
    monkeypatch.setattr(model.current, "SERVING", Patience(connect=1, read=4, attempts=1, total=12))
    place.publish(newer)
    place.proxy.faults[POINTER] = stalls(NEVER)
    runtime.clock.now += REFRESH
    started = time.monotonic()
    assert runtime.health() == (200, OLD)
    assert time.monotonic() - started < 2  # of the 4 that the look takes
    place.proxy.faults.clear()
    for _ in range(300):
        runtime.clock.now += REFRESH
        if runtime.health() == (200, fetch(newer)[1].version):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the new model is not served after 30 s")


def test_the_bundled_model_stays(place: Place, start: Start) -> None:
    runtime = start("", begin=in_background)
    asked = len(place.proxy.asked)
    runtime.clock.now += REFRESH
    assert runtime.health() == (200, OLD)
    assert len(place.proxy.asked) == asked


def test_a_folder_is_looked_at_as_well(start: Start, newer: str, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(BUNDLED, models)
    runtime = start(str(models))
    assert runtime.health() == (200, OLD)
    shutil.copytree(newer, models, dirs_exist_ok=True)
    runtime.clock.now += REFRESH
    assert runtime.health() == (200, fetch(newer)[1].version)


# A temp folder that fails


def test_a_full_temp_folder(place: Place, start: Start, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000_000, limits[1]))
    try:
        runtime = start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert runtime.health() == (503, "The model cannot be kept: the temp folder is full or cannot be written to.")
    assert list(tmp_path.iterdir()) == []
    runtime.clock.now += RETRY
    assert runtime.health() == (200, OLD)


@pytest.mark.parametrize("folder", ["/proc", "/nowhere"])
def test_a_temp_folder_that_cannot_be_written_to(
    place: Place, start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", folder)
    runtime = start()
    assert runtime.health() == (503, "The model cannot be kept: the temp folder is full or cannot be written to.")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    runtime.clock.now += RETRY
    assert runtime.health() == (200, OLD)


# The last good model, which lies in the temp folder when Lambda starts the function anew in the same place

UNREACHABLE = ["stall at the pointer", "pointer cut", "S3's own trouble", "too many requests", "a gateway's page"]
NO = ["forbidden", "no bucket", "no model", "a login page", "a pointer without end"]


@pytest.mark.parametrize("name", UNREACHABLE)
def test_the_last_good_model_while_s3_cannot_be_reached(place: Place, start: Start, name: str) -> None:
    start()
    place.proxy.faults[POINTER] = FAULTS[name][1]
    assert start().health() == (200, OLD)


@pytest.mark.parametrize("name", NO)
def test_no_last_good_model_where_s3_says_no(place: Place, start: Start, name: str) -> None:
    start()
    place.proxy.faults[POINTER] = FAULTS[name][1]
    assert start().health()[0] == 503


@pytest.mark.parametrize("name", ["no such version", "stall at the model", "model cut", "model swapped"])
def test_the_pointer_wins_even_where_its_model_cannot_be_had(place: Place, start: Start, newer: str, name: str) -> None:
    start()
    place.publish(newer)
    place.proxy.faults[FILE] = FAULTS[name][1]
    assert start().health()[0] == 503


def test_a_model_that_was_rolled_back_is_served_only_until_s3_is_back(
    place: Place, start: Start, newer: str, down: Callable[[], None], up: Callable[[], None]
) -> None:
    place.publish(newer)
    start()
    place.publish(BUNDLED)
    down()
    runtime = start()
    assert runtime.health() == (200, fetch(newer)[1].version)
    runtime.clock.now += REFRESH
    assert runtime.health() == (200, fetch(newer)[1].version)
    up()
    runtime.clock.now += REFRESH - 1
    assert runtime.health() == (200, fetch(newer)[1].version)
    runtime.clock.now += 1
    assert runtime.health() == (200, OLD)


def test_a_model_that_was_withdrawn_is_served_only_until_s3_is_back(
    place: Place, start: Start, down: Callable[[], None], up: Callable[[], None]
) -> None:
    start()
    place.withdraw()
    down()
    runtime = start()
    assert runtime.health() == (200, OLD)
    up()
    runtime.clock.now += REFRESH
    assert runtime.health() == (
        503,
        "The model cannot be fetched: a file of it is missing, so publish it first (NoSuchKey).",
    )


def test_a_model_whose_note_cannot_be_written_is_served(place: Place, start: Start) -> None:
    Copies(URI).note.mkdir()
    assert start().health() == (200, OLD)
