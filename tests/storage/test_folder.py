"""Special cases of a folder; its common contract with S3 is in test_blobs.py."""

from __future__ import annotations

import fcntl
import resource
import threading
from pathlib import Path
from typing import Iterator

import pytest

from storage.blobs import open_blobs
from storage.errors import BlobNotFound, StorageFull, StorageRefused
from storage.folder import LOCK, PARTIAL, FolderBlobs
from storage.s3_settings import S3Settings


@pytest.fixture()
def folder(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path / "blobs")


def files(folder: FolderBlobs) -> list[str]:
    root = Path(folder.uri)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_a_path_is_a_folder(tmp_path: Path) -> None:
    with open_blobs(str(tmp_path), S3Settings()) as store:
        assert isinstance(store, FolderBlobs)
        assert store.uri == str(tmp_path)


@pytest.mark.parametrize("key", ["/a", "a//b", "a/", "a\\b", "..\\a", ".hidden", "a/.hidden", LOCK, PARTIAL])
def test_names_that_no_file_can_have(folder: FolderBlobs, tmp_path: Path, key: str) -> None:
    with pytest.raises(StorageRefused, match="not a key"):
        folder.put(key, b"")
    with pytest.raises(StorageRefused, match="not a key"):
        folder.get(key)
    assert list(tmp_path.iterdir()) == []


def test_nothing_outside_is_reached(folder: FolderBlobs, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    folder.put("a/b", b"")
    for key in ("../secret", "a/../../secret", str(tmp_path / "secret"), "..\\secret"):
        for attempt in (folder.get, folder.delete):
            with pytest.raises(StorageRefused):
                attempt(key)
    assert (tmp_path / "secret").read_bytes() == b"secret"
    assert [found.key for found in folder.list("../")] == []


def test_the_first_write_creates_the_folder(folder: FolderBlobs) -> None:
    with pytest.raises(BlobNotFound, match=r"blobs cannot be used: No such file or directory\."):
        list(folder.list())
    with pytest.raises(BlobNotFound, match="has no file a"):
        folder.get("a")
    folder.delete("a/b")
    assert not Path(folder.uri).exists()
    folder.put("a/b", b"")
    assert files(folder) == [LOCK, "a", "a/b"]


def test_empty_folders_go_with_the_last_file(folder: FolderBlobs) -> None:
    folder.put("a/b/c/d", b"")
    folder.put("a/e", b"")
    folder.delete("a/b/c/d")
    assert files(folder) == [LOCK, "a", "a/e"]
    folder.delete("a/e")
    folder.delete("a/e")
    assert files(folder) == [LOCK]


def test_files_that_are_no_objects(folder: FolderBlobs) -> None:
    folder.put("a/b", b"")
    for name in (".DS_Store", "a/.b.partial", PARTIAL):
        (Path(folder.uri) / name).write_bytes(b"x")
    (Path(folder.uri) / "link").symlink_to("nowhere")
    assert [found.key for found in folder.list()] == ["a/b"]


def test_a_file_and_a_folder_of_one_name(folder: FolderBlobs) -> None:
    """S3 can have both, a file system cannot."""
    folder.put("a/b", b"1")
    for key in ("a", "a/b/c"):
        with pytest.raises(StorageRefused, match="cannot be used: "):
            folder.put(key, b"2")
    assert files(folder) == [LOCK, "a", "a/b"]
    assert folder.get("a/b").data == b"1"


@pytest.fixture()
def small_disk() -> Iterator[None]:
    """No file may grow beyond 10 kB."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_the_old_bytes(folder: FolderBlobs, small_disk: None) -> None:
    etag = folder.put("a/b", b"old")
    for data in (bytes(10_001), bytes(5_000_000)):
        with pytest.raises(StorageFull, match=f"{folder.uri} takes no more: File too large") as caught:
            folder.put("a/b", data, if_match=etag)
        assert caught.value.reason == "the disk is full"
        assert isinstance(caught.value.__cause__, OSError)
    assert files(folder) == [LOCK, "a", "a/b"]
    assert folder.get("a/b") == (b"old", etag)
    folder.put("a/b", b"new", if_match=etag)


@pytest.mark.parametrize("uri", ["/sys", "/proc/version"])
def test_a_folder_that_cannot_be_written_to(uri: str) -> None:
    with pytest.raises(StorageRefused, match=f"The folder {uri} cannot be used: ") as caught:
        FolderBlobs(Path(uri)).put("a", b"")
    assert caught.value.reason == "the folder cannot be used"


def test_an_interrupted_copy_leaves_the_old_bytes(folder: FolderBlobs, tmp_path: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    folder.put("a", b"old")
    (tmp_path / "file").write_bytes(bytes(3_000_000))
    with pytest.raises(KeyboardInterrupt):
        folder.put_file("a", tmp_path / "file", interrupt)
    assert files(folder) == [LOCK, "a"]
    assert folder.get("a").data == b"old"
    folder.put("a", b"new")  # nobody holds the lock


def test_writers_wait_for_the_lock_and_readers_do_not(folder: FolderBlobs) -> None:
    folder.put("a", b"old")
    with (Path(folder.uri) / LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        writer = threading.Thread(target=folder.put, args=("a", b"new"))
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
        assert folder.get("a").data == b"old"
        assert [found.key for found in folder.list()] == ["a"]
        fcntl.flock(lock, fcntl.LOCK_UN)
        writer.join()
    assert folder.get("a").data == b"new"


def test_what_a_killed_writer_left_goes_with_the_next_change(folder: FolderBlobs) -> None:
    folder.put("a", b"")
    (Path(folder.uri) / PARTIAL).write_bytes(b"half")
    folder.delete("a")
    assert files(folder) == [LOCK]


def test_files_that_come_and_go_during_a_listing(folder: FolderBlobs) -> None:
    for number in range(20):
        folder.put(f"{number:02}/x", b"")
    listing = folder.list()
    assert next(listing).key == "00/x"
    folder.delete("05/x")
    folder.delete("00/x")
    folder.put("06/y", b"")
    keys = [found.key for found in listing]
    assert "05/x" not in keys
    assert {"06/x", "06/y", "19/x"} <= set(keys)
