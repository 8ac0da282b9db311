"""MobileFaceNet and its crop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.crop import nearest_centre
from model.detection.detector import Detector
from model.face import Box, Face
from model.landmarks import SIZE, TEMPLATE, is_reliable, landmark_crop, similarity
from model.photo import Photo, decode
from storage.folder import FolderBlobs
from storage.networks import BUNDLED, Snapshot, load_current
from testing.paths import DATA, ROOT

PHOTO = ROOT / "web" / "samples" / "Kofi_Annan_0006.jpg"


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return load_current(FolderBlobs(Path(BUNDLED)))


@pytest.fixture(scope="module")
def face() -> tuple[Photo, Face]:
    photo = decode(PHOTO.read_bytes())
    return photo, nearest_centre(Detector().detect(photo), photo)


def test_embeddings_equal_the_reference(snapshot: Snapshot) -> None:
    path = DATA / "mobilefacenet" / "reference.npz"
    if not path.exists():
        pytest.skip(f"the reference outputs are not at {path}: set DATA_DIR")
    with np.load(path) as reference:
        crops, expected = reference["crops"], reference["embeddings"]
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    found = snapshot.network.mobile(crops)
    assert found.dtype == np.float32
    assert (found * expected).sum(axis=1).min() > 0.99999
    alone = np.concatenate([snapshot.network.mobile(crops[i : i + 1]) for i in range(len(crops))])
    assert np.abs(alone - found).max() < 1e-5


def test_embeddings_do_not_depend_on_the_number_of_crops(snapshot: Snapshot) -> None:
    crops = np.random.RandomState(0).randint(0, 256, (9, SIZE, SIZE, 3)).astype(np.uint8)
    together = snapshot.network.mobile(crops)
    assert together.shape == (9, 192)
    for crop, expected in zip(crops, together):
        assert np.abs(snapshot.network.mobile(crop[None])[0] - expected).max() < 1e-5
    assert snapshot.network.mobile(crops[:0]).shape == (0, 192)


MEMORY_OF_MANY = """
import sys
from pathlib import Path
import numpy as np
import torch
from storage.folder import FolderBlobs
from storage.networks import load_current

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))  # kB

torch.set_num_threads(1)
network = load_current(FolderBlobs(Path(sys.argv[1]))).network
crops = np.zeros((50, 112, 112, 3), np.uint8)
network.mobile(crops[:4])
before = peak()
network.mobile(crops)
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_number_of_crops() -> None:
    """Fifty at a time took a gigabyte."""
    command = [sys.executable, "-c", MEMORY_OF_MANY, str(BUNDLED)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    assert int(done.stdout) < 100_000  # kB


def test_similarity_recovers_rotation_scale_and_shift() -> None:
    angle, scale, shift = np.radians(30), 2.5, np.array([7.0, -3.0])
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = similarity(TEMPLATE, scale * TEMPLATE @ rotation.T + shift)
    assert np.abs(found[:, :2] - scale * rotation).max() < 1e-9
    assert np.abs(found[:, 2] - shift).max() < 1e-9


def test_similarity_of_a_single_point_is_finite() -> None:
    assert np.isfinite(similarity(np.ones((5, 2)), TEMPLATE)).all()


def test_crop_puts_landmarks_on_the_template() -> None:
    """White dots at the landmarks of a rotated, enlarged face appear at the template's places."""
    angle, scale = np.radians(20), 4.0
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = scale * TEMPLATE @ rotation.T + [200, 60]
    pixels = np.zeros((700, 800, 3), np.uint8)
    for x, y in landmarks.round().astype(int):
        pixels[y - 6 : y + 7, x - 6 : x + 7] = 255
    photo = Photo.of(Image.fromarray(pixels))
    found = landmark_crop(photo, Face(Box(200, 60, 600, 500), 1.0, landmarks))[:, :, 0].astype(float)
    assert found.shape == (SIZE, SIZE)
    for x, y in TEMPLATE:
        rows, columns = slice(round(y) - 5, round(y) + 6), slice(round(x) - 5, round(x) + 6)
        spot = found[rows, columns]
        centre = [(spot * axis).sum() / spot.sum() for axis in np.mgrid[rows, columns] + 0.5]
        assert np.abs(np.array(centre) - [y, x]).max() < 0.5


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_large_faces_are_scaled_with_antialiasing(factor: int, face: tuple[Photo, Face], snapshot: Snapshot) -> None:
    photo, found = face
    image = photo.at_scale()
    large = Photo.of(image.resize((image.width * factor, image.height * factor), Image.Resampling.BICUBIC))
    scaled = Face(found.box, found.confidence, found.landmarks * factor)
    crops = np.stack([landmark_crop(photo, found), landmark_crop(large, scaled)])
    first, second = snapshot.network.mobile(crops)
    assert first @ second > 0.97


def test_fine_stripes_become_grey() -> None:
    """Stripes of one pixel, far finer than the crop's pixels: without antialiasing they give a pattern."""
    pixels = np.zeros((1120, 1120, 3), np.uint8)
    pixels[:, ::2] = 255
    landmarks = TEMPLATE * 10
    found = landmark_crop(Photo.of(Image.fromarray(pixels)), Face(Box(0, 0, 1120, 1120), 1.0, landmarks))
    assert np.abs(found[5:-5, 5:-5].astype(int) - 127).max() < 20


def test_outside_is_black() -> None:
    photo = Photo.of(Image.new("RGB", (56, 112), "white"))
    found = landmark_crop(photo, Face(Box(0, 0, 112, 112), 1.0, TEMPLATE))
    assert (found[:, 60:] == 0).all()
    assert (found[:, :50] == 255).all()


def test_a_frontal_face_is_reliable_and_odd_ones_are_not(face: tuple[Photo, Face]) -> None:
    photo, found = face
    assert is_reliable(photo, found)
    profile = found.landmarks.copy()
    profile[:, 0] = profile[:, 0].mean() + 0.2 * (profile[:, 0] - profile[:, 0].mean())
    assert not is_reliable(photo, Face(found.box, found.confidence, profile))
    tiny = Face(Box(0, 0, 10, 12), 1.0, TEMPLATE / 10)
    assert not is_reliable(photo, tiny)
    box = found.box
    cut = Box(box.left - photo.width, box.top, box.right, box.bottom)
    assert not is_reliable(photo, Face(cut, found.confidence, found.landmarks))
