from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from model.faces import Box, CropSpec, Face, crop, nearest_centre


def face(left: float, top: float, right: float, bottom: float) -> Face:
    return Face(Box(left, top, right, bottom), 1.0, np.zeros((5, 2)))


def test_nearest_centre_is_not_the_largest() -> None:
    photo = Image.new("RGB", (100, 100))
    centred, large = face(40, 40, 60, 60), face(0, 0, 50, 50)
    assert nearest_centre([large, centred], photo) is centred


def test_nearest_centre_of_nothing() -> None:
    with pytest.raises(ValueError):
        nearest_centre([], Image.new("RGB", (10, 10)))


def test_crop_takes_the_margin_in_finished_pixels() -> None:
    """A box of 146 pixels and a margin of 14: exactly 160 are cut, and nothing is resampled."""
    pixels = np.random.RandomState(0).randint(0, 256, (300, 300, 3)).astype(np.uint8)
    found = crop(Image.fromarray(pixels), face(100, 80, 246, 226), CropSpec(160, 14))
    assert found.dtype == np.uint8
    assert np.array_equal(found, pixels[73:233, 93:253])


@pytest.mark.parametrize(
    "box", [(-50, -50, 20, 20), (90, 90, 300, 300), (99.8, 0, 140, 50), (-40, 20, 0.2, 60), (-5, -5, 105, 105)]
)
def test_crop_of_a_face_cut_by_the_border(box: tuple[float, float, float, float]) -> None:
    photo = Image.new("RGB", (100, 100), (10, 20, 30))
    found = crop(photo, face(*box), CropSpec())
    assert found.shape == (160, 160, 3)
    assert (found == (10, 20, 30)).all()
