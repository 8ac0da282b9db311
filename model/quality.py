"""Measure how well a detected face suits enrolling.

The thresholds were chosen on LFW's photos (faces of about 92 pixels) and changed copies of 300 of them. 98.5 % of 7,879
photos are good. Similarity below is the mean cosine of a photo's embedding, after the change, with those of two other
photos of the person, over 200 people: 0.768 without a change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from model.crop import CropSpec, crop
from model.face import Face
from model.landmarks import MAX_OUTSIDE
from model.photo import Photo

MIN_SIZE = 40  # pixels: similarity is 0.756 at 41 pixels, 0.748 at 35, 0.705 at 25 and 0.647 at 20
# Fails 0.4 % of LFW's photos, 98 % after a Gaussian blur with a radius of 2 pixels (similarity 0.708) and all with 3
# pixels (0.600) or more. Strong noise hides blur.
MIN_SHARPNESS = 0.5
# Grey value that 5 % of the face exceed. Dark skin in good light has highlights too: the lowest in LFW is 0.30. Fails
# all photos at 20 % of their brightness (similarity 0.709) and 87 % at 30 % (0.737).
MIN_HIGHLIGHTS = 0.25
MAX_BRIGHTNESS = 0.8  # of a pale photo without contrast: LFW's 99.9th percentile is 0.77
MAX_WHITE = 0.2  # share of the face that is burnt out: at most 0.11 in LFW, about 0.3 at twice its brightness (0.666)
MAX_ROLL = 20.0  # degrees: exceeded by 0.1 % of LFW's faces, and by 97 % after a rotation by 30 degrees
MAX_YAW = 35.0  # degrees: exceeded by 1 % of LFW's faces; between 35 and 40 similarity falls by 0.05

WHITE = 250 / 255  # grey value from which a pixel is burnt out
# Without a margin and rotation, the crop shows nothing outside the photo. Faces of 64 pixels are not enlarged, and
# larger ones are averaged, which reduces noise.
CROP = CropSpec(size=64, margin=0, max_roll=180)
INNER = (slice(13, 64), slice(6, 58))  # rows and columns of the crop with little hair, hat and background
EYES_PER_DEPTH = 1.7  # distance between the eyes / depth of the nose, fitted to MediaPipe's face mesh


@dataclass(frozen=True)
class Quality:
    """Measurements of a face, and the reasons for which it suits enrolling badly.

    sharpness: >= 0, see `_sharpness`. brightness: mean grey value of the face in [0, 1]. roll: degrees, positive if the
    face is tilted clockwise in the photo. yaw: estimate in degrees, 0 for a frontal face, positive if it is turned to
    the photo's right. size: pixels, the box's smaller side. reasons: of `small`, `blurred`, `dark`, `bright`, `tilted`,
    `turned` and `cut` (the box leaves the photo by more than MAX_OUTSIDE of its side).
    """

    sharpness: float
    brightness: float
    roll: float
    yaw: float
    size: float
    reasons: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Tell whether the face suits enrolling."""
        return not self.reasons


def measure(photo: Photo, face: Face) -> Quality:
    """Measure a face of a photo.

    Raises UnreadableImage.
    """
    grey = crop(photo, face, CROP)[INNER] @ np.array([0.299, 0.587, 0.114]) / 255
    sharpness, brightness = _sharpness(grey), float(grey.mean())
    roll, yaw = face.roll(), _yaw(face)
    size = min(face.box.width, face.box.height)
    failed = {
        "small": size < MIN_SIZE,
        "blurred": sharpness < MIN_SHARPNESS,
        "dark": np.percentile(grey, 95) < MIN_HIGHLIGHTS,
        "bright": brightness > MAX_BRIGHTNESS or (grey >= WHITE).mean() > MAX_WHITE,
        "tilted": abs(roll) > MAX_ROLL,
        "turned": abs(yaw) > MAX_YAW,
        "cut": face.box.outside(photo.width, photo.height) > MAX_OUTSIDE,
    }
    return Quality(sharpness, brightness, roll, yaw, size, tuple(reason for reason, fails in failed.items() if fails))


def _sharpness(grey: np.ndarray) -> float:
    """Return the variance of second differences in percent of mean x standard deviation. grey: float [H, W] in [0, 1].

    The variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a comparative
    study", 2000), but as the harmonic mean of both directions, because motion blurs only one. The division makes it
    independent of the exposure. Division by the variance would count a white cap as blur.
    """
    across, down = (float(np.diff(grey, 2, axis=axis).var()) for axis in (1, 0))
    if across == 0 or down == 0:
        return 0.0
    return 100 * 2 * across * down / (across + down) / float(grey.mean() * grey.std())


def _yaw(face: Face) -> float:
    """Estimate the yaw in degrees from the landmarks, in [-90, 90].

    In a head turned by `yaw`, the tip of the nose, which lies in front of the eyes and the mouth, moves by depth x
    sin(yaw) along the line through the eyes, and the distance between the eyes shrinks by cos(yaw). On LFW the estimate
    differs from that of MediaPipe's face mesh by 2.3 degrees on average. It is too low by a tenth beyond 35 degrees.
    """
    left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
    roll = math.radians(face.roll())
    x, y = nose - (left_eye + right_eye + left_mouth + right_mouth) / 4
    displacement = x * math.cos(roll) + y * math.sin(roll)
    return math.degrees(math.atan2(EYES_PER_DEPTH * displacement, math.hypot(*(right_eye - left_eye))))
