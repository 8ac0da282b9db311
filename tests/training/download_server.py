"""A server whose responses are scripted, to download a file from."""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable

from training.data.download import CHUNK, fetch

SIZE = 4 * CHUNK + 1000
FILE = b"\x1f\x8b" + random.Random(0).getrandbits(8 * (SIZE - 2)).to_bytes(SIZE - 2, "big")
OTHER = b"\x1f\x8b" + FILE[:1:-1]
CHECKSUM = hashlib.sha256(FILE).hexdigest()
# Whole chunks, so that all bytes sent before an interruption are kept.
HALF = 2 * CHUNK

Answer = Callable[["Handler", "Site"], None]


@dataclass
class Site:
    """One URL. script: responses to its next requests; after them it serves the file correctly."""

    url: str
    script: list[Answer] = field(default_factory=list)
    content: bytes = FILE
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"1"'})
    requests: list[dict[str, str]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for headers in self.requests]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        site: Site = self.server.sites[self.path]
        site.requests.append(dict(self.headers.items()))
        # The client may close the connection early.
        with contextlib.suppress(ConnectionError):
            (site.script.pop(0) if site.script else serve_file)(self, site)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a response. headers: names with _ instead of -."""
        self.send_response(status)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = False
    sites: dict[str, Site]


def serve_file(handler: Handler, site: Site) -> None:
    """Serve the file or a range of it as RFC 9110 requires."""
    span = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    same = handler.headers.get("If-Range") in (None, *site.headers.values())
    if not span or not same:
        handler.answer(200, site.content, **site.headers)
    elif int(span[1]) >= len(site.content):
        handler.answer(416, Content_Range=f"bytes */{len(site.content)}")
    else:
        part = f"bytes {span[1]}-{len(site.content) - 1}/{len(site.content)}"
        handler.answer(206, site.content[int(span[1]) :], Content_Range=part, **site.headers)


def ignore_range(handler: Handler, site: Site) -> None:
    handler.answer(200, site.content, **site.headers)


def truncated(size: int) -> Answer:
    """Close the connection after that many bytes of the file."""

    def answer(handler: Handler, site: Site) -> None:
        length = str(len(site.content))
        handler.answer(200, site.content[:size], **{**site.headers, "Content-Length": length})

    return answer


def stalled(handler: Handler, site: Site) -> None:
    truncated(HALF)(handler, site)
    handler.wfile.flush()
    site.stopped.wait(5)


def respond(status: int, body: bytes = b"", **headers: str) -> Answer:
    return lambda handler, site: handler.answer(status, body, **headers)


def get(sites: tuple[Site, ...], folder: Path, read_timeout: float = 5) -> Path:
    urls = [site.url for site in sites]
    return fetch(urls, folder / "faces.tgz", CHECKSUM, timeouts=(5, read_timeout), pauses=(0, 0, 0))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
