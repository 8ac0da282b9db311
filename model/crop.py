"""The aligned crop of a face: the one function that training and serving share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

import numpy as np
from PIL import Image

from model.face import Face
from model.photo import Photo


@dataclass(frozen=True)
class CropSpec:
    """How a crop is cut: saved with each model, because a model only understands the crops it was trained on."""

    size: int = 160
    margin: int = 32  # pixels of the finished crop, both sides together
    max_roll: float = 20.0  # degrees that the line through the eyes may slope before the face is turned upright


def nearest_centre(faces: Sequence[Face], photo: Photo) -> Face:
    """The face meant in a photo that was taken of somebody. Raises ValueError where there is no face."""
    x, y = photo.width / 2, photo.height / 2

    def distance(face: Face) -> float:
        box = face.box
        return ((box.left + box.right) / 2 - x) ** 2 + ((box.top + box.bottom) / 2 - y) ** 2

    return min(faces, key=distance)


def crop(photo: Photo, face: Face, spec: CropSpec) -> np.ndarray:
    """The aligned face. upright RGB photo -> uint8 [size, size, 3], RGB.

    The box with its margin, cut off at the photo's edges and stretched to a square, as facenet-pytorch does: the
    pretrained network has seen faces this way. The photo is looked at as closely as it takes not to enlarge the face.

    Raises UnreadableImage.
    """
    box = face.box
    scale = spec.margin / (spec.size - spec.margin) / 2
    across, down = scale * box.width, scale * box.height
    left, top = int(max(box.left - across, 0)), int(max(box.top - down, 0))
    right, bottom = int(min(box.right + across, photo.width)), int(min(box.bottom + down, photo.height))
    # A face at the very edge may leave less than a pixel.
    left, top = min(left, photo.width - 1), min(top, photo.height - 1)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    image = photo.view(spec.size / min(right - left, bottom - top))
    x, y = image.width / photo.width, image.height / photo.height
    region = (round(left * x), round(top * y), round(right * x), round(bottom * y))
    roll = face.roll()
    picture = image.crop(region) if abs(roll) <= spec.max_roll else _turned(image, region, roll)
    return np.asarray(picture.resize((spec.size, spec.size), Image.Resampling.BILINEAR))


def _turned(image: Image.Image, region: tuple[int, int, int, int], degrees: float) -> Image.Image:
    """What lies in the region, edges XYXY, once the image is turned around its centre, counterclockwise."""
    width, height = region[2] - region[0], region[3] - region[1]
    across, down = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = region[0] + width / 2, region[1] + height / 2
    # Pillow asks where each pixel comes from.
    source = (
        across,
        -down,
        x - across * width / 2 + down * height / 2,
        down,
        across,
        y - down * width / 2 - across * height / 2,
    )
    return image.transform((width, height), Image.Transform.AFFINE, source, Image.Resampling.BILINEAR)
