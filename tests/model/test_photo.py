from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from model import photo
from model.errors import ImageTooLarge, UnreadableImage, UnsupportedImage
from model.photo import decode


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


PIXELS = Image.fromarray(np.random.RandomState(0).randint(0, 256, (20, 30, 3)).astype(np.uint8))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_formats(kind: str) -> None:
    image = decode(encoded(PIXELS, kind))
    assert (image.mode, image.size) == ("RGB", (30, 20))


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK"])
def test_modes_become_rgb(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert decode(encoded(PIXELS.convert(mode), kind)).mode == "RGB"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_exif_orientations_end_upright(orientation: int) -> None:
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = PIXELS.transpose(turned[orientation]) if orientation in turned else PIXELS
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(np.asarray(decode(encoded(stored, exif=exif))), np.asarray(PIXELS))


@pytest.mark.parametrize("data", [b"", b"not an image", b"GIF89a" + bytes(50), b"\xff\xd8\xff" + bytes(50)])
def test_not_an_image(data: bytes) -> None:
    with pytest.raises(UnsupportedImage, match="JPEG, PNG or WEBP"):
        decode(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_cut_short(kind: str) -> None:
    data = encoded(PIXELS.resize((300, 200)), kind)
    with pytest.raises((UnreadableImage, UnsupportedImage)):
        decode(data[: len(data) // 2])


def test_pixel_limit_holds_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo, "MAX_PIXELS", 600)
    assert decode(encoded(PIXELS)).size == (30, 20)
    with pytest.raises(ImageTooLarge):
        decode(encoded(PIXELS.resize((31, 20))))


def test_decompression_bomb() -> None:
    with pytest.raises(ImageTooLarge, match="50 million pixels"):
        decode(encoded(Image.new("1", (30_000, 30_000))))
