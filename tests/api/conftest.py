from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from api.telemetry import SERVICE
from app import create_app
from settings import Settings
from storage.blobs import open_blobs
from storage.live import LiveModel
from storage.networks import BUNDLED
from storage.s3_settings import S3Settings
from testing.postgres import PostgresServer
from tests.api.client import ADMIN_KEY, Client
from tests.api.compreface_client import CompreFace, make_client


class CurrentStdout(io.StringIO):
    """Writes to the current sys.stdout: pytest replaces it in each phase of a test, and the log keeps the first one."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


@pytest.fixture()
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Yield a function that returns the lines of log and metrics since its last call, as dictionaries."""
    (handler,) = logging.getLogger(SERVICE).handlers
    assert isinstance(handler, logging.StreamHandler)
    before = handler.setStream(CurrentStdout())
    assert before is not None
    yield lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    handler.setStream(before)


@pytest.fixture(scope="session")
def live() -> LiveModel:
    """The bundled model, for apps of all tests."""
    return LiveModel(lambda: open_blobs(BUNDLED, S3Settings()), refresh=False)


@pytest.fixture(params=["folder", "database"])
def gallery_uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A folder for collections, which does not exist yet, and a database without any."""
    if request.param == "folder":
        yield str(tmp_path / "galleries")
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        with server.database() as uri:
            yield uri


@pytest.fixture()
def client(live: LiveModel, gallery_uri: str) -> Client:
    """Sends the administrator's requests to an app that has no collection but the published one."""
    return Client(create_app(Settings(gallery_uri=gallery_uri, admin_key=ADMIN_KEY, metrics=False), live))


@pytest.fixture()
def compreface(live: LiveModel, gallery_uri: str) -> CompreFace:
    """Sends requests of a client of CompreFace with a collection of its own, which does not exist yet."""
    return make_client(live, gallery_uri)
