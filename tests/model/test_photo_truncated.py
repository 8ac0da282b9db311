"""JPEGs that are cut short."""

from __future__ import annotations

import random
import re
from typing import Callable

import numpy as np
import pytest
from PIL import Image

from model import photo
from model.errors import UnreadableImage
from testing.paths import SAMPLES
from tests.model.images import ASTRONAUT, decode, difference, encoded, pixels, with_orientation

KOFI = Image.open(SAMPLES / "Kofi_Annan_0006.jpg").convert("RGB")


def scans(data: bytes) -> list[int]:
    return [found.start() for found in re.finditer(b"\xff\xda", data)]


def grey_bottom(image: Image.Image) -> Image.Image:
    """Missing pixels become the same grey."""
    image = image.copy()
    image.paste((128, 128, 128), (0, image.height // 2, image.width, image.height))
    return image


KINDS: dict[str, dict[str, object]] = {
    "baseline": {},
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "restart markers by row": {"restart_marker_rows": 1},
    "restart markers by block": {"restart_marker_blocks": 1},
    "progressive": {"progressive": True},
    "progressive with restart markers": {"progressive": True, "restart_marker_rows": 1},
    "EXIF": {"exif": with_orientation(6)[1]},
}
IMAGES: dict[str, Callable[[], Image.Image]] = {
    "250 pixels": lambda: KOFI,
    "large": lambda: KOFI.resize((1900, 1100), Image.Resampling.BICUBIC),
    "grey": lambda: KOFI.convert("L").resize((300, 220)),
    "grey bottom": lambda: grey_bottom(KOFI.resize((640, 480))),
}


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_missing_end_marker(kind: str, image: str) -> None:
    data = encoded(IMAGES[image](), "JPEG", **KINDS[kind])
    assert not photo.decode(data).truncated
    assert not photo.decode(data + b"trailing").truncated
    for cut in (data[:-2], data[:-1], data[:-2] + bytes(5000), data[:-2] + bytes(5)):
        found = photo.decode(cut)
        assert found.truncated
        assert difference(found.at_scale(), decode(data)) == 0


def cut_scan(data: bytes, share: float) -> bytes:
    """Cut a file after a share of its last scan."""
    start = scans(data)[-1]
    return data[: start + round((len(data) - start) * share)]


@pytest.mark.parametrize("tail", [b"", bytes(10_000)], ids=["cut", "zeros"])
@pytest.mark.parametrize("image", [name for name in IMAGES if name != "grey bottom"])
@pytest.mark.parametrize("kind", KINDS)
def test_end_of_a_jpeg_is_missing(kind: str, image: str, tail: bytes) -> None:
    """Photos of detail everywhere have about as many bytes for each row."""
    data = encoded(Image.blend(noise(IMAGES[image]()), IMAGES[image](), 0.5), "JPEG", **KINDS[kind])
    whole = pixels(decode(data))
    found = photo.decode(cut_scan(data, 0.99) + tail)
    assert found.truncated
    turned = kind == "EXIF"
    rows = np.abs(pixels(found.at_scale()) - whole).max(axis=(0, 2) if turned else (1, 2)) > 0
    top = rows[::-1] if turned else rows
    assert top[-3:].any()
    assert not top[: int(0.92 * len(top))].any()
    for share in (0.95, 0.9, 0.5, 0.1):
        with pytest.raises(UnreadableImage, match="damaged, truncated or"):
            photo.decode(cut_scan(data, share) + tail)


def noise(image: Image.Image) -> Image.Image:
    shape = (image.height, image.width, 3)
    made = Image.fromarray(np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8))
    return made.convert(image.mode)


def test_grey_rows_are_not_taken_for_missing_ones() -> None:
    """Nor missing ones for grey ones."""
    data = encoded(grey_bottom(KOFI.resize((640, 480))), "JPEG")
    assert photo.decode(data[:-2]).truncated
    with pytest.raises(UnreadableImage):
        photo.decode(cut_scan(data, 0.95))


def test_earlier_scans_of_a_progressive_jpeg_must_be_whole() -> None:
    data = encoded(KOFI, "JPEG", progressive=True)
    for start in scans(data):
        for at in (start - 1, start, start + 8, start + 12):
            with pytest.raises(UnreadableImage):
                photo.decode(data[:at])


def test_large_jpeg_that_is_cut_short() -> None:
    data = encoded(ASTRONAUT.resize((3000, 2000)), "JPEG")
    for part in (0.5, 0.9, 0.97):
        with pytest.raises(UnreadableImage, match="damaged, truncated or"):
            photo.decode(data[: int(part * len(data))])
    found = photo.decode(data[: int(0.99 * len(data))])
    assert (found.truncated, found.at_scale().size, found.preview().size) == (True, (3000, 2000), (750, 500))


def test_cut_anywhere() -> None:
    """A JPEG is never taken for whole, and the decoder never fails otherwise."""
    generator = random.Random(0)
    for options in KINDS.values():
        data = encoded(KOFI, "JPEG", **options)
        for _ in range(40):
            cut = data[: generator.randrange(3, len(data))]
            try:
                assert photo.decode(cut).truncated
            except UnreadableImage:
                continue
            assert len(cut) > 0.9 * len(data)
