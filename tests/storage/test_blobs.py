"""The contract of BlobStore, for a folder and for S3."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from storage.blobs import BlobStore, open_blobs
from storage.errors import BlobConflict, BlobNotFound, CorruptData, StorageRefused
from storage.s3_settings import S3Settings
from testing.paths import ROOT
from tests.storage.writers import CONTENTS, INCREMENTS, KEY, increment

NAMES = ["manifest.json", "a/b/c.bin", "a folder/\u00e9+&%20=.txt", ".team/x", "~", "a:b", "-", "x" * 200, "\U0001f642"]


@pytest.mark.parametrize("key", NAMES)
def test_any_name(store: BlobStore, key: str) -> None:
    etag = store.put(key, key.encode())
    assert store.get(key) == (key.encode(), etag)
    assert [(found.key, found.bytes) for found in store.list()] == [(key, len(key.encode()))]
    store.delete(key)
    assert list(store.list()) == []


@pytest.mark.parametrize("key", ["", ".", "..", "../a", "a/..", "a/../b", "a/./b", "a\0b", "\ud800"])
def test_names_that_cannot_be(store: BlobStore, tmp_path: Path, key: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    for attempt in (
        lambda: store.get(key),
        lambda: store.get_if_changed(key, ""),
        lambda: store.put(key, b""),
        lambda: store.put_file(key, tmp_path / "file"),
        lambda: store.delete(key),
    ):
        with pytest.raises(StorageRefused, match="not a key"):
            attempt()


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 1000])
def test_any_bytes(store: BlobStore, data: bytes) -> None:
    store.put("key", data)
    assert store.get("key").data == data


def test_an_object_that_is_not_there(store: BlobStore) -> None:
    store.put("a/b", b"")
    for key in ("none", "a", "a/none", "a/b/c"):
        with pytest.raises(BlobNotFound, match=rf"\b{key}\b") as caught:
            store.get(key)
        assert store.uri in str(caught.value)
        assert caught.value.reason.startswith("a file is missing")
        with pytest.raises(BlobNotFound):
            store.get_if_changed(key, "etag")
        store.delete(key)
    assert [found.key for found in store.list()] == ["a/b"]


def test_a_limit(store: BlobStore) -> None:
    store.put("key", bytes(100))
    assert store.get("key", 100).data == bytes(100)
    with pytest.raises(CorruptData, match="larger than 99 bytes") as caught:
        store.get("key", 99)
    assert caught.value.reason == "a file is larger than it should be"
    with pytest.raises(CorruptData, match="larger than 99 bytes"):
        store.get_if_changed("key", "other", 99)


def test_only_what_has_changed_is_read(store: BlobStore) -> None:
    first = store.put("key", b"one")
    assert store.get_if_changed("key", first) is None
    second = store.put("key", b"two")  # of the same size, within one tick of the clock
    assert store.get_if_changed("key", first) == (b"two", second)
    assert store.get_if_changed("key", second) is None
    assert store.put("key", b"one") == first
    assert store.get_if_changed("key", first) is None


def test_conditional_writes(store: BlobStore) -> None:
    first = store.put("key", b"one", if_absent=True)
    with pytest.raises(BlobConflict, match=r"\bkey\b") as caught:
        store.put("key", b"two", if_absent=True)
    assert store.uri in str(caught.value)
    assert store.uri not in caught.value.reason
    second = store.put("key", b"two", if_match=first)
    for etag in (first, "", "none"):
        with pytest.raises(BlobConflict):
            store.put("key", b"three", if_match=etag)
    assert store.get("key") == (b"two", second)

    store.delete("key")
    with pytest.raises(BlobConflict):  # deleted by another writer
        store.put("key", b"three", if_match=second)
    store.put("key", b"three", if_absent=True)
    assert store.get("key").data == b"three"


def test_a_large_file(store: BlobStore, tmp_path: Path) -> None:
    content = os.urandom(1000) * 9000
    (tmp_path / "file").write_bytes(content)
    steps: list[int] = []
    store.put_file("a/model.pt", tmp_path / "file", steps.append)
    assert store.get("a/model.pt").data == content
    assert sum(steps) == len(content)
    assert len(steps) > 1
    store.put_file("a/model.pt", ROOT / "LICENSE")
    assert store.get("a/model.pt").data == (ROOT / "LICENSE").read_bytes()
    with pytest.raises(FileNotFoundError):
        store.put_file("a/model.pt", tmp_path / "none")


def test_a_listing(store: BlobStore) -> None:
    assert list(store.list()) == []
    keys = ["a", "a-b/c", "a/b", "a/b-c", "a/b/c", "aa/b", "b/a", "\u00e9/a"]
    for key in ("a/b/c", "a-b/c", "\u00e9/a", "aa/b", "b/a"):
        store.put(key, b"12345")
    there = [found.key for found in store.list()]
    assert there == [key for key in keys if key in there]
    assert [found.key for found in store.list("a")] == ["a-b/c", "a/b/c", "aa/b"]
    assert [found.key for found in store.list("a/")] == ["a/b/c"]
    assert [found.key for found in store.list("a/b/c")] == ["a/b/c"]
    assert list(store.list("a/b/c/")) == list(store.list("none")) == list(store.list("../")) == []
    found = next(store.list("b"))
    assert found.bytes == 5
    assert abs(found.modified - datetime.now(timezone.utc)) < timedelta(seconds=60)


def start(action: str, uri: str, settings: S3Settings) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.storage.writers", action, uri, str(settings.endpoint)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def test_no_increment_is_lost(store: BlobStore, uri: str, settings: S3Settings) -> None:
    processes = [start("increment", uri, settings) for _ in range(4)]
    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(increment, store) for _ in range(8)]:
            done.result()
    for process in processes:
        with process:
            assert process.wait(120) == 0
    assert int(store.get(KEY).data) == (8 + 4) * INCREMENTS
    assert [found.key for found in store.list()] == [KEY]


def test_a_killed_writer_leaves_the_old_or_the_new_bytes(store: BlobStore, uri: str, settings: S3Settings) -> None:
    for _ in range(3 if uri.startswith("s3://") else 8):
        with start("overwrite", uri, settings) as process:
            assert process.stdout
            process.stdout.readline()
            time.sleep(random.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
        assert store.get(KEY).data in CONTENTS
        assert [found.key for found in store.list()] == [KEY]
    store.put("other", b"")  # nobody holds the lock
    store.delete(KEY)
    if not uri.startswith("s3://"):
        left = [path for path in Path(uri).rglob("*") if path.is_file() and path.stat().st_size]
        assert left == []


def test_stores_of_one_bucket_are_apart(uri: str, settings: S3Settings) -> None:
    with open_blobs(f"{uri}/one", settings) as one, open_blobs(f"{uri}/one-more", settings) as more:
        one.put("key", b"1")
        more.put("key", b"2")
        assert one.get("key").data == b"1"
        assert [found.key for found in one.list()] == ["key"]
