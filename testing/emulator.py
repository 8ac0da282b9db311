"""AWS's own Lambda emulator with the handler in it: awslambdaric behind the runtime interface emulator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from testing.paths import ROOT
from testing.servers import free_port

EMULATOR = Path(sys.executable).parent / "aws-lambda-rie"


class Emulator:
    """One running function. The emulator starts it with the first event, as Lambda does. To be closed."""

    def __init__(
        self, log: Path, handler: str = "handler.handle", python: str = sys.executable, **environment: str
    ) -> None:
        """python: one that has awslambdaric."""
        self.log = log
        self._address = f"127.0.0.1:{free_port()}"
        command = [str(EMULATOR), "--runtime-interface-emulator-address", self._address]
        command += ["--runtime-api-address", f"127.0.0.1:{free_port()}"]
        command += [python, "-m", "awslambdaric", handler]
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **environment}, stdout=out, stderr=subprocess.STDOUT
            )

    def answer(self, event: dict[str, Any] | bytes) -> dict[str, Any]:
        """What the function returns. One at a time: the emulator refuses another meanwhile. event: or its JSON."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        url = f"http://{self._address}/2015-03-31/functions/function/invocations"
        for _ in range(100):
            try:
                with urllib.request.urlopen(url, body, timeout=120) as reply:
                    return json.load(reply)
            except ConnectionRefusedError:
                time.sleep(0.1)
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError):
                    raise
                time.sleep(0.1)
        raise AssertionError(f"the emulator does not answer: {self.log.read_text()[-2000:]}")

    def invoke(self, event: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body."""
        answer = self.answer(event)
        return answer["statusCode"], json.loads(answer["body"])

    def runtime(self) -> psutil.Process:
        """The process that the handler runs in, once there has been an event."""
        (found,) = psutil.Process(self.process.pid).children()
        return found

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
