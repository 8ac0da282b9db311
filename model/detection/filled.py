"""Decide which photos are filled by a face, and improve their faces with what is found in the photo with a border.

MTCNN clips its patches to the photo and stretches them to squares. That distorts a face that reaches the photo's edges:
its landmarks are wrong by up to a third of the eyes' distance, or it is not found. Inside a border nothing is clipped.
"""

from __future__ import annotations

from typing import Sequence

from PIL import Image

from model.detection.boxes import boxes_of
from model.detection.nms import overlap
from model.face import Face
from model.photo import Photo

FILLED_SHARE = 2 / 3  # of the photo's width or height. A smaller face inside the photo is not clipped
LEAVING_SHARE = 0.05  # of the box's side, outside the photo
SMALLEST_LEAVING = 0.25  # of the photo's width or height. A smaller face has too few pixels in the bordered photo
BORDER_SHARE = 0.4  # of the photo's longer side
BORDER_COLOUR = (128, 128, 128)  # 0 for the networks. Black or repeated edges move the landmarks of a tight cut-out
CERTAIN = 0.95  # confidence. Real faces have 0.99; parts of photos without a face look like one, but less certainly
FOUND_AGAIN = 0.7  # overlap by the smaller area, as in MTCNN's last step


def is_filled(photo: Photo, faces: Sequence[Face]) -> bool:
    """Tell whether a face fills the photo, or may do so because none was found. faces: largest first."""
    if not faces:
        return True
    box = faces[0].box
    share = max(box.width / photo.width, box.height / photo.height)
    if share > FILLED_SHARE:
        return True
    # Beside other faces it is a person at the edge of a group.
    leaves = box.outside(photo.width, photo.height) > LEAVING_SHARE
    return len(faces) == 1 and share > SMALLEST_LEAVING and leaves


def with_border(image: Image.Image) -> tuple[Image.Image, int]:
    """Add a border on all sides. Returns the bordered image and the border's width in pixels."""
    width = round(BORDER_SHARE * max(image.size))
    bordered = Image.new("RGB", (image.width + 2 * width, image.height + 2 * width), BORDER_COLOUR)
    bordered.paste(image, (width, width))
    return bordered, width


def merge(photo: Photo, faces: Sequence[Face], bordered: Sequence[Face]) -> list[Face]:
    """Replace the faces that were found again in the bordered photo, and keep the others.

    bordered: in pixels of the photo without its border.
    """
    good = [face for face in bordered if face.confidence >= CERTAIN and _shows_landmarks(photo, face)]
    if not good or not faces:
        return good or list(faces)
    same = overlap(boxes_of(faces), boxes_of(good), by_min_area=True) > FOUND_AGAIN
    return [*good, *(face for face, found_again in zip(faces, same.any(axis=1)) if not found_again)]


def _shows_landmarks(photo: Photo, face: Face) -> bool:
    """Tell whether all landmarks lie in the photo. A face of which only a cheek is visible identifies nobody."""
    return bool((face.landmarks >= 0).all() and (face.landmarks <= (photo.width, photo.height)).all())
