"""The commands of docs/migrate.md, in a clone, against the service that they start."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import pytest

from testing.servers import free_port
from tests.clients.service import PYTHON
from tests.commands import begin, clone, documented, shell
from tests.test_run import printed_until_ready

KEY = "5ac5c4f5-0b0f-4e2e-9c1e-6a4f2b8f7d10"


class Clone(NamedTuple):
    """A clone with a running service."""

    folder: Path
    port: int

    @property
    def place(self) -> dict[str, str]:
        """The running service's port, in place of the documented one."""
        return {"localhost:3000": f"localhost:{self.port}"}

    def run(self, *commands: str) -> str:
        """Run commands in one shell. -> their output. Raises AssertionError if one fails."""
        path = f"{self.folder / '.venv/bin'}:{PYTHON}:{os.environ['PATH']}"
        done = shell("set -e\n" + "\n".join(commands), self.folder, PATH=path)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A service that stores crops and has a key for CompreFace's clients."""
    port, folder = free_port(), clone(tmp_path_factory.mktemp("migration") / "clone")
    keys = documented("export COMPREFACE_KEYS=5ac5c4f5-0b0f-4e2e-9c1e-6a4f2b8f7d10=staff")
    with begin(f"{keys}\nexec make run", folder, PORT=str(port), KEEP_CROPS="on") as process:
        try:
            printed_until_ready(process)
            yield Clone(folder, port)
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=20)


def objects(output: str) -> list[Any]:
    """Read JSON objects that follow each other."""
    decoder, found, text = json.JSONDecoder(), [], output.strip()
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].strip()
    return found


def test_from_rekognition(migrated: Clone) -> None:
    output = migrated.run(
        documented(
            "export AWS_ENDPOINT_URL_REKOGNITION=http://localhost:3000/dev/ AWS_DEFAULT_REGION=eu-central-1",
            migrated.place,
        ),
        documented(
            "export AWS_ACCESS_KEY_ID=FACERECOGNITIONADMIN AWS_SECRET_ACCESS_KEY=$(cat .admin-key)",
        ),
        documented("aws rekognition create-collection --collection-id team"),
        documented(
            "aws rekognition index-faces --collection-id team --external-image-id Kofi_Annan"
            " --image-bytes fileb://web/samples/Kofi_Annan_0006.jpg"
        ),
        documented(
            "aws rekognition search-faces-by-image --collection-id team"
            " --image-bytes fileb://web/samples/Kofi_Annan_0006.jpg"
        ),
    )
    created, indexed, found = objects(output)
    assert created["StatusCode"] == 200
    assert found["FaceMatches"][0]["Face"]["FaceId"] == indexed["FaceRecords"][0]["Face"]["FaceId"]


def test_from_compreface(migrated: Clone) -> None:
    added, found = objects(
        migrated.run(
            documented(
                'curl -H "x-api-key: 5ac5c4f5-0b0f-4e2e-9c1e-6a4f2b8f7d10" -F file=@web/samples/Kofi_Annan_0006.jpg'
                ' "http://localhost:3000/dev/api/v1/recognition/faces?subject=Kofi%20Annan"',
                migrated.place,
            ),
            documented(
                'curl -H "x-api-key: 5ac5c4f5-0b0f-4e2e-9c1e-6a4f2b8f7d10" -F file=@web/samples/Kofi_Annan_0006.jpg'
                " http://localhost:3000/dev/api/v1/recognition/recognize",
                migrated.place,
            ),
        )
    )
    assert added["subject"] == "Kofi Annan"
    assert found["result"][0]["subjects"][0]["subject"] == "Kofi Annan"
    # The service has crops in place of photos. Another collection is made of them.
    output = migrated.run(
        documented(
            ".venv/bin/python scripts/compreface_photos.py --url http://localhost:8000 --key KEY photos",
            {"http://localhost:8000": f"http://localhost:{migrated.port}/dev", "KEY": KEY},
        ),
        documented("make enrol PEOPLE=photos COLLECTION=staff", {"staff": "copies"}),
    )
    assert "1 photos are in photos" in output
    assert [path.parent.name for path in (migrated.folder / "photos").rglob("*.jpg")] == ["Kofi Annan"]
    url = f"http://localhost:{migrated.port}/dev/classify?collection=copies"
    (classified,) = objects(migrated.run(f"curl -F file=@web/samples/Kofi_Annan_0006.jpg '{url}'"))
    assert classified["predicted_name"] == "Kofi Annan"


def test_download_from_another_server(migrated: Clone) -> None:
    url = f"http://localhost:{migrated.port}"
    command = f".venv/bin/python scripts/compreface_photos.py --url {url} --key KEY photos"
    done = shell(command, migrated.folder)
    assert done.returncode == 1
    assert "the server does not answer as CompreFace does" in done.stderr and "Traceback" not in done.stderr
