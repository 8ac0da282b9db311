"""Formats of images, recognized by the first bytes of a file."""

from __future__ import annotations

import re

# AVIF and HEIC are recognized by any brand of the first box, be it the main one or one of the compatible ones.
SIGNATURES = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "GIF": re.compile(rb"GIF8[79]a"),
    "AVIF": re.compile(rb"....ftyp(....)*(avi[fs]|MA1[AB])", re.DOTALL),
    "HEIF": re.compile(rb"....ftyp(....)*(hei[cmsx]|hev[cmsx]|mif[12]|msf1|miaf|MiH[ABE])", re.DOTALL),
}
HEAD_BYTES = 512  # of a file, by which its format is recognized: room for more than 100 brands


def image_format(head: bytes) -> str | None:
    """Return the name of an image's format by its first HEAD_BYTES, or None if it is not one that can be read here."""
    if head[4:8] == b"ftyp":
        head = head[: int.from_bytes(head[:4], "big")]
    return next((name for name, signature in SIGNATURES.items() if signature.match(head)), None)
