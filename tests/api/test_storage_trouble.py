"""Requests about people while the storage of collections is in trouble, or other writers are always first."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from app import compose
from model.detection.detector import Detector
from service.faces import FaceService
from service.galleries import Galleries
from service.people import PeopleService
from service.services import Services
from settings import Settings
from storage.blobs import Blob
from storage.collections import PATIENCE
from storage.errors import BlobConflict, StorageError, StorageUnreachable
from storage.folder import FolderBlobs
from storage.galleries import MANIFEST
from storage.live import LiveModel
from storage.live_collections import LiveCollections
from testing.wrapped_blobs import WrappedBlobs
from tests.api.client import ADMIN_KEY, KOFI, Client, person

CHANGES: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/people", {"name": "Ada"}),
    ("POST", "/people", person("Ada", KOFI)),
    ("PATCH", "/people/0", {"name": "Ada"}),
    ("DELETE", "/people/0", None),
    ("PUT", "/collections/team", None),
    ("DELETE", "/collections/people", None),
)


class Faulty(FolderBlobs):
    """A folder in which manifests cannot be written, or nothing can be read. on_write, on_read: the error, if any."""

    on_write: StorageError | None = None
    on_read: StorageError | None = None

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        if self.on_write and key.endswith(MANIFEST):
            raise self.on_write
        return super().put(key, data, if_match=if_match, if_absent=if_absent)

    def get(self, key: str, limit: int | None = None, deadline: float | None = None) -> Blob:
        if self.on_read:
            raise self.on_read
        return super().get(key, limit, deadline)

    def get_if_changed(
        self, key: str, etag: str, limit: int | None = None, deadline: float | None = None
    ) -> Blob | None:
        if self.on_read:
            raise self.on_read
        return super().get_if_changed(key, etag, limit, deadline)


@pytest.fixture()
def blobs(tmp_path: Path) -> Faulty:
    return Faulty(tmp_path)


@pytest.fixture()
def new_client(live: LiveModel, blobs: Faulty) -> Callable[[], Client]:
    """Make clients of new processes, which have nothing in memory."""

    def new() -> Client:
        galleries, detector = Galleries(live, LiveCollections(lambda: blobs)), Detector()
        services = Services(FaceService(galleries, detector), PeopleService(galleries, detector), galleries)
        return Client(compose(Settings(admin_key=ADMIN_KEY, metrics=False), services))

    return new


def refused(client: Client, method: str, path: str, content: Any) -> tuple[int, str, str]:
    """-> status, code and Retry-After."""
    status, body = client(method, path, content)
    assert "secret" not in body["error"]["message"]
    return status, body["error"]["code"], client.headers["Retry-After"]


@pytest.mark.parametrize(
    ("method", "path", "content"), CHANGES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_changes_while_the_storage_is_unreachable(
    method: str, path: str, content: Any, new_client: Callable[[], Client], blobs: Faulty
) -> None:
    client = new_client()
    client.enrol("Kofi Annan", KOFI)
    before = client.ok("GET", "/people")
    blobs.on_read = blobs.on_write = StorageUnreachable("s3://secret-bucket is down.", "S3 is down")
    assert refused(client, method, path, content) == (503, "model_unavailable", "5")
    blobs.on_read = blobs.on_write = None
    assert client.ok("GET", "/people") == before


def test_reading_while_the_storage_is_unreachable(new_client: Callable[[], Client], blobs: Faulty) -> None:
    """The people in memory are served and called stale. A process that has none cannot serve."""
    client = new_client()
    client.enrol("Kofi Annan", KOFI)
    gallery = client.ok("GET", "/people")["gallery"]
    assert "stale" not in gallery
    blobs.on_read = StorageUnreachable("s3://secret-bucket is down.", "S3 is down")
    found = client.ok("POST", "/classify", KOFI)
    assert (found["predicted_name"], found["gallery"]) == ("Kofi Annan", {**gallery, "stale": True})
    assert client.ok("GET", "/people")["gallery"]["stale"] is True
    for path in ("/people", "/collections/people"):
        assert refused(new_client(), "GET", path, None) == (503, "model_unavailable", "5")
    blobs.on_read = None
    assert client.ok("GET", "/people")["gallery"] == gallery


def test_other_writers_are_always_first(new_client: Callable[[], Client], blobs: Faulty) -> None:
    client = new_client()
    client.enrol("Kofi Annan", KOFI)
    blobs.on_write = BlobConflict("Somebody was first.")
    started = time.monotonic()
    assert refused(client, "PATCH", "/people/0", {"name": "Ada"}) == (409, "conflict", "1")
    assert PATIENCE <= time.monotonic() - started < PATIENCE + 1
    blobs.on_write = None
    assert client.ok("GET", "/people/0")["name"] == "Kofi Annan"


def test_while_a_collection_is_being_loaded(live: LiveModel, blobs: Faulty, new_client: Callable[[], Client]) -> None:
    """Requests are told to come back, and the start of the app does not wait longer than it may."""
    new_client().enrol("Kofi Annan", KOFI)
    may_go_on = threading.Event()
    slow = WrappedBlobs(blobs)
    slow.before = lambda operation: operation.key.endswith(".safetensors") and may_go_on.wait(30)
    galleries, detector = Galleries(live, LiveCollections(lambda: slow, first=0.1)), Detector()
    started = time.monotonic()
    galleries.prefetch()(0.2)
    assert time.monotonic() - started < 5
    services = Services(FaceService(galleries, detector), PeopleService(galleries, detector), galleries)
    client = Client(compose(Settings(admin_key=ADMIN_KEY, metrics=False), services))
    for method, path, content in (("GET", "/people", None), ("POST", "/classify", KOFI)):
        assert refused(client, method, path, content) == (503, "model_unavailable", "5")
    may_go_on.set()
    while client("GET", "/people")[0] == 503:
        assert time.monotonic() - started < 30
    assert client.ok("POST", "/classify", KOFI)["predicted_name"] == "Kofi Annan"
    reads = [operation for operation in slow.operations if operation.key.endswith(".safetensors")]
    assert len(reads) == 1
