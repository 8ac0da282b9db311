"""Cut the crop of a face that is aligned by its five landmarks. Training and serving share this code."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from model.face import Face
from model.photo import Photo

SIZE = 112  # pixels: the side of the crop
# Where the landmarks of a frontal face lie in the crop, XY in the order of `Face.landmarks`. MobileFaceNet was trained
# on crops with this template, which is that of InsightFace.
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
MAX_MISFIT = 6.0  # pixels of the crop: 98 % of LFW's faces fit better, and profiles, for example, worse
MAX_SCALE = 2.0  # crop pixels per photo pixel, above which a face is blurred
MAX_OUTSIDE = 0.05  # of a side of the face's box that may lie outside the photo
MIN_SCALE = 1e-3  # crop pixels per photo pixel, below which the landmarks are no face's
MAX_SHRINK = 0.7  # scale below which bicubic interpolation alone would skip pixels of the photo
SUPPORT = 2  # pixels around a point that bicubic interpolation reads


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Compute the rotation, scale and shift that take `source` nearest to `target` (least squares), [2, 3].

    source, target: float [N, 2] XY. Umeyama, "Least-Squares Estimation of Transformation Parameters Between Two Point
    Patterns", 1991; in two dimensions and without reflection it is a regression of complex numbers.
    """
    a, b = (points @ np.array([1, 1j]) for points in (source, target))
    centred = a - a.mean()
    factor = np.vdot(centred, b - b.mean()) / max(np.vdot(centred, centred).real, 1e-9)
    shift = b.mean() - factor * a.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def is_reliable(photo: Photo, face: Face) -> bool:
    """Tell whether the landmarks are good enough for MobileFaceNet to decide alone.

    They are not if they fit TEMPLATE badly (root mean square distance), or the face is small or cut off by the photo's
    edge.
    """
    to_crop = similarity(face.landmarks, TEMPLATE)
    placed = face.landmarks @ to_crop[:, :2].T + to_crop[:, 2]
    misfit = math.sqrt(((placed - TEMPLATE) ** 2).sum(axis=1).mean())
    scale = math.hypot(to_crop[0, 0], to_crop[1, 0])
    outside = face.box.outside(photo.width, photo.height)
    return misfit <= MAX_MISFIT and scale <= MAX_SCALE and outside <= MAX_OUTSIDE


def landmark_crop(photo: Photo, face: Face) -> np.ndarray:
    """Cut the crop in which the face's landmarks lie nearest to TEMPLATE: uint8 [SIZE, SIZE, 3], RGB, outside black.

    A face that is larger than the crop is scaled down with antialiasing first, and only then rotated and shifted.

    Raises UnreadableImage.
    """
    to_crop = similarity(face.landmarks, TEMPLATE)
    scale = max(math.hypot(to_crop[0, 0], to_crop[1, 0]), MIN_SCALE)
    image = photo.at_scale(scale)
    x, y = photo.width / image.width, photo.height / image.height
    to_crop = to_crop * [x, y, 1]
    to_photo = np.linalg.inv(np.vstack([to_crop, [0, 0, 1]]))
    if scale * x < MAX_SHRINK:
        image, to_photo = _shrink(image, to_photo, scale * x)
    cut = image.transform((SIZE, SIZE), Image.Transform.AFFINE, to_photo[:2].ravel().tolist(), Image.Resampling.BICUBIC)
    return np.asarray(cut)


def _shrink(image: Image.Image, to_photo: np.ndarray, scale: float) -> tuple[Image.Image, np.ndarray]:
    """Scale down the part of an image that the crop shows. to_photo: [3, 3], crop -> image; returned for the part."""
    corners = to_photo[:2] @ np.array([[0, SIZE, 0, SIZE], [0, 0, SIZE, SIZE], [1, 1, 1, 1]])
    low = np.clip(np.floor(corners.min(axis=1) - SUPPORT / scale), 0, np.array(image.size) - 1)
    high = np.clip(np.ceil(corners.max(axis=1) + SUPPORT / scale), low + 1, image.size)
    size = np.maximum(np.rint((high - low) * scale), 1).astype(int)
    part = image.resize(tuple(size), Image.Resampling.BICUBIC, box=(*low, *high))
    ratio = size / (high - low)
    to_part = np.array([[ratio[0], 0, -low[0] * ratio[0]], [0, ratio[1], -low[1] * ratio[1]], [0, 0, 1]])
    return part, to_part @ to_photo
