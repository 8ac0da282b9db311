"""A detected face: box, confidence and landmarks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Box:
    """A rectangle given by its edges (XYXY), in pixels of the upright photo. It may extend beyond the photo."""

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

    def outside(self, width: int, height: int) -> float:
        """Return the largest share of a side that lies outside a photo of this size, negative if the box is inside."""
        x, y = max(-self.left, self.right - width), max(-self.top, self.bottom - height)
        return max(x / self.width, y / self.height)


@dataclass(frozen=True)
class Face:
    """One detected face.

    confidence: probability of a face in [0, 1]. landmarks: float64 [5, 2], XY in pixels of the upright photo, in the
    order left eye, right eye, nose, left and right corner of the mouth. Left and right are those of the photo.
    """

    box: Box
    confidence: float
    landmarks: np.ndarray

    def roll(self) -> float:
        """Return the angle of the line through the eyes in degrees, positive if the right eye is lower in the photo."""
        x, y = self.landmarks[1] - self.landmarks[0]
        return math.degrees(math.atan2(y, x))
