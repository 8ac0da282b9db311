"""The service that the programs call, as the environment names it, and the photos that they send."""

from __future__ import annotations

import base64
import os
from pathlib import Path

URL = os.environ["ENDPOINT"]  # with a slash at the end
DOMAIN, _, PORT = URL.rstrip("/").rpartition(":")  # CompreFace's clients join them; the port may be followed by a path
READER_KEY = os.environ["READER_KEY"]
ADMIN_KEY = os.environ["ADMIN_KEY"]
PHOTOS = Path(os.environ["PHOTOS"])
BUCKET = os.environ["BUCKET"]


def path(name: str) -> str:
    """Path of a photo. name: without suffix."""
    return str(PHOTOS / f"{name}.jpg")


def photo(name: str) -> bytes:
    """Content of a photo. name: without suffix."""
    return Path(path(name)).read_bytes()


def encoded(name: str) -> str:
    """Content of a photo in Base64. name: without suffix."""
    return base64.b64encode(photo(name)).decode()
