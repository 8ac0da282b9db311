"""A detected face: box, confidence and landmarks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Box:
    """XYXY edges in pixels of the upright photo; they may lie outside it."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def area(self) -> float:
        return self.width * self.height


@dataclass(frozen=True)
class Face:
    """One detected face.

    landmarks: float [5, 2], XY in pixels of the upright photo: left eye, right eye, nose, left and right of the mouth,
    left as seen in the photo.
    """

    box: Box
    confidence: float
    landmarks: np.ndarray

    def roll(self) -> float:
        """Degrees by which the line through the eyes falls to the right, in the photo."""
        x, y = self.landmarks[1] - self.landmarks[0]
        return math.degrees(math.atan2(y, x))
