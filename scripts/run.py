"""Serve the function behind a local API Gateway, and the page at the next port, until Ctrl-C: `make run`."""

from __future__ import annotations

import signal

if __name__ == "__main__":
    # Ctrl-C during the imports must not print a traceback; nothing has to be stopped yet.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib
import functools
import http.client
import http.server
import json
import os
import secrets
import socketserver
import sys
import threading
import time
from pathlib import Path
from typing import Callable, TypeVar

from scripts.function import ROOT, Function
from scripts.gateway import Gateway
from settings import Settings

LOG = ROOT / "build" / "run.log"
GALLERIES = ROOT / "galleries"  # collections that can change, unless GALLERY_URI is set
KEY = ROOT / ".admin-key"  # the administrator's, unless ADMIN_KEY is set
STAGE = "dev"
START_TIMEOUT = 120  # seconds

Server = TypeVar("Server", bound=socketserver.TCPServer)


class StartError(Exception):
    """The service cannot be started; the message is a sentence for the user."""


class Page(http.server.SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        # Without this header, browsers cache files for a tenth of their age and would mix old and new modules.
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Keep the terminal free of the page's requests."""


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


def environment() -> dict[str, str]:
    """Return the function's variables: those of the user, and else as serverless.yml sets them. Raises StartError."""
    memory = json.loads((ROOT / "deploy" / "parameters.json").read_text())["properties"]["memory"]["default"]
    variables = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory), "POWERTOOLS_METRICS_DISABLED": "true", **os.environ}
    variables.update(GALLERY_URI=variables.get("GALLERY_URI") or str(GALLERIES), ADMIN_KEY=admin_key())
    try:
        Settings.from_env(variables)
    except ValueError as error:
        raise StartError(str(error)) from error
    for name in ("MODEL_URI", "GALLERY_URI"):
        uri = variables.get(name, "")
        if uri and "://" not in uri:
            variables[name] = str(Path(uri).resolve())
    return variables


def selected_port() -> int:
    """Port of the service, from PORT. The page has the next one. Raises StartError."""
    text = os.environ.get("PORT") or "3000"
    if not text.isdigit() or not 0 < int(text) < 65535:
        raise StartError(f"PORT={text} is not a port")
    return int(text)


def listen(make: Callable[[int], Server], port: int) -> Server:
    """Make a server. Raises StartError."""
    try:
        return make(port)
    except OSError as error:
        how = f"stop the program that uses it, or choose another port with PORT={port + 10} make run"
        raise StartError(f"port {port} is in use: {how}") from error


def serve(server: socketserver.TCPServer) -> None:
    """Serve in a thread until this process ends."""
    threading.Thread(target=server.serve_forever, daemon=True).start()


def health(port: int) -> tuple[int, str]:
    """Return status and body of the service's response. Not with urllib, which can use a proxy for it."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", f"/{STAGE}/health", headers={"Connection": "close"})
    response = connection.getresponse()
    return response.status, response.read().decode()


def wait_until_ready(port: int) -> None:
    """Wait until the service is healthy. Raises StartError."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        status, body = health(port)
        if status == 200:
            return
        if status == 502:
            raise StartError(f"The service did not start:\n{end_of_log()}")
        if status != 504:
            raise StartError(f"The service does not work: {body}")
    raise StartError(f"The service is not ready after {START_TIMEOUT} s; its log is {LOG}.")


def end_of_log() -> str:
    return LOG.read_text()[-2000:]


def show_use(port: int, url: str) -> None:
    print(f"\n  curl -F file=@web/samples/Kofi_Annan_0006.jpg {url}/classify\n")
    print("  Enrol yourself, with your name and photos of you:")
    photo = '-F name="Eileen Collins" -F file=@web/samples/astronaut.jpg'
    print(f'  curl -H "X-Api-Key: {admin_key()}" {photo} {url}/people\n')
    print(f"  page: http://localhost:{port + 1}/?endpoint={url}")
    print(f"  log:  {LOG.relative_to(ROOT)}")
    print("  Ctrl-C stops it.", flush=True)


def run() -> None:
    """Serve until the function ends. Raises StartError."""
    port = selected_port()
    function = Function(environment(), LOG)
    gateway = listen(lambda number: Gateway(function.answer, STAGE, number), port)
    web = functools.partial(Page, directory=str(ROOT / "web"))
    page = listen(lambda number: http.server.ThreadingHTTPServer(("127.0.0.1", number), web), port + 1)
    url = f"http://localhost:{port}/{STAGE}"
    print(f"starting {url} ...", flush=True)
    with function:
        serve(gateway)
        wait_until_ready(port)
        serve(page)
        show_use(port, url)
        function.process.wait()
        raise StartError(f"The service has stopped:\n{end_of_log()}")


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        run()
    except StartError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
    return 130


if __name__ == "__main__":
    sys.exit(main())
