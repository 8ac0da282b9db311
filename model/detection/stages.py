"""The three networks of MTCNN, one after the other on one image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, NamedTuple, Sequence

import numpy as np
import torch
from PIL import Image

from model.detection.boxes import clip, shift, to_squares
from model.detection.integral_image import IntegralImage
from model.detection.mtcnn import Networks
from model.detection.nms import nms
from model.face import Box, Face
from model.photo import Photo

PYRAMID_FACTOR = 0.709  # between the scales of two levels
CANDIDATE_THRESHOLD, REFINED_THRESHOLD, FACE_THRESHOLD = 0.6, 0.7, 0.7  # min_score of P-, R- and O-Net
LEVEL_NMS_THRESHOLD, NMS_THRESHOLD = 0.5, 0.7  # overlap, within one level and between all boxes
WINDOW = 12  # pixels: side of P-Net's input
BATCH = 128  # patches at a time, to limit memory


def _any_box(boxes: np.ndarray) -> np.ndarray:
    return np.ones(len(boxes), bool)


@dataclass(frozen=True)
class Search:
    """Which faces to find in an image, and how carefully.

    smallest, largest: side of the squares that P-Net looks at, in pixels of the image. select: tells which of the
    squares count, float32 [N, 4] XYXY -> bool [N]. candidate_overlap, refined_overlap: of two boxes that overlap by
    more, one is dropped before R-Net and before O-Net.
    """

    smallest: float
    largest: float = math.inf
    select: Callable[[np.ndarray], np.ndarray] = _any_box
    candidate_overlap: float = NMS_THRESHOLD
    refined_overlap: float = NMS_THRESHOLD


class Results(NamedTuple):
    """N boxes that show a face, several for a clear face. In pixels of the searched image.

    boxes: float32 [N, 4] XYXY; scores: float32 [N], probability of a face; landmarks: float32 [N, 5, 2] XY.
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray

    def take(self, rows: np.ndarray) -> Results:
        """Select rows. rows: indices, or bool [N]."""
        return Results(self.boxes[rows], self.scores[rows], self.landmarks[rows])

    def moved(self, x: float, y: float) -> Results:
        """Move everything, in pixels."""
        offset = np.array([x, y], np.float32)
        return Results(self.boxes + np.tile(offset, 2), self.scores, self.landmarks + offset)

    def best(self) -> Results:
        """Select one box for each face, highest score first."""
        return self.take(nms(self.boxes, self.scores, NMS_THRESHOLD, by_min_area=True))

    def faces(self, photo: Photo, image: Image.Image) -> list[Face]:
        """Convert to faces in pixels of a photo. image: the searched image, which is the photo at another scale."""
        scale = np.array([photo.width / image.width, photo.height / image.height], dtype=np.float32)
        boxes, landmarks = self.boxes * np.tile(scale, 2), self.landmarks * scale
        return [
            Face(Box(*(float(edge) for edge in box)), float(score), points.astype(float))
            for box, score, points in zip(boxes, self.scores, landmarks)
        ]


NO_RESULTS = Results(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))


def joined(results: Sequence[Results]) -> Results:
    """Concatenate the results of several images."""
    return Results(*(np.concatenate(parts) for parts in zip(NO_RESULTS, *results)))


class Stages:
    """MTCNN's cascade of three networks. Holds 2 MB of weights and no state between calls."""

    def __init__(self) -> None:
        self._networks = Networks()

    def results(self, image: Image.Image, search: Search) -> Results:
        """Search an RGB image of any size."""
        with torch.no_grad():
            integral = IntegralImage(image)
            boxes = self._refine(integral, self._propose(integral, search), search)
            return self._locate(integral, boxes)

    def _propose(self, integral: IntegralImage, search: Search) -> np.ndarray:
        """Run P-Net over an image pyramid -> square boxes that may contain a face, float32 [N, 4] XYXY."""
        levels = [np.zeros((0, 10), np.float32)]  # rows: box, score, offsets, number of the level
        scale = WINDOW / search.smallest
        while min(integral.height, integral.width) * scale >= WINDOW and search.largest * scale >= WINDOW:
            level = integral.level(int(integral.height * scale + 1), int(integral.width * scale + 1))
            rows, columns, scores, offsets = self._networks.propose(level, CANDIDATE_THRESHOLD)
            corner = 2 * np.stack([columns, rows], axis=1).astype(np.float32)  # P-Net's stride is 2
            boxes = np.floor(np.concatenate([corner + 1, corner + WINDOW], axis=1) / scale)
            levels.append(np.column_stack([boxes, scores, offsets, np.full(len(scores), len(levels), np.float32)]))
            scale *= PYRAMID_FACTOR
        candidates = np.concatenate(levels)
        candidates = candidates[search.select(candidates[:, :4])]
        # Boxes suppress each other within their level first. An offset between the levels does that in a single call.
        level_offset = candidates[:, 9:] * (2 * max(integral.height, integral.width))
        candidates = candidates[nms(candidates[:, :4] + level_offset, candidates[:, 4], LEVEL_NMS_THRESHOLD)]
        candidates = candidates[nms(candidates[:, :4], candidates[:, 4], search.candidate_overlap)]
        return to_squares(shift(candidates[:, :4], candidates[:, 5:9], inclusive=0))

    def _refine(self, integral: IntegralImage, boxes: np.ndarray, search: Search) -> np.ndarray:
        """Reject most boxes with R-Net and move the others: [N, 4] -> square boxes [M, 4]."""
        edges, inside = clip(boxes, integral.width, integral.height)
        if not len(inside):
            return boxes[inside]
        scores, offsets = _in_batches(self._networks.refine, integral, edges, 24)
        good = np.flatnonzero(scores > REFINED_THRESHOLD)
        good = good[nms(boxes[inside[good]], scores[good], search.refined_overlap)]
        return to_squares(shift(boxes[inside[good]], offsets[good]))

    def _locate(self, integral: IntegralImage, boxes: np.ndarray) -> Results:
        """Decide with O-Net and locate the landmarks: square boxes [N, 4] -> M results."""
        edges, inside = clip(boxes, integral.width, integral.height)
        if not len(inside):
            return NO_RESULTS
        scores, offsets, points = _in_batches(self._networks.locate, integral, edges, 48)
        good = np.flatnonzero(scores > FACE_THRESHOLD)
        boxes, scores, offsets = boxes[inside[good]], scores[good], offsets[good]
        sides = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]
        landmarks = boxes[:, None, :2] - 1 + points[good].reshape(-1, 2, 5).transpose(0, 2, 1) * sides
        return Results(shift(boxes, offsets), scores, landmarks)


def _in_batches(
    network: Callable[[torch.Tensor], Sequence[np.ndarray]], integral: IntegralImage, edges: np.ndarray, size: int
) -> list[np.ndarray]:
    """Run a network over the patches of N boxes, int [N, 4], N > 0 -> each of its outputs, [N, ...].

    size: of a patch's side, in pixels.
    """
    parts = [network(integral.patches(edges[start : start + BATCH], size)) for start in range(0, len(edges), BATCH)]
    return [np.concatenate(outputs) for outputs in zip(*parts)]
