"""The Lambda function in a process of its own, for `make run`.

The process reads events from standard input and writes results to standard output, one line of JSON each. It ends when
its input ends, so it never outlives the program that started it. The service's log goes to standard error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Mapping

ROOT = Path(__file__).resolve().parent.parent
ENDED = {"errorType": "Runtime.ExitError", "errorMessage": "the function has ended"}


class Function:
    """A running function, as a context manager."""

    process: subprocess.Popen[bytes]

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        """log: file for the function's log, which is replaced."""
        self._environment, self._log = environment, log

    def __enter__(self) -> Function:
        self._log.parent.mkdir(exist_ok=True)
        with self._log.open("wb") as log:
            # In a new session, so that Ctrl-C reaches only the program that started it.
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-m", "scripts.function"],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def answer(self, event: Any) -> Any:
        """Return the result, or the error of the function, as Lambda does. Takes one event at a time."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(f"{json.dumps(event)}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            return ENDED
        line = self.process.stdout.readline()
        return json.loads(line) if line else ENDED


def run(handle: Callable[[Any, Any], Any], event: Any) -> str:
    """Call the handler. -> its result as JSON, or its error."""
    try:
        return json.dumps(handle(event, SimpleNamespace(aws_request_id=str(uuid.uuid4()))))
    except Exception as error:  # noqa: BLE001 as Lambda does
        traceback.print_exc()
        return json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)})


def main() -> None:
    results = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # before the service logs to standard output
    from handler import handle

    for line in sys.stdin:
        print(run(handle, json.loads(line)), file=results, flush=True)


if __name__ == "__main__":
    main()
