"""Special cases of S3; its common contract with a folder is in test_blobs.py, its errors are in test_s3_errors.py."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator

import pytest

from settings import s3_settings_from_env
from storage.blobs import BlobStore, open_blobs
from storage.errors import BlobConflict, CorruptData, StorageError, StorageRefused, StorageUnreachable
from storage.s3 import S3Blobs
from storage.s3_reader import object_url
from storage.s3_settings import RetryPolicy, S3Settings
from testing.paths import ROOT
from tests.faulty import Answer, Fault, Handler, Proxy, cuts, drips, refuses, running, says, stalls
from tests.stubborn import CUT, StubbornS3, error, on, page, stubborn_s3

KEY = "model.pt"
CONTENT = bytes(300_000)
IMPATIENT = RetryPolicy(connect=0.3, read=0.3, attempts=2, total=2)
NEVER = 30  # seconds


@pytest.fixture()
def proxy(s3_server: str) -> Iterator[Proxy]:
    with running(Proxy(s3_server)) as found:
        yield found


@pytest.fixture()
def store(bucket: str, settings: S3Settings, proxy: Proxy) -> Iterator[BlobStore]:
    """With an object in it, and the proxy in front of it."""
    uri = f"s3://{bucket}/faces"
    with open_blobs(uri, settings) as direct:
        direct.put(KEY, CONTENT)
    with open_blobs(uri, replace(settings, endpoint=proxy.url), IMPATIENT) as found:
        yield found


@pytest.fixture()
def stubborn() -> Iterator[StubbornS3]:
    with stubborn_s3() as found:
        yield found


@pytest.fixture()
def at_stubborn(stubborn: StubbornS3, settings: S3Settings) -> Iterator[BlobStore]:
    with open_blobs("s3://bucket/faces", replace(settings, endpoint=stubborn.url), IMPATIENT) as found:
        yield found


# Addresses


@pytest.mark.parametrize(
    ("bucket", "region", "endpoint", "url"),
    [
        ("faces", "eu-west-1", None, "https://faces.s3.eu-west-1.amazonaws.com/a/b%20c"),
        ("faces", "cn-north-1", None, "https://faces.s3.cn-north-1.amazonaws.com.cn/a/b%20c"),
        ("our.faces", "us-east-1", None, "https://s3.us-east-1.amazonaws.com/our.faces/a/b%20c"),
        ("our_faces", "us-east-1", None, "https://our_faces.s3.us-east-1.amazonaws.com/a/b%20c"),
        ("faces", "us-east-1", "http://here:1/", "http://here:1/faces/a/b%20c"),
        ("faces", "us-east-1", "http://[::1]:1", "http://[::1]:1/faces/a/b%20c"),
    ],
)
def test_addresses(bucket: str, region: str, endpoint: str | None, url: str) -> None:
    assert object_url(bucket, "a/b c", region, endpoint) == url


@pytest.mark.parametrize(
    "uri", ["s3://", "s3:///faces", "s3://not a bucket/faces", "s3://bucket/../other", "s3://b/\ud800"]
)
def test_uris_that_cannot_be(uri: str) -> None:
    with pytest.raises(StorageRefused, match=r"not (of the form s3://bucket/prefix|a name that a bucket|a key that)"):
        open_blobs(uri, S3Settings())


@pytest.mark.parametrize("prefix", ["", "/", "/faces", "/faces/", "//some/faces//", "/a b+&?#%20"])
def test_any_prefix(bucket: str, settings: S3Settings, s3: Any, prefix: str) -> None:
    with open_blobs(f"s3://{bucket}{prefix}", settings) as store:
        store.put("a/b", b"1")
        assert store.get("a/b").data == b"1"
        assert [found.key for found in store.list()] == ["a/b"]
    expected = f"{prefix.strip('/')}/a/b".lstrip("/")
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [expected]


def test_settings_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert s3_settings_from_env() == S3Settings()
    for name in ("AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, name)
    monkeypatch.setenv("AWS_REGION", "")
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    assert s3_settings_from_env() == S3Settings("AWS_DEFAULT_REGION", *keys, None, "AWS_ENDPOINT_URL")
    for name in ("AWS_REGION", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, name)
    assert s3_settings_from_env() == S3Settings("AWS_REGION", *keys, "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3")


# Credentials and region


def test_a_bucket_of_another_region(store: BlobStore, proxy: Proxy) -> None:
    def only_at_home(handler: Handler, answer: Answer) -> None:
        if "/eu-west-1/s3/" not in handler.headers["Authorization"]:
            answer = Answer(301, {"x-amz-bucket-region": "eu-west-1", "Content-Length": "0"}, b"")
        handler.send(answer)

    proxy.faults[KEY] = only_at_home
    assert store.get(KEY).data == CONTENT
    assert store.get(KEY).data == CONTENT
    assert len(proxy.asked) == 3  # the region is remembered


def test_a_region_in_the_body(stubborn: StubbornS3, at_stubborn: BlobStore) -> None:
    wrong = error(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>")
    stubborn.rule = lambda *request: None if "/eu-west-1/s3/" in request[2]["Authorization"] else wrong
    assert list(at_stubborn.list()) == []
    at_stubborn.put("key", b"")
    with pytest.raises(StorageError, match="There is no object key"):
        at_stubborn.get("key")


def test_credentials_of_a_profile(
    bucket: str, settings: S3Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = "[default]\naws_access_key_id = key\naws_secret_access_key = secret\nregion = eu-west-1\n"
    (tmp_path / "credentials").write_text(text)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    with open_blobs(f"s3://{bucket}", S3Settings(endpoint=settings.endpoint)) as store:
        store.put("key", b"1")
        assert store.get("key").data == b"1"


def test_no_region_is_needed(bucket: str, settings: S3Settings) -> None:
    with open_blobs(f"s3://{bucket}", replace(settings, region=None)) as store:
        store.put("key", b"1")
        assert store.get("key").data == b"1"


# Reading without a client

LEAN = """
import sys
from storage.blobs import open_blobs
from storage.s3_settings import S3Settings
with open_blobs(sys.argv[1], S3Settings("us-east-1", "test", "test", endpoint=sys.argv[2])) as store:
    blob = store.get("model.pt")
    assert store.get_if_changed("model.pt", blob.etag) is None
found = [name for name in sys.argv[3:] if name in sys.modules]
assert not found, found
"""


def lean(*arguments: str) -> None:
    subprocess.run([sys.executable, "-c", LEAN, *arguments], cwd=ROOT, check=True, timeout=60)


def test_reading_needs_no_client(store: BlobStore, settings: S3Settings) -> None:
    lean(store.uri, str(settings.endpoint), "boto3", "botocore.client", "botocore.session", "s3transfer", "requests")


def test_a_folder_needs_no_libraries(tmp_path: Path) -> None:
    (tmp_path / KEY).write_bytes(b"1")
    lean(str(tmp_path), "", "boto3", "botocore", "urllib3")


def test_connections_are_kept(stubborn: StubbornS3, at_stubborn: BlobStore) -> None:
    stubborn.keep_alive = True

    def rule(_: str, __: str, headers: Any) -> Any:
        fresh = headers.get("If-None-Match") == '"1"'
        return error(304, "") if fresh else error(200, "", ETag='"1"')

    stubborn.rule = rule
    blob = at_stubborn.get("key")
    for _ in range(5):
        assert at_stubborn.get_if_changed("key", blob.etag) is None
        assert at_stubborn.get_if_changed("key", "0") == blob
    assert len(stubborn.requests) == 11
    assert stubborn.connections == 1


# Faults while reading

HTML = b"<!DOCTYPE html><html><body>Sign in</body></html>"

FAULTS: dict[str, tuple[Fault, type[StorageError], str, int]] = {  # fault, error, reason, requests
    "stall at the object": (stalls(NEVER), StorageUnreachable, r"S3 cannot be reached \(ReadTimeoutError\)", 2),
    "stall in the object": (stalls(NEVER, after=100), StorageUnreachable, r"cannot be reached \(ReadTimeoutError\)", 1),
    "cut": (cuts(100), StorageUnreachable, r"S3 cannot be reached \(ProtocolError\)", 1),
    "no response": (lambda *_: None, StorageUnreachable, r"S3 cannot be reached \(ProtocolError\)", 2),
    "S3's own trouble": (refuses(500, "InternalError"), StorageUnreachable, r"trouble of its own \(InternalError\)", 2),
    "too many requests": (refuses(503, "SlowDown"), StorageUnreachable, r"trouble of its own \(SlowDown\)", 2),
    "too many, with another status": (refuses(429, "TooMany"), StorageUnreachable, r"trouble .*\(TooMany\)", 2),
    "a gateway's page": (says(502, HTML), StorageUnreachable, r"S3 has trouble of its own \(502\)", 2),
    "500 of something else": (says(500, HTML), StorageUnreachable, r"does not respond as S3 does \(500\)", 2),
    "a page that says no": (says(403, HTML), StorageRefused, r"S3 denies access \(403\)", 1),
    "not quite S3": (says(403, b"<Error><Code><i/></Code></Error>"), StorageRefused, r"denies access \(403\)", 1),
    "elsewhere, for ever": (says(301, Location="http://127.0.0.1/"), StorageRefused, "not respond as S3 does", 1),
    "without end": (says(200, bytes(CONTENT + b"1")), CorruptData, "a file is larger than it should be", 1),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults(store: BlobStore, proxy: Proxy, name: str) -> None:
    fault, kind, reason, requests = FAULTS[name]
    proxy.faults[KEY] = fault
    with pytest.raises(kind) as caught:
        store.get(KEY, limit=len(CONTENT))
    assert re.search(reason, caught.value.reason), caught.value.reason
    assert len(proxy.asked) == requests
    del proxy.faults[KEY]
    assert store.get(KEY, limit=len(CONTENT)).data == CONTENT


@pytest.mark.parametrize("fault", [stalls(NEVER), refuses(503, "SlowDown"), lambda *_: None])
def test_trouble_that_passes(store: BlobStore, proxy: Proxy, fault: Fault) -> None:
    faults = [fault]
    proxy.faults[KEY] = lambda handler, answer: (faults.pop() if faults else Handler.send)(handler, answer)
    assert store.get(KEY).data == CONTENT
    assert len(proxy.asked) == 2


def test_a_server_that_drips(store: BlobStore, proxy: Proxy) -> None:
    proxy.faults[KEY] = drips(100_000)
    started = time.monotonic()
    with pytest.raises(StorageUnreachable, match=f"Reading {KEY} from {store.uri} takes too long") as caught:
        store.get(KEY)
    assert caught.value.reason == "S3 sends it too slowly"
    # Up to a chunk of 64 KiB is read after the deadline.
    assert time.monotonic() - started < IMPATIENT.total + 0.66 + 1
    assert len(proxy.asked) == 1


def test_a_deadline_of_the_caller(store: BlobStore, proxy: Proxy) -> None:
    proxy.faults[KEY] = stalls(NEVER)
    started = time.monotonic()
    for read in (store.get, lambda key, deadline: store.get_if_changed(key, "etag", deadline=deadline)):
        with pytest.raises(StorageUnreachable):
            read(KEY, deadline=time.monotonic() + 0.1)
    assert time.monotonic() - started < 0.2 + 0.4
    assert len(proxy.asked) == 2
    with pytest.raises(StorageUnreachable, match="takes too long"):
        store.get(KEY, deadline=time.monotonic())
    assert len(proxy.asked) == 2


def test_a_bucket_that_stalls_is_given_up_in_time(bucket: str, settings: S3Settings, proxy: Proxy) -> None:
    proxy.faults[KEY] = stalls(NEVER)
    policy = RetryPolicy(connect=1, read=0.2, attempts=100, total=1.5)
    started = time.monotonic()
    store = open_blobs(f"s3://{bucket}/faces", replace(settings, endpoint=proxy.url), policy)
    with store, pytest.raises(StorageUnreachable):
        store.get(KEY)
    assert time.monotonic() - started < policy.total + 1


# Writing


@pytest.mark.parametrize("refusal", [(412, "PreconditionFailed"), (409, "ConditionalRequestConflict")])
def test_refused_conditions(stubborn: StubbornS3, at_stubborn: BlobStore, refusal: tuple[int, str]) -> None:
    stubborn.rule = on("PUT", "key", error(*refusal))
    for condition in ({"if_match": "0"}, {"if_absent": True}):
        with pytest.raises(BlobConflict, match=f"key in s3://bucket/faces was written .*{refusal[1]}"):
            at_stubborn.put("key", b"", **condition)
    assert stubborn.requests == ["PUT /bucket/faces/key"] * 2


def lose_first_response(proxy: Proxy, key: str, happens: Any = lambda: None) -> None:
    """Have a write take place without an answer."""
    losses = [happens]

    def fault(handler: Handler, answer: Answer) -> None:
        if handler.command == "PUT" and losses:
            losses.pop()()
        else:
            handler.send(answer)

    proxy.write_faults[key] = fault


def test_a_write_whose_response_is_lost(store: BlobStore, proxy: Proxy) -> None:
    old = store.get(KEY).etag
    for condition in ({"if_match": old}, {}):
        lose_first_response(proxy, KEY)
        etag = store.put(KEY, b"new", **condition)  # type: ignore[arg-type]
        assert store.get(KEY) == (b"new", etag)
    lose_first_response(proxy, "other")
    etag = store.put("other", b"new", if_absent=True)
    assert store.get("other") == (b"new", etag)


def test_the_same_bytes_of_another_writer_are_a_conflict(store: BlobStore, proxy: Proxy, settings: S3Settings) -> None:
    old = store.get(KEY).etag
    with open_blobs(store.uri, settings) as other:
        other.put("other", b"")  # creates its client, which may take longer than the first write waits for a response
        lose_first_response(proxy, KEY, lambda: other.put(KEY, b"new"))
        with pytest.raises(BlobConflict):
            store.put(KEY, b"new", if_match=old)
        lose_first_response(proxy, KEY, lambda: other.delete(KEY))
        with pytest.raises(BlobConflict):
            store.put(KEY, b"newer", if_match=store.get(KEY).etag)


def test_a_lost_write_that_cannot_be_looked_up(stubborn: StubbornS3, at_stubborn: BlobStore) -> None:
    answers = {"PUT": [CUT, error(412, "PreconditionFailed")], "HEAD": [error(500, ""), error(503, "")]}
    stubborn.rule = lambda method, *_: answers[method].pop(0)
    with pytest.raises(StorageUnreachable):
        at_stubborn.put("key", b"new", if_match="0")
    assert [request.split()[0] for request in stubborn.requests] == ["PUT", "PUT", "HEAD", "HEAD"]


def test_json_is_marked_as_such(bucket: str, settings: S3Settings, s3: Any) -> None:
    with open_blobs(f"s3://{bucket}", settings) as store:
        store.put("latest.json", b"{}")
        store.put("model.pt", b"")
    types = [s3.head_object(Bucket=bucket, Key=key)["ContentType"] for key in ("latest.json", "model.pt")]
    assert types == ["application/json", "binary/octet-stream"]


def test_a_cut_part_leaves_no_half_upload(stubborn: StubbornS3, at_stubborn: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(9_000_000))
    stubborn.rule = on("PUT", "partNumber=2", CUT)
    with pytest.raises(StorageUnreachable, match="connection to s3://bucket/faces failed"):
        at_stubborn.put_file("key", tmp_path / "file")
    assert any(request.startswith("DELETE") and "uploadId=1" in request for request in stubborn.requests)


def test_the_number_of_attempts(stubborn: StubbornS3, settings: S3Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    stubborn.rule = on("PUT", "key", CUT)
    for attempts in (IMPATIENT.attempts, 1):
        stubborn.requests.clear()
        store = open_blobs("s3://bucket/faces", replace(settings, endpoint=stubborn.url), IMPATIENT)
        with store, pytest.raises(StorageUnreachable):
            store.put("key", bytes(100_000))
        assert len(stubborn.requests) == attempts
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


# Listing


def test_a_listing_goes_beyond_a_page(stubborn: StubbornS3, at_stubborn: BlobStore) -> None:
    def rule(_: str, path: str, __: Any) -> Any:
        return page("faces/b") if "continuation-token=next" in path else page("faces/", "faces/a", after="next")

    stubborn.rule = rule
    assert [found.key for found in at_stubborn.list()] == ["a", "b"]


# Versions


def test_a_version_of_an_object(bucket: str, settings: S3Settings, s3: Any) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first, second = (s3.put_object(Bucket=bucket, Key="a b.jpg", Body=data)["VersionId"] for data in (b"1", b"2"))
    with closing(S3Blobs(f"s3://{bucket}", settings, IMPATIENT)) as blobs:
        assert blobs.get("a b.jpg").data == blobs.get("a b.jpg", version=second).data == b"2"
        assert blobs.get("a b.jpg", version=first).data == b"1"
        with pytest.raises(StorageError):
            blobs.get("a b.jpg", version="&versionId=../x")
