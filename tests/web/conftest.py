"""Fixtures for the page: a browser, the service, and a proxy between them that can delay and record requests."""

from __future__ import annotations

import http.server
import io
import os
import shutil
import signal
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser, FilePayload, JSHandle, Page, expect, sync_playwright

from testing.paths import DATA, SAMPLES
from testing.servers import free_port
from tests.commands import clone
from tests.test_run import printed_until_ready, start
from tests.web.managing import remember_key
from tests.web.served import ADMIN_KEY, serving

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]
KOFI_ANNAN = SAMPLES / "Kofi_Annan_0006.jpg"

expect.set_options(timeout=15_000)


@pytest.fixture(scope="package")
def chromium() -> str:
    for name in ("chromium", "google-chrome", "chromium-browser"):
        path = shutil.which(name)
        if path:
            return path
    pytest.skip("Chromium is not installed: apt-get install chromium")


# Not scope="session": while Playwright runs, no other test can use asyncio.
@pytest.fixture(scope="package")
def browser(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A Chromium whose camera shows Kofi Annan's photo."""
    video = tmp_path_factory.mktemp("camera") / "video.mjpeg"
    frame = Image.new("RGB", (640, 480), "gray")
    frame.paste(Image.open(KOFI_ANNAN).resize((480, 480)), (80, 0))
    frame.save(video, "JPEG", quality=95)
    arguments = [*ARGUMENTS, f"--use-file-for-fake-video-capture={video}"]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def cloned(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clone in which `make run` is started."""
    return clone(tmp_path_factory.mktemp("page") / "clone")


@pytest.fixture(scope="package")
def port(cloned: Path) -> Iterator[int]:
    """The port of the service, started with `make run`. The page is served at the next port."""
    number = free_port()
    with start(cloned, number) as process:
        printed_until_ready(process)
        yield number
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=20)


@pytest.fixture(scope="package")
def endpoint(port: int) -> str:
    return f"http://localhost:{port}/dev"


@pytest.fixture(scope="package")
def page_url(port: int) -> str:
    return f"http://localhost:{port + 1}/"


@pytest.fixture()
def page(browser: Browser) -> Iterator[Page]:
    """An empty page. Fails the test if the page throws an error or violates its Content Security Policy."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.grant_permissions(["camera", "clipboard-read", "clipboard-write"])
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    # Ignore other messages: the browser also reports servers that do not respond, which some tests want.
    opened.on(
        "console", lambda message: errors.append(message.text) if "Content Security Policy" in message.text else None
    )
    yield opened
    context.close()
    assert not errors


@pytest.fixture()
def loaded(page: Page, page_url: str, endpoint: str) -> Page:
    """The page, opened with the link that `make run` prints, when the service is ready."""
    return open_page(page, page_url, endpoint)


def open_page(page: Page, page_url: str, endpoint: str) -> Page:
    """Open the page and wait for its health check."""
    page.goto(f"{page_url}?endpoint={endpoint}")
    expect(page.locator("#health")).to_have_text("Ready")
    return page


class Proxy(http.server.ThreadingHTTPServer):
    """Forwards requests to the service, with a delay if set, and records them."""

    daemon_threads = True

    def __init__(self, target: str, port: int) -> None:
        super().__init__(("127.0.0.1", port), ProxyHandler)
        self.target = target
        self.url = f"http://localhost:{self.server_port}"
        self.delay = 0.0  # seconds before a photo is forwarded
        self.bodies: list[bytes] = []  # of POST requests
        self.headers: list[dict[str, str]] = []


class ProxyHandler(http.server.BaseHTTPRequestHandler):
    server: Proxy

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        if self.command == "POST":
            self.server.bodies.append(body)
            time.sleep(self.server.delay)
        skipped = ("host", "connection", "accept-encoding")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in skipped}
        request = urllib.request.Request(self.server.target + self.path, body or None, headers, method=self.command)
        try:
            response: Any = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            content = response.read()
        try:
            self.send_response(response.status if hasattr(response, "status") else response.code)
            for name, value in response.headers.items():
                if name.lower() not in ("connection", "transfer-encoding", "content-length", "keep-alive", "date"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except ConnectionError:
            pass  # the browser has cancelled the request

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = forward  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Keep the tests' output free of the server log."""


@contextmanager
def serve_proxy(target: str, port: int = 0) -> Iterator[Proxy]:
    with Proxy(target, port) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@pytest.fixture()
def proxy(endpoint: str) -> Iterator[Proxy]:
    with serve_proxy(endpoint) as server:
        yield server


@pytest.fixture()
def gallery_proxy(tmp_path: Path) -> Iterator[Proxy]:
    """Forwards to a service in which ADMIN_KEY allows changes, and which has no people of its own yet."""
    with serving(gallery_uri=str(tmp_path / "galleries"), admin_key=ADMIN_KEY) as url, serve_proxy(url) as server:
        yield server


@pytest.fixture()
def managed(page: Page, page_url: str, gallery_proxy: Proxy) -> Page:
    """The page of that service. It does not know the key."""
    open_page(page, page_url, gallery_proxy.url)
    expect(page.locator("#collection")).to_have_value("lfw")
    return page


@pytest.fixture()
def administrated(managed: Page, gallery_proxy: Proxy) -> Page:
    """The same, and the page knows the key, as if it had been asked for."""
    remember_key(managed, gallery_proxy.url)
    return managed


@pytest.fixture()
def group() -> Path:
    """A photo of six people."""
    path = DATA / "photos" / "multiface.jpg"
    if not path.exists():
        pytest.skip(f"{path} does not exist: set DATA_DIR")
    return path


def jpeg(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def dragged(page: Page) -> JSHandle:
    """Two sample photos, as the data of a drag."""
    return page.evaluate_handle(
        """async () => {
            const data = new DataTransfer();
            for (const name of ["Kofi_Annan_0006.jpg", "Tony_Blair_0007.jpg"]) {
                data.items.add(new File([await (await fetch(`samples/${name}`)).blob()], name, { type: "image/jpeg" }));
            }
            return data;
        }"""
    )


def choose_files(page: Page, *photos: Path | tuple[str, bytes]) -> None:
    """Choose these files in the page: paths, or names and contents."""
    named = [(photo.name, photo.read_bytes()) if isinstance(photo, Path) else photo for photo in photos]
    files: list[FilePayload] = [
        {"name": name, "mimeType": mime_type(name), "buffer": content} for name, content in named
    ]
    page.set_input_files("#file-input", files)


def mime_type(name: str) -> str:
    return {"txt": "text/plain", "png": "image/png", "heic": "image/heic"}.get(name.rsplit(".", 1)[-1], "image/jpeg")
