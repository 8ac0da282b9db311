"""The comparison of engines: its figures, and the one part of the detector that is written anew for it."""

from __future__ import annotations

from importlib.metadata import distributions

import numpy as np
import pytest
from packaging.utils import canonicalize_name
from PIL import Image

from benchmarks.engine.__main__ import ENGINES, cells, disk, needed
from benchmarks.engine.networks import Sampler
from model import sampling


def test_a_row_has_medians_and_the_medians_of_ratios() -> None:
    row = cells("warm", [[10, 20, 30], [5, 20, 60], [20, 60, 90]])
    assert row == ["warm", "20", "20 (1.00)", "60 (3.00)"]


def test_what_is_needed() -> None:
    installed = {canonicalize_name(found.metadata["Name"]): found for found in distributions()}
    found = needed(installed, ["boto3"])
    assert {"boto3", "botocore", "urllib3"} <= found
    assert not {"torch", "pytest"} & found


def test_ours_takes_the_room_that_the_image_does() -> None:
    assert 400 < disk(ENGINES[0]) < 520


@pytest.mark.parametrize("size", [(250, 250), (61, 97)])
def test_the_sampler_is_the_services(size: tuple[int, int]) -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    ours, other = sampling.Sampler(Image.fromarray(pixels)), Sampler(Image.fromarray(pixels))
    assert np.abs(ours.level(40, 27).numpy() - other.level(40, 27)).max() < 1e-6
    boxes = np.array([[0, 0, size[0], size[1]], [3, 5, 9, 60], [10, 10, 11, 11]])
    for side in (24, 48):
        assert np.abs(ours.patches(boxes, side).numpy() - other.patches(boxes, side)).max() < 1e-6
