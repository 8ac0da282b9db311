"""The handler in AWS's Lambda emulator: awslambdaric behind the runtime interface emulator."""

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
    """One running function. The first event starts it, as on Lambda. Close after use."""

    def __init__(
        self, log: Path, handler: str = "handler.handle", python: str = sys.executable, **environment: str
    ) -> None:
        """Start the emulator.

        log: file for the output of emulator and function; handler: as `module.function`; python: interpreter with
        awslambdaric; environment: variables of the function.
        """
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
        """Invoke the function and return its result.

        event: the event or its JSON. The emulator accepts one event at a time. Raises AssertionError if it does not
        start.
        """
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
        raise AssertionError(f"the emulator does not respond: {self.log.read_text()[-2000:]}")

    def invoke(self, event: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Invoke the function and return the status and the parsed JSON body."""
        result = self.answer(event)
        return result["statusCode"], json.loads(result["body"])

    def runtime(self) -> psutil.Process:
        """The process of the handler. Requires an earlier event."""
        (process,) = psutil.Process(self.process.pid).children()
        return process

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
