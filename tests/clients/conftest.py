"""The service as clients reach it: in AWS's Lambda emulator, and as `make run` serves it."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path
from typing import Iterator

import boto3
import pytest
from PIL import Image

from testing.emulator import Emulator
from testing.servers import free_port
from tests.api.client import JENNIFER, KOFI, SERENA, TONY, WALL, another, side_by_side
from tests.clients.service import BUCKET, NODE, PYTHON, SETTINGS, Service
from tests.commands import begin, clone, documented
from tests.gateway import serving
from tests.test_run import printed_until_ready

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Assign all tests of this folder to one process, so that each service is started once."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("clients"), append=False)


def _png(photo: bytes) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(photo)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the photos that clients send. In `pair`, Kofi Annan's face is larger than Serena Williams's."""
    folder, pair = tmp_path_factory.mktemp("photos"), side_by_side(KOFI, SERENA, 170)
    contents = {
        "kofi": KOFI,
        "kofi-turned": another(KOFI, 5),
        "kofi-again": another(KOFI, -4),
        "serena": SERENA,
        "serena-turned": another(SERENA, 5),
        "serena-png": _png(SERENA),
        "tony": TONY,
        "jennifer": JENNIFER,
        "pair": pair,
        "pair-turned": another(pair, 3),
        "wall": WALL,
    }
    for name, content in contents.items():
        (folder / f"{name}.jpg").write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def installed() -> None:
    """Skip the test if the clients are not installed."""
    for stamp in (PYTHON.parent / "base.installed", NODE / "node_modules" / ".installed"):
        if not stamp.exists():
            pytest.skip(f"the clients are not installed, {stamp.parent} is incomplete: make setup-clients")


@pytest.fixture(scope="session")
def bucket(s3_server: str) -> dict[str, str]:
    """A bucket with a photo at people/tony.jpg. -> the variables with which it is reached."""
    access = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    s3 = boto3.client(
        "s3",
        endpoint_url=s3_server,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="people/tony.jpg", Body=TONY)
    return {**access, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": s3_server}


@pytest.fixture(scope="session")
def emulated(
    installed: None, tmp_path_factory: pytest.TempPathFactory, photos: Path, bucket: dict[str, str]
) -> Iterator[Service]:
    """The service in AWS's Lambda emulator, behind a small API Gateway."""
    folder = tmp_path_factory.mktemp("emulated")
    emulator = Emulator(folder / "log", **SETTINGS, **bucket, GALLERY_URI=str(folder / "galleries"))
    try:
        with serving(emulator.answer) as url:
            yield Service(f"{url}/", photos)
    finally:
        emulator.close()


@pytest.fixture(scope="session")
def local(installed: None, tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Iterator[Service]:
    """The service as `make run` serves it."""
    port = free_port()
    folder = clone(tmp_path_factory.mktemp("local") / "clone")
    with begin(documented("make run"), folder, PORT=str(port), **SETTINGS) as process:
        try:
            printed_until_ready(process)
            yield Service(f"http://localhost:{port}/dev/", photos)
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=20)


@pytest.fixture(params=["emulated", "local"])
def service(request: pytest.FixtureRequest) -> Service:
    """The service, served in both ways."""
    found: Service = request.getfixturevalue(request.param)
    return found
