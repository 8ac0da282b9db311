"""Quality of faces for enrolling, in sample photos and changed copies of them."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from model.crop import nearest_centre
from model.detection.detector import Detector
from model.face import Box, Face
from model.photo import Photo, decode
from model.quality import EYES_PER_DEPTH, Quality, measure
from testing.paths import SAMPLES
from tests.model.images import encoded

PHOTOS = sorted(SAMPLES.glob("*.jpg"))
LFW_PHOTOS = [path for path in PHOTOS if path.stem != "astronaut"]
TURNED = SAMPLES / "Alexander_Payne_0001.jpg"  # to the photo's left
SIZE = (250, 250)

Change = Callable[[Image.Image], Image.Image]


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


def quality(image: Image.Image, detector: Detector) -> Quality:
    """Measure the face nearest to the centre, after a round trip through JPEG."""
    photo = decode(encoded(image, "JPEG", quality=90))
    return measure(photo, nearest_centre(detector.detect(photo), photo))


def scaled(image: Image.Image, scale: float) -> Image.Image:
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)


def motion(image: Image.Image, pixels: int = 15) -> Image.Image:
    """Blur in the horizontal direction only."""
    moved = [np.roll(np.asarray(image, np.float32), shift, axis=1) for shift in range(pixels)]
    return Image.fromarray(np.mean(moved, axis=0).astype(np.uint8))


CHANGES: dict[str, tuple[str, Change]] = {
    "blurred, radius 3": ("blurred", lambda image: image.filter(ImageFilter.GaussianBlur(3))),
    "blurred, radius 4": ("blurred", lambda image: image.filter(ImageFilter.GaussianBlur(4))),
    "moved": ("blurred", motion),
    "scaled down": ("small", lambda image: scaled(image, 0.33)),
    "scaled down and up": ("blurred", lambda image: scaled(scaled(image, 0.15), 8)),
    "brightness 20 %": ("dark", lambda image: image.point(lambda value: value * 0.2)),
    "pale": ("bright", lambda image: image.point(lambda value: 255 - 0.25 * (255 - value))),
    "rolled clockwise": ("tilted", lambda image: image.rotate(-30, Image.Resampling.BICUBIC)),
    "rolled counterclockwise": ("tilted", lambda image: image.rotate(30, Image.Resampling.BICUBIC)),
}


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem)
def test_ordinary_photo_is_good(path: Path, detector: Detector) -> None:
    found = quality(Image.open(path), detector)
    assert found.reasons == ()
    assert found.good


@pytest.mark.parametrize("name", CHANGES)
def test_degradation_is_recognised(name: str, detector: Detector) -> None:
    reason, change = CHANGES[name]
    for path in LFW_PHOTOS:
        found = quality(change(Image.open(path)), detector)
        assert reason in found.reasons, path.stem
        assert not found.good


@pytest.mark.parametrize(
    "change",
    [lambda image: scaled(image, 4), lambda image: image.point(lambda value: value * 0.6)],
    ids=["four times as large", "brightness 60 %"],
)
def test_scale_and_exposure_hardly_change_sharpness(change: Change, detector: Detector) -> None:
    for path in LFW_PHOTOS:
        image = Image.open(path)
        found, expected = quality(change(image), detector), quality(image, detector)
        assert abs(math.log(found.sharpness / expected.sharpness)) < 0.3, path.stem
        assert found.good


def test_burnt_out_face_is_bright(detector: Detector) -> None:
    photo = Photo.of(Image.open(TURNED))
    face = nearest_centre(detector.detect(photo), photo)
    burnt = photo.at_scale().point(lambda value: min(255, value * 3))
    assert "bright" in measure(Photo.of(burnt), face).reasons


def test_face_at_the_edge_is_cut(detector: Detector) -> None:
    image = Image.open(TURNED)
    assert "cut" in quality(image.crop((0, 110, *SIZE)), detector).reasons


@pytest.mark.parametrize("degrees", [-15, 15])
def test_roll_is_positive_clockwise(degrees: int, detector: Detector) -> None:
    image = Image.open(SAMPLES / "Kofi_Annan_0006.jpg")
    rolled = quality(image.rotate(-degrees, Image.Resampling.BICUBIC), detector)  # Pillow rotates counterclockwise
    assert abs(rolled.roll - quality(image, detector).roll - degrees) < 4


def test_yaw_is_positive_to_the_right(detector: Detector) -> None:
    image = Image.open(TURNED)
    left, right = quality(image, detector), quality(ImageOps.mirror(image), detector)
    assert -35 < left.yaw < -15
    assert abs(left.yaw + right.yaw) < 6


def turned_head(yaw: float, roll: float) -> Face:
    """Project a head, 100 pixels wide, whose nose has the depth that the estimate assumes. Angles in degrees."""
    head = np.array([[-25, -20, 0], [25, -20, 0], [0, 5, 50 / EYES_PER_DEPTH], [-18, 30, 0], [18, 30, 0]])
    y, r = math.radians(yaw), math.radians(roll)
    x = head[:, 0] * math.cos(y) + head[:, 2] * math.sin(y)
    rotation = np.array([[math.cos(r), math.sin(r)], [-math.sin(r), math.cos(r)]])
    landmarks = np.column_stack([x, head[:, 1]]) @ rotation
    return Face(Box(75, 75, 175, 175), 1.0, landmarks + 125)


@pytest.mark.parametrize("roll", [-30, 0, 10])
@pytest.mark.parametrize("yaw", [-50, -20, 0, 20, 50])
def test_angles_of_a_projected_head(yaw: float, roll: float) -> None:
    found = measure(Photo.of(Image.new("RGB", SIZE)), turned_head(yaw, roll))
    assert abs(found.yaw - yaw) < 1e-6
    assert abs(found.roll - roll) < 1e-6
    assert ("turned" in found.reasons) == (abs(yaw) > 35)
    assert ("tilted" in found.reasons) == (abs(roll) > 20)


def test_size_is_the_smaller_side() -> None:
    face = dataclasses.replace(turned_head(0, 0), box=Box(75.0, 75.0, 125.0, 175.0))
    assert measure(Photo.of(Image.new("RGB", SIZE)), face).size == 50


@pytest.mark.parametrize("colour", ["black", "grey", "white"])
@pytest.mark.parametrize(
    "box", [(75, 75, 175, 175), (-60, -40, 80, 90), (200, 210, 400, 420), (260, 260, 300, 300), (9, 9, 9.2, 9.4)]
)
def test_any_face_is_measured(box: tuple[float, float, float, float], colour: str) -> None:
    """Partly or wholly outside the photo, tiny, without any contrast, and with landmarks at one point."""
    photo = Photo.of(Image.new("RGB", SIZE, colour))
    points = turned_head(20, 10).landmarks
    same_eyes = points.copy()
    same_eyes[1] = same_eyes[0]
    for landmarks in (points, same_eyes, np.full((5, 2), 9.0), points + 1e6):
        found = measure(photo, Face(Box(*map(float, box)), 0.9, landmarks))
        values = dataclasses.astuple(found)[:5]
        assert all(type(value) is float for value in values)
        assert np.isfinite(values).all()
        assert found.sharpness == 0
        assert "blurred" in found.reasons
        assert ("dark" in found.reasons, "bright" in found.reasons) == (colour == "black", colour == "white")
        assert 0 <= found.brightness <= 1
        assert abs(found.yaw) <= 90
