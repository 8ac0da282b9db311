"""Find faces in a photo with MTCNN.

Boxes, scores and landmarks are those of facenet-pytorch's implementation, except in photos that a face fills: see
filled.py.
"""

from __future__ import annotations

from typing import Iterable

import numpy as np
import torch
from PIL import Image

from model.detection.boxes import clip, shift, to_squares
from model.detection.filled import is_filled, merge, with_border
from model.detection.integral_image import IntegralImage
from model.detection.mtcnn import Networks
from model.detection.nms import nms, overlap
from model.face import Box, Face
from model.photo import Photo

PYRAMID_FACTOR = 0.709  # between the scales of two levels
CANDIDATE_THRESHOLD, REFINED_THRESHOLD, FACE_THRESHOLD = 0.6, 0.7, 0.7  # min_score of P-, R- and O-Net
LEVEL_NMS_THRESHOLD, NMS_THRESHOLD = 0.5, 0.7  # overlap, within one level and between all boxes
LARGEST_SIDE = 512  # pixels. Time grows with them, and a face of 4 % of the longer side still has 20 pixels
SMALLEST_FACE = 20  # pixels of the photo at full resolution
SMALLEST_SHARE = 0.04  # of the photo's longer side
FILLED_SIDE = 250  # pixels, longer side of a filled photo before its border. Its face still has 100 pixels
SAME_FACE = 0.6  # overlap with the best result from which another one shows the same face


class Detector:
    """MTCNN's cascade of three networks over an image pyramid.

    Holds 2 MB of weights and no state between calls, so one instance is enough for a process.

    Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks", 2016,
    https://arxiv.org/abs/1604.02878.
    """

    def __init__(self) -> None:
        self._networks = Networks()

    def detect(self, photo: Photo) -> list[Face]:
        """Return all faces in a photo, largest first, with boxes and landmarks in pixels of the photo.

        A face is found if it has at least SMALLEST_FACE pixels and SMALLEST_SHARE of the photo's longer side.

        Raises UnreadableImage.
        """
        smallest = max(SMALLEST_FACE, SMALLEST_SHARE * photo.longer_side)
        image = _downscale(photo.preview(), LARGEST_SIDE)
        boxes, scores, landmarks = self._results(image, smallest * max(image.size) / photo.longer_side)
        kept = nms(boxes, scores, NMS_THRESHOLD, by_min_area=True)
        faces = _faces(photo, image, boxes[kept], scores[kept], landmarks[kept])
        if is_filled(photo, faces):
            faces = _largest_first(merge(photo, faces, self._detect_in_border(photo, faces)))
        return faces

    def _detect_in_border(self, photo: Photo, faces: list[Face]) -> list[Face]:
        """Detect large faces in a photo with a border. faces: those found without it, largest first."""
        image = _downscale(photo.preview(), FILLED_SIDE)
        face = max(faces[0].box.width, faces[0].box.height) if faces else photo.longer_side
        bordered, border = with_border(image)
        # Only sizes near that of the face, which is fast. The box found without border may be twice too large.
        smallest = max(SMALLEST_FACE, face / 2 * max(image.size) / photo.longer_side)
        boxes, scores, landmarks = self._results(bordered, smallest)
        kept = nms(boxes, scores, NMS_THRESHOLD, by_min_area=True)
        # The mean of all results for a face is more precise than the best one, which rounding selects.
        weights = (overlap(boxes[kept], boxes) > SAME_FACE) * scores
        weights /= weights.sum(axis=1, keepdims=True)
        boxes, landmarks = weights @ boxes, np.einsum("kn,nij->kij", weights, landmarks)
        return _faces(photo, image, boxes - border, scores[kept], landmarks - border)

    def _results(self, image: Image.Image, smallest: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Run the cascade -> boxes [N, 4], scores [N], landmarks [N, 5, 2] XY, several for a clear face.

        smallest: side of the smallest face. All in pixels of the image.
        """
        with torch.no_grad():
            integral = IntegralImage(image)
            boxes = self._refine(integral, self._propose(integral, smallest))
            return self._locate(integral, boxes)

    def _propose(self, integral: IntegralImage, smallest: float) -> np.ndarray:
        """Run P-Net over an image pyramid -> square boxes that may contain a face, float32 [N, 4] XYXY.

        smallest: side of the smallest face, in pixels of the image.
        """
        levels = [np.zeros((0, 10), np.float32)]  # rows: box, score, offsets, number of the level
        scale = 12 / smallest  # P-Net's input is 12 x 12 pixels
        while min(integral.height, integral.width) * scale >= 12:
            level = integral.level(int(integral.height * scale + 1), int(integral.width * scale + 1))
            rows, columns, scores, offsets = self._networks.propose(level, CANDIDATE_THRESHOLD)
            corner = 2 * np.stack([columns, rows], axis=1).astype(np.float32)  # P-Net's stride is 2
            boxes = np.floor(np.concatenate([corner + 1, corner + 12], axis=1) / scale)
            levels.append(np.column_stack([boxes, scores, offsets, np.full(len(scores), len(levels), np.float32)]))
            scale *= PYRAMID_FACTOR
        candidates = np.concatenate(levels)
        # Boxes suppress each other within their level first. An offset between the levels does that in a single call.
        level_offset = candidates[:, 9:] * (2 * LARGEST_SIDE)
        candidates = candidates[nms(candidates[:, :4] + level_offset, candidates[:, 4], LEVEL_NMS_THRESHOLD)]
        candidates = candidates[nms(candidates[:, :4], candidates[:, 4], NMS_THRESHOLD)]
        return to_squares(shift(candidates[:, :4], candidates[:, 5:9], inclusive=0))

    def _refine(self, integral: IntegralImage, boxes: np.ndarray) -> np.ndarray:
        """Reject most boxes with R-Net and move the others: [N, 4] -> square boxes [M, 4]."""
        edges, inside = clip(boxes, integral.width, integral.height)
        if not len(inside):
            return boxes[inside]
        scores, offsets = self._networks.refine(integral.patches(edges, 24))
        good = np.flatnonzero(scores > REFINED_THRESHOLD)
        good = good[nms(boxes[inside[good]], scores[good], NMS_THRESHOLD)]
        return to_squares(shift(boxes[inside[good]], offsets[good]))

    def _locate(self, integral: IntegralImage, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Decide with O-Net and locate the landmarks: [N, 4] -> boxes [M, 4], scores [M], landmarks [M, 5, 2] XY."""
        edges, inside = clip(boxes, integral.width, integral.height)
        if not len(inside):
            return boxes[inside], np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32)
        scores, offsets, points = self._networks.locate(integral.patches(edges, 48))
        good = np.flatnonzero(scores > FACE_THRESHOLD)
        boxes, scores, offsets = boxes[inside[good]], scores[good], offsets[good]
        sides = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]
        landmarks = boxes[:, None, :2] - 1 + points[good].reshape(-1, 2, 5).transpose(0, 2, 1) * sides
        return shift(boxes, offsets), scores, landmarks


def _faces(
    photo: Photo, image: Image.Image, boxes: np.ndarray, scores: np.ndarray, landmarks: np.ndarray
) -> list[Face]:
    """Convert results in pixels of a scaled image of a photo: boxes [N, 4], scores [N], landmarks [N, 5, 2]."""
    scale = np.array([photo.width / image.width, photo.height / image.height], dtype=np.float32)
    boxes, landmarks = boxes * np.tile(scale, 2), landmarks * scale
    return _largest_first(
        Face(Box(*(float(edge) for edge in box)), float(score), points.astype(float))
        for box, score, points in zip(boxes, scores, landmarks)
    )


def _largest_first(faces: Iterable[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: -face.box.area)


def _downscale(image: Image.Image, side: int) -> Image.Image:
    """Scale an image down to `side` pixels on its longer side, by a whole factor first because that is fast."""
    factor = max(image.size) // side
    if factor > 1:
        image = image.reduce(factor)
    scale = side / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # As sharp as Pillow's BOX filter, but without its local dislocations, which MTCNN can mistake for a face.
    return image.resize(size, Image.Resampling.HAMMING)
