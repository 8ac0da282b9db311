from __future__ import annotations

import contextlib
import shutil
import threading
import uuid
from pathlib import Path
from typing import Any, Iterator

import boto3
import pytest

from testing.paths import SAMPLES
from tests import versions as tiny
from tests.training.download_server import Handler, Server, Site
from training.publishing.versions import write_version


@pytest.fixture()
def sites(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Site, Site]]:
    """The official URL and its mirror."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        server.sites = {path: Site(url + path) for path in ("/official.tgz", "/mirror.tgz")}
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.sites["/official.tgz"], server.sites["/mirror.tgz"]
        finally:
            for site in server.sites.values():
                site.stopped.set()
            server.shutdown()
            thread.join()


@pytest.fixture()
def s3(no_aws_settings: None, s3_environment: dict[str, str]) -> Iterator[Any]:
    with contextlib.closing(boto3.client("s3")) as client:
        yield client


@pytest.fixture()
def bucket(s3: Any) -> str:
    """An empty one of its own."""
    name = f"versions-{uuid.uuid4()}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture()
def uri(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A prefix in that bucket. Copies of what is read from it lie in a temp folder of its own."""
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temp"))
    return f"s3://{bucket}/faces"


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version with networks that recognize nobody, and a published collection `lfw` with the embedding `tuned`."""
    folder = tmp_path_factory.mktemp("networks")
    write_version(folder, lambda path: path.write_bytes(tiny.network()), tiny.gallery(), "lfw", None)
    return folder


@pytest.fixture()
def photos(tmp_path: Path) -> Path:
    """A photo of each of two people."""
    folder = tmp_path / "photos"
    for person, photo in (("Kofi_Annan", "Kofi_Annan_0006"), ("Tony_Blair", "Tony_Blair_0007")):
        (folder / person).mkdir(parents=True)
        shutil.copy(SAMPLES / f"{photo}.jpg", folder / person)
    return folder
