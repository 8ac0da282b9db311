from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Iterator, Mapping

import pytest

from storage.folder import FolderBlobs
from storage.networks import FILE, OWN_POINTER, POINTER, Pointer, load_current
from tests import versions as tiny
from tests.stubborn import CUT, Answer, Rule, StubbornS3, always, error, on, page, stubborn_s3
from training.errors import TrainingError
from training.publishing.publish import publish
from training.publishing.versions import Version, rollback, table, versions
from training.store import load_model

pytestmark = pytest.mark.usefixtures("no_aws_settings")


def model(folder: Path, seed: int = 0, ballast: int = 0) -> Pointer:
    """Another version for each seed, which becomes the folder's current one. ballast: bytes of the network."""
    return tiny.write(folder, tiny.gallery(seed=seed), tiny.network(ballast))


# With moto's S3


def content(s3: Any, uri: str) -> dict[str, tuple[str, datetime]]:
    """Key: checksum and time of writing, of all objects in the bucket."""
    listed = s3.list_objects_v2(Bucket=uri.split("/")[2]).get("Contents", [])
    return {entry["Key"]: (entry["ETag"], entry["LastModified"]) for entry in listed}


def put(s3: Any, uri: str, key: str, data: bytes) -> None:
    s3.put_object(Bucket=uri.split("/")[2], Key=f"faces/{key}", Body=data)


def test_publish_again_uploads_nothing(uri: str, s3: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pointer = model(tmp_path / "m")
    assert publish(tmp_path / "m", uri) == pointer
    assert f"{uri} now serves {pointer.version}, before it was nothing" in capsys.readouterr().err
    before = content(s3, uri)
    assert set(before) == {f"faces/{entry.key}" for entry in FolderBlobs(tmp_path / "m").list()}
    assert len(before) == 5  # network, manifest, segment, both pointers
    assert load_model(uri).pointer == pointer

    assert publish(tmp_path / "m", uri) == pointer
    message = capsys.readouterr().err
    assert f"{pointer.version} is there already" in message
    assert f"serves {pointer.version} already" in message
    assert "upload" not in message
    assert content(s3, uri) == before


def test_all_that_belongs_to_a_version_is_published(uri: str, tmp_path: Path) -> None:
    pointer = model(tmp_path / "m")
    (tmp_path / "m" / pointer.version / "more.safetensors").write_bytes(b"more")
    (tmp_path / "m" / pointer.version / ".DS_Store").write_bytes(b"")
    model(tmp_path / "m", seed=1)
    rollback(str(tmp_path / "m"), pointer.version)
    publish(tmp_path / "m", uri)
    (tmp_path / "n").mkdir()
    publish(tmp_path / "m", str(tmp_path / "n"))
    copied = {entry.key for entry in FolderBlobs(tmp_path / "n").list()}
    assert f"{pointer.version}/more.safetensors" in copied
    assert {key.partition("/")[0] for key in copied} == {pointer.version, POINTER}


def test_a_large_network_goes_up_in_parts(uri: str, tmp_path: Path) -> None:
    pointer = model(tmp_path / "m", ballast=9_000_000)
    publish(tmp_path / "m", uri)
    assert load_model(uri).path.read_bytes() == (tmp_path / "m" / pointer.file).read_bytes()


def test_what_is_there_of_a_version_is_not_uploaded_again(uri: str, s3: Any, tmp_path: Path) -> None:
    """A publication that was cut off goes on."""
    pointer = model(tmp_path / "m", ballast=1000)
    put(s3, uri, pointer.file, (tmp_path / "m" / pointer.file).read_bytes())
    put(s3, uri, f"{pointer.gallery}manifest.json", b"half")
    before = content(s3, uri)
    publish(tmp_path / "m", uri)
    after = content(s3, uri)
    assert after[f"faces/{pointer.file}"] == before[f"faces/{pointer.file}"]
    assert load_model(uri).pointer == pointer


def test_dry_run_writes_nothing(uri: str, s3: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = model(tmp_path / "m", ballast=1_192_000)
    assert publish(tmp_path / "m", uri, dry_run=True) == old
    assert content(s3, uri) == {}
    message = capsys.readouterr().err
    assert f"would upload 1.2 MB to {uri}/{old.version}/" in message
    assert f"would point {uri}/{POINTER} from nothing to {old.version}" in message
    assert "dry run: nothing was written" in message
    assert "now serves" not in message

    publish(tmp_path / "m", uri)
    before = content(s3, uri)
    new = model(tmp_path / "m", seed=1)
    capsys.readouterr()
    publish(tmp_path / "m", uri, dry_run=True)
    assert f"from {old.version} to {new.version}" in capsys.readouterr().err
    assert content(s3, uri) == before


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_is_checked_first(dry_run: bool, uri: str, s3: Any, tmp_path: Path) -> None:
    pointer = model(tmp_path / "m")
    with pytest.raises(TrainingError, match=r"no bucket no-such-bucket \(NoSuchBucket\)"):
        publish(tmp_path / "m", "s3://no-such-bucket/faces", dry_run)
    with pytest.raises(TrainingError, match=r"none cannot be used: No such file or directory\."):
        publish(tmp_path / "m", str(tmp_path / "none"), dry_run)
    with pytest.raises(TrainingError, match=r"none has no file latest\.json\."):
        publish(tmp_path / "none", uri, dry_run)
    (tmp_path / "m" / pointer.file).write_bytes(b"half")
    with pytest.raises(TrainingError, match="checksum"):
        publish(tmp_path / "m", uri, dry_run)
    assert content(s3, uri) == {}


def test_a_broken_pointer_is_replaced(uri: str, s3: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pointer = model(tmp_path / "m")
    put(s3, uri, POINTER, b"{}")
    publish(tmp_path / "m", uri)
    assert f"nothing is served from {uri}: latest.json is not a pointer" in capsys.readouterr().err
    assert load_model(uri).pointer == pointer


def test_a_model_of_an_earlier_release_is_replaced(uri: str, s3: Any, tmp_path: Path) -> None:
    pointer = model(tmp_path / "m")
    fields = ("version", "file", "sha256", "bytes", "created")
    put(s3, uri, POINTER, json.dumps({name: getattr(pointer, name) for name in fields}).encode())
    put(s3, uri, f"20260101-00000000/{FILE}", b"weights")
    publish(tmp_path / "m", uri)
    assert [one.pointer for one in versions(uri)] == [pointer]


def test_versions_and_rollback_through_s3(
    uri: str, s3: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert versions(uri) == []
    old = model(tmp_path / "m", ballast=1)
    publish(tmp_path / "m", uri)
    new = model(tmp_path / "m", seed=1)
    publish(tmp_path / "m", uri)
    for key in ("20260101/version.json", f"{old.version}/version.json.old", f"more/{old.version}/version.json", "x"):
        put(s3, uri, key, b"not a version")
    assert set(versions(uri)) == {Version(old, False), Version(new, True)}

    rollback(uri, old.version)
    assert f"now serves {old.version}, before it was {new.version}" in capsys.readouterr().err
    assert load_model(uri).pointer == old

    before = content(s3, uri)
    rollback(uri, old.version)
    assert "already" in capsys.readouterr().err
    there = rf"there are ({old.version}, {new.version}|{new.version}, {old.version})"
    with pytest.raises(TrainingError, match=f"no version 20250101-00000000: {there}"):
        rollback(uri, "20250101-00000000")
    with pytest.raises(TrainingError, match="there are none at all"):
        rollback(f"{uri}/elsewhere", old.version)
    with pytest.raises(TrainingError, match="no bucket no-such-bucket"):
        versions("s3://no-such-bucket/faces")
    assert content(s3, uri) == before


def test_rollback_verifies_the_version(uri: str, s3: Any, tmp_path: Path) -> None:
    old = model(tmp_path / "m", ballast=1)
    publish(tmp_path / "m", uri)
    new = model(tmp_path / "m", seed=1)
    publish(tmp_path / "m", uri)
    load_model(uri)
    (segment,) = (entry.key for entry in FolderBlobs(tmp_path / "m").list(f"{old.gallery}segments/"))
    put(s3, uri, segment, b"another")
    with pytest.raises(TrainingError, match="not the file that was published"):
        rollback(uri, old.version)
    assert load_model(uri).pointer == new
    put(s3, uri, segment, (tmp_path / "m" / segment).read_bytes())
    copies = sorted((tmp_path / "temp").iterdir())
    rollback(uri, old.version)
    assert sorted((tmp_path / "temp").iterdir()) == copies
    assert load_model(uri).pointer == old


# In a folder


def test_versions_and_rollback_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "m"
    new = created(folder, model(folder, seed=1), "2026-01-02T10:00:00+00:00")
    old = created(folder, model(folder), "2026-01-01T10:00:00+00:00")
    (folder / "20260101-00000000").mkdir()
    (folder / "20260101-00000000" / FILE).write_bytes(b"of an earlier release, or incomplete")
    (folder / "notes").mkdir()
    (folder / "notes" / OWN_POINTER).write_bytes(b"")
    assert versions(str(folder)) == [Version(old, True), Version(new, False)]
    rollback(str(folder), new.version)
    assert load_model(str(folder)).pointer == new
    assert [one.current for one in versions(str(folder))] == [False, True]

    text = (folder / POINTER).read_bytes()
    (folder / old.file).write_bytes(b"changed")
    for version, sentence in (
        (old.version, "not the file that was published"),
        ("../m", f"there are {old.version}, {new.version}"),
        ("20260101-00000000", "no version 20260101-00000000"),
    ):
        with pytest.raises(TrainingError, match=sentence):
            rollback(str(folder), version)
    capsys.readouterr()
    rollback(str(folder), new.version)
    assert "already" in capsys.readouterr().err
    assert (folder / POINTER).read_bytes() == text


def created(folder: Path, pointer: Pointer, time: str) -> Pointer:
    """Change a version's time."""
    changed = replace(pointer, created=time)
    for path in (folder / POINTER, folder / pointer.version / OWN_POINTER):
        path.write_text(changed.to_json())
    return changed


def test_a_version_with_a_broken_pointer_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = model(tmp_path), model(tmp_path, seed=1)
    (tmp_path / old.version / OWN_POINTER).write_text("{")
    assert versions(str(tmp_path)) == [Version(new, True)]
    assert f"left out: {old.version}/version.json is not a pointer to a model" in capsys.readouterr().err
    with pytest.raises(TrainingError, match=f"no version {old.version}: there are {new.version}"):
        rollback(str(tmp_path), old.version)
    assert model(tmp_path).version == old.version  # writing it again mends it
    assert len(versions(str(tmp_path))) == 2
    assert load_model(str(tmp_path)).version == old.version


def test_the_same_version_is_written_once(tmp_path: Path) -> None:
    first = model(tmp_path)
    own = created(tmp_path, first, "2026-01-01T10:00:00+00:00")
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / first.version).rglob("*")}
    model(tmp_path, seed=1)
    assert model(tmp_path) == own
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / first.version).rglob("*")} == files
    assert load_model(str(tmp_path)).pointer == own


def test_rollback_mends_a_broken_pointer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pointer = model(tmp_path)
    (tmp_path / POINTER).write_text("{")
    assert [one.current for one in versions(str(tmp_path))] == [False]
    rollback(str(tmp_path), pointer.version)
    assert "not a pointer" in capsys.readouterr().err
    (tmp_path / POINTER).unlink()
    rollback(str(tmp_path), pointer.version)
    assert "before it was nothing that is there" in capsys.readouterr().err
    assert load_current(FolderBlobs(tmp_path)).pointer == pointer


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="No such file"):
        versions(str(tmp_path / "none"))
    with pytest.raises(TrainingError, match="none cannot be used"):
        rollback(str(tmp_path / "none"), "20260101-00000000")


def test_table() -> None:
    assert table([]) == "There are no versions."
    pointers = [
        Pointer("20260101-0000000a", "", "", 900_000, "2026-01-01T10:00:00+00:00", "people", ""),
        Pointer("20260102-0000000b", "", "", 26_340_000, "2026-01-02T10:00:00+00:00", "people", ""),
    ]
    assert table([Version(pointers[0], False), Version(pointers[1], True)]).split("\n") == [
        "  version               size  created",
        "  20260101-0000000a   0.9 MB  2026-01-01T10:00:00+00:00",
        "* 20260102-0000000b  26.3 MB  2026-01-02T10:00:00+00:00",
    ]


# With an S3 that refuses. All its sentences are in tests/storage/test_s3_errors.py.


def pointed(stubborn: StubbornS3) -> bool:
    """Find out if a pointer has been written, or tried to."""
    return any(request.startswith("PUT") and request.endswith(POINTER) for request in stubborn.requests)


@pytest.fixture()
def stubborn(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubbornS3]:
    with stubborn_s3() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield server


DENIED = error(403, "AccessDenied")


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (on("PUT", FILE, DENIED), r"may not write to s3://bucket/faces \(AccessDenied\).*s3:PutObject"),
        (on("PUT", "safetensors", DENIED), r"may not write to s3://bucket/faces \(AccessDenied\).*s3:PutObject"),
        (on("PUT", OWN_POINTER, DENIED), r"may not write to s3://bucket/faces \(AccessDenied\).*s3:PutObject"),
        (on("GET", "list-type", DENIED), r"may not list s3://bucket/faces .*s3:ListBucket"),
        (on("GET", POINTER, DENIED), r"may not read from s3://bucket/faces .*s3:GetObject"),
        (on("GET", "list-type", error(404, "NoSuchBucket")), r"no bucket bucket \(NoSuchBucket\)"),
        (
            always(error(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1")),
            r"in the region eu-west-1 .*set AWS_DEFAULT_REGION to eu-west-1",
        ),
        (always(error(403, "InvalidAccessKeyId")), r"not accept the AWS credentials .*AWS_ACCESS_KEY_ID"),
        (always(error(400, "ExpiredToken")), r"have expired .*log in again"),
        (on("PUT", FILE, error(503, "SlowDown")), r"trouble of its own at the moment \(SlowDown\)"),
        (on("GET", POINTER, error(409, "OperationAborted")), r"refuses GetObject .*\(OperationAborted\): Words\.$"),
        (always(Answer(200, "<!doctype html><p>Sign in", {"Content-Type": "text/html"})), "not do so as S3 does"),
        (on("PUT", FILE, CUT), r"connection to s3://bucket/faces failed .*try again"),
        (on("PUT", "manifest", CUT), r"connection to s3://bucket/faces failed .*try again"),
    ],
)
def test_publish_says_what_to_do(stubborn: StubbornS3, tmp_path: Path, rule: Rule, sentence: str) -> None:
    model(tmp_path, ballast=500_000)
    stubborn.rule = rule
    with pytest.raises(TrainingError, match=sentence):
        publish(tmp_path, "s3://bucket/faces")
    assert stubborn.requests
    assert not pointed(stubborn)


def test_a_cut_part_leaves_no_half_upload(stubborn: StubbornS3, tmp_path: Path) -> None:
    model(tmp_path, ballast=9_000_000)
    stubborn.rule = on("PUT", "partNumber=2", CUT)
    with pytest.raises(TrainingError, match="connection to s3://bucket/faces failed"):
        publish(tmp_path, "s3://bucket/faces")
    assert not pointed(stubborn)
    assert any(request.startswith("DELETE") and "uploadId=1" in request for request in stubborn.requests)


def test_a_connection_cut_once_is_tried_again(
    stubborn: StubbornS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pointer = model(tmp_path, ballast=500_000)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    cuts = [CUT]
    stubborn.rule = lambda method, path, _: cuts.pop() if cuts and method == "PUT" and FILE in path else None
    publish(tmp_path, "s3://bucket/faces")
    puts = [request.rpartition("/faces/")[2] for request in stubborn.requests if request.startswith("PUT")]
    keys = [entry.key for entry in FolderBlobs(tmp_path).list(pointer.version)]
    assert sorted(puts) == sorted([*keys, pointer.file, POINTER])
    assert puts[-2:] == [f"{pointer.version}/{OWN_POINTER}", POINTER]


def test_a_region_that_s3_names_is_followed(stubborn: StubbornS3, tmp_path: Path) -> None:
    model(tmp_path)
    wrong = error(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>")
    stubborn.rule = lambda *request: None if "/eu-west-1/s3/" in request[2]["Authorization"] else wrong
    publish(tmp_path, "s3://bucket/faces")
    assert pointed(stubborn)


def test_a_refused_pointer_is_an_error(stubborn: StubbornS3, tmp_path: Path) -> None:
    model(tmp_path)
    stubborn.rule = on("PUT", POINTER, DENIED)
    with pytest.raises(TrainingError, match="may not write to"):
        publish(tmp_path, "s3://bucket/faces")


def served(folder: Path) -> Rule:
    """Answer with the files of a folder, but for the pointer, and list them in pages of one."""
    keys = [f"faces/{entry.key}" for entry in FolderBlobs(folder).list() if entry.key != POINTER]

    def rule(method: str, path: str, _: Mapping[str, str]) -> Answer | None:
        if "list-type" in path:
            found = re.search(r"continuation-token=(\d+)", path)
            i = int(found[1]) if found else 0
            return page(keys[i], after=str(i + 1) if i + 1 < len(keys) else "")
        file = folder / path.partition("/faces/")[2]
        if method != "GET" or file.name == POINTER:
            return None
        return Answer(200, file.read_bytes())

    return rule


def test_versions_beyond_a_page(stubborn: StubbornS3, tmp_path: Path) -> None:
    pointers = [model(tmp_path, seed) for seed in range(3)]
    stubborn.rule = served(tmp_path)
    assert set(versions("s3://bucket/faces")) == {Version(pointer, False) for pointer in pointers}


@pytest.mark.parametrize(
    ("method", "file", "answer", "sentence"),
    [
        ("GET", OWN_POINTER, DENIED, r"may not read from s3://bucket/faces \(AccessDenied\)"),
        ("GET", FILE, DENIED, r"may not read from s3://bucket/faces \(AccessDenied\)"),
        ("GET", "manifest.json", DENIED, r"may not read from s3://bucket/faces \(AccessDenied\)"),
        ("GET", FILE, Answer(200, "half", {"Content-Length": "11"}), "connection to s3://bucket/faces failed"),
        ("PUT", POINTER, DENIED, r"may not write to s3://bucket/faces \(AccessDenied\)"),
    ],
)
def test_rollback_says_what_to_do(
    stubborn: StubbornS3, tmp_path: Path, method: str, file: str, answer: Answer, sentence: str
) -> None:
    pointer = model(tmp_path)
    others = served(tmp_path)
    stubborn.rule = lambda *request: answer if request[0] == method and file in request[1] else others(*request)
    with pytest.raises(TrainingError, match=sentence):
        rollback("s3://bucket/faces", pointer.version)
    assert pointed(stubborn) == (method == "PUT")


# Without reaching S3


def test_no_credentials(stubborn: StubbornS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model(tmp_path)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(TrainingError, match=r"no AWS credentials .*set AWS_PROFILE"):
        publish(tmp_path, "s3://bucket/faces")
    assert stubborn.requests == []


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9", r"connection to .* failed .*try again"),
        ("AWS_ENDPOINT_URL", "nonsense", "as it is set up: Invalid endpoint"),
        ("AWS_DEFAULT_REGION", "no region", "as it is set up"),
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
    model(tmp_path)
    with pytest.raises(TrainingError, match="not a name that a bucket can have"):
        publish(tmp_path, "s3://not a bucket/faces")
    with pytest.raises(TrainingError, match=r"^The folder bucket/faces cannot be used: No such file"):
        publish(tmp_path, "bucket/faces")
    with pytest.raises(TrainingError, match="not of the form s3://bucket/prefix"):
        versions("s3://")
    assert stubborn.requests == []
