from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from model.crop import CropSpec, crop, nearest_centre
from model.face import Box, Face
from model.photo import Photo, decode


def face(left: float, top: float, right: float, bottom: float) -> Face:
    return Face(Box(left, top, right, bottom), 1.0, np.zeros((5, 2)))


def test_nearest_centre_is_not_the_largest() -> None:
    photo = Photo.of(Image.new("RGB", (100, 100)))
    centred, large = face(40, 40, 60, 60), face(0, 0, 50, 50)
    assert nearest_centre([large, centred], photo) is centred


def test_nearest_centre_without_faces() -> None:
    with pytest.raises(ValueError):
        nearest_centre([], Photo.of(Image.new("RGB", (10, 10))))


def test_margin_is_in_pixels_of_the_finished_crop() -> None:
    """A box of 146 pixels and a margin of 14 make exactly 160 pixels, so nothing is resampled."""
    pixels = np.random.RandomState(0).randint(0, 256, (300, 300, 3)).astype(np.uint8)
    found = crop(Photo.of(Image.fromarray(pixels)), face(100, 80, 246, 226), CropSpec(160, 14))
    assert found.dtype == np.uint8
    assert np.array_equal(found, pixels[73:233, 93:253])


@pytest.mark.parametrize(
    "box", [(-50, -50, 20, 20), (90, 90, 300, 300), (99.8, 0, 140, 50), (-40, 20, 0.2, 60), (-5, -5, 105, 105)]
)
def test_box_is_clipped_to_the_photo(box: tuple[float, float, float, float]) -> None:
    photo = Photo.of(Image.new("RGB", (100, 100), (10, 20, 30)))
    found = crop(photo, face(*box), CropSpec())
    assert found.shape == (160, 160, 3)
    assert (found == (10, 20, 30)).all()


@pytest.mark.parametrize("degrees", [-45, -25, 25, 45, 90])
def test_rolled_face_is_rotated_upright(degrees: int) -> None:
    """The crop from the rotated photo equals the crop from the upright photo, except for the blur of resampling."""
    upright = Image.fromarray(np.random.RandomState(0).randint(0, 256, (12, 12, 3), np.uint8)).resize((300, 300), 3)
    eyes = np.array([[-30.0, -20], [30, -20], [0, 0], [-20, 30], [20, 30]])
    spec = CropSpec()
    expected = crop(Photo.of(upright), Face(Box(90, 90, 210, 210), 1, eyes + 150), spec)
    angle = np.radians(-degrees)  # Pillow rotates counterclockwise, and y points down
    landmarks = eyes @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) + 150
    rolled = Face(Box(90, 90, 210, 210), 1, landmarks)
    assert abs(abs(rolled.roll()) - abs(degrees)) < 1e-6
    found = crop(Photo.of(upright.rotate(degrees, Image.Resampling.BICUBIC)), rolled, spec)
    assert np.abs(found.astype(int) - expected).mean() < 3
    unrotated = crop(Photo.of(upright.rotate(degrees, Image.Resampling.BICUBIC)), rolled, CropSpec(max_roll=180))
    assert np.abs(unrotated.astype(int) - expected).mean() > 20


def test_face_below_max_roll_is_not_rotated() -> None:
    photo = Photo.of(Image.effect_noise((200, 200), 50).convert("RGB"))
    sloping = np.array([[80.0, 80], [120, 90], [100, 100], [85, 120], [115, 125]])
    level = sloping.copy()
    level[:2, 1] = 85
    box = Box(60, 60, 140, 140)
    assert np.array_equal(crop(photo, Face(box, 1, sloping), CropSpec()), crop(photo, Face(box, 1, level), CropSpec()))


@pytest.mark.parametrize("side", [0.05, 0.1, 0.3, 0.6])
def test_crop_of_a_large_jpeg_is_not_enlarged(side: float) -> None:
    """The crop equals that from the photo at full resolution, whatever the size of the face."""
    random = np.random.RandomState(0).randint(0, 256, (36, 48, 3)).astype(np.uint8)
    image = Image.fromarray(random).resize((3200, 2400), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    width = side * 2400
    found = face(1000 - width / 2, 1200 - width / 2, 1000 + width / 2, 1200 + width / 2)
    expected = crop(Photo.of(image), found, CropSpec()).astype(int)
    assert np.abs(crop(decode(file.getvalue()), found, CropSpec()) - expected).mean() < 2.5
