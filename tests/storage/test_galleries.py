from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
import safetensors.numpy

from model.edit import Edit
from model.embedding import normalize
from model.gallery import Gallery
from model.records import EnrolledFace, Person
from storage.blobs import BlobStore
from storage.cache import CachedStore
from storage.errors import BlobConflict, CorruptData
from storage.folder import FolderBlobs
from storage.galleries import MANIFEST, Manifest, read_gallery, read_manifest, write_gallery
from storage.segments import SEGMENT_ROWS
from tests.versions import SIZE, cohort, gallery

PREFIX = "v/galleries/people/"


pytestmark = pytest.mark.usefixtures("temp")


def written(blobs: BlobStore, found: Gallery) -> Manifest:
    """Write a gallery, and read its manifest as one that a pointer names."""
    data = write_gallery(blobs, PREFIX, "people", found)
    assert blobs.get(PREFIX + MANIFEST).data == data
    return read_manifest(CachedStore(blobs), PREFIX, hashlib.sha256(data).hexdigest())


def read(blobs: BlobStore, manifest: Manifest) -> Gallery:
    return read_gallery(CachedStore(blobs), PREFIX, manifest, cohort())


def assert_same(found: Gallery, expected: Gallery) -> None:
    assert found.spec == expected.spec
    assert (found.people, found.faces, found.next_id) == (expected.people, expected.faces, expected.next_id)
    assert found.embeddings.dtype == found.nearness.dtype == np.float32
    assert (found.embeddings == expected.embeddings).all()  # they were float16 before
    assert (found.nearness == expected.nearness).all()


@pytest.mark.parametrize(
    "expected",
    [
        gallery(),
        gallery(faces=1),
        gallery(faces=0),
        gallery(names=()),
        gallery(names=["\U0001f642 " * 100, '"\\\n', ""], faces=5),
    ],
)
def test_round_trip(store: BlobStore, expected: Gallery) -> None:
    manifest = written(store, expected)
    assert (manifest.people, manifest.faces) == (len(expected.people), len(expected.faces))
    assert_same(read(store, manifest), expected)
    keys = [PREFIX + MANIFEST, *(PREFIX + segment.file for segment in manifest.segments)]
    assert [found.key for found in store.list()] == keys


@pytest.mark.parametrize(
    ("people", "faces", "segments"),
    [
        (SEGMENT_ROWS, 1, [(SEGMENT_ROWS, SEGMENT_ROWS)]),
        (SEGMENT_ROWS + 1, 1, [(SEGMENT_ROWS, SEGMENT_ROWS), (1, 1)]),
        (3000, 3, [(3000, SEGMENT_ROWS), (0, SEGMENT_ROWS), (0, 9000 - 2 * SEGMENT_ROWS)]),
        (SEGMENT_ROWS + 5, 0, [(SEGMENT_ROWS, 0), (5, 0)]),
    ],
)
def test_segments_are_of_bounded_size(tmp_path: Path, people: int, faces: int, segments: list[tuple[int, int]]) -> None:
    blobs = FolderBlobs(tmp_path / "blobs")
    expected = gallery([f"Person {i}" for i in range(people)], faces)
    manifest = written(blobs, expected)
    assert [(segment.people, segment.faces) for segment in manifest.segments] == segments
    for segment in manifest.segments:
        assert segment.bytes == len(blobs.get(PREFIX + segment.file).data) < SEGMENT_ROWS * (2 * SIZE + 200)
    assert_same(read(blobs, manifest), expected)


def columns_of(folder: Path) -> set[str]:
    """Names of the columns of people and faces in the only segment of a folder."""
    (path,) = folder.rglob("*.safetensors")
    return {name.split(".")[1] for name in safetensors.numpy.load_file(path) if "." in name}


def test_columns_for_clients_of_rekognition(tmp_path: Path) -> None:
    """They are left out where no row has a value."""
    plain = gallery()
    face = plain.faces[0]._replace(photo_size=(640, 480), external_id="Ada")
    edit = Edit(
        (plain.people[0]._replace(user_id="ada"),), (face,), plain.embeddings[:1], frozenset(), frozenset([face.id])
    )
    full = plain.edited(edit)
    for name, each in (("plain", plain), ("full", full)):
        blobs = FolderBlobs(tmp_path / name)
        assert_same(read(blobs, written(blobs, each)), each)
    assert columns_of(tmp_path / "full") - columns_of(tmp_path / "plain") == {"user_id", "photo_size"}
    assert "external_id" in columns_of(tmp_path / "plain")  # of the people


def test_nearness_is_kept(tmp_path: Path) -> None:
    """Computing it takes people x strangers, and the reader need not."""
    blobs = FolderBlobs(tmp_path / "blobs")
    made, kept = gallery(), np.array([[1.5, 0.5], [-2, 2], [0, 1]])
    odd = Gallery.of(made.spec, made.cohort, made.people, made.faces, made.embeddings, nearness=kept)
    found = read(blobs, written(blobs, odd))
    assert found.nearness.tolist() == kept.tolist()
    # So does a gallery that changes, for the people whose faces stay.
    changed = found.add(Person(found.next_id, "Somebody"), [], np.zeros((0, SIZE)))
    assert changed.nearness.shape == (4, 2)
    assert changed.nearness[:3].tolist() == kept.tolist()


def test_a_search_in_what_was_read(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path / "blobs")
    expected = gallery()
    found = read(blobs, written(blobs, expected))
    for numbers in (slice(None), slice(-expected.spec.mobile, None)):  # both networks, and MobileFaceNet alone
        probes = normalize(expected.means[:, numbers])
        for one, other in zip(found.search(probes, 3), expected.search(probes, 3)):
            assert np.abs(one - other).max() < 1e-6
        assert found.search(probes, 1).ids[:, 0].tolist() == [0, 2, 4]


def test_a_segment_with_the_safetensors_library_alone(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path / "blobs")
    expected = gallery()
    (segment,) = written(blobs, expected).segments
    path = tmp_path / "blobs" / PREFIX / segment.file
    assert path.stem == hashlib.sha256(path.read_bytes()).hexdigest()[:32]
    arrays = safetensors.numpy.load_file(str(path))
    texts = {"people.name", "people.external_id", "faces.id", "faces.photos", "faces.added"}
    numbers = {"embeddings", "nearness", "people.id", "faces.person"}
    assert set(arrays) == numbers | texts | {f"{name}.lengths" for name in texts}
    embeddings, nearness = arrays["embeddings"], arrays["nearness"]
    assert (embeddings.dtype, embeddings.shape) == (np.float16, (6, SIZE))
    assert (nearness.dtype, nearness.shape) == (np.float32, (3, 2))
    assert (arrays["people.id"].tolist(), arrays["faces.person"].tolist()) == ([0, 2, 4], [0, 0, 2, 2, 4, 4])
    assert arrays["people.name"].tobytes().decode() == "Ada LovelaceZo\u00eb M\u00fcller\u5c71\u7530 \u592a\u90ce"
    assert arrays["people.name.lengths"].tolist() == [12, 12, 13]
    assert arrays["people.external_id"].tobytes() == b"external-1"
    assert arrays["people.external_id.lengths"].tolist() == [-1, 10, -1]
    assert arrays["faces.photos"].tobytes().decode() == "".join(f"{i:016x}" for i in range(6))


def test_a_segment_of_format_1(tmp_path: Path) -> None:
    """People and faces were JSON. A change writes the new format."""
    made = gallery()
    face = made.faces[0]._replace(box=(1.5, 2, 3, 4), confidence=0.75, photo_size=(640, 480), origin=3)
    expected = made.edited(Edit((), (face,), made.embeddings[:1], frozenset(), frozenset([face.id])))
    records = {
        "people": {name: [getattr(row, name) for row in expected.people] for name in Person._fields},
        "faces": {name: [getattr(row, name) for row in expected.faces] for name in EnrolledFace._fields},
    }
    del records["people"]["user_id"]
    arrays = {
        "embeddings": expected.embeddings.astype(np.float16),
        "nearness": expected.nearness,
        "records": np.frombuffer(json.dumps(records).encode(), np.uint8),
    }
    data = safetensors.numpy.save(arrays)
    blobs = FolderBlobs(tmp_path / "blobs")
    manifest = written(blobs, expected)
    (segment,) = manifest.segments
    blobs.put(PREFIX + segment.file, data)
    sealed = replace(segment, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    old = replace(manifest, format=1, segments=(sealed,))
    assert Manifest.parse(old.to_json()) == old
    assert_same(read(blobs, old), expected)


def test_a_collection_is_written_once(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    written(blobs, gallery())
    before = blobs.get(PREFIX + MANIFEST)
    with pytest.raises(BlobConflict):
        write_gallery(blobs, PREFIX, "people", gallery(seed=1))
    assert blobs.get(PREFIX + MANIFEST) == before


# What a manifest must be. Damaged files as commands and the service meet them are in test_bad_input.py.


@pytest.fixture()
def manifest(tmp_path: Path) -> dict[str, Any]:
    return json.loads(write_gallery(FolderBlobs(tmp_path / "some"), "", "people", gallery()))


def parse(content: object) -> Manifest:
    return Manifest.parse(json.dumps(content).encode())


def test_fields_of_a_later_release_are_ignored(manifest: dict[str, Any]) -> None:
    found = parse(manifest)
    for part in (manifest, manifest["embedding"], manifest["segments"][0]):
        part["more"] = {"than": "today"}
    assert parse(manifest) == found
    assert Manifest.parse(found.to_json()) == found


def test_a_newer_format(manifest: dict[str, Any]) -> None:
    with pytest.raises(CorruptData, match=r"The manifest has format 3 and this release reads up to 2: update it\."):
        parse({"format": 3})


@pytest.mark.parametrize("name", [field.name for field in fields(Manifest)])
def test_a_field_that_is_missing_or_of_another_type(manifest: dict[str, Any], name: str) -> None:
    missing = {key: value for key, value in manifest.items() if key != name}
    for content in ({**manifest, name: None}, *([missing] if name in manifest else [])):
        with pytest.raises(CorruptData, match="The manifest cannot be read: ") as caught:
            parse(content)
        assert caught.value.reason == "a manifest cannot be read"


@pytest.mark.parametrize(
    "change",
    [
        {"file": 1},
        {"bytes": "787"},
        {"people": 1.5},
        {"faces": None},
        {"sha256": "../secret"},
        {"sha256": "a" * 63 + "\0"},
        {"sha256": "A" * 64},
    ],
)
def test_a_segment_of_another_form(manifest: dict[str, Any], change: dict[str, Any]) -> None:
    manifest["segments"][0].update(change)
    with pytest.raises(CorruptData, match="cannot be read"):
        parse(manifest)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'"format"', b"\xff", b"[" * 100_000, b'{"format": "1"}'])
def test_something_else(text: bytes) -> None:
    with pytest.raises(CorruptData, match="The manifest cannot be read"):
        Manifest.parse(text)


# What a segment must be


@pytest.mark.parametrize(
    "damage",
    [
        lambda arrays: arrays.pop("embeddings"),
        lambda arrays: arrays.pop("nearness"),
        lambda arrays: arrays.update(embeddings=arrays["embeddings"][1:]),
        lambda arrays: arrays.update(embeddings=arrays["embeddings"].ravel()),
        lambda arrays: arrays.update(embeddings=np.zeros((6, SIZE + 1), np.float16)),
        lambda arrays: arrays.update(nearness=np.zeros((4, 2), np.float32)),
        lambda arrays: arrays.update(nearness=np.zeros(3, np.float32)),
        lambda arrays: arrays.pop("people.name"),
        lambda arrays: arrays.pop("people.name.lengths"),
        lambda arrays: arrays.update({"people.id": np.array([0, 2])}),
        lambda arrays: arrays.update({"people.id": np.array([0.0, 2, 4])}),
        lambda arrays: arrays.update({"faces.person": np.full(6, 0.5)}),
        lambda arrays: arrays.update({"faces.added": np.zeros(6, np.int64)}),
        lambda arrays: arrays.update({"faces.box": np.zeros((5, 4))}),
        lambda arrays: arrays.update({"people.name.lengths": np.array([12, 12, 12], np.int32)}),
        lambda arrays: arrays.update({"people.name.lengths": np.array([12, 13, 12], np.int32)}),
        lambda arrays: arrays.update({"people.name.lengths": np.array([24, 13, -1], np.int32)}),
        lambda arrays: arrays.update({"people.name.lengths": np.array([37, -2, 0], np.int32)}),
        lambda arrays: arrays["people.name"].__setitem__(0, 0xFF),
        lambda arrays: arrays.clear(),
    ],
)
def test_a_segment_whose_content_does_not_fit(tmp_path: Path, damage: Callable[[Any], object]) -> None:
    with pytest.raises(CorruptData, match=r"The segment .* cannot be read: ") as caught:
        damaged(tmp_path, damage)
    assert caught.value.reason == "a segment cannot be read"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (
            lambda arrays: arrays.update({"people.id": np.array([0, 2, 2])}),
            "other people and faces than its segments hold",
        ),
        (lambda arrays: arrays.update({"people.id": np.array([0, 2, 11])}), "people with IDs that were never assigned"),
        (lambda arrays: arrays.update({"people.id": np.array([-1, 2, 4])}), "people with IDs that were never assigned"),
        (
            lambda arrays: arrays.update({"faces.person": np.array([0, 0, 2, 2, 4, 5])}),
            "faces of people who are not there",
        ),
    ],
)
def test_people_who_do_not_fit_together(tmp_path: Path, damage: Callable[[Any], object], sentence: str) -> None:
    with pytest.raises(CorruptData, match=sentence) as caught:
        damaged(tmp_path, damage)
    assert caught.value.reason == "a manifest is wrong"


def damaged(folder: Path, damage: Callable[[Any], object]) -> Gallery:
    """Read a gallery whose segment was damaged before its checksum was taken. damage: of its arrays."""
    blobs = FolderBlobs(folder / "blobs")
    manifest = written(blobs, gallery())
    (segment,) = manifest.segments
    arrays = safetensors.numpy.load(blobs.get(PREFIX + segment.file).data)
    arrays = {name: array.copy() for name, array in arrays.items()}
    damage(arrays)
    data = safetensors.numpy.save(arrays)
    blobs.put(PREFIX + segment.file, data)
    sealed = replace(segment, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    return read(blobs, replace(manifest, segments=(sealed,)))


@pytest.mark.parametrize(("people", "faces"), [(2, 6), (4, 6), (3, 5), (3, 7)])
def test_a_manifest_that_counts_wrongly(tmp_path: Path, people: int, faces: int) -> None:
    blobs = FolderBlobs(tmp_path / "blobs")
    manifest = written(blobs, gallery())
    with pytest.raises(CorruptData, match="people lists other people and faces than its segments hold") as caught:
        read(blobs, replace(manifest, people=people, faces=faces))
    assert caught.value.reason == "a manifest is wrong"
    with pytest.raises(CorruptData, match=r"The segment .* cannot be read"):
        read(blobs, replace(manifest, segments=(replace(manifest.segments[0], people=people, faces=faces),)))
