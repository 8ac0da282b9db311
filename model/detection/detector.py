"""Find faces in a photo: MTCNN (see model/detection/mtcnn.py), with the boxes of facenet-pytorch's."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from model.detection.integral_image import IntegralImage
from model.detection.mtcnn import Networks
from model.face import Box, Face
from model.photo import Photo

PYRAMID_FACTOR = 0.709
CANDIDATE_THRESHOLD, REFINED_THRESHOLD, FACE_THRESHOLD = 0.6, 0.7, 0.7
OVERLAP_IN_LEVEL, OVERLAP = 0.5, 0.7  # by more than which of two boxes only the better one stays
LARGEST_SIDE = 512  # pixels: the cost follows them, and a face of 4 % of the longer side still has 20 of them
SMALLEST_FACE = 20  # pixels of the photo as given
SMALLEST_SHARE = 0.04  # of the photo's longer side
BLOCK = 128  # boxes that are compared with each other at once


def nms(boxes: np.ndarray, scores: np.ndarray, threshold: float, by_smaller: bool = False) -> np.ndarray:
    """Non-maximum suppression: indices of the boxes to keep, best first.

    boxes: [N, 4] XYXY; scores: [N]. Of two boxes that overlap by more than `threshold` the better one stays. Overlap
    is intersection over union; with `by_smaller` over the smaller box's area, last pixels included. Of boxes with the
    same score the last one counts as the best, as in facenet-pytorch: a clear face has several of probability 1.
    """
    order = np.argsort(scores, kind="stable")[::-1] if by_smaller else np.argsort(-scores, kind="stable")
    keep: list[np.ndarray] = []
    while order.size:
        block, order = order[:BLOCK], order[BLOCK:]
        suppressed = _overlap(boxes[block], boxes[block], by_smaller) > threshold
        kept = np.ones(len(block), bool)
        for i in range(len(block)):
            if kept[i]:
                kept[i + 1 :] &= ~suppressed[i, i + 1 :]
        keep.append(block[kept])
        order = order[~(_overlap(boxes[block[kept]], boxes[order], by_smaller) > threshold).any(axis=0)]
    return np.concatenate(keep) if keep else order


def _overlap(some: np.ndarray, others: np.ndarray, by_smaller: bool) -> np.ndarray:
    """[N, 4], [M, 4] -> [N, M], as `suppress` says."""
    if by_smaller:
        some, others = (boxes + np.array([0, 0, 1, 1], np.float32) for boxes in (some, others))
    left, top, right, bottom = some.T[:, :, None]
    others_left, others_top, others_right, others_bottom = np.ascontiguousarray(others.T)
    width = np.minimum(right, others_right) - np.maximum(left, others_left)
    height = np.minimum(bottom, others_bottom) - np.maximum(top, others_top)
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    area = (right - left) * (bottom - top)
    others_area = (others_right - others_left) * (others_bottom - others_top)
    return shared / (np.minimum(area, others_area) if by_smaller else area + others_area - shared)


def _square(boxes: np.ndarray) -> np.ndarray:
    """The squares of the same centre that hold each box. [N, 4] XYXY."""
    size = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True)
    corner = (boxes[:, :2] + boxes[:, 2:] - size) / 2
    return np.concatenate([corner, corner + size], axis=1)


def _shift(boxes: np.ndarray, offsets: np.ndarray, inclusive: int = 1) -> np.ndarray:
    """Boxes moved by the offsets that a network predicted, in units of their sides. Both [N, 4].

    MTCNN was trained with boxes whose last pixel belongs to them, hence `inclusive`, except after P-Net.
    """
    sides = boxes[:, 2:] - boxes[:, :2] + inclusive
    return boxes + offsets * np.concatenate([sides, sides], axis=1)


def _scaled(image: Image.Image) -> Image.Image:
    """Down to LARGEST_SIDE, in whole steps first, which is fast."""
    factor = max(image.size) // LARGEST_SIDE
    if factor > 1:
        image = image.reduce(factor)
    shrink = LARGEST_SIDE / max(image.size)
    if shrink >= 1:
        return image
    size = (max(1, round(image.width * shrink)), max(1, round(image.height * shrink)))
    # As sharp as the mean of what each pixel covers, without its dislocations, in which MTCNN can see a face.
    return image.resize(size, Image.Resampling.HAMMING)


def _inside(boxes: np.ndarray, integral: IntegralImage) -> tuple[np.ndarray, np.ndarray]:
    """What of the boxes lies in the photo, int [M, 4], and which of the N boxes have any of it."""
    edges = np.trunc(boxes).astype(np.int64)
    edges[:, :2] = np.maximum(edges[:, :2], 1) - 1
    edges[:, 2:] = np.minimum(edges[:, 2:], (integral.width, integral.height))
    inside = np.flatnonzero((edges[:, 2:] > edges[:, :2]).all(axis=1))
    return edges[inside], inside


class Detector:
    """MTCNN. Holds 2 MB of weights and no state: one is enough for a process."""

    def __init__(self) -> None:
        self._networks = Networks()

    def detect(self, photo: Photo) -> list[Face]:
        """All faces in an upright RGB photo, largest first; boxes and landmarks in the photo's pixels.

        A face is found from 20 pixels and from 4 % of the photo's longer side.
        """
        smallest = max(SMALLEST_FACE, SMALLEST_SHARE * photo.longer)
        image = _scaled(photo.preview())
        scale = np.array([photo.width / image.width, photo.height / image.height], dtype=np.float32)

        with torch.no_grad():
            integral = IntegralImage(image)
            boxes = self._candidates(integral, smallest * max(image.size) / photo.longer)
            boxes = self._refined(integral, boxes)
            boxes, scores, landmarks = self._located(integral, boxes)

        boxes, landmarks = boxes * np.tile(scale, 2), landmarks * scale
        faces = [
            Face(Box(*(float(edge) for edge in box)), float(score), points.astype(float))
            for box, score, points in zip(boxes, scores, landmarks)
        ]
        return sorted(faces, key=lambda face: -face.box.area)

    def _candidates(self, integral: IntegralImage, smallest: float) -> np.ndarray:
        """P-Net over an image pyramid. -> squares [N, 4] that may hold a face."""
        found = [np.zeros((0, 10), np.float32)]  # box, score, offsets, level
        scale = 12 / smallest  # P-Net sees 12 x 12 pixels
        while min(integral.height, integral.width) * scale >= 12:
            level = integral.level(int(integral.height * scale + 1), int(integral.width * scale + 1))
            rows, columns, scores, offsets = self._networks.propose(level, CANDIDATE_THRESHOLD)
            corner = 2 * np.stack([columns, rows], axis=1).astype(np.float32)  # P-Net's stride is 2
            boxes = np.floor(np.concatenate([corner + 1, corner + 12], axis=1) / scale)
            found.append(np.column_stack([boxes, scores, offsets, np.full(len(scores), len(found), np.float32)]))
            scale *= PYRAMID_FACTOR
        candidates = np.concatenate(found)
        # Those of a level compete with each other first. Far level_offset, levels do so all at once.
        level_offset = candidates[:, 9:] * (2 * LARGEST_SIDE)
        candidates = candidates[nms(candidates[:, :4] + level_offset, candidates[:, 4], OVERLAP_IN_LEVEL)]
        candidates = candidates[nms(candidates[:, :4], candidates[:, 4], OVERLAP)]
        return _square(_shift(candidates[:, :4], candidates[:, 5:9], inclusive=0))

    def _refined(self, integral: IntegralImage, boxes: np.ndarray) -> np.ndarray:
        """R-Net throws out most candidates and moves the rest. [N, 4] -> [M, 4] squares."""
        edges, inside = _inside(boxes, integral)
        if not len(inside):
            return boxes[inside]
        scores, offsets = self._networks.refine(integral.patches(edges, 24))
        good = np.flatnonzero(scores > REFINED_THRESHOLD)
        good = good[nms(boxes[inside[good]], scores[good], OVERLAP)]
        return _square(_shift(boxes[inside[good]], offsets[good]))

    def _located(self, integral: IntegralImage, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """O-Net decides and places the landmarks. [N, 4] -> boxes [M, 4], scores [M], landmarks [M, 5, 2] XY."""
        edges, inside = _inside(boxes, integral)
        if not len(inside):
            return boxes[inside], np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32)
        scores, offsets, points = self._networks.locate(integral.patches(edges, 48))
        good = np.flatnonzero(scores > FACE_THRESHOLD)
        boxes, scores, offsets = boxes[inside[good]], scores[good], offsets[good]
        sides = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]
        landmarks = boxes[:, None, :2] - 1 + points[good].reshape(-1, 2, 5).transpose(0, 2, 1) * sides
        boxes = _shift(boxes, offsets)
        keep = nms(boxes, scores, OVERLAP, by_smaller=True)
        return boxes[keep], scores[keep], landmarks[keep]
