from __future__ import annotations

import json
from pathlib import Path
from typing import Callable

import boto3
import pytest

from model.errors import ModelUnavailable
from model.recognizer import Recognizer
from model.store import BUNDLED, FILE, POINTER, Copies, Pointer, fetch, recall, remember, split_s3_uri
from training.publishing.publish import publish


@pytest.fixture()
def published(tmp_path: Path) -> Path:
    """A model folder whose model is a few bytes."""
    draft = tmp_path / FILE
    draft.write_bytes(b"weights")
    pointer = Pointer.of(draft)
    (tmp_path / pointer.version).mkdir()
    draft.rename(tmp_path / pointer.file)
    (tmp_path / POINTER).write_text(pointer.to_json())
    return tmp_path


def test_fetch_from_a_folder(published: Path) -> None:
    path, pointer = fetch(str(published))
    assert path.read_bytes() == b"weights"
    assert pointer.bytes == 7
    assert pointer.version.endswith(pointer.sha256[:8])


def test_a_changed_file_is_refused(published: Path) -> None:
    path, _ = fetch(str(published))
    path.write_bytes(b"Weights")
    with pytest.raises(ModelUnavailable, match="checksum"):
        fetch(str(published))


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable):
        fetch(str(tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        {"version": "../../etc"},
        {"version": "20260101-0000000"},
        {"file": "/etc/passwd"},
        {"file": None},
        {"sha256": 5},
        {"bytes": "7"},
    ],
)
def test_a_pointer_to_elsewhere_is_refused(published: Path, change: dict[str, object]) -> None:
    pointer = json.loads((published / POINTER).read_text())
    (published / POINTER).write_text(json.dumps({**pointer, **change}))
    with pytest.raises(ModelUnavailable):
        fetch(str(published))


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"null", b'{"version": 1}', b"\xffsecret", b"[" * 60_000])
def test_a_broken_pointer_is_refused(published: Path, text: bytes) -> None:
    (published / POINTER).write_bytes(text)
    with pytest.raises(ModelUnavailable, match="not a pointer") as caught:
        fetch(str(published))
    assert "secret" not in str(caught.value)


def test_s3_uris() -> None:
    assert split_s3_uri("s3://bucket/some/prefix/") == ("bucket", "some/prefix/")
    assert split_s3_uri("s3://bucket") == ("bucket", "")
    for wrong in ("bucket/prefix", "s3://", "https://bucket/prefix"):
        with pytest.raises(ValueError):
            split_s3_uri(wrong)


def test_publish_and_fetch_through_s3(
    s3_environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="models")
    uri = "s3://models/faces"

    with pytest.raises(ModelUnavailable):
        Recognizer.load(uri)

    version = publish(Path(BUNDLED), uri).version
    assert Recognizer.load(uri).version == version

    # Somebody has put another file in the model's place: refused, unless a good copy lies here already.
    s3.put_object(Bucket="models", Key=f"faces/{version}/{FILE}", Body=b"something else")
    assert Recognizer.load(uri).version == version
    # A copy that was cut off or spoiled here is fetched again.
    for copy in tmp_path.glob("*.pt"):
        copy.write_bytes(b"half")
    with pytest.raises(ModelUnavailable, match="checksum"):
        Recognizer.load(uri)
    s3.upload_file(str(fetch(BUNDLED)[0]), "models", f"faces/{version}/{FILE}")
    assert Recognizer.load(uri).version == version
    assert len(list(tmp_path.iterdir())) == 1


# Copies in the temp folder

URI = "s3://models/faces"


@pytest.fixture()
def copied(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Pointer]:
    """A temp folder with a copy of the model and the note that it was good."""
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    pointer = fetch(str(published))[1]
    Copies(URI).add(pointer, b"weights")
    remember(URI, pointer)
    return folder, pointer


def test_the_copy_that_was_good_is_found_again(copied: tuple[Path, Pointer]) -> None:
    found = recall(URI)
    assert found is not None
    assert (found[0].read_bytes(), found[1]) == (b"weights", copied[1])
    assert recall(f"{URI}/") == found


@pytest.mark.parametrize("uri", ["s3://models", "s3://models/faces/more", "s3://models-faces", "s3://other/faces"])
def test_another_address_has_no_copy(copied: tuple[Path, Pointer], uri: str) -> None:
    assert recall(uri) is None
    # Not even where the names of the files say otherwise.
    here, there = Copies(URI).note.stem, Copies(uri).note.stem
    for path in list(copied[0].iterdir()):
        path.rename(path.with_name(path.name.replace(here, there)))
    assert recall(uri) is None


@pytest.mark.parametrize(
    ("pattern", "happens"),
    [
        ("*.pt", lambda path: path.write_bytes(b"Weights")),
        ("*.pt", Path.unlink),
        ("*.json", Path.unlink),
        ("*.json", lambda path: path.write_text("{")),
        ("*.json", lambda path: path.write_text("[]")),
        ("*.json", lambda path: path.write_text(path.read_text().replace('"source"', '"other"'))),
    ],
)
def test_a_copy_or_a_note_that_is_not_as_it_was(
    copied: tuple[Path, Pointer], pattern: str, happens: Callable[[Path], object]
) -> None:
    happens(*copied[0].glob(pattern))
    assert recall(URI) is None


def test_a_note_of_somebody_else(copied: tuple[Path, Pointer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: -1)
    assert recall(URI) is None


def test_one_version_and_its_note_are_kept(copied: tuple[Path, Pointer], tmp_path: Path) -> None:
    draft = tmp_path / "draft"
    draft.write_bytes(b"newer")
    newer = Pointer.of(draft)
    Copies(URI).add(newer, b"newer")
    assert recall(URI) == (Copies(URI).find(copied[1]), copied[1])
    remember(URI, newer)
    assert recall(URI) == (Copies(URI).find(newer), newer)
    assert len(list(copied[0].iterdir())) == 2


def test_a_copy_that_is_not_the_model_is_not_kept(copied: tuple[Path, Pointer]) -> None:
    with pytest.raises(ModelUnavailable, match="checksum"):
        Copies("s3://models/other").add(copied[1], b"Weights")
    assert len(list(copied[0].iterdir())) == 2


def test_an_address_that_is_none() -> None:
    with pytest.raises(ModelUnavailable, match="not of the form s3://bucket/prefix"):
        fetch("s3://")


def test_bundled_model_is_small_enough_for_the_repository() -> None:
    assert fetch(BUNDLED)[1].bytes <= 30_000_000
    assert [path.name for path in Path(BUNDLED).iterdir() if path.is_dir()] == [fetch(BUNDLED)[1].version]
