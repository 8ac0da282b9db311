"""Serve the model behind the real Serverless route, and the page beside it, until Ctrl-C."""

from __future__ import annotations

import signal

if __name__ == "__main__":
    # Until there is something to stop, Ctrl-C ends this without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib
import functools
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOG = ROOT / ".serverless" / "run.log"
STARTING = 120  # seconds after which something is wrong


class Page(http.server.SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        # Unasked, a browser keeps files for a tenth of their age, and would mix new scripts with old ones.
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """The terminal belongs to the service."""


def busy(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def start(port: int) -> subprocess.Popen[bytes]:
    LOG.parent.mkdir(exist_ok=True)
    environment = {**os.environ, "VIRTUAL_ENV": str(ROOT / ".venv")}
    model = environment.get("MODEL_URI", "")
    if model and "://" not in model:
        environment["MODEL_URI"] = str(Path(model).resolve())
    command = ["node", "--require", str(ROOT / "scripts/spawn.cjs"), str(ROOT / "node_modules/.bin/sls")]
    command += ["offline", "--param", "where=local"]
    command += ["--host", "localhost", "--httpPort", str(port), "--lambdaPort", str(port + 2)]
    # In a session of its own, so that Ctrl-C comes here first and everything it started can be ended together.
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=LOG.open("wb"), stderr=subprocess.STDOUT, start_new_session=True
    )


def wait(service: subprocess.Popen[bytes], url: str) -> str:
    """Until the model answers. Empty, or what is wrong."""
    deadline = time.monotonic() + STARTING
    while time.monotonic() < deadline:
        time.sleep(0.2)
        if service.poll() is not None:
            return f"The service did not start:\n{LOG.read_text()[-2000:]}"
        try:
            urllib.request.urlopen(f"{url}/health", timeout=20).close()
            return ""
        except urllib.error.HTTPError as error:
            return f"The service does not work: {error.read().decode()}"
        except OSError:
            continue
    return f"The service is not ready after {STARTING} s; its log is {LOG}."


def stop(service: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(service.pid, signal.SIGTERM)
    try:
        service.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(service.pid, signal.SIGKILL)


def main() -> int:
    text = os.environ.get("PORT") or "3000"
    if not text.isdigit() or not 0 < int(text) < 65534:
        print(f"PORT={text} is not a port", file=sys.stderr)
        return 1
    port = int(text)
    taken = [number for number in (port, port + 1, port + 2) if busy(number)]
    if taken:
        print(
            f"port {taken[0]} is in use: stop what runs there, or choose another with PORT={port + 10} make run",
            file=sys.stderr,
        )
        return 1
    url = f"http://localhost:{port}/dev"
    print(f"starting {url} ...", flush=True)
    ends = (signal.SIGINT, signal.SIGTERM)
    for end in ends:
        signal.signal(end, lambda *_: None)  # for the moment in which nobody would stop the service
    service = start(port)
    try:
        for end in ends:
            signal.signal(end, signal.default_int_handler)
        wrong = wait(service, url)
        if wrong:
            print(wrong, file=sys.stderr)
            return 1
        page = http.server.ThreadingHTTPServer(
            ("127.0.0.1", port + 1), functools.partial(Page, directory=str(ROOT / "web"))
        )
        threading.Thread(target=page.serve_forever, daemon=True).start()
        print(f"\n  curl -F file=@web/samples/Kofi_Annan_0006.jpg {url}/classify\n")
        print(f"  page: http://localhost:{port + 1}/?endpoint={url}")
        print(f"  log:  {LOG.relative_to(ROOT)}")
        print("  Ctrl-C stops it.", flush=True)
        service.wait()
        print(f"The service has stopped:\n{LOG.read_text()[-2000:]}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    finally:
        stop(service)


if __name__ == "__main__":
    sys.exit(main())
