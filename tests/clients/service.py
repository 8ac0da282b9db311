"""A running service for the clients, and the programs that call it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Mapping, NamedTuple

from testing.paths import ROOT

READER_KEY = "key-of-the-readers"
ADMIN_KEY = "key-of-the-administrator"
BUCKET = "photos-of-clients"
# Collections of the clients of CompreFace: each has a key of its own.
COLLECTIONS = ("sdk", "sdk-python", "js-sdk", "double-take", "double-take-go", "viseron", "shared")
SETTINGS = {
    "MODEL_URI": "",
    "COLLECTION": "",
    "API_KEY": READER_KEY,
    "ADMIN_KEY": ADMIN_KEY,
    "COMPREFACE_KEYS": ",".join(f"compreface-key-of-{name}={name}" for name in COLLECTIONS),
    "REKOGNITION_BUCKETS": f"another-photos,{BUCKET}",
}
PYTHON = ROOT / ".venv-clients" / "bin"
NODE = ROOT / "tests" / "clients" / "node"


class Service(NamedTuple):
    """url: with a slash at the end; photos: the folder of the photos that clients send."""

    url: str
    photos: Path

    def run(self, module: str, scenario: str, **environment: str) -> dict[str, Any]:
        """Run a scenario of tests.clients.programs. -> its result.

        Raises AssertionError if it fails or botocore's model does not allow a response to boto3.
        """
        command = [str(PYTHON / "python"), "-m", "tests.clients.programs", module, scenario]
        output = json.loads(self.execute(command, environment))
        assert output["violations"] == []
        result: dict[str, Any] = output["result"]
        return result

    def run_node(self, program: str) -> dict[str, Any]:
        """Run a program of tests/clients/node. -> the last line of its output, as JSON."""
        result: dict[str, Any] = json.loads(self.execute(["node", str(NODE / program)]).splitlines()[-1])
        return result

    def aws(self, *arguments: str) -> dict[str, Any]:
        """Run `aws rekognition`. -> its result."""
        command = [str(PYTHON / "aws"), "rekognition", *arguments, "--endpoint-url", self.url]
        result: dict[str, Any] = json.loads(self.execute(command) or "{}")
        return result

    def execute(self, command: list[str], environment: Mapping[str, str] | None = None) -> str:
        """Run a command with the access key of the administrator. -> its output. Raises AssertionError if it fails."""
        others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        ours = {
            "ENDPOINT": self.url,
            "PHOTOS": str(self.photos),
            "READER_KEY": READER_KEY,
            "ADMIN_KEY": ADMIN_KEY,
            "BUCKET": BUCKET,
            "AWS_ENDPOINT_URL_REKOGNITION": self.url,
            "AWS_ACCESS_KEY_ID": "FACERECOGNITIONADMIN",
            "AWS_SECRET_ACCESS_KEY": ADMIN_KEY,
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**others, **ours, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout
