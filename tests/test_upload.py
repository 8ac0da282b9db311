"""scripts/upload.py, with a real HTTP server that parses the multipart body."""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import Iterator

import pytest
import requests
from werkzeug import Request, Response
from werkzeug.serving import make_server

from scripts.upload import post_photo
from tests.commands import ROOT

PHOTO = ROOT / "web/samples/Kofi_Annan_0006.jpg"
MEGABYTE = 1_000_000


@Request.application
def echo(request: Request) -> Response:
    """Respond with a description of the upload. The file is parsed in blocks and never held in memory."""
    photo = request.files["file"]
    digest = hashlib.sha256()
    for block in iter(lambda: photo.stream.read(65536), b""):
        digest.update(block)
    lines = [photo.filename or "", digest.hexdigest(), request.headers["Content-Length"]]
    return Response("\n".join([*lines, *(f"{name}={value}" for name, value in request.form.items())]), status=201)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = make_server("127.0.0.1", 0, echo, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture()
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        yield opened


def test_photo_and_fields_arrive(url: str, session: requests.Session, tmp_path: Path) -> None:
    photo = tmp_path / 'Zoë "Z".jpg'
    photo.write_bytes(PHOTO.read_bytes())
    response = post_photo(session, url, photo, {"faces": "all", "name": "Zoë"})
    assert response.status_code == 201
    name, digest, length, *fields = response.text.split("\n")
    assert name == photo.name
    assert digest == hashlib.sha256(PHOTO.read_bytes()).hexdigest()
    assert int(length) > photo.stat().st_size
    assert fields == ["faces=all", "name=Zoë"]


def test_empty_photo(url: str, session: requests.Session, tmp_path: Path) -> None:
    photo = tmp_path / "empty.jpg"
    photo.touch()
    assert post_photo(session, url, photo, {}).text.split("\n")[1] == hashlib.sha256(b"").hexdigest()


def test_errors(url: str, session: requests.Session, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        post_photo(session, url, tmp_path / "none.jpg", {})
    with pytest.raises(requests.ConnectionError):
        post_photo(session, "http://127.0.0.1:1/", PHOTO, {})


# Prints the status, the peak of allocated memory in bytes, and the response.
CLIENT = """
import pathlib, sys, tracemalloc, requests
from scripts.upload import post_photo
tracemalloc.start()
response = post_photo(requests.Session(), sys.argv[1], pathlib.Path(sys.argv[2]), {})
print(response.status_code, tracemalloc.get_traced_memory()[1], response.text, sep="\\n")
"""


def client(url: str, photo: Path) -> list[str]:
    return [sys.executable, "-c", CLIENT, url, str(photo)]


def test_a_large_photo_is_streamed(url: str, tmp_path: Path) -> None:
    photo = tmp_path / "large.jpg"
    digest = hashlib.sha256()
    with photo.open("wb") as file:
        for _ in range(32):
            block = os.urandom(MEGABYTE)
            digest.update(block)
            file.write(block)
    done = subprocess.run(client(url, photo), cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    status, peak, name, sent, _ = done.stdout.splitlines()
    assert (status, name, sent) == ("201", "large.jpg", digest.hexdigest())
    assert int(peak) < 2 * MEGABYTE


def test_the_progress_bar_appears_on_terminals_only(url: str) -> None:
    piped = subprocess.run(client(url, PHOTO), cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert piped.stderr == ""
    terminal, stderr = os.openpty()
    fcntl.ioctl(stderr, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))  # rows and columns
    try:
        subprocess.run(client(url, PHOTO), cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, timeout=60, check=True)
        os.set_blocking(terminal, False)
        assert b"Kofi_Annan_0006.jpg:   0%|" in os.read(terminal, 65536)
    finally:
        os.close(stderr)
        os.close(terminal)
