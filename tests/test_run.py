"""`make run` and `sls package`, as a user calls them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, Iterator

import pytest

from api.bulk import FAILURES, PHOTOS
from testing.paths import ROOT, SAMPLES
from testing.servers import free_port
from tests.commands import begin, clone, documented, shell
from tests.conftest import sls


def start(folder: Path, port: int) -> subprocess.Popen[str]:
    return begin(documented("make run"), folder, PORT=str(port))


def printed_until_ready(process: subprocess.Popen[str]) -> str:
    printed = ""
    assert process.stdout is not None
    while "Ctrl-C" not in printed:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        printed += line
    return printed


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clone(tmp_path_factory.mktemp("run") / "a folder (1) & more")


@pytest.fixture(scope="module")
def service(cloned: Path) -> Iterator[tuple[int, str]]:
    """The port, and what was printed until the service was ready."""
    port = free_port()
    with start(cloned, port) as process:
        yield port, printed_until_ready(process)
        os.killpg(process.pid, signal.SIGINT)
        assert "stopped" in process.communicate(timeout=20)[0]
    time.sleep(0.5)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_curl_names_the_person(service: tuple[int, str], cloned: Path) -> None:
    """The one that is printed is that of the README."""
    command = documented(
        "curl -F file=@web/samples/Kofi_Annan_0006.jpg http://localhost:3000/dev/classify",
        replace={"3000": str(service[0])},
    )
    assert command in [line.strip() for line in service[1].splitlines()]
    answer = shell(command, cloned)
    assert json.loads(answer.stdout)["predicted_name"] == "Kofi Annan"


def test_the_page_is_there(service: tuple[int, str]) -> None:
    with urllib.request.urlopen(f"http://localhost:{service[0] + 1}/", timeout=10) as reply:
        assert b"<title>" in reply.read()


def test_a_raw_body_is_told_what_to_do_instead(service: tuple[int, str]) -> None:
    """serverless-offline hands on only multipart bodies as bytes."""
    command = ["curl", "-s", "-H", "Content-Type: image/jpeg", "--data-binary", f"@{SAMPLES / 'astronaut.jpg'}"]
    url = f"http://localhost:{service[0]}/dev/classify"
    answer = subprocess.run([*command, url], capture_output=True, text=True, timeout=60, check=True)
    assert "multipart/form-data" in json.loads(answer.stdout)["error"]["message"]


def test_a_busy_port_is_said(service: tuple[int, str], cloned: Path) -> None:
    with start(cloned, service[0]) as second:
        _, error = second.communicate(timeout=20)
    assert second.returncode > 0
    assert f"port {service[0]} is in use" in error


def test_who_was_enrolled_is_served(tmp_path: Path) -> None:
    folder = clone(tmp_path / "clone")
    (folder / "photos/Eileen_Collins").mkdir(parents=True)
    shutil.copy(SAMPLES / "astronaut.jpg", folder / "photos/Eileen_Collins")
    done = shell(documented("make enrol PEOPLE=photos"), folder)
    assert done.returncode == 0, done.stderr
    port = free_port()
    with start(folder, port) as process:
        line = next(line for line in printed_until_ready(process).splitlines() if "curl" in line)
        answer = shell(line.replace("Kofi_Annan_0006", "astronaut"), folder)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=20)
    assert json.loads(answer.stdout)["predicted_name"] == "Eileen Collins"


def packaged(*arguments: str, **more: str) -> dict[str, Any]:
    """The resources that `sls package` writes down, without an AWS account."""
    done = sls("package", *arguments, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    template = json.loads((ROOT / ".serverless" / "cloudformation-template-update-stack.json").read_text())
    return template["Resources"]


def test_sls_package() -> None:
    resources = packaged()
    assert resources["ClassifyLambdaFunction"]["Properties"]["PackageType"] == "Image"
    assert resources["ApiGatewayRestApi"]["Properties"]["BinaryMediaTypes"] == ["*/*"]
    assert "BulkLambdaFunction" not in resources
    assert "s3:" not in json.dumps(resources["IamRoleLambdaExecution"])
    assert Path(ROOT / "Dockerfile").exists()


def test_sls_package_with_photos_in_a_bucket() -> None:
    resources = packaged("--param", "bulk=on", PHOTOS_BUCKET="somebodys-photos")
    assert resources["BulkLambdaFunction"]["Properties"]["ImageConfig"] == {"Command": ["handler.on_upload"]}
    trigger = resources["BulkCustomS31"]["Properties"]
    assert trigger["BucketName"] == "somebodys-photos"
    assert trigger["BucketConfigs"] == [{"Event": "s3:ObjectCreated:*", "Rules": [{"Prefix": PHOTOS}]}]
    assert f":s3:::somebodys-photos/{FAILURES}*" in json.dumps(resources["IamRoleLambdaExecution"])


def test_sls_package_needs_to_know_which_bucket() -> None:
    done = sls("package", "--param", "bulk=on", PHOTOS_BUCKET="")
    assert done.returncode != 0
    assert "needs PHOTOS_BUCKET" in done.stdout + done.stderr
