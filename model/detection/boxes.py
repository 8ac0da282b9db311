"""Geometry of MTCNN's boxes, float32 [N, 4] XYXY."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from model.face import Face


def boxes_of(faces: Sequence[Face]) -> np.ndarray:
    """Return the boxes of N faces, float32 [N, 4]."""
    boxes = [(face.box.left, face.box.top, face.box.right, face.box.bottom) for face in faces]
    return np.array(boxes, np.float32).reshape(-1, 4)


def to_squares(boxes: np.ndarray) -> np.ndarray:
    """Enlarge each box to a square with the same centre. [N, 4] -> [N, 4]."""
    size = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True)
    corner = (boxes[:, :2] + boxes[:, 2:] - size) / 2
    return np.concatenate([corner, corner + size], axis=1)


def shift(boxes: np.ndarray, offsets: np.ndarray, inclusive: int = 1) -> np.ndarray:
    """Move the edges of boxes by predicted offsets, in units of the boxes' sides. Both [N, 4] -> [N, 4].

    inclusive: added to the length of a side. MTCNN was trained on boxes that include their last pixel, hence 1; only
    after P-Net it is 0.
    """
    sides = boxes[:, 2:] - boxes[:, :2] + inclusive
    return boxes + offsets * np.concatenate([sides, sides], axis=1)


def clip(boxes: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Clip boxes to an image and drop those that lie outside it.

    Returns the clipped boxes in whole pixels, int64 [M, 4] XYXY with exclusive right and bottom edges, and their
    indices among the N boxes, int64 [M].
    """
    edges = np.trunc(boxes).astype(np.int64)
    edges[:, :2] = np.maximum(edges[:, :2], 1) - 1
    edges[:, 2:] = np.minimum(edges[:, 2:], (width, height))
    inside = np.flatnonzero((edges[:, 2:] > edges[:, :2]).all(axis=1))
    return edges[inside], inside
