"""The orientation of a photo, from EXIF, XMP or the container."""

from __future__ import annotations

import struct
import time

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.model.images import UPRIGHT, decode, difference, encoded, jpeg_segment, with_orientation, with_segments, xmp

ATTRIBUTE = "<rdf:Description tiff:Orientation = '{}' tiff:Make=\"1\"/>"
ELEMENT = "<rdf:Description><tiff:Orientation>{}</tiff:Orientation></rdf:Description>"
TYPED_ELEMENT = '<tiff:Make>8</tiff:Make><tiff:Orientation rdf:datatype="3">\n {}\n</tiff:Orientation>'
XMP = b"http://ns.adobe.com/xap/1.0/\0"


def with_xmp(kind: str, image: Image.Image, packet: bytes, **options: object) -> bytes:
    if kind == "JPEG":
        return with_segments(jpeg_segment(0xE1, XMP + packet), data=encoded(image, kind, quality=100, **options))
    if kind == "PNG":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode(), zip=bool(len(packet) % 2))
        return encoded(image, kind, pnginfo=info, **options)
    return encoded(image, kind, xmp=packet, lossless=True, **options)


@pytest.mark.parametrize("template", [ATTRIBUTE, ELEMENT, TYPED_ELEMENT])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_xmp_orientation_is_applied(orientation: int, kind: str, template: str) -> None:
    stored, _ = with_orientation(orientation)
    image = decode(with_xmp(kind, stored, xmp(orientation, template)))
    assert image.size == UPRIGHT.size
    assert difference(image, UPRIGHT) <= (8 if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("exif", "expected"), [(1, (64, 96)), (3, (64, 96)), (8, (96, 64)), (0, (96, 64)), (9, (96, 64))]
)
def test_exif_orientation_counts_more_than_xmp(exif: int, expected: tuple[int, int], kind: str) -> None:
    """Unless it is none of the eight."""
    data = with_xmp(kind, UPRIGHT, xmp(6), exif=with_orientation(exif)[1])
    assert decode(data).size == expected


@pytest.mark.parametrize(
    "packet", [b"", b"\xff" * 90, xmp(0), xmp(9), xmp(60), b"tiff:Orientation", b"</tiff:Orientation>6"]
)
@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_other_xmp_is_ignored(packet: bytes, kind: str) -> None:
    assert decode(with_xmp(kind, UPRIGHT, packet)).size == UPRIGHT.size


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
@pytest.mark.parametrize("template", [ATTRIBUTE, ELEMENT, TYPED_ELEMENT])
def test_container_alone_has_the_orientation_of_a_heic(kind: str, template: str) -> None:
    """The encoder writes EXIF's orientation into the container of a HEIC, but not into that of an AVIF."""
    stored, exif = with_orientation(6)
    data = encoded(stored, kind, exif=exif, xmp=xmp(6, template), quality=-1, chroma=444)
    assert (b"irot" in data) == (kind == "HEIF")
    assert difference(decode(data), UPRIGHT if kind == "HEIF" else stored) <= 1


@pytest.mark.parametrize("chunk", ["zTXt", "tEXt"])
def test_exif_that_imagemagick_writes(chunk: str) -> None:
    stored, exif = with_orientation(6)
    info = PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(exif):8}\n{exif.hex()}\n", zip=chunk == "zTXt")
    assert difference(decode(encoded(stored, pnginfo=info)), UPRIGHT) == 0


@pytest.mark.parametrize(("order", "kind"), [("<", "H"), (">", "H"), ("<", "L"), (">", "L"), ("<", "B")])
def test_orientation_of_any_type_of_integer(order: str, kind: str) -> None:
    stored, _ = with_orientation(6)
    number = {"B": 1, "H": 3, "L": 4}[kind]
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHL", 0x0112, number, 1) + struct.pack(order + kind, 6).ljust(4, b"\0")
    other = struct.pack(order + "HHLL", 0x010F, 2, 0xFFFFFFF0, 0xFFFFFF00)  # a text outside of the data
    tiff = mark + struct.pack(order + "LH", 8, 3) + other + entry  # the third entry is missing
    for exif in (tiff, b"Exif\0\0" + tiff):
        assert difference(decode(encoded(stored, "WEBP", lossless=True, exif=exif)), UPRIGHT) == 0


def test_orientation_is_found_in_linear_time() -> None:
    packet = b"tiff:Orientation " * 200_000
    started = time.process_time()
    assert decode(with_xmp("WEBP", UPRIGHT, packet)).size == UPRIGHT.size
    assert time.process_time() - started < 2
