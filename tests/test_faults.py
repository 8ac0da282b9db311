"""Responses while the store of the models fails, and the recovery: a real S3 API behind a faulty proxy."""

from __future__ import annotations

import json
import re
import resource
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Iterator

import boto3
import pytest

from app import create_app
from settings import Settings, s3_settings_from_env
from storage.blobs import open_blobs
from storage.cache import CachedStore
from storage.live import REFRESH, RETRY, in_background
from storage.networks import BUNDLED, FILE, POINTER, Pointer
from storage.s3_settings import SERVING_POLICY, RetryPolicy
from testing.events import request
from testing.servers import free_port
from tests import versions
from tests.faulty import Proxy, cuts, drips, meanwhile, refuses, running, says, stalls
from tests.runtime import Runtime

BUCKET = "faulty"
URI = f"s3://{BUCKET}/faces"
BALLAST = 12_000_000  # bytes of the network, so that it takes a while


class Bucket:
    """The bucket of the published versions, and the proxy before it."""

    def __init__(self, s3: Any, proxy: Proxy) -> None:
        self.proxy, self._s3 = proxy, s3

    def put(self, key: str, data: bytes) -> None:
        self._s3.put_object(Bucket=BUCKET, Key=f"faces/{key}", Body=data)

    def publish(self, folder: Path) -> str:
        """Copy a folder's current version and point to it. Returns the version."""
        pointer = versions.current(folder)
        for path in (folder / pointer.version).rglob("*"):
            if path.is_file():
                self.put(path.relative_to(folder).as_posix(), path.read_bytes())
        self.point(pointer)
        return pointer.version

    def point(self, pointer: Pointer) -> None:
        self.put(POINTER, pointer.to_json().encode())

    def withdraw(self) -> None:
        self._s3.delete_object(Bucket=BUCKET, Key=f"faces/{POINTER}")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a version."""
    folder = tmp_path_factory.mktemp("first")
    versions.write(folder, model=versions.network(BALLAST))
    return folder


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with another version: other people, and another network."""
    folder = tmp_path_factory.mktemp("newer")
    versions.write(folder, versions.gallery(("Grace Hopper", "Mary Jackson")), versions.network(BALLAST + 1))
    return folder


@pytest.fixture(scope="module")
def s3(s3_server: str) -> Any:
    """A client that does not go through the proxy."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=s3_server, **keys)
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture()
def bucket(
    s3: Any, first: Path, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Bucket]:
    """The first version, published behind the proxy; a temp folder of its own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with running(Proxy(s3_environment["AWS_ENDPOINT_URL"])) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        found = Bucket(s3, proxy)
        found.publish(first)
        yield found


@pytest.fixture(scope="module")
def old(first: Path) -> str:
    return versions.current(first).version


@pytest.fixture(scope="module")
def new(newer: Path) -> str:
    return versions.current(newer).version


@pytest.fixture()
def down(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Returns a function after which nothing listens at the address of S3."""
    return lambda: monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")


@pytest.fixture()
def up(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.proxy.url)


NEVER = 30  # seconds, longer than any policy waits
HTML = b"<!doctype html><title>Sign in</title>"
MANIFEST, SEGMENT = "manifest.json", ".safetensors"

# Suffix of the key, fault, and a part of the sentence in the response.
FAULTS = {
    "stall before the pointer": (POINTER, stalls(NEVER), "cannot be reached"),
    "stall in the pointer": (POINTER, stalls(NEVER, after=50), "cannot be reached"),
    "pointer cut": (POINTER, cuts(50), "cannot be reached"),
    "forbidden": (POINTER, refuses(403, "AccessDenied"), "denies access .AccessDenied"),
    "no bucket": (POINTER, refuses(404, "NoSuchBucket"), "no such bucket"),
    "no model": (POINTER, refuses(404, "NoSuchKey"), "is missing .NoSuchKey"),
    "internal error of S3": (POINTER, refuses(500, "InternalError"), "InternalError"),
    "too many requests": (POINTER, refuses(503, "SlowDown"), "SlowDown"),
    "page of a gateway": (POINTER, says(502, HTML), "502"),
    "page that refuses": (POINTER, says(403, b"<html><b>no</b></html>"), "403"),
    "not quite S3": (POINTER, says(403, b"<Error><Code><i/></Code></Error>"), "403"),
    "login page": (POINTER, says(200, HTML), "not a pointer"),
    "redirect for ever": (POINTER, says(301, Location="http://127.0.0.1/"), "301"),
    "pointer without end": (POINTER, says(200, bytes(100_000)), "larger than"),
    "no such version": (FILE, refuses(404, "NoSuchKey"), "is missing .NoSuchKey"),
    "stall before the network": (FILE, stalls(NEVER), "cannot be reached"),
    "stall in the network": (FILE, stalls(NEVER, after=5_000_000), "cannot be reached"),
    "network too slow": (FILE, drips(2_000_000), "too slow"),
    "network cut": (FILE, cuts(5_000_000), "cannot be reached"),
    "network truncated": (FILE, says(200, bytes(1000)), "checksum differs"),
    "no collection": (MANIFEST, refuses(404, "NoSuchKey"), "is missing .NoSuchKey"),
    "manifest cut": (MANIFEST, cuts(50), "cannot be reached"),
    "manifest changed": (MANIFEST, says(200, b'{"format": 1}'), "checksum differs"),
    "no segment": (SEGMENT, refuses(404, "NoSuchKey"), "is missing .NoSuchKey"),
    "stall in the segment": (SEGMENT, stalls(NEVER, after=50), "cannot be reached"),
    "segment truncated": (SEGMENT, says(200, bytes(100)), "checksum differs"),
}
NAMES_NOTHING = re.compile(rf"{BUCKET}|faces|127\.0\.0\.1|/tmp|\d{{8}}-")


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_503_until_it_is_over(bucket: Bucket, old: str, tmp_path: Path, name: str) -> None:
    path, fault, sentence = FAULTS[name]
    bucket.proxy.faults[path] = fault
    runtime = Runtime(URI)
    status, message = runtime.health()
    assert status == 503
    assert re.search(rf"{sentence}.*\.$", message), message
    assert not NAMES_NOTHING.search(message), message
    if path in (POINTER, FILE):
        assert list(tmp_path.iterdir()) == []
    bucket.proxy.faults.clear()
    runtime.clock.now += RETRY
    assert runtime.health() == (200, old)


def test_down_at_init_and_up_again(bucket: Bucket, old: str, down: Callable[[], None], up: Callable[[], None]) -> None:
    down()
    runtime = Runtime(URI)
    status, message = runtime.health()
    assert status == 503
    assert message.startswith("The model cannot be loaded: ")
    assert "cannot be reached" in message
    up()
    runtime.clock.now += RETRY
    assert runtime.health() == (200, old)


def test_a_bucket_that_stalls_is_given_up_in_time(bucket: Bucket) -> None:
    """With the policy that serves. A lasting fault is met at INIT, for which Lambda has 10 s."""
    bucket.proxy.faults[FILE] = stalls(NEVER, after=5_000_000)
    started = time.monotonic()
    assert Runtime(URI, policy=SERVING_POLICY).health()[0] == 503
    assert time.monotonic() - started < 6
    policy = SERVING_POLICY
    assert policy.attempts * (policy.connect + policy.read) + 1 < 8  # with the pause between two attempts


def test_all_reads_of_a_load_share_one_time_limit(bucket: Bucket) -> None:
    for key, rate in ((POINTER, 200), (FILE, 6_000_000), (MANIFEST, 200)):  # bytes a second: about 2 s each
        bucket.proxy.faults[key] = drips(rate)
    started = time.monotonic()
    assert Runtime(URI).health()[0] == 503
    assert time.monotonic() - started < 4.5


def test_a_failure_is_remembered_for_a_while(bucket: Bucket, first: Path, old: str) -> None:
    """No request waits for S3 shortly after another has waited in vain."""
    bucket.withdraw()
    runtime = Runtime(URI)
    bucket.publish(first)
    asked = len(bucket.proxy.asked)
    before = runtime.health()
    runtime.clock.now += RETRY - 0.1
    assert runtime.health() == before
    assert before[0] == 503
    assert len(bucket.proxy.asked) == asked
    runtime.clock.now += 0.1
    assert runtime.health() == (200, old)


def test_a_clock_that_is_set_back_does_not_make_it_wait(bucket: Bucket, first: Path, old: str) -> None:
    bucket.withdraw()
    runtime = Runtime(URI)
    bucket.publish(first)
    runtime.clock.now -= 1e6
    assert runtime.health() == (200, old)


def test_a_pointer_from_the_future(bucket: Bucket, first: Path, old: str) -> None:
    bucket.point(replace(versions.current(first), created="2999-01-01T00:00:00+00:00"))
    assert Runtime(URI).health() == (200, old)


def test_fields_that_a_later_publisher_adds(bucket: Bucket, first: Path, old: str) -> None:
    fields = json.loads(versions.current(first).to_json())
    bucket.put(POINTER, json.dumps({**fields, "format": 2, "signed": True}).encode())
    assert Runtime(URI).health() == (200, old)


def test_a_network_of_a_later_format(bucket: Bucket, first: Path, old: str, tmp_path: Path) -> None:
    later = tmp_path / "later"
    versions.write(later, model=versions.network(format=3))
    bucket.publish(later)
    runtime = Runtime(URI)
    status, message = runtime.health()
    assert status == 503
    assert "format 3" in message and "update the service" in message
    bucket.publish(first)
    runtime.clock.now += RETRY
    assert runtime.health() == (200, old)


def test_a_file_that_was_published_and_is_no_network(bucket: Bucket, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    versions.write(folder, model=b"weights")
    bucket.publish(folder)
    status, message = Runtime(URI).health()
    assert (status, "not one that this version of torch can load" in message) == (503, True)


def test_published_while_it_starts(bucket: Bucket, newer: Path, old: str, new: str) -> None:
    """Versions never change, so the one that was current a moment ago is still there."""
    bucket.proxy.faults[POINTER] = meanwhile(lambda: bucket.publish(newer))
    assert Runtime(URI).health() == (200, old)
    assert Runtime(URI).health() == (200, new)


# A version that is published, or rolled back, while the function runs


def test_a_published_version_is_served_within_a_minute(
    bucket: Bucket, first: Path, newer: Path, old: str, new: str
) -> None:
    runtime = Runtime(URI)
    asked = len(bucket.proxy.asked)
    bucket.publish(newer)
    runtime.clock.now += REFRESH - 0.1
    assert runtime.health() == (200, old)
    assert len(bucket.proxy.asked) == asked
    runtime.clock.now += 0.1
    assert runtime.health() == (200, new)
    bucket.publish(first)
    runtime.clock.now += REFRESH
    assert runtime.health() == (200, old)


def test_only_the_pointer_is_read_where_nothing_is_new(bucket: Bucket, old: str) -> None:
    runtime = Runtime(URI)
    before = len(bucket.proxy.asked)
    for _ in range(3):
        runtime.clock.now += REFRESH
        assert runtime.health() == (200, old)
    assert bucket.proxy.asked[before:] == [f"/{BUCKET}/faces/{POINTER}"] * 3


@pytest.mark.parametrize("name", FAULTS)
def test_the_loaded_version_is_served_through_any_fault(
    bucket: Bucket, newer: Path, old: str, new: str, name: str
) -> None:
    runtime = Runtime(URI)
    bucket.publish(newer)
    path, fault, _ = FAULTS[name]
    bucket.proxy.faults[path] = fault
    runtime.clock.now += REFRESH
    assert runtime.health() == (200, old)
    bucket.proxy.faults.clear()
    runtime.clock.now += REFRESH
    assert runtime.health() == (200, new)


def test_no_request_waits_for_the_pointer(bucket: Bucket, newer: Path, old: str, new: str) -> None:
    runtime = Runtime(URI, start=in_background, policy=RetryPolicy(connect=1, read=4, attempts=1, total=12))
    bucket.publish(newer)
    bucket.proxy.faults[POINTER] = stalls(NEVER)
    runtime.clock.now += REFRESH
    started = time.monotonic()
    assert runtime.health() == (200, old)
    assert time.monotonic() - started < 2  # of the 4 that reading takes
    bucket.proxy.faults.clear()
    for _ in range(300):
        runtime.clock.now += REFRESH
        if runtime.health() == (200, new):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the new version is not served after 30 s")


def test_the_bundled_model_stays(bucket: Bucket, context: Any) -> None:
    asked = len(bucket.proxy.asked)
    answer = create_app(Settings()).handle(request("GET", "/health"), context)
    assert json.loads(answer["body"])["model"]["version"] == versions.current(Path(BUNDLED)).version
    assert len(bucket.proxy.asked) == asked


def test_a_folder_is_read_again_as_well(first: Path, newer: Path, tmp_path: Path, old: str, new: str) -> None:
    models = tmp_path / "models"
    shutil.copytree(first, models)
    runtime = Runtime(str(models))
    assert runtime.health() == (200, old)
    shutil.copytree(newer, models, dirs_exist_ok=True)
    runtime.clock.now += REFRESH
    assert runtime.health() == (200, new)


# A temp folder that fails

NO_ROOM = (503, "The model cannot be loaded: the temp folder is full or cannot be written to.")


def test_a_full_temp_folder(bucket: Bucket, old: str, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, limits[1]))
    try:
        runtime = Runtime(URI)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert runtime.health() == NO_ROOM
    assert list(tmp_path.iterdir()) == []
    runtime.clock.now += RETRY
    assert runtime.health() == (200, old)


@pytest.mark.parametrize("folder", ["/proc", "/nowhere"])
def test_a_temp_folder_that_cannot_be_written_to(
    bucket: Bucket, old: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", folder)
    runtime = Runtime(URI)
    assert runtime.health() == NO_ROOM
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    runtime.clock.now += RETRY
    assert runtime.health() == (200, old)


# The version that was served last, which is in the temp folder when Lambda starts the function again in the same place

UNREACHABLE = [
    *("stall before the pointer", "pointer cut", "internal error of S3", "too many requests", "page of a gateway"),
]
REFUSED = ["forbidden", "no bucket", "no model", "login page", "pointer without end"]


@pytest.mark.parametrize("name", UNREACHABLE)
def test_the_last_good_version_while_s3_cannot_be_reached(bucket: Bucket, old: str, name: str) -> None:
    Runtime(URI)
    bucket.proxy.faults[POINTER] = FAULTS[name][1]
    assert Runtime(URI).health() == (200, old)


@pytest.mark.parametrize("name", REFUSED)
def test_no_last_good_version_where_s3_refuses(bucket: Bucket, name: str) -> None:
    Runtime(URI)
    bucket.proxy.faults[POINTER] = FAULTS[name][1]
    assert Runtime(URI).health()[0] == 503


@pytest.mark.parametrize("name", ["no such version", "stall before the network", "network cut", "no segment"])
def test_the_pointer_wins_even_if_its_version_is_unavailable(bucket: Bucket, newer: Path, name: str) -> None:
    Runtime(URI)
    bucket.publish(newer)
    path, fault, _ = FAULTS[name]
    bucket.proxy.faults[path] = fault
    assert Runtime(URI).health()[0] == 503


def test_a_version_that_was_rolled_back_is_served_only_until_s3_is_back(
    bucket: Bucket, first: Path, newer: Path, old: str, new: str, down: Callable[[], None], up: Callable[[], None]
) -> None:
    bucket.publish(newer)
    Runtime(URI)
    bucket.publish(first)
    down()
    runtime = Runtime(URI)
    assert runtime.health() == (200, new)
    runtime.clock.now += REFRESH
    assert runtime.health() == (200, new)
    up()
    runtime.clock.now += REFRESH - 1
    assert runtime.health() == (200, new)
    runtime.clock.now += 1
    assert runtime.health() == (200, old)


def test_a_version_that_was_withdrawn_is_served_only_until_s3_is_back(
    bucket: Bucket, old: str, down: Callable[[], None], up: Callable[[], None]
) -> None:
    Runtime(URI)
    bucket.withdraw()
    down()
    runtime = Runtime(URI)
    assert runtime.health() == (200, old)
    up()
    runtime.clock.now += REFRESH
    status, message = runtime.health()
    assert (status, "is missing (NoSuchKey)" in message) == (503, True)


def test_a_version_whose_note_cannot_be_written_is_served(bucket: Bucket, old: str) -> None:
    with open_blobs(URI, s3_settings_from_env()) as blobs:
        CachedStore(blobs).note.mkdir()
    assert Runtime(URI).health() == (200, old)
