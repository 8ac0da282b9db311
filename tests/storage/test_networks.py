from __future__ import annotations

import json
import zipfile
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from model.embedding import GENERIC, MOBILE, TUNED
from model.errors import NetworkFormatError
from model.networks import COHORT, CONFIG, MOBILE_WEIGHTS, EmbeddingNetwork, NetworkConfig, read_config
from storage.blobs import BlobStore, open_blobs
from storage.cache import CachedStore
from storage.errors import BlobNotFound, CorruptData
from storage.folder import FolderBlobs
from storage.networks import (
    BUNDLED,
    FILE,
    OWN_POINTER,
    POINTER,
    Pointer,
    check_version,
    load_current,
    read_pointer,
)
from storage.s3_settings import S3Settings
from tests import versions

POINTED = Pointer.to("a" * 64, 7, "people", "b" * 64, datetime(2026, 11, 25, 10, 0, 0, 5, timezone.utc))


pytestmark = pytest.mark.usefixtures("temp")


# The pointer


def test_a_pointer() -> None:
    assert POINTED.version.startswith("20261125-")
    assert POINTED.file == f"{POINTED.version}/model.pt"
    assert POINTED.gallery == f"{POINTED.version}/galleries/people/"
    assert POINTED.created == "2026-11-25T10:00:00+00:00"
    assert Pointer.parse(POINTED.to_json()) == POINTED
    assert Pointer.parse(POINTED.to_json().encode()) == POINTED
    more = {**asdict(POINTED), "format": 2, "signed": True}
    assert Pointer.parse(json.dumps(more)) == POINTED


def test_the_name_of_a_version_follows_from_its_content() -> None:
    day = datetime(2026, 11, 25, tzinfo=timezone.utc)
    same = Pointer.to("a" * 64, 8, "others", "b" * 64, day)
    assert same.version == POINTED.version
    for sha256, manifest_sha256 in (("c" * 64, "b" * 64), ("a" * 64, "c" * 64)):
        assert Pointer.to(sha256, 7, "people", manifest_sha256, day).version != POINTED.version


@pytest.mark.parametrize(
    "change",
    [
        {"version": "../../etc"},
        {"version": "20260101-0000000"},
        {"version": "20260101-00000000", "file": POINTED.file},
        {"version": None},
        {"file": "/etc/passwd"},
        {"file": None},
        {"file": f"{POINTED.version}/../model.pt"},
        {"sha256": 5},
        {"sha256": "../etc/passwd"},
        {"bytes": "7"},
        {"created": 5},
        {"collection": ""},
        {"collection": "."},
        {"collection": ".."},
        {"collection": "a/b"},
        {"collection": "a" * 256},
        {"collection": ["people"]},
        {"manifest_sha256": None},
        {"manifest_sha256": "b" * 63},
    ],
)
def test_a_pointer_to_elsewhere_is_refused(change: dict[str, object]) -> None:
    text = json.dumps({**asdict(POINTED), **change})
    with pytest.raises(CorruptData, match=r"latest\.json is not a pointer to a model") as caught:
        Pointer.parse(text)
    assert caught.value.reason == "latest.json is not a pointer to a model"
    with pytest.raises(CorruptData, match=r"^version\.json is not a pointer"):
        Pointer.parse(text, OWN_POINTER)


@pytest.mark.parametrize("name", Pointer.__dataclass_fields__)
def test_a_pointer_without_a_field_is_refused(name: str) -> None:
    with pytest.raises(CorruptData):
        Pointer.parse(json.dumps({key: value for key, value in asdict(POINTED).items() if key != name}))


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b"null", b'"file"', b'{"version": 1}', b"\xffsecret", b"[" * 60_000]
)
def test_something_else_is_refused(text: bytes) -> None:
    with pytest.raises(CorruptData, match="not a pointer") as caught:
        Pointer.parse(text)
    assert "secret" not in str(caught.value)


def test_a_pointer_of_an_earlier_release() -> None:
    old = {"version": "20261124-f6b69ad5", "file": "20261124-f6b69ad5/model.pt", "sha256": "f" * 64, "bytes": 7}
    with pytest.raises(CorruptData, match=r"of an earlier release.*: export it again with `python -m training export`"):
        Pointer.parse(json.dumps({**old, "created": "2026-11-24T10:00:00+00:00"}))


def test_no_version(store: BlobStore) -> None:
    with pytest.raises(BlobNotFound, match=r"latest\.json"):
        load_current(store)


# Versions


def crops() -> tuple[np.ndarray, np.ndarray]:
    """Crops of noise, for each of the networks."""
    random = np.random.RandomState(0)
    first, second = (random.randint(0, 256, (2, size, size, 3)).astype(np.uint8) for size in (160, 112))
    return first, second


def test_a_version_in_a_folder(tmp_path: Path, temp: Path) -> None:
    pointer = versions.write(tmp_path / "models")
    found = load_current(FolderBlobs(tmp_path / "models"))
    assert (found.pointer, found.version) == (pointer, pointer.version)
    assert found.path == tmp_path / "models" / pointer.file
    assert [person.name for person in found.gallery.people] == list(versions.NAMES)
    assert found.cascade.mobile == found.cascade.joined == versions.CALIBRATION
    assert len(found.digests) == 3
    embeddings = found.embed(*crops())
    assert (embeddings.dtype, embeddings.shape) == (np.float32, (2, versions.SIZE))
    assert np.abs(np.linalg.norm(embeddings, axis=1) - 1).max() < 1e-5
    assert np.abs(found.gallery.cohort.embeddings - versions.cohort().embeddings).max() < 1e-6
    expected = found.gallery.search(embeddings, 5)
    assert expected.ids.shape == (2, 3)
    searched = found.search(*crops(), np.ones(2, bool), 5)
    assert searched.ids.tolist() == expected.ids.tolist()
    assert np.abs(searched.confidences - versions.CALIBRATION.confidence(expected.scores, 3)).max() < 1e-5
    assert not searched.alone.any()
    assert list(temp.iterdir()) == []
    check_version(CachedStore(FolderBlobs(tmp_path / "models")), pointer)


def test_a_version_in_s3(bucket: str, settings: S3Settings, tmp_path: Path, temp: Path) -> None:
    models = FolderBlobs(tmp_path / "models")
    pointer = versions.write(tmp_path / "models")
    with open_blobs(f"s3://{bucket}/faces", settings) as blobs:
        for entry in models.list():
            blobs.put(entry.key, models.get(entry.key).data)
        found = load_current(blobs)
        assert found.pointer == pointer
        assert found.path.parent == temp
        assert len(list(temp.iterdir())) == 3  # network, manifest, segment
        assert found.gallery.people == load_current(models).gallery.people
        # Later everything but the pointer is read from the copies.
        for entry in list(blobs.list(pointer.version)):
            blobs.delete(entry.key)
        assert load_current(blobs).pointer == pointer
        check_version(CachedStore(blobs), pointer)
        with pytest.raises(BlobNotFound):
            check_version(CachedStore(blobs, folder=tmp_path), pointer)


def test_the_configuration_without_the_network(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_bytes(versions.network())
    assert read_config(path) == EmbeddingNetwork(path).config
    for data in (b"", b"weights", b"PK\5\6" + bytes(18), versions.network()[:-100]):
        path.write_bytes(data)
        with pytest.raises(NetworkFormatError, match="not one that this project wrote"):
            read_config(path)
    for number in (1, 2):
        path.write_bytes(versions.network(format=number))
        with pytest.raises(NetworkFormatError, match=rf"format {number}, of an earlier release .*: export it again"):
            read_config(path)


def test_the_configuration() -> None:
    config = versions.network_config()
    content = json.loads(config.to_json())
    assert NetworkConfig.parse(config.to_json()) == config
    assert NetworkConfig.parse(config.to_json().encode()) == config
    for name in ("crop", "specs", "calibrations", "precision", "format"):
        with pytest.raises(NetworkFormatError, match=r"config\.json cannot be read"):
            NetworkConfig.parse(json.dumps({key: value for key, value in content.items() if key != name}))


@pytest.mark.parametrize("field", ["specs", "calibrations"])
@pytest.mark.parametrize("name", [GENERIC, TUNED, MOBILE, "other"])
def test_a_configuration_with_other_embeddings(field: str, name: str) -> None:
    content = json.loads(versions.network_config().to_json())
    if name in content[field]:
        del content[field][name]
    else:
        content[field][name] = content[field][TUNED]
    with pytest.raises(NetworkFormatError, match=r"config\.json cannot be read"):
        NetworkConfig.parse(json.dumps(content))


@pytest.mark.parametrize("field", ["tail", "slope", "intercept", "lowest"])
def test_a_calibration_without_a_field(field: str) -> None:
    content = json.loads(versions.network_config().to_json())
    content["calibrations"][MOBILE][field] = {}
    if field != "tail":
        del content["calibrations"][MOBILE][field]
    with pytest.raises(NetworkFormatError, match=r"config\.json cannot be read"):
        NetworkConfig.parse(json.dumps(content))


def without(arrays: dict[str, np.ndarray], name: str) -> bytes:
    return safetensors.numpy.save({key: array for key, array in arrays.items() if key != name})


@pytest.mark.parametrize(
    ("file", "data"),
    [
        (MOBILE_WEIGHTS, None),
        (MOBILE_WEIGHTS, b"weights"),
        (MOBILE_WEIGHTS, without(versions.mobile_weights(), "weight_51")),
        (MOBILE_WEIGHTS, without(versions.mobile_weights(), "bias_0")),
        (MOBILE_WEIGHTS, safetensors.numpy.save(versions.strangers())),
        (COHORT, None),
        (COHORT, b"strangers"),
        (COHORT, without(versions.strangers(), GENERIC)),
        (COHORT, without(versions.strangers(), TUNED)),
        (COHORT, without(versions.strangers(), MOBILE)),
    ],
)
def test_a_network_that_lacks_a_part_is_refused(tmp_path: Path, file: str, data: bytes | None) -> None:
    path = tmp_path / FILE
    path.write_bytes(versions.pack({file: data}))
    with pytest.raises(NetworkFormatError, match=r"^The model file"):
        EmbeddingNetwork(path)


def test_an_archive_without_a_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"model/extra/{CONFIG}", versions.network_config().to_json())
    with pytest.raises(NetworkFormatError, match="not one that this version of torch can load"):
        EmbeddingNetwork(path)


# The version in the repository


def test_the_bundled_version() -> None:
    found = load_current(FolderBlobs(Path(BUNDLED)))
    assert found.pointer.collection == "lfw"
    assert found.gallery.spec == found.network.config.specs[GENERIC]
    assert len(found.gallery.people) == 610 == len({person.name for person in found.gallery.people})
    assert found.gallery.next_id == 610
    assert set(found.network.config.specs) == {GENERIC, TUNED}
    assert set(found.network.config.calibrations) == {GENERIC, TUNED, MOBILE}
    assert found.gallery.cohort.embeddings.shape[1] == found.gallery.spec.size == 512 + found.gallery.spec.mobile
    assert read_config(found.path) == found.network.config


def test_the_bundled_files_are_one_version_and_small_enough_for_the_repository() -> None:
    blobs = FolderBlobs(Path(BUNDLED))
    version = read_pointer(CachedStore(blobs)).version
    found = {entry.key: entry.bytes for entry in blobs.list()}
    assert {key.partition("/")[0] for key in found} == {"README.md", POINTER, version}
    inside = [key[len(version) + 1 :] for key in found if key.startswith(version)]
    segments = [key for key in inside if key.startswith("galleries/lfw/segments/")]
    assert sorted(inside) == sorted([*segments, "galleries/lfw/manifest.json", FILE, OWN_POINTER])
    assert blobs.get(f"{version}/{OWN_POINTER}") == blobs.get(POINTER)
    assert sum(found.values()) <= 33_000_000
