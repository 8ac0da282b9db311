"""Photos that a face fills: avatars, passport photos, cut-outs."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.crop import nearest_centre
from model.detection.detector import Detector
from model.detection.filled import is_filled, merge
from model.face import Box, Face
from model.photo import Photo
from testing.paths import SAMPLES
from tests.conftest import by_person

PHOTOS = sorted(SAMPLES.glob("*_0*.jpg"))
MARGINS = (-0.05, 0, 0.05, 0.1, 0.2)  # of the box's sides, on each side
PRECISE = 0.05  # of the eyes' distance, mean over the landmarks
# MTCNN's own landmarks of this one differ by 0.058 between the whole photo and a section in which nothing is clipped.
LIMITS = {"Alexander_Payne_0001": 0.06}
LFW_PHOTOS = 30


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


def face_in(photo: Image.Image, detector: Detector) -> Face:
    return nearest_centre(detector.detect(Photo.of(photo)), Photo.of(photo))


def region(box: Box, margin: float, photo: Image.Image) -> tuple[int, int, int, int]:
    """A box with a margin in shares of its sides, clipped to the photo: edges in pixels."""
    x, y = margin * box.width, margin * box.height
    left, top = round(max(0, box.left - x)), round(max(0, box.top - y))
    return left, top, round(min(photo.width, box.right + x)), round(min(photo.height, box.bottom + y))


def error(photo: Image.Image, whole: Face, edges: tuple[int, int, int, int], detector: Detector) -> float:
    """Mean distance of the cut-out's landmarks from the whole photo's, in eyes' distances."""
    found = face_in(photo.crop(edges), detector).landmarks + edges[:2]
    eyes = np.linalg.norm(whole.landmarks[1] - whole.landmarks[0])
    return float(np.linalg.norm(found - whole.landmarks, axis=1).mean() / eyes)


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem)
def test_landmarks_of_a_cut_out(path: Path, detector: Detector) -> None:
    photo = Image.open(path).convert("RGB")
    whole = face_in(photo, detector)
    for margin in MARGINS:
        assert error(photo, whole, region(whole.box, margin, photo), detector) < LIMITS.get(path.stem, PRECISE), margin


def test_cut_outs_of_lfw(lfw_archive: Path, detector: Detector) -> None:
    """A few photos may exceed the limit, because the landmarks found in the whole photo are as uncertain."""
    errors = []
    with tarfile.open(lfw_archive) as pack:
        people = by_person(pack)
        for name in sorted(people)[:: len(people) // LFW_PHOTOS][:LFW_PHOTOS]:
            photo = Image.open(pack.extractfile(people[name][0])).convert("RGB")  # type: ignore[arg-type]
            whole = face_in(photo, detector)
            errors += [error(photo, whole, region(whole.box, margin, photo), detector) for margin in (0, 0.1, 0.2)]
    assert np.mean(np.array(errors) < PRECISE) > 0.85
    assert np.median(errors) < PRECISE / 1.5


@pytest.mark.parametrize("side", ["left", "top", "bottom"])
def test_a_face_that_leaves_the_photo_on_one_side(side: str, detector: Detector) -> None:
    photo = Image.open(SAMPLES / "Kofi_Annan_0006.jpg").convert("RGB")
    whole = face_in(photo, detector)
    box = whole.box
    edges = {
        "left": (round(box.left + box.width / 10), 0, photo.width, photo.height),
        "top": (0, round(box.top + box.height / 10), photo.width, photo.height),
        "bottom": (0, 0, photo.width, round(box.bottom - box.height / 10)),
    }
    assert error(photo, whole, edges[side], detector) < PRECISE


def test_an_enlarged_cut_out_has_the_same_face(detector: Detector) -> None:
    photo = Image.open(SAMPLES / "Tony_Blair_0007.jpg").convert("RGB")
    cut_out = photo.crop(region(face_in(photo, detector).box, 0, photo))
    small = face_in(cut_out, detector)
    large = face_in(cut_out.resize((cut_out.width * 12, cut_out.height * 12)), detector)
    eyes = np.linalg.norm(small.landmarks[1] - small.landmarks[0])
    assert np.linalg.norm(large.landmarks / 12 - small.landmarks, axis=1).mean() < PRECISE * eyes
    assert abs(large.box.width / 12 - small.box.width) < 0.05 * small.box.width


def test_all_faces_of_a_photo_with_a_large_one_are_kept(detector: Detector) -> None:
    photo = Image.open(SAMPLES / "Kofi_Annan_0006.jpg").convert("RGB")
    cut_out = photo.crop(region(face_in(photo, detector).box, 0, photo)).resize((320, 400))
    both = Image.new("RGB", (480, 400), (90, 110, 130))
    both.paste(cut_out, (0, 0))
    other = Image.open(SAMPLES / "Alicia_Witt_0001.jpg").convert("RGB").resize((160, 160))
    both.paste(other, (320, 240))
    faces = detector.detect(Photo.of(both))
    assert len(faces) == 2
    assert np.abs(faces[0].landmarks / 4 - face_in(cut_out.resize((80, 100)), detector).landmarks).max() < 4
    alone = face_in(other, detector).landmarks + np.array((320, 240))
    assert np.abs(faces[1].landmarks - alone).max() < 4


@pytest.mark.parametrize("cells", [3, 6, 20, 250])
def test_textures_stay_without_a_face(cells: int, detector: Detector) -> None:
    colours = np.random.RandomState(cells).randint(0, 256, (10, cells, cells, 3)).astype(np.uint8)
    for texture in colours:
        photo = Image.fromarray(texture).resize((250, 250), Image.Resampling.BICUBIC)
        assert detector.detect(Photo.of(photo)) == []


def test_a_part_of_a_face_is_none(detector: Detector) -> None:
    photo = Image.open(SAMPLES / "Kofi_Annan_0006.jpg").convert("RGB")
    (left, top), (_, bottom) = face_in(photo, detector).landmarks[[0, 3]]
    assert detector.detect(Photo.of(photo.crop((round(left), round(top), round(left) + 25, round(bottom))))) == []


@pytest.mark.parametrize("size", [(1, 1), (12, 12), (30, 40), (3000, 1), (1, 3000), (2000, 40)])
def test_tiny_and_elongated_photos(size: tuple[int, int], detector: Detector) -> None:
    photo = Image.open(SAMPLES / "Kofi_Annan_0006.jpg").convert("RGB")
    cut_out = photo.crop(region(face_in(photo, detector).box, 0, photo)).resize(size)
    assert len(detector.detect(Photo.of(cut_out))) == (size == (30, 40))


def face(left: float, top: float, right: float, bottom: float, confidence: float = 1.0) -> Face:
    x, y = (left + right) / 2, (top + bottom) / 2
    return Face(Box(left, top, right, bottom), confidence, np.full((5, 2), (x, y)))


def test_which_photos_are_filled() -> None:
    photo = Photo.of(Image.new("RGB", (100, 100)))
    small = face(70, 5, 90, 25)
    assert is_filled(photo, [])
    assert is_filled(photo, [face(10, 10, 60, 80), small])
    assert is_filled(photo, [face(-10, 10, 40, 60)])
    assert not is_filled(photo, [face(-10, 10, 40, 60), small])
    assert not is_filled(photo, [face(-10, 10, 14, 34)])
    assert not is_filled(photo, [face(-2, 10, 48, 60)])


def test_faces_of_the_bordered_photo_replace_the_same_ones() -> None:
    photo = Photo.of(Image.new("RGB", (100, 100)))
    large, small, better = face(0, 0, 60, 90), face(70, 5, 90, 25), face(2, 3, 65, 95)
    assert merge(photo, [large, small], [better]) == [better, small]
    assert merge(photo, [], [better]) == [better]
    assert merge(photo, [large], []) == [large]
    assert merge(photo, [large], [face(2, 3, 65, 95, confidence=0.9)]) == [large]
    assert merge(photo, [large], [face(60, 3, 165, 95)]) == [large]  # its landmarks are outside
