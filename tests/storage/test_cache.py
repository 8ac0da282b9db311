from __future__ import annotations

import hashlib
import os
import resource
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from storage.blobs import BlobStore, open_blobs
from storage.cache import ABANDONED, PARTIAL, CachedStore, Item
from storage.errors import (
    BlobNotFound,
    CorruptData,
    StorageError,
    StorageFull,
    StorageRefused,
    StorageUnreachable,
)
from storage.folder import FolderBlobs
from storage.s3_settings import RetryPolicy, S3Settings
from tests.faulty import Proxy, drips, running

POINTER = '{"version": "1"}'


def item(data: bytes, key: str = "a/model.pt") -> Item:
    return Item(key, hashlib.sha256(data).hexdigest(), len(data))


WEIGHTS = item(b"weights")


@pytest.fixture()
def blobs(bucket: str, settings: S3Settings, temp: Path) -> Iterator[BlobStore]:
    """An S3 prefix with one object."""
    with open_blobs(f"s3://{bucket}/faces", settings) as found:
        found.put(WEIGHTS.key, b"weights")
        yield found


# In a folder


@pytest.fixture()
def folder(tmp_path: Path, temp: Path) -> FolderBlobs:
    found = FolderBlobs(tmp_path / "models")
    found.put(WEIGHTS.key, b"weights")
    return found


def test_a_folder_is_read_in_place(folder: FolderBlobs, temp: Path) -> None:
    store = CachedStore(folder)
    assert store.fetch(WEIGHTS) == Path(folder.uri) / WEIGHTS.key
    assert store.load(WEIGHTS) == b"weights"
    store.mark_good(POINTER, {WEIGHTS.sha256})
    assert store.last_good() is None
    assert list(temp.iterdir()) == []


@pytest.mark.parametrize("method", ["fetch", "load"])
def test_damage_in_a_folder(folder: FolderBlobs, method: str) -> None:
    read = getattr(CachedStore(folder), method)
    for data in (b"Weights", b"weight", b""):
        folder.put(WEIGHTS.key, data)
        with pytest.raises(CorruptData, match=r"a/model\.pt is not the file .*: its checksum differs") as caught:
            read(WEIGHTS)
        assert "model.pt" not in caught.value.reason
    folder.put(WEIGHTS.key, b"weights and more")
    with pytest.raises(CorruptData, match=r"model\.pt is (not the file that was published|larger than 7 bytes)"):
        read(WEIGHTS)
    folder.delete(WEIGHTS.key)
    with pytest.raises(BlobNotFound, match=r"model\.pt") as missing:
        read(WEIGHTS)
    assert missing.value.reason == "a file is missing"


def test_a_file_that_cannot_be_read(folder: FolderBlobs) -> None:
    (Path(folder.uri) / "b").mkdir()
    with pytest.raises(StorageRefused, match=r"models/b cannot be read: Is a directory\.") as caught:
        CachedStore(folder).fetch(item(b"", "b"))
    assert caught.value.reason == "a file cannot be read"


# Through copies


@pytest.mark.parametrize("method", ["fetch", "load"])
def test_an_object_is_copied_once(blobs: BlobStore, temp: Path, method: str) -> None:
    def content() -> bytes:
        found = getattr(CachedStore(blobs), method)(WEIGHTS)
        return found if isinstance(found, bytes) else found.read_bytes()

    assert content() == b"weights"
    (copy,) = temp.iterdir()
    assert copy.read_bytes() == b"weights"
    blobs.delete(WEIGHTS.key)
    assert content() == b"weights"
    copy.write_bytes(b"half")
    with pytest.raises(BlobNotFound):
        content()
    blobs.put(WEIGHTS.key, b"weights")
    assert content() == b"weights"
    assert copy.read_bytes() == b"weights"


@pytest.mark.parametrize("method", ["fetch", "load"])
@pytest.mark.parametrize(("data", "sentence"), [(b"Weights", "checksum"), (b"", "checksum"), (b"weights!", "larger")])
def test_another_content_is_not_kept(blobs: BlobStore, temp: Path, method: str, data: bytes, sentence: str) -> None:
    blobs.put(WEIGHTS.key, data)
    with pytest.raises(CorruptData, match=sentence):
        getattr(CachedStore(blobs), method)(WEIGHTS)
    assert list(temp.iterdir()) == []


def test_a_folder_of_its_own(blobs: BlobStore, temp: Path, tmp_path: Path) -> None:
    assert CachedStore(blobs, folder=tmp_path).fetch(WEIGHTS).parent == tmp_path
    assert list(temp.iterdir()) == []


@pytest.mark.parametrize("place", ["/proc", "/nowhere"])
def test_a_temp_folder_that_cannot_be_written_to(blobs: BlobStore, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr("tempfile.tempdir", place)
    for read in (CachedStore(blobs).fetch, CachedStore(blobs).load):
        with pytest.raises(StorageFull, match=r"^The temp folder is full or cannot be written to\.$"):
            read(WEIGHTS)


def test_a_full_temp_folder(blobs: BlobStore, temp: Path) -> None:
    data = bytes(100_000)
    blobs.put(WEIGHTS.key, data)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(StorageFull):
            CachedStore(blobs).fetch(item(data))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(temp.iterdir()) == []
    assert CachedStore(blobs).fetch(item(data)).read_bytes() == data


def test_reads_of_one_load_share_a_time_limit(blobs: BlobStore, settings: S3Settings) -> None:
    """Each is fast enough for itself."""
    with running(Proxy(str(settings.endpoint))) as proxy:
        slow = S3Settings(settings.region, settings.access_key, settings.secret_key, endpoint=proxy.url)
        proxy.faults["model.pt"] = drips(20)  # 7 bytes take 0.35 s
        policy = RetryPolicy(connect=5, read=5, attempts=2, total=60)
        started = time.monotonic()
        with open_blobs(blobs.uri, slow, policy) as found, pytest.raises(StorageUnreachable):
            store = CachedStore(found, deadline=started + 1)
            for _ in range(100):
                store.read(WEIGHTS.key, 100)
        assert 1 <= time.monotonic() - started < 10  # 100 reads take 35 s
        assert len(proxy.asked) < 10


def test_offline(blobs: BlobStore) -> None:
    offline = CachedStore(blobs, offline=True)
    for read in (lambda: offline.fetch(WEIGHTS), lambda: offline.load(WEIGHTS), lambda: offline.read("latest.json", 9)):
        with pytest.raises(StorageUnreachable, match="There is no copy of "):
            read()
    CachedStore(blobs).fetch(WEIGHTS)
    assert offline.fetch(WEIGHTS).read_bytes() == offline.load(WEIGHTS) == b"weights"


# The version that was served last


@pytest.fixture()
def good(blobs: BlobStore) -> CachedStore:
    """A store with a copy, and the note that it is good."""
    store = CachedStore(blobs)
    store.fetch(WEIGHTS)
    store.mark_good(POINTER, {WEIGHTS.sha256})
    return store


def test_the_last_good_version_is_found_again(good: CachedStore, blobs: BlobStore, settings: S3Settings) -> None:
    with open_blobs(f"{blobs.uri}/", settings) as same:
        assert CachedStore(blobs).last_good() == POINTER
        assert CachedStore(same).note == good.note


@pytest.mark.parametrize("uri", ["s3://models", "{}/more", "{}s", "s3://other/faces"])
def test_another_address_has_no_note(good: CachedStore, settings: S3Settings, temp: Path, uri: str) -> None:
    with open_blobs(uri.format(good.blobs.uri), settings) as blobs:
        other = CachedStore(blobs)
        assert other.last_good() is None
        # Not even where the names of the files agree.
        for path in list(temp.iterdir()):
            path.rename(path.with_name(path.name.replace(good.note.stem, other.note.stem)))
        assert other.note.exists()
        assert other.last_good() is None


@pytest.mark.parametrize(
    "happens",
    [
        Path.unlink,
        lambda path: path.write_text("{"),
        lambda path: path.write_text("[]"),
        lambda path: path.write_bytes(b"\xff"),
        lambda path: path.write_text("[" * 100_000),
        lambda path: path.write_text(path.read_text().replace('"uri"', '"other"')),
    ],
)
def test_a_damaged_note(good: CachedStore, happens: Callable[[Path], object]) -> None:
    happens(good.note)
    assert good.last_good() is None


def test_files_of_another_user(good: CachedStore, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy can be exchanged between its verification and its use by anybody who may write to it."""
    blobs.delete(WEIGHTS.key)
    monkeypatch.setattr("os.getuid", lambda: -1)
    assert good.last_good() is None
    with pytest.raises(BlobNotFound):
        good.fetch(WEIGHTS)
    assert CachedStore(blobs).note != good.note


def test_one_version_is_kept(good: CachedStore, temp: Path) -> None:
    newer = [item(b"newer", "b/model.pt"), item(b"people", "b/people")]
    for found, data in zip(newer, (b"newer", b"people")):
        good.blobs.put(found.key, data)
        good.fetch(found)
    assert good.last_good() == POINTER
    assert good.fetch(WEIGHTS).exists()
    for name in ("faces", "faces-more-0", "other"):
        (temp / name).touch()
    good.mark_good("{}", {found.sha256 for found in newer})
    assert good.last_good() == "{}"
    assert sorted(temp.iterdir()) == sorted(
        [good.note, temp / "faces", temp / "faces-more-0", temp / "other", *map(good.fetch, newer)]
    )


def test_files_of_writers_that_were_killed_are_removed_an_hour_later(good: CachedStore, temp: Path) -> None:
    half, fresh = (temp / f"{good.note.stem}-{name}{PARTIAL}" for name in ("half", "fresh"))
    for path in (half, fresh):
        path.write_bytes(b"half")
    os.utime(half, (0, time.time() - ABANDONED - 1))
    good.mark_good(POINTER, {WEIGHTS.sha256})
    assert fresh.exists()
    assert not half.exists()


def test_a_note_that_cannot_be_written(blobs: BlobStore) -> None:
    store = CachedStore(blobs)
    store.note.mkdir()
    with pytest.raises(OSError):
        store.mark_good(POINTER, ())
    assert store.last_good() is None


def test_an_object_that_may_change(blobs: BlobStore) -> None:
    store = CachedStore(blobs)
    blobs.put("latest.json", b"1")
    assert store.read("latest.json", 1) == b"1"
    blobs.put("latest.json", b"2")
    assert store.read("latest.json", 1) == b"2"
    with pytest.raises(StorageError, match="larger than 0 bytes"):
        store.read("latest.json", 0)
