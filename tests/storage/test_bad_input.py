"""Versions that are damaged, incomplete or of another format: refused by every command and by the service."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, NamedTuple

import pytest
import safetensors.numpy

from model.embedding import TUNED
from storage.blobs import open_blobs
from storage.folder import FolderBlobs
from storage.live import REFRESH
from storage.networks import POINTER
from storage.s3_settings import S3Settings
from testing.paths import SAMPLES
from tests import versions
from tests.runtime import Runtime
from tests.versions import Files, seal, seal_segment
from training.__main__ import main
from training.publishing.versions import rollback

CHANGED = "is not the file that was published: its checksum differs"
SEGMENT = "The segment segments/[0-9a-f]{32}.safetensors cannot be read: "
OLD_POINTER = ("version", "file", "sha256", "bytes", "created")  # fields


class Damage(NamedTuple):
    """operator, caller: parts of the sentences for either; published: happened before the checksums were taken."""

    happens: Callable[[Files], object]
    operator: str
    caller: str
    published: bool = False


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def segment(data: bytes) -> Callable[[Files], None]:
    def happens(found: Files) -> None:
        found.segment.write_bytes(data)
        seal_segment(found)

    return happens


def embedding(**fields: Any) -> Callable[[Files], None]:
    def happens(found: Files) -> None:
        spec = json.loads(found.manifest.read_text())["embedding"]
        edit(found.manifest, embedding={**spec, **fields})

    return happens


def records_with_a_name(found: Files) -> None:
    arrays = safetensors.numpy.load(found.segment.read_bytes())
    arrays["people.name"][-1] = 0xFF  # no UTF-8
    segment(safetensors.numpy.save(arrays))(found)


def old_pointer(found: Files) -> None:
    path = found.folder.parent / POINTER
    content = json.loads(path.read_text())
    path.write_text(json.dumps({name: content[name] for name in OLD_POINTER}))


def old_version(found: Files) -> None:
    """The last release's network, and its manifest, which lacks a field of the embedding."""
    found.model.write_bytes(versions.network(format=2))
    spec = json.loads(found.manifest.read_text())["embedding"]
    edit(found.manifest, embedding={name: spec[name] for name in ("name", "digest", "size")})


OTHER_NETWORK = "holds embeddings `.*` of another network .*cannot be compared"

DAMAGES = {
    # Of what was published
    "no gallery": Damage(lambda f: shutil.rmtree(f.manifest.parent), r"has no file .*manifest\.json", "is missing"),
    "no manifest": Damage(lambda f: f.manifest.unlink(), r"has no file .*manifest\.json", "a file is missing"),
    "manifest changed": Damage(
        lambda f: edit(f.manifest, next_id=99), rf"manifest\.json {CHANGED}", "checksum differs"
    ),
    "no segment": Damage(lambda f: f.segment.unlink(), r"has no file .*\.safetensors", "a file is missing"),
    "segment empty": Damage(lambda f: f.segment.write_bytes(b""), CHANGED, "its checksum differs"),
    "segment truncated": Damage(
        lambda f: f.segment.write_bytes(f.segment.read_bytes()[:-1]), rf"\.safetensors {CHANGED}", "checksum differs"
    ),
    "segment changed": Damage(lambda f: flip(f.segment), rf"\.safetensors {CHANGED}", "its checksum differs"),
    "segment longer": Damage(
        lambda f: f.segment.write_bytes(f.segment.read_bytes() + b"0"), "is larger than", "larger than it should be"
    ),
    "no network": Damage(lambda f: f.model.unlink(), r"model\.pt is missing", "a file is missing"),
    "network truncated": Damage(lambda f: f.model.write_bytes(b"half"), rf"model\.pt {CHANGED}", "checksum differs"),
    "network changed": Damage(lambda f: flip(f.model), rf"model\.pt {CHANGED}", "its checksum differs"),
    # By a publisher of another release, or another program
    "newer manifest": Damage(
        lambda f: edit(f.manifest, format=3), "manifest has format 3 and this release reads up to 2", "update", True
    ),
    "manifest that is no JSON": Damage(
        lambda f: f.manifest.write_text("{"), "The manifest cannot be read", "a manifest cannot be read", True
    ),
    "manifest of something else": Damage(
        lambda f: f.manifest.write_text("[]"), "The manifest cannot be read", "a manifest cannot be read", True
    ),
    "manifest that counts wrongly": Damage(
        lambda f: edit(f.manifest, people=4), "people lists other people and faces than", "a manifest is wrong", True
    ),
    "segment that is counted wrongly": Damage(
        lambda f: seal_segment(f, people=2), SEGMENT, "a segment cannot be read", True
    ),
    "segment of a photo": Damage(
        segment((SAMPLES / "Tony_Blair_0007.jpg").read_bytes()), SEGMENT, "a segment cannot be read", True
    ),
    "segment of JSON": Damage(segment(b'{"people": []}'), SEGMENT, "a segment cannot be read", True),
    "segment of nothing": Damage(segment(b""), SEGMENT, "a segment cannot be read", True),
    "segment without UTF-8": Damage(records_with_a_name, SEGMENT, "a segment cannot be read", True),
    "embedding of another network": Damage(embedding(digest="f" * 16), OTHER_NETWORK, OTHER_NETWORK, True),
    "embedding of another kind": Damage(embedding(name="joined"), OTHER_NETWORK, OTHER_NETWORK, True),
    "embedding of another size": Damage(embedding(size=512), OTHER_NETWORK, OTHER_NETWORK, True),
    "embedding with another part": Damage(embedding(mobile=128), OTHER_NETWORK, OTHER_NETWORK, True),
    "older release": Damage(
        old_version,
        "format 2, of an earlier release with other networks.* export it again",
        "format 2, of an earlier release with other networks.* export it again",
        True,
    ),
    "older network": Damage(
        lambda f: f.model.write_bytes(versions.network(format=2)),
        "format 2, of an earlier release with other networks.* export it again",
        "format 2, of an earlier release with other networks.* export it again",
        True,
    ),
    "newer network": Damage(
        lambda f: f.model.write_bytes(versions.network(format=4)), "update the service", "update the service", True
    ),
    "network without a configuration": Damage(
        lambda f: f.model.write_bytes(versions.network(crop=None)),
        r"config\.json cannot be read",
        r"config\.json cannot be read",
        True,
    ),
    "network of something else": Damage(
        lambda f: f.model.write_bytes(b"weights"),
        "The model file is not one that this project wrote",
        "The model file is not one that this project wrote",
        True,
    ),
}

POINTERS = {
    "older pointer": Damage(old_pointer, "names a model of an earlier release, .*: export it again", "earlier release"),
    "no pointer": Damage(lambda f: (f.folder.parent / POINTER).unlink(), r"has no file latest\.json", "is missing"),
    "broken pointer": Damage(
        lambda f: (f.folder.parent / POINTER).write_text("{"), "not a pointer", r"latest\.json is not a pointer"
    ),
}


ALL = {**DAMAGES, **POINTERS}
# The service reads a folder in place and S3 through copies. Later steps are the same.
STORED = [*(("folder", name) for name in ALL), *(("s3", name) for name in ALL if not ALL[name].published)]


def damage(folder: Path, name: str) -> None:
    """Damage the current version of a folder."""
    found, (happens, _, _, published) = versions.files(folder), ALL[name]
    happens(found)
    if published:
        seal(folder, found)


@pytest.fixture()
def models(tmp_path: Path) -> Path:
    """A folder with two good versions."""
    folder = tmp_path / "models"
    versions.write(folder)
    versions.write(folder, versions.gallery(seed=1))
    return folder


@pytest.fixture()
def elsewhere(tmp_path: Path) -> Path:
    """A folder with a version of its own."""
    folder = tmp_path / "elsewhere"
    versions.write(folder, versions.gallery(seed=2))
    return folder


def other_version(folder: Path) -> str:
    """The version of `models` that is not the current one."""
    found = {path.name for path in folder.iterdir() if path.is_dir()} - {versions.current(folder).version}
    return found.pop()


def files(folder: Path) -> dict[str, bytes]:
    blobs = FolderBlobs(folder)
    return {entry.key: blobs.get(entry.key).data for entry in blobs.list()}


# The commands


@pytest.mark.parametrize("name", ALL)
def test_publish_refuses_it(models: Path, elsewhere: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    damage(models, name)
    before = files(elsewhere)
    for options in ([], ["--dry-run"]):
        assert main(["publish", "--model", str(models), "--to", str(elsewhere), *options]) == 1
        message = capsys.readouterr().err
        assert re.search(rf"^error: .*{ALL[name].operator}.*\.$", message), message
    assert files(elsewhere) == before


@pytest.mark.parametrize("name", ALL)
def test_commands_that_use_a_model_refuse_it(
    models: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(models, name)
    before = files(models)
    place = ["--model", str(models), "--galleries", str(tmp_path / "galleries")]
    for command in (
        ["evaluate", "--model", str(models), "--data", str(SAMPLES)],
        ["enrol", "--people", str(SAMPLES), *place],
        ["people", "list", *place],
    ):
        assert main(command) == 1
        message = capsys.readouterr().err
        assert re.search(ALL[name].operator, message), message
        assert "Traceback" not in message
    assert files(models) == before
    assert not (tmp_path / "galleries").exists()


@pytest.mark.parametrize("name", DAMAGES)
def test_rollback_refuses_it(models: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = other_version(models), versions.current(models).version
    damage(models, name)
    rollback(str(models), good)
    before = files(models)
    capsys.readouterr()
    assert main(["rollback", bad, "--model", str(models)]) == 1
    message = capsys.readouterr().err
    assert re.search(DAMAGES[name].operator, message), message
    assert files(models) == before


# The service


@pytest.fixture()
def published(request: pytest.FixtureRequest, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Copy `models` as it is to where the service reads it, and return that URI."""
    if request.param == "folder":
        return lambda: str(models)
    settings, bucket = request.getfixturevalue("settings"), request.getfixturevalue("bucket")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", settings.endpoint)
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return lambda: upload(models, f"s3://{bucket}/faces", settings)


def upload(folder: Path, uri: str, settings: S3Settings) -> str:
    content = files(folder)
    with open_blobs(uri, settings) as target:
        for entry in list(target.list()):
            if entry.key not in content:
                target.delete(entry.key)
        for key, data in content.items():
            target.put(key, data)
    return uri


@pytest.mark.parametrize(("published", "name"), STORED, indirect=["published"])
def test_the_service_says_so(
    models: Path, published: Any, name: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    damage(models, name)
    status, message = Runtime(published()).health()
    assert status == 503
    assert re.search(rf"{ALL[name].caller}.*\.$", message), message
    for secret in (str(tmp_path), "test-", "faces/", versions.current(models).version if name in DAMAGES else "s3:"):
        assert secret not in message
    assert "Serving nothing for now." in caplog.text
    for person in versions.NAMES:
        assert person not in message + caplog.text


@pytest.mark.parametrize(("published", "name"), STORED, indirect=["published"])
def test_the_version_at_hand_is_served_on(models: Path, published: Any, name: str) -> None:
    runtime = Runtime(published())
    good = runtime.health()
    assert good == (200, versions.current(models).version)
    text = (models / POINTER).read_bytes()
    versions.write(models, versions.gallery(seed=3), versions.network(ballast=1))
    damage(models, name)
    published()
    for _ in range(2):
        runtime.clock.now += REFRESH
        assert runtime.health() == good
    (models / POINTER).write_bytes(text)
    newest = versions.write(models, versions.gallery(seed=4))
    published()
    runtime.clock.now += REFRESH
    assert runtime.health() == (200, newest.version)


def test_a_gallery_of_another_embedding(models: Path) -> None:
    """Written by this release from another network's embeddings."""
    spec = replace(versions.SPECS[TUNED], digest="f" * 16)
    versions.write(models, versions.gallery(spec=spec))
    assert Runtime(str(models)).health() == (
        503,
        "The collection holds embeddings `tuned` of another network (ffffffffffffffff): they cannot be compared "
        "with this one's.",
    )
