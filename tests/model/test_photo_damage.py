"""Files that are damaged, truncated or made to crash or stall a decoder."""

from __future__ import annotations

import struct
import warnings
import zlib
from typing import Callable

import pytest

from model import photo
from model.errors import ImageTooLarge, UnreadableImage, UnsupportedImage
from tests.model.images import ASTRONAUT, FORMATS, PIXELS, decode, difference, encoded, png_chunk


@pytest.mark.parametrize("data", [b"", b"not an image", b"\xff\xd8", b"%PDF-1.7\n" + encoded(PIXELS, "JPEG"), b"II*\0"])
def test_not_an_image(data: bytes) -> None:
    """Only the first bytes decide, whatever follows."""
    with pytest.raises(UnsupportedImage, match="JPEG, PNG, WebP, GIF, HEIC or AVIF"):
        decode(data)


@pytest.mark.parametrize(
    "header",
    [
        *(b"GIF89a", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"RIFF\0\0\0\0WEBPVP8X"),
        *(b"\0\0\0\x1cftypheic", b"\0\0\0\x1cftypavif", b"\0\0\0\x10ftypmif1"),
    ],
)
def test_header_followed_by_nothing_or_junk(header: bytes) -> None:
    for rest in (b"", b"\0" * 50, b"\xff" * 5000):
        with pytest.raises((UnreadableImage, ImageTooLarge)):
            decode(header + rest)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("part", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_truncated(kind: str, part: float) -> None:
    data = encoded(PIXELS.resize((300, 200)), kind)
    with pytest.raises(UnreadableImage, match="damaged, truncated or"):
        decode(data[: int(part * len(data))])


@pytest.mark.parametrize("kind", FORMATS)
def test_trailing_data_is_ignored(kind: str) -> None:
    data = encoded(ASTRONAUT, kind)
    assert difference(decode(data + b"PK\x03\x04" + b"\0" * 1000), decode(data)) == 0


@pytest.mark.parametrize("kind", FORMATS)
def test_pixel_limit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo, "MAX_PIXELS", 600)
    assert decode(encoded(PIXELS, kind)).size == (30, 20)
    with pytest.raises(ImageTooLarge):
        decode(encoded(PIXELS.resize((31, 20)), kind))


def huge_png(side: int) -> bytes:
    rows = zlib.compress(bytes((side // 8 + 1) * side), 1)
    ihdr = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + ihdr + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def huge_gif(side: int) -> bytes:
    data = encoded(PIXELS, "GIF")
    return data[:6] + struct.pack("<HH", side, side) + data[10:]


def huge_webp(side: int) -> bytes:
    extended = b"VP8X" + struct.pack("<I", 10) + b"\0" * 4 + 2 * struct.pack("<I", side - 1)[:3]
    rest = extended + encoded(PIXELS, "WEBP")[12:]
    return b"RIFF" + struct.pack("<I", 4 + len(rest)) + b"WEBP" + rest


def huge_heic(side: int, kind: str = "HEIF") -> bytes:
    data = encoded(ASTRONAUT, kind)
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", side, side) + data[at + 8 :]


def huge_avif(side: int) -> bytes:
    return huge_heic(side, "AVIF")


@pytest.mark.parametrize("side", [7_300, 10_000, 30_000])  # above MAX_PIXELS, Pillow's warning and Pillow's error
@pytest.mark.parametrize("bomb", [huge_png, huge_gif, huge_webp, huge_heic, huge_avif])
def test_decompression_bomb(bomb: Callable[[int], bytes], side: int) -> None:
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        with pytest.raises(ImageTooLarge, match="52 million pixels"):
            decode(bomb(side))
    assert not leaked


def test_pillows_warnings_do_not_leak() -> None:
    """The EXIF data makes Pillow warn that a TIFF directory is too short."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x00\x01\x04\0\x40\0\0\0\xff\0\0\0"
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        decode(encoded(PIXELS, "JPEG", exif=exif))
    assert not leaked
