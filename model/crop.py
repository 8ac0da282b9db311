"""Cut the aligned crop of a face. Training and serving share this code."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

import numpy as np
from PIL import Image

from model.face import Box, Face
from model.photo import Photo


@dataclass(frozen=True)
class CropSpec:
    """Parameters of a crop. Saved with each model, because a network needs crops like those it was trained on.

    size: of the square crop's side, in pixels. margin: pixels of the finished crop around the box, the sum of both
    sides. max_roll: degrees; a face whose roll exceeds it is rotated upright.
    """

    size: int = 160
    margin: int = 32
    max_roll: float = 20.0


def nearest_centre(faces: Sequence[Face], photo: Photo) -> Face:
    """Return the face nearest to the photo's centre: the subject of a photo that was taken of one person.

    Raises ValueError if there are no faces.
    """
    x, y = photo.width / 2, photo.height / 2

    def distance(face: Face) -> float:
        box = face.box
        return ((box.left + box.right) / 2 - x) ** 2 + ((box.top + box.bottom) / 2 - y) ** 2

    return min(faces, key=distance)


def crop(photo: Photo, face: Face, spec: CropSpec) -> np.ndarray:
    """Cut the aligned crop of a face from an upright RGB photo: uint8 [size, size, 3], RGB.

    The box with its margin is clipped to the photo and stretched to a square, as in facenet-pytorch, because the
    pretrained network was trained on such crops. The photo is decoded at a resolution at which the face needs no
    enlarging, if it has one.

    Raises UnreadableImage.
    """
    left, top, right, bottom = _crop_edges(face.box, photo, spec)
    image = photo.at_scale(spec.size / min(right - left, bottom - top))
    x, y = image.width / photo.width, image.height / photo.height
    region = (round(left * x), round(top * y), round(right * x), round(bottom * y))
    roll = face.roll()
    cut = image.crop(region) if abs(roll) <= spec.max_roll else _crop_rotated(image, region, roll)
    return np.asarray(cut.resize((spec.size, spec.size), Image.Resampling.BILINEAR))


def _crop_edges(box: Box, photo: Photo, spec: CropSpec) -> tuple[int, int, int, int]:
    """Add the margin to a box and clip it to the photo: edges XYXY in whole pixels, never empty."""
    scale = spec.margin / (spec.size - spec.margin) / 2
    x_margin, y_margin = scale * box.width, scale * box.height
    left, top = int(max(box.left - x_margin, 0)), int(max(box.top - y_margin, 0))
    right, bottom = int(min(box.right + x_margin, photo.width)), int(min(box.bottom + y_margin, photo.height))
    # Less than a pixel may remain of a face at the border.
    left, top = min(left, photo.width - 1), min(top, photo.height - 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _crop_rotated(image: Image.Image, region: tuple[int, int, int, int], degrees: float) -> Image.Image:
    """Cut a region (edges XYXY) after rotating the image counterclockwise around the region's centre."""
    width, height = region[2] - region[0], region[3] - region[1]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = region[0] + width / 2, region[1] + height / 2
    # Pillow takes the inverse: the coefficients that map an output pixel to its source.
    inverse = (
        cos,
        -sin,
        x - cos * width / 2 + sin * height / 2,
        sin,
        cos,
        y - sin * width / 2 - cos * height / 2,
    )
    return image.transform((width, height), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR)
