from __future__ import annotations

import contextlib
import http.server
import os
import threading
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Optional
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from model.store import FILE, POINTER, Pointer, current, fetch

from training.errors import TrainingError
from training.publishing.publish import publish, rollback, table, versions
from training.store import Version

# What a shell may have set that would decide how S3 is reached.
ELSEWHERE = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE")


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ELSEWHERE:
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # A session keeps the credentials that it found first.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


def model(folder: Path, content: bytes, day: str = "20260101") -> Pointer:
    """A version with any bytes for a model, which becomes the folder's current one."""
    folder.mkdir(exist_ok=True)
    draft = folder / FILE
    draft.write_bytes(content)
    made = Pointer.of(draft)
    version = f"{day}-{made.sha256[:8]}"
    pointer = Pointer(version, f"{version}/{FILE}", made.sha256, made.bytes, made.created)
    (folder / version).mkdir()
    draft.rename(folder / pointer.file)
    (folder / POINTER).write_text(pointer.to_json())
    return pointer


# With moto's S3


@pytest.fixture()
def uri(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A prefix in an empty bucket; what is fetched from it lands in tmp_path."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with client() as s3:
        s3.create_bucket(Bucket="versions")
        for entry in s3.list_objects_v2(Bucket="versions").get("Contents", []):
            s3.delete_object(Bucket="versions", Key=entry["Key"])
    return "s3://versions/faces"


@contextlib.contextmanager
def client() -> Iterator[Any]:
    with contextlib.closing(boto3.client("s3")) as s3:
        yield s3


def state() -> dict[str, tuple[str, datetime]]:
    """Key: checksum and time of writing, of all that is in the bucket."""
    with client() as s3:
        listed = s3.list_objects_v2(Bucket="versions").get("Contents", [])
    return {entry["Key"]: (entry["ETag"], entry["LastModified"]) for entry in listed}


def test_publish_again_uploads_nothing(uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pointer = model(tmp_path / "m", b"weights")
    assert publish(tmp_path / "m", uri) == pointer
    assert f"now serves {pointer.version}, before it was nothing" in capsys.readouterr().err
    before = state()
    assert set(before) == {f"faces/{pointer.file}", f"faces/{POINTER}"}

    assert publish(tmp_path / "m", uri) == pointer
    said = capsys.readouterr().err
    assert "is there already" in said
    assert "upload" not in said
    assert state() == before


def test_a_large_model_goes_up_in_parts(uri: str, tmp_path: Path) -> None:
    content = os.urandom(1000) * 9000
    pointer = model(tmp_path / "m", content)
    publish(tmp_path / "m", uri)
    assert fetch(uri)[0].read_bytes() == content
    model(tmp_path / "n", b"newer", "20260102")
    publish(tmp_path / "n", uri)
    rollback(uri, pointer.version)
    assert current(uri).sha256 == pointer.sha256


def test_dry_run_writes_nothing(uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = model(tmp_path / "m", b"w" * 1_250_000)
    assert publish(tmp_path / "m", uri, dry_run=True) == old
    assert state() == {}
    said = capsys.readouterr().err
    assert f"would upload 1.2 MB to {uri}/{old.file}" in said
    assert f"would point {uri}/{POINTER} from nothing to {old.version}" in said
    assert "now serves" not in said

    publish(tmp_path / "m", uri)
    before = state()
    new = model(tmp_path / "m", b"newer", "20260102")
    capsys.readouterr()
    publish(tmp_path / "m", uri, dry_run=True)
    assert f"from {old.version} to {new.version}" in capsys.readouterr().err
    assert state() == before


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_is_checked_first(dry_run: bool, uri: str, tmp_path: Path) -> None:
    pointer = model(tmp_path / "m", b"weights")
    with pytest.raises(TrainingError, match=r"no bucket no-such-bucket \(NoSuchBucket\)"):
        publish(tmp_path / "m", "s3://no-such-bucket/faces", dry_run)
    (tmp_path / "m" / pointer.file).write_bytes(b"half")
    with pytest.raises(TrainingError, match="checksum"):
        publish(tmp_path / "m", uri, dry_run)
    assert state() == {}


def test_a_broken_pointer_is_replaced(uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pointer = model(tmp_path / "m", b"weights")
    with client() as s3:
        s3.put_object(Bucket="versions", Key=f"faces/{POINTER}", Body=b"{}")
    publish(tmp_path / "m", uri)
    assert "not a pointer" in capsys.readouterr().err
    assert fetch(uri)[1] == pointer


def test_versions_and_rollback_through_s3(uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert versions(uri) == []
    old = model(tmp_path / "m", b"old", "20260101")
    publish(tmp_path / "m", uri)
    new = model(tmp_path / "m", b"newer", "20260102")
    publish(tmp_path / "m", uri)
    with client() as s3:
        for key in ("faces/20260101/model.pt", f"faces/{old.version}/{FILE}.old", f"faces/more/{old.file}", "faces/x"):
            s3.put_object(Bucket="versions", Key=key, Body=b"not a version")
    found = versions(uri)
    assert [(one.version, one.bytes, one.current) for one in found] == [(old.version, 3, False), (new.version, 5, True)]
    assert all(one.created.utcoffset() is not None for one in found)

    rollback(uri, old.version)
    assert f"now serves {old.version}, before it was {new.version}" in capsys.readouterr().err
    path, pointer = fetch(uri)
    assert path.read_bytes() == b"old"
    assert pointer == Pointer.to(old.version, old.sha256, 3, found[0].created)

    before = state()
    rollback(uri, old.version)
    assert "already" in capsys.readouterr().err
    with pytest.raises(TrainingError, match=f"no version 20250101-00000000: there are {old.version}, {new.version}"):
        rollback(uri, "20250101-00000000")
    with pytest.raises(TrainingError, match="there are none at all"):
        rollback("s3://versions/elsewhere", old.version)
    with pytest.raises(TrainingError, match="no bucket no-such-bucket"):
        versions("s3://no-such-bucket/faces")
    assert state() == before


def test_rollback_without_a_noted_checksum(uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = model(tmp_path / "m", b"newer", "20260102")
    publish(tmp_path / "m", uri)
    old = model(tmp_path / "n", b"old", "20260101")
    with client() as s3:
        s3.put_object(Bucket="versions", Key=f"faces/{old.file}", Body=b"another")
        with pytest.raises(TrainingError, match="not the file that was published"):
            rollback(uri, old.version)
        assert fetch(uri)[1] == new
        s3.put_object(Bucket="versions", Key=f"faces/{old.file}", Body=b"old")
    rollback(uri, old.version)
    assert current(uri).sha256 == old.sha256
    assert "no checksum" in capsys.readouterr().err
    assert fetch(uri)[0].read_bytes() == b"old"


# In a folder


def test_versions_and_rollback_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "m"
    new = model(folder, b"newer")
    old = model(folder, b"old")
    os.utime(folder / old.file, (0, 0))
    os.utime(folder / new.file, (86400, 86400))
    (folder / "20260101-00000000").mkdir()
    (folder / "notes").mkdir()
    (folder / "notes" / FILE).write_bytes(b"")
    assert versions(str(folder)) == [
        Version(old.version, 3, datetime.fromisoformat("1970-01-01T00:00:00+00:00"), True),
        Version(new.version, 5, datetime.fromisoformat("1970-01-02T00:00:00+00:00"), False),
    ]
    rollback(str(folder), new.version)
    assert fetch(str(folder))[0].read_bytes() == b"newer"
    assert [one.current for one in versions(str(folder))] == [False, True]

    text = (folder / POINTER).read_bytes()
    (folder / old.file).write_bytes(b"changed")
    for version, sentence in (
        (old.version, "not the file that was published"),
        ("../m", f"there are {new.version}, {old.version}"),
    ):
        with pytest.raises(TrainingError, match=sentence):
            rollback(str(folder), version)
    rollback(str(folder), new.version)
    assert "already" in capsys.readouterr().err
    assert (folder / POINTER).read_bytes() == text
    assert not list(folder.glob(".*"))


def test_rollback_mends_a_broken_pointer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pointer = model(tmp_path, b"weights")
    (tmp_path / POINTER).write_text("{")
    assert [one.current for one in versions(str(tmp_path))] == [False]
    rollback(str(tmp_path), pointer.version)
    assert "not a pointer" in capsys.readouterr().err
    (tmp_path / POINTER).unlink()
    rollback(str(tmp_path), pointer.version)
    assert fetch(str(tmp_path))[0].read_bytes() == b"weights"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="No such file"):
        versions(str(tmp_path / "none"))
    with pytest.raises(TrainingError, match="none cannot be used"):
        rollback(str(tmp_path / "none"), "20260101-00000000")


def test_table() -> None:
    assert table([]) == "There are no versions."
    found = [
        Version("20260101-0000000a", 900_000, datetime.fromisoformat("2026-01-01T10:00:00+00:00"), False),
        Version("20260102-0000000b", 26_340_000, datetime.fromisoformat("2026-01-02T10:00:00+00:00"), True),
    ]
    assert table(found).split("\n") == [
        "  version               size  created",
        "  20260101-0000000a   0.9 MB  2026-01-01T10:00:00+00:00",
        "* 20260102-0000000b  26.3 MB  2026-01-02T10:00:00+00:00",
    ]


# With an S3 that says no


class Answer(NamedTuple):
    status: int
    body: str = ""
    headers: Mapping[str, str] = {}


CUT = Answer(0)  # the connection, in the middle of what is being sent

Rule = Callable[[str, str, Mapping[str, str]], Optional[Answer]]


def error(status: int, code: str, more: str = "", **headers: str) -> Answer:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>Words.</Message>{more}</Error>'
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def usual(method: str, path: str) -> Answer:
    """What S3 answers for an empty bucket in which all may be done."""
    query = parse_qs(urlsplit(path).query, keep_blank_values=True)
    if "uploads" in query:
        return Answer(200, "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>")
    if "list-type" in query:
        return Answer(
            200, "<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
        )
    if method == "GET":
        return error(404, "NoSuchKey")
    return Answer(204 if method == "DELETE" else 200, "", {"ETag": '"0"'})


class Handler(http.server.BaseHTTPRequestHandler):
    server: StubbornS3
    protocol_version = "HTTP/1.1"
    timeout = 10

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        found = self.server.rule(self.command, self.path, dict(self.headers.items()))
        self.server.requests.append(f"{self.command} {self.path}")
        self.rfile.read(length // 2 if found is CUT else length)
        if found is CUT:
            self.close_connection = True
            return
        status, body, headers = found or usual(self.command, self.path)
        content = b"" if self.command == "HEAD" else body.encode()
        self.send_response(status)
        # botocore keeps a connection as long as anything refers to an error from it, and pytest does.
        self.send_header("Connection", "close")
        for name, value in {"Content-Length": str(len(content)), "Content-Type": "application/xml", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


class StubbornS3(http.server.ThreadingHTTPServer):
    """Answers as `usual` where its rule has no other answer; `requests` are those that came, as "PUT /path"."""

    daemon_threads = False  # so that closing the server waits until their sockets are closed

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.rule: Rule = lambda *_: None

    def pointed(self) -> bool:
        return any(POINTER in request and not request.startswith("GET") for request in self.requests)


@pytest.fixture()
def stubborn(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubbornS3]:
    with StubbornS3() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield server
        server.shutdown()
        thread.join()


def always(answer: Answer) -> Rule:
    return lambda *_: answer


def on(method: str, part: str, answer: Answer) -> Rule:
    return lambda m, path, _: answer if m == method and part in path else None


DENIED = error(403, "AccessDenied")


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (on("PUT", FILE, DENIED), r"may not write to s3://bucket/faces \(AccessDenied\).*s3:PutObject"),
        (on("GET", "list-type", DENIED), r"may not list s3://bucket/faces .*s3:ListBucket"),
        (on("GET", POINTER, DENIED), r"may not read from s3://bucket/faces .*s3:GetObject"),
        (on("GET", "list-type", error(404, "NoSuchBucket")), r"no bucket bucket \(NoSuchBucket\)"),
        (
            always(error(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1")),
            "in the region eu-west-1 .*set AWS_DEFAULT_REGION to eu-west-1",
        ),
        (
            always(error(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>")),
            "in the region eu-west-1 .*set AWS_DEFAULT_REGION to eu-west-1",
        ),
        (always(error(400, "AuthorizationHeaderMalformed")), r"refuses ListObjectsV2 .*Words\.$"),
        (
            always(error(400, "IllegalLocationConstraintException")),
            "in another region .*AWS_DEFAULT_REGION",
        ),
        (always(error(403, "InvalidAccessKeyId")), "not accept the AWS credentials .*AWS_ACCESS_KEY_ID"),
        (always(error(403, "SignatureDoesNotMatch")), "AWS_SECRET_ACCESS_KEY"),
        (always(error(400, "ExpiredToken")), "have expired .*log in again"),
        (always(error(403, "RequestTimeTooSkewed")), "set the clock"),
        (on("PUT", FILE, error(503, "SlowDown")), r"trouble of its own at the moment \(SlowDown\)"),
        (always(error(409, "OperationAborted")), r"refuses ListObjectsV2 .*\(OperationAborted\): Words\.$"),
        (always(Answer(404, "<html>", {"Content-Type": "text/html"})), "no bucket bucket"),
        (always(Answer(200, "<!doctype html><p>Sign in", {"Content-Type": "text/html"})), "not do so as S3 does"),
        (always(Answer(301, "", {"Location": "https://127.0.0.1/"})), "not do so as S3 does"),
        (always(CUT), "connection to s3://bucket/faces failed .*try again"),
        (on("PUT", FILE, CUT), "connection to s3://bucket/faces failed .*try again"),
    ],
)
def test_publish_says_what_to_do(stubborn: StubbornS3, tmp_path: Path, rule: Rule, sentence: str) -> None:
    model(tmp_path, b"w" * 500_000)
    stubborn.rule = rule
    with pytest.raises(TrainingError, match=sentence):
        publish(tmp_path, "s3://bucket/faces")
    assert stubborn.requests
    assert not stubborn.pointed()


def test_a_cut_part_leaves_no_half_upload(stubborn: StubbornS3, tmp_path: Path) -> None:
    model(tmp_path, bytes(9_000_000))
    stubborn.rule = on("PUT", "partNumber=2", CUT)
    with pytest.raises(TrainingError, match="connection to s3://bucket/faces failed"):
        publish(tmp_path, "s3://bucket/faces")
    assert not stubborn.pointed()
    assert any(request.startswith("DELETE") and "uploadId=1" in request for request in stubborn.requests)


def test_a_connection_cut_once_is_tried_again(
    stubborn: StubbornS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pointer = model(tmp_path, b"w" * 500_000)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    cuts = [CUT]
    stubborn.rule = lambda method, path, _: cuts.pop() if cuts and method == "PUT" else None
    publish(tmp_path, "s3://bucket/faces")
    puts = [request for request in stubborn.requests if request.startswith("PUT")]
    assert puts == [f"PUT /bucket/faces/{pointer.file}"] * 2 + [f"PUT /bucket/faces/{POINTER}"]


def test_a_region_that_s3_names_is_followed(stubborn: StubbornS3, tmp_path: Path) -> None:
    model(tmp_path, b"weights")
    wrong = error(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>")
    stubborn.rule = lambda *request: None if "/eu-west-1/s3/" in request[2]["Authorization"] else wrong
    publish(tmp_path, "s3://bucket/faces")
    assert stubborn.pointed()


def test_a_refused_pointer_is_an_error(stubborn: StubbornS3, tmp_path: Path) -> None:
    model(tmp_path, b"weights")
    stubborn.rule = on("PUT", POINTER, DENIED)
    with pytest.raises(TrainingError, match="may not write to"):
        publish(tmp_path, "s3://bucket/faces")


HELLO = "20260101-a591a6d4"  # of "Hello World"


def page(*versions: str, after: str = "") -> Answer:
    """A part of a list, 11 bytes a version; after: what to ask for to get the next part."""
    token = f"<NextContinuationToken>{after}</NextContinuationToken>" if after else ""
    contents = "".join(
        f"<Contents><Key>faces/{version}/{FILE}</Key><LastModified>2026-01-01T10:00:00.000Z</LastModified>"
        "<Size>11</Size></Contents>"
        for version in versions
    )
    more = str(bool(after)).lower()
    return Answer(200, f"<ListBucketResult><IsTruncated>{more}</IsTruncated>{token}{contents}</ListBucketResult>")


def test_versions_beyond_a_page(stubborn: StubbornS3) -> None:
    def rule(_: str, path: str, __: Mapping[str, str]) -> Answer | None:
        if "list-type" not in path:
            return None
        return page("20260101-00000001") if "continuation-token=next" in path else page(HELLO, after="next")

    stubborn.rule = rule
    assert versions("s3://bucket/faces") == [
        Version("20260101-00000001", 11, datetime.fromisoformat("2026-01-01T10:00:00+00:00"), False),
        Version(HELLO, 11, datetime.fromisoformat("2026-01-01T10:00:00+00:00"), False),
    ]


@pytest.mark.parametrize(
    ("method", "answer", "sentence"),
    [
        ("HEAD", Answer(403), r"may not read from s3://bucket/faces \(403\)"),
        ("GET", DENIED, r"may not read from s3://bucket/faces \(AccessDenied\)"),
        ("GET", Answer(200, "half", {"Content-Length": "11"}), "connection to s3://bucket/faces failed"),
        ("PUT", DENIED, r"may not write to s3://bucket/faces \(AccessDenied\)"),
    ],
)
def test_rollback_says_what_to_do(stubborn: StubbornS3, method: str, answer: Answer, sentence: str) -> None:
    def rule(asked: str, path: str, _: Mapping[str, str]) -> Answer | None:
        if "list-type" in path:
            return page(HELLO)
        if asked == method and (method == "PUT" or FILE in path):
            return answer
        return Answer(200, "Hello World") if FILE in path else None

    stubborn.rule = rule
    with pytest.raises(TrainingError, match=sentence):
        rollback("s3://bucket/faces", HELLO)
    assert stubborn.pointed() == (method == "PUT")


# Without reaching S3


def test_no_credentials(stubborn: StubbornS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model(tmp_path, b"weights")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(TrainingError, match=r"no AWS credentials .*set AWS_PROFILE"):
        publish(tmp_path, "s3://bucket/faces")
    assert stubborn.requests == []


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9", "connection to .* failed .*Could not connect"),
        ("AWS_ENDPOINT_URL", "nonsense", "as it is set up: Invalid endpoint"),
        ("AWS_DEFAULT_REGION", "no region", "Provided region_name"),
        ("AWS_PROFILE", "nobody", r"The config profile \(nobody\) could not be found"),
    ],
)
def test_s3_set_up_wrongly(
    stubborn: StubbornS3, monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match=sentence):
        versions("s3://bucket/faces")


def test_uris_that_cannot_be(stubborn: StubbornS3, tmp_path: Path) -> None:
    model(tmp_path, b"weights")
    with pytest.raises(TrainingError, match="not a name that a bucket can have"):
        publish(tmp_path, "s3://not a bucket/faces")
    with pytest.raises(TrainingError, match="not of the form s3://bucket/prefix"):
        publish(tmp_path, "bucket/faces")
    with pytest.raises(TrainingError, match="not of the form s3://bucket/prefix"):
        versions("s3://")
    assert stubborn.requests == []
