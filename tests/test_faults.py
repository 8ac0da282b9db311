"""Responses while the store of versions fails, and how the service recovers: a real S3 API behind a faulty proxy."""

from __future__ import annotations

import json
import re
import resource
import shutil
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple

import boto3
import pytest

from settings import s3_settings_from_env
from storage.background import in_background
from storage.blobs import BlobStore, open_blobs
from storage.cache import CachedStore
from storage.folder import FolderBlobs
from storage.live import REFRESH, RETRY, LiveModel
from storage.networks import BUNDLED, FILE, POINTER
from storage.s3_settings import SERVING_POLICY, RetryPolicy
from testing.servers import free_port
from tests import versions
from tests.faulty import Proxy, cuts, drips, meanwhile, refuses, running, says, stalls
from tests.runtime import Clock, Runtime

BUCKET = "faulty"
URI = f"s3://{BUCKET}/faces"
MANIFEST, SEGMENT = "manifest.json", ".safetensors"
MODEL_BYTES = 3_000_000


class Published(NamedTuple):
    """A folder, and its only version."""

    folder: Path
    version: str


class Place:
    """The store of versions, and the proxy on the way there."""

    def __init__(self, s3: Any, proxy: Proxy) -> None:
        self.proxy, self._s3 = proxy, s3

    def upload(self, models: Published) -> None:
        """Copy all of a version but the pointer."""
        blobs = FolderBlobs(models.folder)
        for entry in blobs.list(models.version):
            self._s3.put_object(Bucket=BUCKET, Key=f"faces/{entry.key}", Body=blobs.get(entry.key).data)

    def point(self, text: bytes) -> None:
        self._s3.put_object(Bucket=BUCKET, Key=f"faces/{POINTER}", Body=text)

    def publish(self, models: Published) -> None:
        """Point to a version that is there."""
        self.point((models.folder / POINTER).read_bytes())

    def withdraw(self) -> None:
        self._s3.delete_object(Bucket=BUCKET, Key=f"faces/{POINTER}")

    def requests(self, ending: str) -> int:
        """Count the requests for objects whose keys end like that."""
        return sum(path.endswith(ending) for path in self.proxy.asked)


def written(folder: Path, seed: int, model: bytes) -> Published:
    return Published(folder, versions.write(folder, versions.gallery(seed=seed), model).version)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return written(tmp_path_factory.mktemp("old"), 0, versions.network(MODEL_BYTES))


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A version with other people and another network."""
    return written(tmp_path_factory.mktemp("newer"), 1, versions.network(MODEL_BYTES + 1))


@pytest.fixture(scope="module")
def s3(s3_server: str) -> Iterator[Any]:
    """A client that takes the way around the proxy."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    with closing(boto3.client("s3", endpoint_url=s3_server, **keys)) as client:
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture()
def place(
    s3: Any,
    old: Published,
    newer: Published,
    s3_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Place]:
    """Both versions behind the proxy, the old one published; a temp folder of its own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with running(Proxy(s3_environment["AWS_ENDPOINT_URL"])) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        found = Place(s3, proxy)
        for models in (old, newer):
            found.upload(models)
        found.publish(old)
        yield found


@pytest.fixture()
def down(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on nothing listens where S3 was."""
    return lambda: monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")


@pytest.fixture()
def up(place: Place, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setenv("AWS_ENDPOINT_URL", place.proxy.url)


NEVER = 30  # seconds, longer than anybody waits
HTML = b"<!doctype html><title>Sign in</title>"

FAULTS = {
    "stall at the pointer": (POINTER, stalls(NEVER), r"S3 cannot be reached \(ReadTimeoutError\)"),
    "stall in the pointer": (POINTER, stalls(NEVER, after=50), r"S3 cannot be reached \(ReadTimeoutError\)"),
    "pointer cut": (POINTER, cuts(50), r"S3 cannot be reached \(ProtocolError\)"),
    "forbidden": (POINTER, refuses(403, "AccessDenied"), r"S3 denies access \(AccessDenied\)"),
    "no bucket": (POINTER, refuses(404, "NoSuchBucket"), r"there is no such bucket \(NoSuchBucket\)"),
    "no model": (POINTER, refuses(404, "NoSuchKey"), r"a file is missing \(NoSuchKey\)"),
    "S3's own trouble": (POINTER, refuses(500, "InternalError"), r"S3 has trouble of its own \(InternalError\)"),
    "too many requests": (POINTER, refuses(503, "SlowDown"), r"S3 has trouble of its own \(SlowDown\)"),
    "a gateway's page": (POINTER, says(502, HTML), r"S3 has trouble of its own \(502\)"),
    "a page that says no": (POINTER, says(403, b"<html><b>no</b></html>"), r"S3 denies access \(403\)"),
    "not quite S3": (POINTER, says(403, b"<Error><Code><i/></Code></Error>"), r"S3 denies access \(403\)"),
    "a login page": (POINTER, says(200, HTML), r"latest\.json is not a pointer to a model"),
    "elsewhere, for ever": (POINTER, says(301, Location="http://127.0.0.1/"), r"does not respond as S3 does \(301\)"),
    "a pointer without end": (POINTER, says(200, bytes(100_000)), "a file is larger than it should be"),
    "no such version": (FILE, refuses(404, "NoSuchKey"), r"a file is missing \(NoSuchKey\)"),
    "stall at the model": (FILE, stalls(NEVER), r"S3 cannot be reached \(ReadTimeoutError\)"),
    "stall in the model": (FILE, stalls(NEVER, after=1_000_000), r"S3 cannot be reached \(ReadTimeoutError\)"),
    "model too slow": (FILE, drips(500_000), "S3 sends it too slowly"),
    "model cut": (FILE, cuts(1_000_000), r"S3 cannot be reached \(ProtocolError\)"),
    "model truncated": (FILE, says(200, bytes(1000)), "its checksum differs"),
    "model swapped": (FILE, says(200, bytes(MODEL_BYTES)), "its checksum differs"),
    "no gallery": (MANIFEST, refuses(404, "NoSuchKey"), r"a file is missing \(NoSuchKey\)"),
    "stall at the gallery": (MANIFEST, stalls(NEVER), r"S3 cannot be reached \(ReadTimeoutError\)"),
    "gallery cut": (MANIFEST, cuts(50), r"S3 cannot be reached \(ProtocolError\)"),
    "gallery swapped": (MANIFEST, says(200, b"{}"), "its checksum differs"),
    "gallery forbidden": (MANIFEST, refuses(403, "AccessDenied"), r"S3 denies access \(AccessDenied\)"),
    "a gallery without end": (MANIFEST, says(200, bytes(2_000_000)), "a file is larger than it should be"),
    "no people": (SEGMENT, refuses(404, "NoSuchKey"), r"a file is missing \(NoSuchKey\)"),
    "stall in the people": (SEGMENT, stalls(NEVER, after=50), r"S3 cannot be reached \(ReadTimeoutError\)"),
    "people cut": (SEGMENT, cuts(50), r"S3 cannot be reached \(ProtocolError\)"),
    "people truncated": (SEGMENT, says(200, b"half"), "its checksum differs"),
    "people slowed down": (SEGMENT, refuses(503, "SlowDown"), r"S3 has trouble of its own \(SlowDown\)"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_503_until_it_is_over(place: Place, old: Published, tmp_path: Path, name: str) -> None:
    ending, fault, reason = FAULTS[name]
    place.proxy.faults[ending] = fault
    runtime = Runtime(URI)
    status, message = runtime.health()
    assert status == 503
    assert re.match(rf"The model cannot be loaded: .*{reason}\.$", message), message
    for secret in (BUCKET, "faces", old.version, str(tmp_path), FILE, MANIFEST, "127.0.0.1"):
        assert secret not in message
    if ending in (POINTER, FILE):
        assert list(tmp_path.iterdir()) == []
    place.proxy.faults.clear()
    place.proxy.asked.clear()
    runtime.clock.now += RETRY
    assert runtime.health() == (200, old.version)
    # What has been fetched is not fetched again.
    assert place.requests(FILE) == (ending in (POINTER, FILE))
    assert place.requests(MANIFEST) == (ending != SEGMENT)


def test_down_at_init_and_up_again(
    place: Place, old: Published, down: Callable[[], None], up: Callable[[], None]
) -> None:
    down()
    runtime = Runtime(URI)
    assert runtime.health() == (503, "The model cannot be loaded: S3 cannot be reached (NewConnectionError).")
    up()
    runtime.clock.now += RETRY
    assert runtime.health() == (200, old.version)


@pytest.mark.parametrize(("ending", "after"), [(POINTER, 50), (FILE, 1_000_000), (MANIFEST, 50), (SEGMENT, 50)])
def test_a_bucket_that_stalls_is_given_up_in_time(place: Place, ending: str, after: int) -> None:
    """With the policy that serves. A fault that lasts is met at INIT, for which Lambda has 10 s."""
    place.proxy.faults[ending] = stalls(NEVER, after)
    started = time.monotonic()
    assert Runtime(URI, policy=SERVING_POLICY).health()[0] == 503
    assert time.monotonic() - started < 6
    attempts = SERVING_POLICY.attempts * (SERVING_POLICY.connect + SERVING_POLICY.read) + 1  # the pause between two
    assert attempts < 8


@pytest.mark.parametrize(("total", "status"), [(1.2, 503), (20, 200)])
def test_a_bucket_that_drips_is_given_up_in_time(place: Place, total: float, status: int) -> None:
    """Each object comes fast enough for itself."""
    rates = {POINTER: 1000, FILE: 5_000_000, MANIFEST: 1000, SEGMENT: 1500}  # 0.3 to 0.6 s each, 1.8 s together
    place.proxy.faults.update({ending: drips(rate) for ending, rate in rates.items()})
    started = time.monotonic()
    found = Runtime(URI, policy=RetryPolicy(connect=1, read=1, attempts=2, total=total)).health()
    assert found[0] == status, found
    if status == 503:
        # The last request may have too little time left for any response.
        assert re.match(r"The model cannot be loaded: S3 (sends it too slowly|cannot be reached)", found[1]), found
        assert time.monotonic() - started < total + 1


def test_a_failure_is_remembered_for_a_while(place: Place, old: Published) -> None:
    """No request waits for S3 where one has just done so in vain."""
    place.withdraw()
    runtime = Runtime(URI)
    place.publish(old)
    asked = len(place.proxy.asked)
    first = runtime.health()
    runtime.clock.now += RETRY - 0.1
    assert runtime.health() == first
    assert first[0] == 503
    assert len(place.proxy.asked) == asked
    runtime.clock.now += 0.1
    assert runtime.health() == (200, old.version)


def test_a_clock_that_is_set_back_does_not_make_it_wait(place: Place, old: Published) -> None:
    place.withdraw()
    runtime = Runtime(URI)
    place.publish(old)
    runtime.clock.now -= 1e6
    assert runtime.health() == (200, old.version)


def test_a_pointer_from_the_future(place: Place, old: Published) -> None:
    pointer = replace(versions.current(old.folder), created="2999-01-01T00:00:00+00:00")
    place.point(pointer.to_json().encode())
    assert Runtime(URI).health() == (200, old.version)


def test_fields_that_a_later_publisher_adds(place: Place, old: Published) -> None:
    found = json.loads((old.folder / POINTER).read_bytes())
    place.point(json.dumps({**found, "format": 2, "signed": True}).encode())
    assert Runtime(URI).health() == (200, old.version)


def test_a_network_of_a_later_format(place: Place, old: Published, tmp_path: Path) -> None:
    later = written(tmp_path / "later", 0, versions.network(format=4))
    place.upload(later)
    place.publish(later)
    runtime = Runtime(URI)
    sentence = "The model file has format 4 and this release reads format 3: update the service."
    assert runtime.health() == (503, sentence)
    place.publish(old)
    runtime.clock.now += RETRY
    assert runtime.health() == (200, old.version)


def test_a_file_that_was_published_and_is_no_network(place: Place, tmp_path: Path) -> None:
    other = written(tmp_path / "other", 0, b"weights")
    place.upload(other)
    place.publish(other)
    assert Runtime(URI).health() == (503, "The model file is not one that this project wrote.")


def test_published_while_it_starts(place: Place, old: Published, newer: Published) -> None:
    """Versions stay as they are, so the one that was the current one a moment ago is still there."""
    place.proxy.faults[POINTER] = meanwhile(lambda: place.publish(newer))
    assert Runtime(URI).health() == (200, old.version)
    assert Runtime(URI).health() == (200, newer.version)


# A version that is published, or rolled back, while the function runs


def test_a_published_version_is_served_within_a_minute(place: Place, old: Published, newer: Published) -> None:
    runtime = Runtime(URI)
    asked = len(place.proxy.asked)
    place.publish(newer)
    runtime.clock.now += REFRESH - 0.1
    assert runtime.health() == (200, old.version)
    assert len(place.proxy.asked) == asked
    runtime.clock.now += 0.1
    assert runtime.health() == (200, newer.version)
    place.publish(old)
    runtime.clock.now += REFRESH
    assert runtime.health() == (200, old.version)


def test_only_the_pointer_is_read_where_nothing_is_new(place: Place, old: Published) -> None:
    runtime = Runtime(URI)
    before = len(place.proxy.asked)
    for _ in range(3):
        runtime.clock.now += REFRESH
        assert runtime.health() == (200, old.version)
    assert place.proxy.asked[before:] == [f"/{BUCKET}/faces/{POINTER}"] * 3


@pytest.mark.parametrize("name", FAULTS)
def test_the_version_at_hand_is_served_on_through_any_fault(
    place: Place, old: Published, newer: Published, name: str
) -> None:
    runtime = Runtime(URI)
    place.publish(newer)
    ending, fault, _ = FAULTS[name]
    place.proxy.faults[ending] = fault
    runtime.clock.now += REFRESH
    assert runtime.health() == (200, old.version)
    place.proxy.faults.clear()
    runtime.clock.now += REFRESH
    assert runtime.health() == (200, newer.version)


def test_no_request_waits_for_a_look_at_the_pointer(place: Place, old: Published, newer: Published) -> None:
    runtime = Runtime(URI, in_background, RetryPolicy(connect=1, read=4, attempts=1, total=12))
    place.publish(newer)
    place.proxy.faults[POINTER] = stalls(NEVER)
    runtime.clock.now += REFRESH
    started = time.monotonic()
    assert runtime.health() == (200, old.version)
    assert time.monotonic() - started < 2  # of the 4 that the look takes
    place.proxy.faults.clear()
    for _ in range(300):
        runtime.clock.now += REFRESH
        if runtime.health() == (200, newer.version):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the new version is not served after 30 s")


def test_a_folder_is_looked_at_as_well(old: Published, newer: Published, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(old.folder, models)
    runtime = Runtime(str(models))
    assert runtime.health() == (200, old.version)
    shutil.copytree(newer.folder, models, dirs_exist_ok=True)
    runtime.clock.now += REFRESH
    assert runtime.health() == (200, newer.version)


def test_the_bundled_version_stays() -> None:
    """It is part of the image: its folder is not even opened again."""
    clock, opened = Clock(), []

    def open_store() -> BlobStore:
        opened.append(BUNDLED)
        return open_blobs(BUNDLED, s3_settings_from_env())

    live = LiveModel(open_store, refresh=False, clock=clock, start=lambda task: task())
    version = live.get().version
    clock.now += REFRESH
    assert live.get().version == version
    assert opened == [BUNDLED]


# A temp folder that fails

NO_ROOM = (503, "The model cannot be loaded: the temp folder is full or cannot be written to.")


@pytest.mark.parametrize("limit", [1_000_000, 500])
def test_a_full_temp_folder(place: Place, old: Published, tmp_path: Path, limit: int) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        runtime = Runtime(URI)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert runtime.health() == NO_ROOM
    assert list(tmp_path.iterdir()) == []
    runtime.clock.now += RETRY
    assert runtime.health() == (200, old.version)


@pytest.mark.parametrize("folder", ["/proc", "/nowhere"])
def test_a_temp_folder_that_cannot_be_written_to(
    place: Place, old: Published, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", folder)
    runtime = Runtime(URI)
    assert runtime.health() == NO_ROOM
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    runtime.clock.now += RETRY
    assert runtime.health() == (200, old.version)


# The version served last, which lies in the temp folder when Lambda starts the function again in the same place

UNREACHABLE = ["stall at the pointer", "pointer cut", "S3's own trouble", "too many requests", "a gateway's page"]
NO = ["forbidden", "no bucket", "no model", "a login page", "a pointer without end"]


@pytest.mark.parametrize("name", UNREACHABLE)
def test_the_last_good_version_while_s3_cannot_be_reached(place: Place, old: Published, name: str) -> None:
    Runtime(URI)
    place.proxy.faults[POINTER] = FAULTS[name][1]
    assert Runtime(URI).health() == (200, old.version)


@pytest.mark.parametrize("name", NO)
def test_no_last_good_version_where_s3_says_no(place: Place, name: str) -> None:
    Runtime(URI)
    place.proxy.faults[POINTER] = FAULTS[name][1]
    assert Runtime(URI).health()[0] == 503


@pytest.mark.parametrize(
    "name",
    [
        "no such version",
        "stall at the model",
        "model cut",
        "model swapped",
        "stall at the gallery",
        "people slowed down",
    ],
)
def test_the_pointer_wins_even_where_its_version_cannot_be_had(place: Place, newer: Published, name: str) -> None:
    Runtime(URI)
    place.publish(newer)
    ending, fault, _ = FAULTS[name]
    place.proxy.faults[ending] = fault
    assert Runtime(URI).health()[0] == 503


@pytest.mark.parametrize("ending", ["model", "manifest", "segment"])
def test_no_last_good_version_where_a_part_of_it_is_gone(
    place: Place, old: Published, down: Callable[[], None], tmp_path: Path, ending: str
) -> None:
    Runtime(URI)
    path = getattr(versions.files(old.folder), ending)
    for copy in tmp_path.iterdir():
        if copy.read_bytes() == path.read_bytes():
            copy.unlink()
    assert len(list(tmp_path.iterdir())) == 3  # two parts and the note
    down()
    assert Runtime(URI).health()[0] == 503


def test_a_version_that_was_rolled_back_is_served_only_until_s3_is_back(
    place: Place, old: Published, newer: Published, down: Callable[[], None], up: Callable[[], None]
) -> None:
    place.publish(newer)
    Runtime(URI)
    place.publish(old)
    down()
    runtime = Runtime(URI)
    assert runtime.health() == (200, newer.version)
    runtime.clock.now += REFRESH
    assert runtime.health() == (200, newer.version)
    up()
    runtime.clock.now += REFRESH - 1
    assert runtime.health() == (200, newer.version)
    runtime.clock.now += 1
    assert runtime.health() == (200, old.version)


def test_a_version_that_was_withdrawn_is_served_only_until_s3_is_back(
    place: Place, old: Published, down: Callable[[], None], up: Callable[[], None]
) -> None:
    Runtime(URI)
    place.withdraw()
    down()
    runtime = Runtime(URI)
    assert runtime.health() == (200, old.version)
    up()
    runtime.clock.now += REFRESH
    assert runtime.health() == (503, "The model cannot be loaded: a file is missing (NoSuchKey).")


def test_a_version_whose_note_cannot_be_written_is_served(place: Place, old: Published) -> None:
    with open_blobs(URI, s3_settings_from_env()) as blobs:
        CachedStore(blobs).note.mkdir()
    assert Runtime(URI).health() == (200, old.version)
