from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from model.crop import CropSpec, crop
from model.detection.detector import Detector
from model.detection.integral_image import IntegralImage
from model.detection.mtcnn import pool, prelu
from model.photo import Photo
from settings import limit_convolution_cache
from testing.paths import DATA, ROOT, SAMPLES

PHOTOS = sorted(SAMPLES.glob("*.jpg"))


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem)
def test_faces_equal_facenet_pytorchs(path: Path, detector: Detector) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from facenet_pytorch import MTCNN
        from facenet_pytorch.models.utils.detect_face import extract_face

        photo = Image.open(path).convert("RGB")
        smallest = max(20, 0.04 * max(photo.size))
        boxes, confidences, landmarks = MTCNN(keep_all=True, min_face_size=smallest).detect(photo, landmarks=True)
    faces = detector.detect(Photo.of(photo))
    assert len(faces) == len(boxes)
    by_size = np.argsort(-(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), kind="stable")
    for face, i in zip(faces, by_size):
        box = face.box
        assert np.abs(np.array([box.left, box.top, box.right, box.bottom]) - boxes[i]).max() < 0.01
        assert np.abs(face.landmarks - landmarks[i]).max() < 0.01
        assert abs(face.confidence - confidences[i]) < 1e-4
        crops = extract_face(photo, boxes[i], 160, CropSpec().margin).numpy().transpose(1, 2, 0)
        assert np.abs(crop(Photo.of(photo), face, CropSpec()) - crops).max() < 0.5


def test_boxes_are_in_pixels_of_the_full_resolution(detector: Detector) -> None:
    photo = Image.open(SAMPLES / "astronaut.jpg")
    small = detector.detect(Photo.of(photo))[0].box
    large = detector.detect(Photo.of(photo.resize((photo.width * 5, photo.height * 5))))[0].box
    for edge in ("left", "top", "right", "bottom"):
        assert abs(getattr(large, edge) / 5 - getattr(small, edge)) < 0.03 * small.width


def test_group_photo(detector: Detector) -> None:
    path = DATA / "photos" / "multiface.jpg"
    if not path.exists():
        pytest.skip(f"no photo at {path}: set DATA_DIR")
    assert len(detector.detect(Photo.of(Image.open(path).convert("RGB")))) == 6


@pytest.mark.parametrize("size", [(1, 1), (5, 400), (400, 5), (19, 19), (640, 640)])
def test_empty_photos_have_no_faces(size: tuple[int, int], detector: Detector) -> None:
    assert detector.detect(Photo.of(Image.new("RGB", size, (200, 180, 160)))) == []


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("shape", [(1, 10, 10, 10), (2, 3, 11, 14), (3, 4, 4, 3), (1, 1, 3, 3)])
def test_pool_and_prelu_equal_torchs(shape: tuple[int, ...], size: int) -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=random)
    slope = torch.rand(shape[1], generator=random)
    assert torch.equal(pool(x.clone(), size), F.max_pool2d(x, size, 2, ceil_mode=True))
    for slopes in (slope, -slope, 2 * slope):
        assert torch.equal(prelu(x, slopes), F.prelu(x, slopes))
        assert torch.equal(prelu(x[:, :, 0, 0], slopes), F.prelu(x[:, :, 0, 0], slopes))


@pytest.mark.parametrize("size", [(250, 187), (60, 80), (13, 41)])
def test_integral_image_equals_torchs_area_interpolation(size: tuple[int, int]) -> None:
    random = np.random.RandomState(0)
    image = Image.fromarray(random.randint(0, 256, (*size, 3)).astype(np.uint8))
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    integral = IntegralImage(image)
    for height, width in ((12, 12), (55, 31), size):
        expected = F.interpolate(pixels, size=(height, width), mode="area")
        assert torch.equal(integral.level(height, width), (expected - 127.5) / 128)
    boxes = np.array([[0, 0, 7, 5], [3, 2, 10, 13], [size[1] - 1, size[0] - 1, size[1], size[0]], [0, 0, *size[::-1]]])
    for patch, (left, top, right, bottom) in zip(integral.patches(boxes, 24), boxes):
        expected = F.interpolate(pixels[:, :, top:bottom, left:right], size=(24, 24), mode="area")
        assert torch.equal(patch[None], (expected - 127.5) / 128)


MEMORY_GROWTH = """
import sys
import numpy as np
import psutil
import torch
from PIL import Image
from model.detection.detector import Detector
from model.photo import Photo

detector, photo = Detector(), Image.open(sys.argv[1]).convert("RGB")
resident = []
torch.set_num_threads(1)
for i in range(50):
    detector.detect(Photo.of(photo.resize((150 + i, 150 + 7 * i % 50))))
    resident.append(psutil.Process().memory_info().rss)
print(resident[-1] - resident[1])
"""


def test_memory_does_not_grow_with_the_number_of_photo_sizes() -> None:
    """torch keeps its prepared convolutions: about 130 MB in this test, and 65 to 80 MB with LRU_CACHE_CAPACITY."""
    command = [sys.executable, "-c", MEMORY_GROWTH, str(SAMPLES / "Kofi_Annan_0006.jpg")]
    environment = dict(os.environ)
    limit_convolution_cache(environment)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=300)
    assert int(done.stdout) < 105_000_000
