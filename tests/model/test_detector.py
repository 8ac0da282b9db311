from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.crowds import Composer, found
from model.crop import CropSpec, crop
from model.detection.boxes import boxes_of
from model.detection.detector import Detector
from model.detection.integral_image import IntegralImage
from model.detection.mtcnn import PART, Networks, pool, prelu
from model.detection.nms import overlap
from model.detection.small import OVERLAP, TILE, find_small, tiles
from model.detection.stages import BATCH, Search, Stages
from model.face import Face
from model.freed_memory import KEPT
from model.photo import Photo, decode
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


def data_photo(name: str) -> Photo:
    """Skips the test if the photo is missing."""
    path = DATA / "photos" / name
    if not path.exists():
        pytest.skip(f"no photo at {path}: set DATA_DIR")
    return decode(path.read_bytes())


def same(some: Sequence[Face], others: Sequence[Face]) -> bool:
    """Tell whether faces are equal to the last bit."""
    return [(face.box, face.confidence, face.landmarks.tolist()) for face in some] == [
        (face.box, face.confidence, face.landmarks.tolist()) for face in others
    ]


def test_group_photo(detector: Detector) -> None:
    photo = data_photo("multiface.jpg")
    faces = detector.detect(photo)
    assert len(faces) == 6
    assert same(detector.detect_all(photo), faces)


@pytest.mark.parametrize("name", ["angelina_jolie.jpg", "paul_rudd.jpg"])
def test_small_faces_of_a_portrait(name: str, detector: Detector) -> None:
    """Textures look like small faces, and none is reported."""
    photo = data_photo(name)
    faces = detector.detect(photo)
    assert len(faces) == 1
    assert same(detector.detect_all(photo), faces)


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem)
def test_photos_without_more_pixels_have_no_smaller_faces(path: Path, detector: Detector) -> None:
    photo = decode(path.read_bytes())
    assert same(detector.detect_all(photo), detector.detect(photo))


@pytest.mark.parametrize(("people", "share"), [(96, 0.015), (24, 0.007)])
def test_small_faces_of_a_group(people: int, share: float, lfw_archive: Path, detector: Detector) -> None:
    group = Composer(lfw_archive).compose(people, share)
    photo = decode(group.file)
    before, faces = detector.detect(photo), detector.detect_all(photo)
    assert found(group, before).mean() < 0.2
    assert found(group, faces).mean() >= 0.95
    false = ~(overlap(boxes_of(faces), group.faces) > 0.3).any(axis=1)
    assert false.mean() < 0.06
    assert [face.box.area for face in faces] == sorted((face.box.area for face in faces), reverse=True)
    kept = [face for face in faces if face.box in {known.box for known in before}]
    assert same(kept, before)
    apart = overlap(boxes_of(faces), boxes_of(faces), by_min_area=True) - np.eye(len(faces))
    assert apart.max() < 0.75


def test_no_small_faces_are_searched_if_there_are_enough_faces(detector: Detector) -> None:
    photo = Photo.of(Image.open(SAMPLES / "astronaut.jpg").convert("RGB").resize((2000, 2000)))
    faces = detector.detect(photo)
    assert find_small(Stages(), photo, faces, smallest=80, most=len(faces)) == faces


@pytest.mark.parametrize("size", [(30, 20), (TILE, TILE), (TILE + 1, 400), (1000, 750), (2000, 1333), (3000, 2250)])
def test_tiles_cover_the_image_once(size: tuple[int, int]) -> None:
    times = np.zeros(size[::-1], int)
    sizes = set()
    for tile in tiles(*size):
        (left, top, right, bottom), core = tile.region, tile.core
        times[core[1] : core[3], core[0] : core[2]] += 1
        for cut, border in ((core[0] - left, left == 0), (core[1] - top, top == 0)):
            assert border or cut >= OVERLAP // 2 - 1
        for cut, border in ((right - core[2], right == size[0]), (bottom - core[3], bottom == size[1])):
            assert border or cut >= OVERLAP // 2 - 1
        sizes.add((right - left, bottom - top))
    assert (times == 1).all()
    assert len(sizes) == 1
    assert max(*sizes.pop()) <= TILE


@pytest.mark.parametrize("count", [PART - 1, PART + 1, BATCH])
def test_results_do_not_depend_on_the_number_of_patches(count: int) -> None:
    """Small numbers differ, because the dense layers round differently."""
    networks, random = Networks(), torch.Generator().manual_seed(0)
    for network, size in ((networks.refine, 24), (networks.locate, 48)):
        patches = torch.rand(count, 3, size, size, generator=random) * 2 - 1
        with torch.no_grad():
            outputs, first = network(patches), network(patches[:5])
        for whole, part in zip(outputs, first):
            assert len(whole) == count
            assert np.abs(whole[:5] - part).max() < 1e-5


def test_search_for_a_range_of_sizes() -> None:
    photo = Image.open(SAMPLES / "astronaut.jpg").convert("RGB")
    stages = Stages()
    (face,) = stages.results(photo, Search(20)).best().faces(Photo.of(photo), photo)
    assert len(stages.results(photo, Search(20, largest=face.box.width * 1.2)).best().boxes) == 1
    assert len(stages.results(photo, Search(20, largest=face.box.width / 3)).boxes) == 0
    assert len(stages.results(photo, Search(20, select=lambda boxes: boxes[:, 0] < 0)).boxes) == 0


@pytest.mark.parametrize("size", [(1, 1), (5, 400), (400, 5), (19, 19), (640, 640), (4, 3000), (1700, 1700)])
def test_empty_photos_have_no_faces(size: tuple[int, int], detector: Detector) -> None:
    photo = Photo.of(Image.new("RGB", size, (200, 180, 160)))
    assert detector.detect(photo) == detector.detect_all(photo) == []


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


def output(program: str, *arguments: str) -> str:
    """Run a program in a new process with the settings of the service."""
    environment = dict(os.environ)
    limit_convolution_cache(environment)
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=300)
    return done.stdout


def test_memory_does_not_grow_with_the_number_of_photo_sizes() -> None:
    """torch keeps its prepared convolutions: about 130 MB in this test, and 65 to 80 MB with LRU_CACHE_CAPACITY."""
    assert int(output(MEMORY_GROWTH, str(SAMPLES / "Kofi_Annan_0006.jpg"))) < 105_000_000


FREED_MEMORY = """
import sys
import psutil
from model.freed_memory import KEPT, release_freed_memory
from model.processor import keep_freed_memory

keep_freed_memory()
megabyte = 1 << 20
for size in (KEPT // 2, 4 * KEPT):
    filled = [bytearray(megabyte) for _ in range(size // megabyte)]
    last = bytearray(megabyte)  # above the hole that the others leave
    del filled
    before = psutil.Process().memory_info().rss
    release_freed_memory()
    print(before - psutil.Process().memory_info().rss)
"""


FREED_AGAIN = """
import psutil
from model.freed_memory import KEPT, release_freed_memory
from model.processor import keep_freed_memory

keep_freed_memory()
megabyte = 1 << 20
filled = [bytearray(megabyte) for _ in range(4 * KEPT // megabyte)]
last = bytearray(megabyte)  # above the hole that the others leave
del filled
for _ in range(2):
    some = [bytearray(megabyte) for _ in range(KEPT // 2 // megabyte)]
    del some
    before = psutil.Process().memory_info().rss
    release_freed_memory()
    print(before - psutil.Process().memory_info().rss)
"""


def test_what_is_released_is_not_released_again_with_each_photo() -> None:
    """The next photos take their memory from the released holes, and would map it anew each time."""
    first, second = (int(released) for released in output(FREED_AGAIN).split())
    assert first > 3 * KEPT
    assert second < KEPT // 8


FREED_GIGABYTES = """
import ctypes
import psutil
from model.freed_memory import release_freed_memory
from model.processor import keep_freed_memory

keep_freed_memory()
glibc, megabyte = ctypes.CDLL(None), 1 << 20
glibc.malloc.restype = ctypes.c_void_p
blocks = [ctypes.c_void_p(glibc.malloc(megabyte)) for _ in range(2600)]
last = glibc.malloc(megabyte)  # above the hole that the others leave
for block in blocks[:100]:
    ctypes.memset(block, 1, megabyte)  # only these take memory
for block in blocks:
    glibc.free(block)
before = psutil.Process().memory_info().rss
release_freed_memory()
print(before - psutil.Process().memory_info().rss)
"""


def test_gigabytes_of_freed_memory_are_released() -> None:
    """More than an int holds, which glibc's figures are."""
    assert int(output(FREED_GIGABYTES)) > 90 << 20


def test_much_freed_memory_is_released() -> None:
    few, many = (int(released) for released in output(FREED_MEMORY).split())
    assert few < KEPT // 8
    assert many > 3 * KEPT
