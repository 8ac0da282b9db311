from __future__ import annotations

import hashlib
import re
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageChops

from model import formats, photo
from model.photo import Photo
from testing.paths import DATA, ROOT
from tests.model.images import (
    ASTRONAUT,
    FORMATS,
    PIXELS,
    UPRIGHT,
    decode,
    difference,
    encoded,
    pixels,
    png_chunk,
    with_orientation,
)
from tests.model.test_photo_heif import BRANDS


@pytest.mark.parametrize(
    ("kind", "options", "max_difference"),
    [
        ("JPEG", {"quality": 95}, 4),
        ("JPEG", {"quality": 95, "progressive": True}, 4),
        ("PNG", {}, 0),
        ("WEBP", {"quality": 95}, 4),
        ("WEBP", {"lossless": True}, 0),
        ("GIF", {}, 12),
        ("HEIF", {"quality": 95}, 4),
        ("AVIF", {"quality": 95}, 4),
    ],
)
def test_formats(kind: str, options: dict[str, object], max_difference: float) -> None:
    image = decode(encoded(ASTRONAUT, kind, **options))
    assert (image.mode, image.size) == ("RGB", (96, 96))
    assert difference(image, ASTRONAUT) <= max_difference


@pytest.mark.parametrize(
    ("mode", "kind", "max_difference"),
    [
        ("L", "PNG", 0),
        ("L", "JPEG", 5),
        ("L", "HEIF", 3),
        ("L", "AVIF", 5),
        ("P", "PNG", 0),
        ("1", "PNG", 0),
        ("LA", "PNG", 0),
    ],
)
def test_other_modes_become_rgb(mode: str, kind: str, max_difference: float) -> None:
    image = ASTRONAUT.convert(mode)
    assert decode(encoded(image, kind)).mode == "RGB"
    assert difference(decode(encoded(image, kind)), image) <= max_difference


def test_cmyk_with_and_without_adobe_marker() -> None:
    """CMYK JPEGs with Adobe's APP14 segment are inverted, others are not."""
    cmyk = ASTRONAUT.convert("CMYK")
    adobe = encoded(cmyk, "JPEG", quality=95)
    assert difference(decode(adobe), ASTRONAUT) < 3
    inverted = encoded(ImageChops.invert(cmyk), "JPEG", quality=95)
    start = inverted.index(b"\xff\xee")
    without_marker = inverted[:start] + inverted[start + 2 + int.from_bytes(inverted[start + 2 : start + 4], "big") :]
    assert difference(decode(without_marker), ASTRONAUT) < 3


def test_16_bit_grey_is_scaled_to_8_bits() -> None:
    """Pillow alone would turn every value above 255 into white."""
    ramp = np.linspace(0, 65_535, 600).reshape(20, 30).astype(np.uint16)
    found = np.asarray(decode(encoded(Image.fromarray(ramp))))[..., 0]
    assert np.array_equal(found, ramp >> 8)


def test_16_bit_colour_is_scaled_to_8_bits() -> None:
    rows = b"".join(b"\0" + struct.pack(">HHH", 65_535, 32_768, 0) * 4 for _ in range(3))
    ihdr = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 16, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + ihdr + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    assert np.array_equal(np.unique(pixels(decode(data)).reshape(-1, 3), axis=0), [[255, 128, 0]])


def paletted() -> bytes:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 2, 4))
    return encoded(image, "PNG", transparency=0)


def with_alpha(kind: str, **options: object) -> bytes:
    image = Image.new("RGBA", (4, 4), (0, 0, 255, 255))
    image.paste((255, 0, 0, 0), (0, 0, 2, 4))
    return encoded(image, kind, **options)


def colour_keyed() -> bytes:
    image = Image.new("RGB", (4, 4), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, 2, 4))
    return encoded(image, "PNG", transparency=(255, 0, 0))


@pytest.mark.parametrize(
    "data",
    [
        paletted(),
        colour_keyed(),
        with_alpha("PNG"),
        with_alpha("WEBP", lossless=True, exact=True),
        with_alpha("GIF"),
        with_alpha("HEIF", quality=-1, chroma=444),
        with_alpha("AVIF", quality=-1, chroma=444),
    ],
)
def test_transparent_pixels_become_white(data: bytes) -> None:
    """The colour of the transparent pixels in these files is red."""
    found = pixels(decode(data))
    assert (found[:, :2] >= 254).all()
    assert np.abs(found[:, 2:] - (0, 0, 255)).max() <= 2


def test_half_transparent_pixels_are_blended_with_white() -> None:
    found = pixels(decode(encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 128)))))
    assert np.abs(found - 127).max() <= 1


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("blue", "red", "lime")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **options)
    assert difference(decode(data), frames[0]) == 0


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    stored, exif = with_orientation(orientation)
    options: dict[str, dict[str, object]] = {
        "WEBP": {"lossless": True},
        "HEIF": {"quality": -1, "chroma": 444},
        "JPEG": {"quality": 100},
    }
    image = decode(encoded(stored, kind, exif=exif, **options.get(kind, {})))
    assert image.size == UPRIGHT.size
    assert difference(image, UPRIGHT) <= (8 if kind == "JPEG" else 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_large_jpeg_is_decoded_at_the_requested_resolution(orientation: int) -> None:
    upright = ASTRONAUT.resize((1301, 1951), Image.Resampling.BICUBIC)
    stored, exif = with_orientation(orientation, upright)
    found = photo.decode(encoded(stored, "JPEG", exif=exif))
    assert (found.width, found.height, found.longer_side) == (1301, 1951, 1951)
    assert found.at_scale().size == found.at_scale(0.51).size == found.at_scale(7).size == upright.size
    for scale in (0.5, 0.3, 0.01):
        assert found.at_scale(scale).size == found.preview().size == (651, 976)
    assert difference(found.preview(), upright.resize((651, 976), Image.Resampling.BOX)) < 2
    for side, divisor in ((639, 1), (640, 1), (1279, 1), (1280, 2), (2560, 4), (5120, 8), (6000, 8)):
        assert photo.decode(encoded(upright.resize((side, 10)), "JPEG")).preview().width == side / divisor


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGB"), ("WEBP", "RGB"), ("JPEG", "CMYK"), ("AVIF", "RGB")])
def test_other_formats_are_decoded_at_full_resolution_only(kind: str, mode: str) -> None:
    image = ASTRONAUT.convert(mode).resize((2000, 100))
    for found in (photo.decode(encoded(image, kind)), Photo.of(image)):
        assert found.at_scale(0.01).size == (2000, 100)


def test_pillow_heif_is_imported_only_for_heic() -> None:
    code = f"""
import sys
from model.photo import decode
decode({encoded(PIXELS, "WEBP")!r})
before = [name for name in ("pillow_heif", "PIL.IcoImagePlugin") if name in sys.modules]
decode({encoded(PIXELS, "HEIF")!r})
print(before, "pillow_heif" in sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[] True"


def test_decoder_recognizes_the_heic_brands_of_the_web_page() -> None:
    found = re.search(r"ftyp\(\.\.\.\.\)\*\?(\(.*?\))", (ROOT / "web" / "photo.js").read_text())
    assert found
    assert [brand for brand, _ in BRANDS if not re.fullmatch(found[1], brand)] == []
    for brand, kind in BRANDS:
        assert formats.image_format(f"\0\0\0\x10ftyp{brand}".encode()) == kind


def test_formats_are_recognized_by_the_first_bytes() -> None:
    data = {kind: encoded(ASTRONAUT, kind)[: formats.HEAD_BYTES] for kind in FORMATS}
    assert {kind: formats.image_format(head) for kind, head in data.items()} == {kind: kind for kind in FORMATS}
    for other in (
        b"",
        b"\0" * 600,
        b"BM6",
        b"II*\0",
        b"%PDF",
        b"PK\x03\x04",
        b"\0\0\0\x14ftypisom\0\0\0\0mp42meta..heic",
    ):
        assert formats.image_format(other) is None


def test_digest_depends_on_pixels_and_size_only() -> None:
    """Collections recognize photos by it, so it never changes."""
    data = encoded(ASTRONAUT)
    assert photo.decode(data).digest() == photo.decode(encoded(ASTRONAUT, exif=with_orientation(1)[1])).digest()
    pixels = hashlib.sha256(repr((96, 96)).encode() + ASTRONAUT.tobytes())
    assert photo.decode(data).digest() == Photo.of(ASTRONAUT).digest() == pixels.hexdigest()[:16]
    assert Photo.of(Image.new("RGB", (64, 1000))).digest() != Photo.of(Image.new("RGB", (1000, 64))).digest()


@pytest.mark.skipif(not (DATA / "cases").exists(), reason="the cases are not here")
def test_cases() -> None:
    found = {}
    for path in sorted((DATA / "cases").iterdir()):
        if path.suffix in (".jpg", ".png", ".heic", ".avif"):
            read = photo.decode(path.read_bytes())
            found[path.name] = (read.width, read.height, read.truncated)
    assert found == {
        "brand_MiHE.heic": (512, 512, False),
        "jpeg_no_eoi.jpg": (250, 250, True),
        "orient_xmp_element_only.jpg": (250, 250, False),
        "phone_8192x6144.jpg": (8192, 6144, False),
        "photo.avif": (512, 512, False),
        "png_itxt_xmp_over_1MB_zip.png": (250, 250, False),
        "png_ztxt_over_1MB.png": (250, 250, False),
    }
