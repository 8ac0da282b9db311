"""Local servers of AWS APIs, each in its own process."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any, Iterator

from testing.paths import ROOT


def free_port() -> int:
    """Find a free port below the range of outgoing connections, which could take the port at any time."""
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def until_up(url: str, process: subprocess.Popen[Any], seconds: float = 60) -> None:
    """Wait until `url` responds, with any status. Raises AssertionError if the process ends or time runs out."""
    for _ in range(int(seconds * 10)):
        assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
        try:
            urllib.request.urlopen(url, timeout=10).close()
            return
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"no response from {url} within {seconds:g} s")


def conditional_s3() -> contextlib.AbstractContextManager[str]:
    """Run an S3 that makes conditional writes: moto under the current Python of .venv-notebook. Yields its URL."""
    return moto(str(ROOT / ".venv-notebook/bin/python"), str(ROOT / "testing/moto_s3.py"))


@contextlib.contextmanager
def moto(*command: str) -> Iterator[str]:
    """Run moto's server, or `command` PORT instead, and yield its URL."""
    port = str(free_port())
    url = f"http://127.0.0.1:{port}"
    start = [*command, port] if command else [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
    with subprocess.Popen(start, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until_up(url, process)
            yield url
        finally:
            process.terminate()
