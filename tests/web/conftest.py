"""A browser, the service it talks to, and what stands between them where a test wants something to go wrong."""

from __future__ import annotations

import base64
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
from typing import Any, Iterator, Literal

import pytest
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, ViewportSize, expect, sync_playwright

from testing.paths import ROOT, SAMPLES
from testing.servers import free_port
from tests.commands import clone
from tests.test_run import printed_until_ready, start

SCREENSHOTS = ROOT / "build" / "screenshots"
WIDTHS = (360, 768, 1440)
SCHEMES: list[Literal["light", "dark"]] = ["light", "dark"]
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
KNOWN = SAMPLES / "Kofi_Annan_0006.jpg"

expect.set_options(timeout=15_000)


@pytest.fixture(scope="package")
def chromium() -> str:
    for name in ("chromium", "google-chrome", "chromium-browser"):
        path = shutil.which(name)
        if path:
            return path
    pytest.skip("there is no Chromium here: apt-get install chromium")


# Not for the whole session: as long as it runs, no other test can use asyncio.
@pytest.fixture(scope="package")
def browser(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """With a camera that sees Kofi Annan, from his photo."""
    film = tmp_path_factory.mktemp("camera") / "film.mjpeg"
    frame = Image.new("RGB", (640, 480), "gray")
    frame.paste(Image.open(KNOWN).resize((480, 480)), (80, 0))
    frame.save(film, "JPEG", quality=95)
    arguments = [*ARGUMENTS, f"--use-file-for-fake-video-capture={film}"]
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield found
        found.close()


@pytest.fixture(scope="package")
def port(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of the service as `make run` starts it; the page is on the next."""
    number = free_port()
    with start(clone(tmp_path_factory.mktemp("page") / "clone"), number) as process:
        printed_until_ready(process)
        yield number
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=20)


@pytest.fixture(scope="package")
def endpoint(port: int) -> str:
    return f"http://localhost:{port}/dev"


@pytest.fixture(scope="package")
def address(port: int) -> str:
    """Of the page."""
    return f"http://localhost:{port + 1}/"


@pytest.fixture()
def page(browser: Browser) -> Iterator[Page]:
    """Empty. Afterwards: it has had no mistakes, and has asked for nothing that its policy forbids."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    context.grant_permissions(["camera", "clipboard-read", "clipboard-write"])
    found = context.new_page()
    wrong: list[str] = []
    found.on("pageerror", lambda error: wrong.append(str(error)))
    # That a server is gone is said by the browser, too.
    found.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    yield found
    context.close()
    assert not wrong


@pytest.fixture()
def opened(page: Page, address: str, endpoint: str) -> Page:
    """The page as the link that `make run` prints opens it."""
    return visit(page, address, endpoint)


def visit(page: Page, address: str, endpoint: str) -> Page:
    """The page, ready. While it still asks how the service is, serverless-offline would start another for a photo."""
    page.goto(f"{address}?endpoint={endpoint}")
    expect(page.locator("#health")).to_have_text("Ready, 610 people")
    return page


class Between(http.server.ThreadingHTTPServer):
    """Hands requests on to the service, as slowly as told, and remembers what was sent."""

    daemon_threads = True

    def __init__(self, target: str, port: int) -> None:
        super().__init__(("127.0.0.1", port), Forward)
        self.target = target
        self.url = f"http://localhost:{self.server_port}"
        self.delay = 0.0  # seconds before a photo is handed on
        self.photos: list[bytes] = []  # bodies
        self.headers: list[dict[str, str]] = []


class Forward(http.server.BaseHTTPRequestHandler):
    server: Between

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        if self.command == "POST":
            self.server.photos.append(body)
            time.sleep(self.server.delay)
        skipped = ("host", "connection", "accept-encoding")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in skipped}
        request = urllib.request.Request(self.server.target + self.path, body or None, headers, method=self.command)
        try:
            reply: Any = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            reply = error
        with reply:
            answer = reply.read()
        try:
            self.send_response(reply.status if hasattr(reply, "status") else reply.code)
            for name, value in reply.headers.items():
                if name.lower() not in ("connection", "transfer-encoding", "content-length", "keep-alive", "date"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        except ConnectionError:
            pass  # whoever asked has cancelled

    do_GET = do_POST = do_OPTIONS = forward  # noqa: N815

    def log_message(self, *_: object) -> None:
        """The tests have their own output."""


@contextmanager
def between(target: str, port: int = 0) -> Iterator[Between]:
    with Between(target, port) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@pytest.fixture()
def proxy(endpoint: str) -> Iterator[Between]:
    with between(endpoint) as server:
        yield server


def violations(page: Page) -> list[str]:
    """What axe finds wrong. Run from outside, so the page's policy need not allow it."""
    if not page.evaluate("'axe' in window"):
        page.evaluate((ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']} ({rule['impact']}): {node['target']} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


def inspect(page: Page, state: str) -> None:
    """Pictures of a state in every width, light and dark; nothing is cut off, and axe has no complaint in either."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    before = page.viewport_size or ViewportSize(width=1440, height=900)
    browser = page.context.new_cdp_session(page)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900 if width > 400 else 780})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{state} is too wide for {width}"
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            whole = {"x": 0, "y": 0, "scale": 1, **browser.send("Page.getLayoutMetrics")["cssContentSize"]}
            # Not page.screenshot(), which packs tighter and takes three times as long.
            shot = browser.send(
                "Page.captureScreenshot", {"clip": whole, "captureBeyondViewport": True, "optimizeForSpeed": True}
            )
            (SCREENSHOTS / f"{state}-{width}-{scheme}.png").write_bytes(base64.b64decode(shot["data"]))
            if (width, scheme) in ((360, "dark"), (1440, "light")):
                assert violations(page) == []
    browser.detach()
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(before)


def jpeg(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def give(page: Page, *photos: Path | tuple[str, bytes]) -> None:
    """By the file chooser."""
    named = [(photo.name, photo.read_bytes()) if isinstance(photo, Path) else photo for photo in photos]
    files: list[FilePayload] = [{"name": name, "mimeType": kind(name), "buffer": content} for name, content in named]
    page.set_input_files("#choose", files)


def kind(name: str) -> str:
    return {"txt": "text/plain", "png": "image/png", "heic": "image/heic"}.get(name.rsplit(".", 1)[-1], "image/jpeg")
