"""Odd metadata around whole pixels, and the orientation in it."""

from __future__ import annotations

import struct
import time
import zlib
from typing import Callable

import pytest
from PIL import Image

from model import photo
from model.errors import UnreadableImage
from tests.model.images import (
    ASTRONAUT,
    decode,
    difference,
    encoded,
    jpeg_segment,
    png_chunk,
    with_orientation,
    with_segments,
)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0junk", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*", with_orientation(0)[1]]
)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_broken_exif_is_ignored(exif: bytes, kind: str) -> None:
    assert difference(decode(encoded(ASTRONAUT, kind, exif=exif)), ASTRONAUT) < 8


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF", "AVIF"])
@pytest.mark.parametrize("profile", [b"junk", b"\0" * 128, b"\xff" * 3000], ids=len)
def test_broken_colour_profile_is_ignored(kind: str, profile: bytes) -> None:
    assert difference(decode(encoded(ASTRONAUT, kind, icc_profile=profile)), ASTRONAUT) < 8


@pytest.mark.parametrize(
    "segment",
    [
        jpeg_segment(0xE0, b"JFIF\0"),
        jpeg_segment(0xE0, b"JFXX\0\x10" + b"\xff\xd8\xff" * 9),
        jpeg_segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"),
        jpeg_segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\x01\0\x1a\x01\x05\0\x01\0\0\0\x1a\0\0\0"),
        jpeg_segment(0xE2, b"ICC_PROFILE\0"),
        jpeg_segment(0xE2, b"ICC_PROFILE\0\xff\xff"),
        jpeg_segment(0xE2, b"MPF\0MM\0*\0\0\0\x08\0\x02\xb0\x01\0\x04\0\0\0\x01\0\0\0\xff"),
        jpeg_segment(0xE2, b"MPF\0junk"),
        jpeg_segment(0xE2, b"FPXR\0"),
        jpeg_segment(0xED, b"Photoshop 3.0\x008BIM"),
        jpeg_segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\xff"),
        jpeg_segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\x02xx"),
        jpeg_segment(0xEE, b"Adobe"),
        jpeg_segment(0xEF, b"\xff" * 60_000),
        jpeg_segment(0xFE, b""),
        b"\xff\xfe\0\0",
        b"\xff\xe5\0\1",
        b"\xff\xff\xff" + jpeg_segment(0xFE, b"\xff\xd9\xff\xda"),
        jpeg_segment(0xE7, b"GoPro") + b"junk\xff\0",
    ],
)
def test_odd_jpeg_segments_are_ignored(segment: bytes) -> None:
    assert difference(decode(with_segments(segment)), decode(encoded(ASTRONAUT, "JPEG"))) == 0


def test_colours_of_a_jpeg_depend_on_its_adobe_segment() -> None:
    """Keep the numbers: those of the first kind are RGB, those of the second YCbCr."""
    data = encoded(ASTRONAUT, "JPEG")
    start = data.index(b"\xff\xe0")
    plain = data[:start] + data[start + 18 :]
    rgb, ycbcr = (with_segments(jpeg_segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([k])), data=plain) for k in (0, 1))
    assert difference(decode(ycbcr), decode(data)) == 0
    assert difference(decode(rgb), decode(data)) > 20


def with_chunks(*chunks: bytes, before: bytes = b"IDAT") -> bytes:
    data = encoded(ASTRONAUT)
    at = data.index(before) - 4
    return data[:at] + b"".join(chunks) + data[at:]


def broken(chunk: bytes) -> bytes:
    """Change the checksum."""
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


LONG = zlib.compress(b"x" * 5_000_000)


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"zTXt", b"Comment\0\0" + LONG),
        png_chunk(b"zTXt", b"Comment\0\x09" + LONG),
        png_chunk(b"zTXt", b"Raw profile type exif\0\0" + LONG),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LONG),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0junk"),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp"),
        png_chunk(b"iCCP", b"icc\0\0" + LONG),
        png_chunk(b"iCCP", b"icc"),
        png_chunk(b"iCCP", b"icc\0\1x"),
        png_chunk(b"eXIf", b""),
        png_chunk(b"sRGB", b""),
        png_chunk(b"pHYs", b"1"),
        png_chunk(b"gAMA", b""),
        png_chunk(b"cHRM", b"123"),
        png_chunk(b"acTL", b""),
        png_chunk(b"acTL", b"\0\0\0\2\0\0\0\0"),
        png_chunk(b"fcTL", b"123"),
        png_chunk(b"tRNS", b""),
        png_chunk(b"prVt", b"anything"),
        png_chunk(b"\xe9Xx\xff", b"anything"),
        broken(png_chunk(b"tEXt", b"Comment\0text")),
        broken(png_chunk(b"tRNS", b"\0\1\0\2\0\3")),
        broken(png_chunk(b"eXIf", with_orientation(1)[1][6:])),
    ],
)
def test_odd_png_chunks_are_ignored(chunk: bytes, before: bytes) -> None:
    assert difference(decode(with_chunks(chunk, before=before)), ASTRONAUT) == 0


def test_text_of_many_megabytes_is_ignored() -> None:
    chunks = [png_chunk(b"tEXt", b"Comment\0" + b"x" * 1_000_000)] * 70
    assert difference(decode(with_chunks(*chunks)), ASTRONAUT) == 0


@pytest.mark.parametrize("missing", [1, 12, 14, 1000, 1015, 1030])
def test_end_of_a_png_may_be_missing(missing: int) -> None:
    data = with_chunks(png_chunk(b"tEXt", b"x" * 1000), before=b"IEND")
    assert difference(decode(data[:-missing]), ASTRONAUT) == 0


def webp(*chunks: bytes, flags: int) -> bytes:
    """Put chunks behind the pixels of a WebP, which has the flags of an extended one."""
    pixels = encoded(ASTRONAUT, "WEBP", lossless=True)[12:]
    body = b"WEBPVP8X\x0a\0\0\0" + bytes([flags, 0, 0, 0, 95, 0, 0, 95, 0, 0]) + pixels + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("flags", [0, 0x04, 0x08, 0x20, 0x2C])
@pytest.mark.parametrize(
    "chunk",
    [
        b"",
        b"EXIF\0\0\0\0",
        b"EXIF\4\0\0\0junk",
        b"EXIF\xff\xff\xff\xffjunk",
        b"EXIF\x03\0\0\0jun",
        b"ICCP\xf0\xff\xff\x7f",
        b"XMP \4\0\0\0junkXMP \4\0\0\0junk",
        b"XMP ",
        b"\xff\0\xff\0\4\0\0\0junk",
    ],
)
def test_odd_webp_chunks_are_ignored(chunk: bytes, flags: int) -> None:
    assert difference(decode(webp(chunk, flags=flags)), ASTRONAUT) == 0


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_heic_may_end_within_its_metadata(kind: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 3000
    data = encoded(ASTRONAUT, kind, exif=exif, xmp=b"y" * 2000)
    for missing in (1, 1999, 2001, 4000):
        assert difference(decode(data[:-missing]), decode(data)) == 0


def gif_with(extension: bytes) -> bytes:
    data = encoded(Image.new("L", (2, 2), 7), "GIF")
    at = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    return data[:at] + extension + data[at:]


@pytest.mark.parametrize(
    "extension",
    [b"", b"\x21\xfe\0", b"\x21\xfe\x01x\0", b"\x21\xff\x03NET\0", b"\x21\xf9\x01\x01\0", b"\x21\x01\0\0", b"\0\0"],
)
def test_odd_gif_extensions_are_ignored(extension: bytes) -> None:
    assert decode(gif_with(extension)).getpixel((1, 1)) == (7, 7, 7)


def many_gif_comments(count: int) -> bytes:
    return gif_with(b"\x21\xfe\x01x\0" * count)


def many_exif_segments(count: int) -> bytes:
    return with_segments(jpeg_segment(0xE1, b"Exif\0\0x") * count)


def many_texts(count: int) -> bytes:
    return with_chunks(png_chunk(b"zTXt", b"Raw profile type exif\0\0" + LONG) * count)


def many_webp_chunks(count: int) -> bytes:
    return webp(b"XMP \0\0\0\0" * count, flags=4)


@pytest.mark.parametrize("make", [many_gif_comments, many_exif_segments, many_texts, many_webp_chunks])
def test_much_metadata_takes_little_time(make: Callable[[int], bytes]) -> None:
    """Pillow alone takes minutes for as many."""
    count = 500 if make is many_texts else 90_000
    started = time.process_time()
    assert photo.decode(make(count)).width > 0
    assert time.process_time() - started < 2


@pytest.mark.parametrize("make", [many_gif_comments, many_exif_segments, many_webp_chunks])
def test_too_much_metadata_is_rejected(make: Callable[[int], bytes]) -> None:
    with pytest.raises(UnreadableImage, match="save it again"):
        photo.decode(make(150_000))
