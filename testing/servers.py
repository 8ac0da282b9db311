"""Local servers of AWS APIs, each in a process of its own."""

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
    """Below the ports that the system gives to outgoing connections: one of those may be taken again at any time."""
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def until_up(url: str, process: subprocess.Popen[Any], seconds: float = 60) -> None:
    """Wait until something answers there, whatever it says."""
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
    raise AssertionError(f"nothing answers at {url}")


@contextlib.contextmanager
def moto(*command: str) -> Iterator[str]:
    """The URL of an API of AWS's, moto's server in a process of its own, or `command` PORT in place of it."""
    port = str(free_port())
    url = f"http://127.0.0.1:{port}"
    start = [*command, port] if command else [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
    with subprocess.Popen(start, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until_up(url, process)
            yield url
        finally:
            process.terminate()
