"""Serve the model with serverless-offline, and the page at the next port, until Ctrl-C: `make run`."""

from __future__ import annotations

import signal

if __name__ == "__main__":
    # Ctrl-C during the imports must not print a traceback; nothing has to be stopped yet.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib
import functools
import http.server
import os
import secrets
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
GALLERIES = ROOT / "galleries"  # collections that can change, unless GALLERY_URI is set
KEY = ROOT / ".admin-key"  # the administrator's, unless ADMIN_KEY is set
START_TIMEOUT = 120  # seconds
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class PortError(Exception):
    """The port cannot be used; the message is a sentence for the user."""


class Page(http.server.SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        # Without this header, browsers cache files for a tenth of their age and would mix old and new modules.
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Keep the terminal free of the page's requests."""


def is_port_in_use(port: int) -> bool:
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
    environment.update(GALLERY_URI=environment.get("GALLERY_URI") or str(GALLERIES), ADMIN_KEY=admin_key())
    for name in ("MODEL_URI", "GALLERY_URI"):
        uri = environment.get(name, "")
        if uri and "://" not in uri:
            environment[name] = str(Path(uri).resolve())
    command = ["node", "--require", str(ROOT / "scripts/spawn.cjs"), str(ROOT / "node_modules/.bin/sls")]
    command += ["offline", "--param", "where=local"]
    for name, parameter in (("STRICTNESS", "strictness"), ("KEEP_CROPS", "crops")):
        if environment.get(name):
            command += ["--param", f"{parameter}={environment[name]}"]
    command += ["--host", "localhost", "--httpPort", str(port), "--lambdaPort", str(port + 2)]
    # In a new session, so that Ctrl-C reaches only this process, which then stops the service with all its children.
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=LOG.open("wb"), stderr=subprocess.STDOUT, start_new_session=True
    )


def admin_key() -> str:
    """Return ADMIN_KEY, or a key that is made once and kept in a file that only its owner can read."""
    key = os.environ.get("ADMIN_KEY")
    if key:
        return key
    with contextlib.suppress(FileNotFoundError):
        key = KEY.read_text().strip()
    if not key:
        key = secrets.token_urlsafe(24)
        with open(os.open(KEY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"{key}\n")
    return key


def wait_until_ready(service: subprocess.Popen[bytes], url: str) -> str:
    """Wait until the service is healthy. Returns an error message, or an empty string."""
    deadline = time.monotonic() + START_TIMEOUT
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
    return f"The service is not ready after {START_TIMEOUT} s; its log is {LOG}."


def stop(service: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(service.pid, signal.SIGTERM)
    try:
        service.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(service.pid, signal.SIGKILL)


def selected_port() -> int:
    """Port of the service, from PORT. The next two must be free for the page and Lambda's API. Raises PortError."""
    text = os.environ.get("PORT") or "3000"
    if not text.isdigit() or not 0 < int(text) < 65534:
        raise PortError(f"PORT={text} is not a port")
    port = int(text)
    for number in (port, port + 1, port + 2):
        if is_port_in_use(number):
            raise PortError(
                f"port {number} is in use: stop the program that uses it, or choose another port with "
                f"PORT={port + 10} make run"
            )
    return port


def serve_page(port: int) -> None:
    """Serve web/ in a thread until this process ends."""
    handler = functools.partial(Page, directory=str(ROOT / "web"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def supervise(service: subprocess.Popen[bytes], port: int, url: str) -> int:
    """Wait for the service, serve the page and return an exit status when the service ends by itself."""
    error = wait_until_ready(service, url)
    if error:
        print(error, file=sys.stderr)
        return 1
    serve_page(port + 1)
    print(f"\n  curl -F file=@web/samples/Kofi_Annan_0006.jpg {url}/classify\n")
    print("  Enrol yourself, with your name and photos of you:")
    photo = '-F name="Eileen Collins" -F file=@web/samples/astronaut.jpg'
    print(f'  curl -H "X-Api-Key: {admin_key()}" {photo} {url}/people\n')
    print(f"  page: http://localhost:{port + 1}/?endpoint={url}")
    print(f"  log:  {LOG.relative_to(ROOT)}")
    print("  Ctrl-C stops it.", flush=True)
    service.wait()
    print(f"The service has stopped:\n{LOG.read_text()[-2000:]}", file=sys.stderr)
    return 1


def main() -> int:
    try:
        port = selected_port()
    except PortError as error:
        print(error, file=sys.stderr)
        return 1
    url = f"http://localhost:{port}/dev"
    print(f"starting {url} ...", flush=True)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)  # an interrupt before `try` would leave the service running
    service = start(port)
    try:
        for number in SIGNALS:
            signal.signal(number, signal.default_int_handler)
        return supervise(service, port, url)
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    finally:
        stop(service)


if __name__ == "__main__":
    sys.exit(main())
