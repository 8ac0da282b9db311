"""`make run`, `sls offline` and `sls package`, as a user calls them."""

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

import psutil
import pytest

from api.bulk import PHOTOS
from api.photo_keys import FAILURES
from scripts.gateway import too_large
from testing.paths import ROOT, SAMPLES
from testing.servers import free_port, until_up
from tests.commands import begin, clone, documented, shell
from tests.conftest import sls


def start(folder: Path, port: int) -> subprocess.Popen[str]:
    return begin(documented("make run"), folder, PORT=str(port))


def printed_until_ready(process: subprocess.Popen[str]) -> str:
    output = ""
    assert process.stdout is not None
    while "Ctrl-C" not in output:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        output += line
    return output


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clone(tmp_path_factory.mktemp("run") / "a folder (1) & more")


@pytest.fixture(scope="module")
def service(cloned: Path) -> Iterator[tuple[int, str]]:
    """Yield the port and the output up to the moment when the service was ready."""
    port = free_port()
    with start(cloned, port) as process:
        yield port, printed_until_ready(process)
        os.killpg(process.pid, signal.SIGINT)
        assert "stopped" in process.communicate(timeout=20)[0]
    time.sleep(0.5)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_printed_curl_command_identifies_the_person(service: tuple[int, str], cloned: Path) -> None:
    """`make run` prints the curl command of the README."""
    command = documented(
        "curl -F file=@web/samples/Kofi_Annan_0006.jpg http://localhost:3000/dev/classify",
        replace={"3000": str(service[0])},
    )
    assert command in [line.strip() for line in service[1].splitlines()]
    answer = shell(command, cloned)
    assert json.loads(answer.stdout)["predicted_name"] == "Kofi Annan"


def test_page_is_served(service: tuple[int, str]) -> None:
    with urllib.request.urlopen(f"http://localhost:{service[0] + 1}/", timeout=10) as reply:
        assert b"<title>" in reply.read()


def curl(port: int, path: str, *options: str) -> Any:
    """Send a photo as the body of a request. -> JSON of the response."""
    command = ["curl", "-s", *options, "--data-binary", f"@{SAMPLES / 'Kofi_Annan_0006.jpg'}"]
    done = subprocess.run(
        [*command, f"http://localhost:{port}{path}"], capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("options", [(), ("-H", "Content-Type: image/jpeg"), ("-H", "Transfer-Encoding: chunked")])
def test_raw_photo(service: tuple[int, str], options: tuple[str, ...]) -> None:
    assert curl(service[0], "/dev/classify", *options)["predicted_name"] == "Kofi Annan"


def test_smoke_test_skips_nothing(service: tuple[int, str], cloned: Path) -> None:
    done = shell("make smoke", cloned, URL=f"http://localhost:{service[0]}/dev")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
    assert "pages of * may read the responses" in done.stdout


def test_busy_port_is_reported(service: tuple[int, str], cloned: Path) -> None:
    with start(cloned, service[0]) as second:
        _, error = second.communicate(timeout=20)
    assert second.returncode > 0
    assert f"port {service[0]} is in use" in error


def test_wrong_strictness_is_reported(cloned: Path) -> None:
    with begin(documented("make run"), cloned, PORT=str(free_port()), STRICTNESS="2") as process:
        _, error = process.communicate(timeout=60)
    assert process.returncode > 0
    assert error.startswith("STRICTNESS is not one of 0.1, 0.3, 1, 3.\n")


def test_forgotten_stage_and_a_crash_are_reported(cloned: Path) -> None:
    port = free_port()
    with start(cloned, port) as process:
        printed_until_ready(process)
        assert curl(port, "/classify") == {"message": "Forbidden"}
        function_of(process).kill()
        _, error = process.communicate(timeout=20)
    assert process.returncode > 0
    assert f"POST /classify: 403, the stage is missing: http://localhost:{port}/dev/classify\n" in error
    assert "The service has stopped:\n" in error


def test_no_process_is_left(cloned: Path) -> None:
    """Even if `make run` cannot stop the service itself."""
    with start(cloned, free_port()) as process:
        printed_until_ready(process)
        function = function_of(process)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=20)
    function.wait(20)


def function_of(process: subprocess.Popen[str]) -> psutil.Process:
    """The process of the function that `make run` started."""
    (found,) = [
        child for child in psutil.Process(process.pid).children(recursive=True) if "scripts.function" in child.cmdline()
    ]
    return found


def test_service_that_does_not_start(checkout: Path) -> None:
    (checkout / "handler.py").write_text("raise OSError('no disk')")
    with start(checkout, free_port()) as process:
        _, error = process.communicate(timeout=60)
    assert process.returncode > 0
    assert "The service did not start:\n" in error
    assert "OSError: no disk" in error


def test_model_that_cannot_be_loaded(checkout: Path) -> None:
    with begin(documented("make run"), checkout, PORT=str(free_port()), MODEL_URI="nowhere") as process:
        _, error = process.communicate(timeout=60)
    assert process.returncode > 0
    assert 'The service does not work: {"error":{"code":"model_unavailable"' in error


def test_sls_offline(checkout: Path) -> None:
    """The real Serverless route, with the functions of serverless.yml."""
    port = free_port()
    ports = f"--httpPort {port} --lambdaPort {free_port()}"
    command = documented("npx sls offline", extra=ports)
    url = f"http://localhost:{port}/dev"
    with begin(f"exec {command}", checkout) as process:
        try:
            until_up(f"{url}/health", process, seconds=120)
            found = shell(f"curl -sF file=@web/samples/Kofi_Annan_0006.jpg {url}/classify", checkout).stdout
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=20)
    assert json.loads(found)["predicted_name"] == "Kofi Annan"


def curl_lines(output: str) -> tuple[str, str]:
    """The printed commands that classify a photo and enrol a person."""
    classify, enrol = (line.strip() for line in output.splitlines() if line.strip().startswith("curl"))
    return classify, enrol


def name_in(photo: str, classify: str, folder: Path) -> str | None:
    """Name that the printed command finds in another sample photo."""
    found: str | None = json.loads(shell(classify.replace("Kofi_Annan_0006", photo), folder).stdout)["predicted_name"]
    return found


def test_people_are_enrolled_while_it_runs(tmp_path: Path) -> None:
    """With the printed command, and from folders. They and the key are there after a restart."""
    folder, port = clone(tmp_path / "clone"), free_port()
    (folder / "photos/Kofi_Annan").mkdir(parents=True)
    shutil.copy(SAMPLES / "Kofi_Annan_0006.jpg", folder / "photos/Kofi_Annan")
    with start(folder, port) as process:
        classify, enrol = curl_lines(printed_until_ready(process))
        assert name_in("Kofi_Annan_0006", classify, folder) == "Kofi Annan"
        made = json.loads(shell(enrol, folder).stdout)
        assert (made["id"], made["name"], made["collection"]) == (0, "Eileen Collins", "people")
        assert (len(made["faces"]), made["skipped"]) == (1, [])
        assert name_in("astronaut", classify, folder) == "Eileen Collins"
        assert name_in("Kofi_Annan_0006", classify, folder) is None  # nobody of `lfw` is in the new collection
        done = shell(documented("make enrol PEOPLE=photos"), folder)
        assert done.returncode == 0, done.stderr
        assert name_in("Kofi_Annan_0006", classify, folder) == "Kofi Annan"
        key = (folder / ".admin-key").read_text().strip()
        refused = json.loads(shell(enrol.replace(key, "another"), folder).stdout)
        assert refused["error"]["code"] == "unauthorized"
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=20)
    with start(folder, port) as process:
        assert curl_lines(printed_until_ready(process)) == (classify, enrol)
        assert name_in("astronaut", classify, folder) == "Eileen Collins"
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=20)
    assert {path.name for path in (folder / "galleries").iterdir() if not path.name.startswith(".")} == {"people"}


def test_the_key_is_made_once(tmp_path: Path) -> None:
    """And again, if the process that made it was killed before it was written."""
    folder = clone(tmp_path / "clone")
    command = """.venv/bin/python -c 'import sys; sys.path.append("scripts"); import run; print(run.admin_key())'"""
    file = folder / ".admin-key"
    keys = [shell(command, folder).stdout for _ in range(2)]
    assert keys == [file.read_text()] * 2
    assert len(keys[0].strip()) == 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert shell(command, folder, ADMIN_KEY="of-mine").stdout == "of-mine\n"
    file.write_text("")
    assert len(shell(command, folder).stdout.strip()) == 32


def packaged(*arguments: str, **more: str) -> dict[str, Any]:
    """Run `sls package`, which needs no AWS account. -> the resources of its template."""
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
    template = resources["GatewayLimits"]["Properties"]["ResponseTemplates"]["application/json"]
    assert json.loads(template) == too_large("$context.requestId")


def test_sls_package_with_photos_in_a_bucket() -> None:
    resources = packaged("--param", "bulk=on", PHOTOS_BUCKET="somebodys-photos")
    assert resources["BulkLambdaFunction"]["Properties"]["ImageConfig"] == {"Command": ["handler.on_upload"]}
    trigger = resources["BulkCustomS31"]["Properties"]
    assert trigger["BucketName"] == "somebodys-photos"
    assert trigger["BucketConfigs"] == [{"Event": "s3:ObjectCreated:*", "Rules": [{"Prefix": PHOTOS}]}]
    assert f":s3:::somebodys-photos/{FAILURES}*" in json.dumps(resources["IamRoleLambdaExecution"])


def test_sls_package_with_bulk_needs_photos_bucket() -> None:
    done = sls("package", "--param", "bulk=on", PHOTOS_BUCKET="")
    assert done.returncode != 0
    assert "needs PHOTOS_BUCKET" in done.stdout + done.stderr
