"""Files that are damaged, truncated or made to crash or stall a decoder."""

from __future__ import annotations

import struct
import warnings
import zlib
from typing import Callable

import pytest
from PIL import Image

from model import photo
from model.errors import ImageTooLarge, UnreadableImage, UnsupportedImage
from tests.model.images import ASTRONAUT, FORMATS, PIXELS, decode, difference, encoded, png_chunk, with_orientation


@pytest.mark.parametrize("data", [b"", b"not an image", b"\xff\xd8", b"%PDF-1.7\n" + encoded(PIXELS, "JPEG"), b"II*\0"])
def test_not_an_image(data: bytes) -> None:
    """Only the first bytes decide, whatever follows."""
    with pytest.raises(UnsupportedImage, match="JPEG, PNG, WebP, GIF or HEIC"):
        decode(data)


@pytest.mark.parametrize(
    "header", [b"GIF89a", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"\0\0\0\x1cftypheic"]
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


@pytest.mark.parametrize("part", [0.5, 0.9, 0.99])
def test_truncated_large_jpeg(part: float) -> None:
    data = encoded(ASTRONAUT.resize((3000, 2000)), "JPEG")
    with pytest.raises(UnreadableImage, match="damaged, truncated or"):
        photo.decode(data[: int(part * len(data))])


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


def huge_heic(side: int) -> bytes:
    data = encoded(ASTRONAUT, "HEIF")
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", side, side) + data[at + 8 :]


def huge_jpeg(side: int) -> bytes:
    data = encoded(PIXELS, "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", side, side) + data[at + 4 :]


@pytest.mark.parametrize("side", [8_000, 10_000, 30_000])  # above MAX_PIXELS, Pillow's warning and Pillow's error
@pytest.mark.parametrize("bomb", [huge_png, huge_gif, huge_webp, huge_heic, huge_jpeg])
def test_decompression_bomb(bomb: Callable[[int], bytes], side: int) -> None:
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        with pytest.raises(ImageTooLarge, match="50 million pixels"):
            decode(bomb(side))
    assert not leaked


def test_pillows_warnings_do_not_leak() -> None:
    """The EXIF data makes Pillow warn that a TIFF directory is too short."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x00\x01\x04\0\x40\0\0\0\xff\0\0\0"
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        decode(encoded(PIXELS, "JPEG", exif=exif))
    assert not leaked


def test_many_scans_are_rejected_before_decoding() -> None:
    """A scan of a large image in one colour has 75 bytes, but takes as long as its pixels."""
    data = encoded(Image.new("RGB", (2000, 2000), "gray"), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    assert decode(data[:-2] + 10 * scan + b"\xff\xd9").size == (2000, 2000)
    with pytest.raises(UnreadableImage, match="too many scans"):
        decode(data[:-2] + 500 * scan + b"\xff\xd9")


def commented_gif(comments: int) -> bytes:
    data = encoded(Image.new("L", (2, 2)), "GIF")
    at = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    return data[:at] + b"\x21\xfe\x01x\x00" * comments + data[at:]


def jpeg_with_exif_segments(segments: int) -> bytes:
    data = encoded(PIXELS, "JPEG")
    return data[:2] + b"\xff\xe1\x00\x09Exif\0\0x" * segments + data[2:]


@pytest.mark.parametrize(("make", "limit"), [(commented_gif, 1000), (jpeg_with_exif_segments, 100)])
def test_many_segments_are_rejected(make: Callable[[int], bytes], limit: int) -> None:
    """4 MB of them take Pillow 5 to 20 seconds."""
    decode(make(limit))
    with pytest.raises(UnreadableImage, match="too many comments"):
        decode(make(limit + 1))


@pytest.mark.parametrize(
    ("before", "after"), [(b"Exif\0", b"E\xccif\0"), (b"\x15infe", b"\x01infe"), (b"\x15infe", b"\0infe")]
)
def test_heic_with_broken_item_entries(before: bytes, after: bytes) -> None:
    """pillow-heif 0.18 crashes with a segmentation fault."""
    data = encoded(ASTRONAUT, "HEIF", exif=with_orientation(1)[1])
    assert before in data
    with pytest.raises(UnreadableImage):
        decode(data.replace(before, after, 1))


def test_grey_heic_with_a_wrong_bit_depth() -> None:
    """pillow-heif 0.18 corrupts memory if the header claims more bits than there are."""
    data = bytearray(encoded(ASTRONAUT.convert("L"), "HEIF"))
    assert decode(bytes(data)).size == ASTRONAUT.size
    depth = data.index(b"hvcC") + 4 + 17
    assert data[depth] == 0xF8
    data[depth] = 0xFE  # 14 bits
    with pytest.raises(UnreadableImage, match="grey HEIC"):
        decode(bytes(data))
