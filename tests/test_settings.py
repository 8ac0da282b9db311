"""Settings that are read from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import pytest

from settings import Settings, download_folder_from_env, torch_home_from_env
from training.__main__ import main


def test_folder_for_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert download_folder_from_env() == Path("/somewhere/face-recognition")
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert download_folder_from_env() == Path("/home/someone/.cache/face-recognition")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert download_folder_from_env() == Path("/home/someone/.cache/face-recognition")


def test_folder_of_pretrained_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.setenv("TORCH_HOME", "/weights")
    assert torch_home_from_env() == Path("/weights")
    monkeypatch.delenv("TORCH_HOME")
    assert torch_home_from_env() == Path("/somewhere/torch")


def test_keys_of_clients_of_compreface() -> None:
    assert Settings.from_env({}).compreface_keys == {}
    read = Settings.from_env({"COMPREFACE_KEYS": "one=staff, two = guests,", "API_KEY": "reader"})
    assert read.compreface_keys == {"one": "staff", "two": "guests"}


@pytest.mark.parametrize(
    "keys", ["secret", "secret=", "=staff", "secret=a b", "secret=..", "secret=a,secret=b", "reader=a", "admin=a"]
)
def test_wrong_keys_of_clients_are_not_quoted(keys: str) -> None:
    with pytest.raises(ValueError, match="COMPREFACE_KEYS") as raised:
        Settings.from_env({"COMPREFACE_KEYS": keys, "API_KEY": "reader", "ADMIN_KEY": "admin"})
    assert "secret" not in str(raised.value)


def test_buckets_of_clients_of_rekognition() -> None:
    assert Settings.from_env({"REKOGNITION_BUCKETS": "a-bucket, another,"}).rekognition_buckets == (
        "a-bucket",
        "another",
    )
    assert Settings.from_env({"REKOGNITION_BUCKETS": ""}).rekognition_buckets == ()


def test_time_of_the_start() -> None:
    """Lambda limits a start to 10 s, unless concurrency is provisioned."""
    kinds = ("on-demand", "provisioned-concurrency")
    on_demand, provisioned = (Settings.from_env({"AWS_LAMBDA_INITIALIZATION_TYPE": kind}) for kind in kinds)
    assert on_demand.start_seconds < 10 < provisioned.start_seconds == Settings.from_env({}).start_seconds < 130


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("https://bucket.s3.amazonaws.com/faces", "https"),
        ("S3://bucket/faces", "S3"),
        ("s3:/bucket/faces", "s3"),
        ("file:///srv/faces", "file"),
        ("arn:aws:s3:::bucket", "arn"),
        ("gs://bucket/faces", "gs"),
        ("POSTGRESQL://user:secret@host/faces", "POSTGRESQL"),
    ],
)
@pytest.mark.parametrize("name", ["MODEL_URI", "GALLERY_URI"])
def test_addresses_of_other_kinds_are_not_folders(name: str, address: str, kind: str) -> None:
    sentence = f"^{name} begins with {kind}:, which is not .* give the path of a folder, or s3://"
    with pytest.raises(ValueError, match=sentence) as error:
        Settings.from_env({name: address})
    assert address not in str(error.value)


@pytest.mark.parametrize("address", ["faces", "/srv/faces", "C:/faces", "C:\\faces", "s3://bucket/faces", "a:b", ""])
def test_addresses_of_models(address: str) -> None:
    assert Settings.from_env({"MODEL_URI": address}).model_uri == address


def test_a_database_is_a_place_for_collections_only() -> None:
    address = "postgresql://user:secret@host/faces"
    assert Settings.from_env({"GALLERY_URI": address}).gallery_uri == address
    with pytest.raises(ValueError, match=r"^MODEL_URI begins with postgresql:, which is not a place for files"):
        Settings.from_env({"MODEL_URI": address})


@pytest.mark.parametrize(
    "command",
    [
        ["versions", "--model", "https://host/model"],
        ["enrol", "--people", "photos", "--galleries", "file:///srv/faces"],
        ["people", "list", "--galleries", "S3://bucket/faces"],
    ],
)
def test_addresses_in_commands(command: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(list(command)) == 1
    assert "give the path of a folder, or s3://bucket/prefix" in capsys.readouterr().err
