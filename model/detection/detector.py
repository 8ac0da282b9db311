"""Find faces in a photo with MTCNN.

Boxes, scores and landmarks are those of facenet-pytorch's implementation, except in photos that a face fills: see
filled.py, and for small faces: see small.py.
"""

from __future__ import annotations

from typing import Iterable

import numpy as np

from model.detection.downscale import downscale
from model.detection.filled import is_filled, merge, with_border
from model.detection.nms import overlap
from model.detection.small import find_small
from model.detection.stages import Results, Search, Stages
from model.face import Face
from model.photo import Photo

LARGEST_SIDE = 512  # pixels. Time grows with them, and a face of 4 % of the longer side still has 20 pixels
SMALLEST_FACE = 20  # pixels of the photo at full resolution
SMALLEST_SHARE = 0.04  # of the photo's longer side
FILLED_SIDE = 250  # pixels, longer side of a filled photo before its border. Its face still has 100 pixels
SAME_FACE = 0.6  # overlap with the best result from which another one shows the same face
MOST_FACES = 500  # of a photo, the largest: to recognize more of them takes longer than API Gateway waits


class Detector:
    """MTCNN's cascade of three networks over an image pyramid.

    Holds 2 MB of weights and no state between calls, so one instance is enough for a process.

    Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks", 2016,
    https://arxiv.org/abs/1604.02878.
    """

    def __init__(self) -> None:
        self._stages = Stages()

    def detect(self, photo: Photo) -> list[Face]:
        """Return the faces in a photo, largest first, with boxes and landmarks in pixels of the photo.

        A face is found if it has at least SMALLEST_FACE pixels and SMALLEST_SHARE of the photo's longer side.

        Raises UnreadableImage.
        """
        image = downscale(photo.preview(), LARGEST_SIDE)
        search = Search(_smallest(photo) * max(image.size) / photo.longer_side)
        faces = _largest_first(self._stages.results(image, search).best().faces(photo, image))
        if is_filled(photo, faces):
            faces = _largest_first(merge(photo, faces, self._detect_in_border(photo, faces)))
        return faces

    def detect_all(self, photo: Photo) -> list[Face]:
        """Return the faces that `detect` returns and smaller ones, at most MOST_FACES, largest first.

        In a photo of a group, a face is found if it has at least SMALLEST_FACE pixels and 0.7 % of the longer side: see
        small.py. Raises UnreadableImage.
        """
        faces = find_small(self._stages, photo, self.detect(photo), _smallest(photo), MOST_FACES)
        return _largest_first(faces)[:MOST_FACES]

    def _detect_in_border(self, photo: Photo, faces: list[Face]) -> list[Face]:
        """Detect large faces in a photo with a border. faces: those found without it, largest first."""
        image = downscale(photo.preview(), FILLED_SIDE)
        face = max(faces[0].box.width, faces[0].box.height) if faces else photo.longer_side
        bordered, border = with_border(image)
        # Only sizes near that of the face, which is fast. The box found without border may be twice too large.
        smallest = max(SMALLEST_FACE, face / 2 * max(image.size) / photo.longer_side)
        results = self._stages.results(bordered, Search(smallest))
        best = results.best()
        # The mean of all results for a face is more precise than the best one, which rounding selects.
        weights = (overlap(best.boxes, results.boxes) > SAME_FACE) * results.scores
        weights /= weights.sum(axis=1, keepdims=True)
        landmarks = np.einsum("kn,nij->kij", weights, results.landmarks)
        means = Results(weights @ results.boxes, best.scores, landmarks)
        return _largest_first(means.moved(-border, -border).faces(photo, image))


def _smallest(photo: Photo) -> float:
    """Return the side of the smallest face that `detect` finds, in pixels of the photo."""
    return max(SMALLEST_FACE, SMALLEST_SHARE * photo.longer_side)


def _largest_first(faces: Iterable[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: -face.box.area)
