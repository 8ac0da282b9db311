"""JPEGs that are very large, or made to stall or crash the decoder."""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from model import photo
from model.crop import CropSpec, crop
from model.errors import ImageTooLarge, UnreadableImage
from model.face import Box, Face
from model.landmarks import landmark_crop
from model.photo import Photo
from testing.paths import ROOT, SAMPLES
from tests.model.images import ASTRONAUT, PIXELS, decode, difference, encoded, jpeg_segment

KOFI = Image.open(SAMPLES / "Kofi_Annan_0006.jpg").convert("RGB")
LANDMARKS = np.array([[0.35, 0.4], [0.65, 0.4], [0.5, 0.6], [0.38, 0.75], [0.62, 0.75]])


def sized(width: int, height: int, kind: str = "RGB", **options: int) -> bytes:
    """A JPEG with a few pixels that claims this size. The decoder makes the others grey."""
    data = encoded(PIXELS.convert(kind), "JPEG", **options)
    found = re.search(rb"\xff[\xc0\xc2]", data)
    assert found
    at = found.start() + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


@pytest.mark.parametrize("size", [(8192, 6144), (8160, 6120), (8165, 6124), (8256, 6192), (8272, 6200)])
def test_50_megapixel_cameras(size: tuple[int, int]) -> None:
    """They have up to 51.3 million pixels, which are available at full resolution."""
    found = photo.decode(sized(*size))
    assert (found.width, found.height) == size
    assert max(found.preview().size) < 1100
    assert found.at_scale().size == size


@pytest.mark.parametrize("size", [(12_000, 9000), (9000, 12_000), (16_384, 12_288), (16_320, 12_240)])
def test_larger_jpegs_are_available_at_a_fraction(size: tuple[int, int]) -> None:
    """108 and 200 megapixels."""
    found = photo.decode(sized(*size))
    assert (found.width, found.height) == size
    assert max(found.preview().size) == -(-max(size) // 8)
    assert found.at_scale().size == found.at_scale(0.51).size == (size[0] // 2, size[1] // 2)
    assert found.at_scale(0.2).size == (size[0] // 4, size[1] // 4)


def test_resolution_depends_on_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crops and boxes do not depend on whether the full resolution is available."""
    large = KOFI.resize((3000, 3000), Image.Resampling.BICUBIC)
    data = encoded(large, "JPEG", quality=95)
    monkeypatch.setattr(photo, "MAX_PIXELS", 3_000_000)
    limited, full = photo.decode(data), Photo.of(large)
    assert limited.at_scale().size == limited.at_scale(0.6).size == (1500, 1500)
    for side in (100, 600):
        face = Face(Box(1400, 1000, 1400 + side, 1000 + side), 1.0, LANDMARKS * side + (1400, 1000))
        assert np.abs(crop(limited, face, CropSpec()).astype(int) - crop(full, face, CropSpec())).mean() < 4
        assert np.abs(landmark_crop(limited, face).astype(int) - landmark_crop(full, face)).mean() < 4


def test_digest_of_a_limited_jpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(ASTRONAUT.resize((1400, 1300)), "JPEG")
    full = photo.decode(data)
    assert full.digest() == Photo.of(full.at_scale()).digest()
    monkeypatch.setattr(photo, "MAX_PIXELS", 1_000_000)
    limited = photo.decode(data)
    half = limited.at_scale()
    assert half.size == (700, 650)
    expected = hashlib.sha256(repr((1400, 1300)).encode() + half.tobytes()).hexdigest()[:16]
    assert limited.digest() == expected
    assert expected not in (full.digest(), Photo.of(half).digest())


@pytest.mark.parametrize(("size", "limit"), [((14_500, 14_500), 208), ((30_000, 30_000), 208), ((65_000, 3300), 208)])
def test_too_many_pixels(size: tuple[int, int], limit: int) -> None:
    with pytest.raises(ImageTooLarge, match=f"{limit} million pixels"):
        photo.decode(sized(*size))


def test_cmyk_has_the_limit_of_other_formats() -> None:
    assert photo.decode(sized(500, 400, "CMYK")).width == 500
    with pytest.raises(ImageTooLarge, match="52 million pixels"):
        photo.decode(sized(8000, 8000, "CMYK"))


@pytest.mark.parametrize(
    ("size", "subsampling", "readable"),
    [((12_000, 9000), 2, True), ((16_384, 12_288), 2, False), ((8192, 6144), 0, True), ((12_000, 9000), 0, False)],
)
def test_progressive_jpegs_are_limited_by_memory(size: tuple[int, int], subsampling: int, readable: bool) -> None:
    """libjpeg holds the coefficients of all pixels."""
    data = sized(*size, progressive=True, subsampling=subsampling)
    code = f"""
import resource
from model.errors import ImageTooLarge
from model.photo import decode
def memory(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
before = memory()
try:
    decode({data!r}).at_scale()
    print(True, memory() - before)
except ImageTooLarge as error:
    print(False, memory() - before)
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    read, memory = found.stdout.split()
    assert read == str(readable)
    assert float(memory) < (550 if readable else 20)


def lossless(width: int, height: int) -> bytes:
    """A grey image without lossy compression: each difference from the left pixel is 0, which takes one bit."""
    frame = jpeg_segment(0xC3, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0")
    scan = jpeg_segment(0xDA, b"\1\1\0\1\0\0")
    table = jpeg_segment(0xC4, b"\0\1" + bytes(15) + b"\0")
    return b"\xff\xd8" + frame + table + scan + bytes(width * height // 8 + 1) + b"\xff\xd9"


def test_lossless_jpeg_is_decoded_at_full_resolution_only() -> None:
    """libjpeg ignores a smaller one, and the process would end because of corrupted memory."""
    data = lossless(2000, 1500)
    found = photo.decode(data)
    assert found.at_scale(0.01).size == found.at_scale().size == (2000, 1500)
    assert found.preview().getextrema() == ((128, 128),) * 3
    with pytest.raises(UnreadableImage):
        photo.decode(data[:-2])
    with pytest.raises(ImageTooLarge, match="52 million"):
        photo.decode(lossless(8000, 8000))


def scans(data: bytes) -> list[int]:
    return [found.start() for found in re.finditer(b"\xff\xda", data)]


@pytest.mark.parametrize("progressive", [True, False])
def test_many_scans_are_rejected_before_decoding(progressive: bool) -> None:
    """A scan of a large image in one colour has 75 bytes, but takes as long as its pixels."""
    data = encoded(Image.new("RGB", (2000, 2000), "gray"), "JPEG", progressive=progressive)
    if not progressive:  # its only scan becomes one of the first component alone
        at = scans(data)[0]
        data = data[:at] + jpeg_segment(0xDA, b"\1\1\0\0\x3f\0") + b"\0" * 300 + b"\xff\xd9"
    scan = data[scans(data)[-1] : -2]
    assert decode(data[:-2] + 10 * scan + b"\xff\xd9").size == (2000, 2000)
    with pytest.raises(UnreadableImage, match="too many scans"):
        decode(data[:-2] + 510 * scan + b"\xff\xd9")


def test_scans_in_trailing_data_do_not_count() -> None:
    data = encoded(PIXELS.resize((2000, 2000)), "JPEG", progressive=True)
    assert difference(decode(data + b"\xff\xda" * 600), decode(data)) == 0
