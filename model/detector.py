"""Find faces in a photo: MTCNN, with the weights that facenet-pytorch ships.

Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks", 2016,
https://arxiv.org/abs/1604.02878. Three small networks, each looking closer at what the one before let through. The
boxes are those of facenet-pytorch's MTCNN; that package is read for its weights but never imported, because importing
it takes torchvision with it.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import os
from pathlib import Path
from typing import Dict

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from model.faces import Box, Face

PYRAMID_FACTOR = 0.709
CANDIDATE_THRESHOLD, REFINED_THRESHOLD, FACE_THRESHOLD = 0.6, 0.7, 0.7
LARGEST_SIDE = 640  # pixels: the cost follows them, and a face of 4 % of the longer side still has 25 of them
SMALLEST_FACE = 20  # pixels of the photo as given
SMALLEST_SHARE = 0.04  # of the photo's longer side

# torch 1.5 keeps what it has prepared for each shape that a convolution has met, up to 1,024 of them, and photos and
# groups of faces come in all shapes: half a gigabyte after a few hundred photos. Read when the first convolution runs.
os.environ.setdefault("LRU_CACHE_CAPACITY", "64")

Weights = Dict[str, torch.Tensor]


def _weights(name: str) -> Weights:
    """The state dict of facenet-pytorch's `pnet`, `rnet` or `onet`."""
    package = importlib.util.find_spec("facenet_pytorch")
    if package is None or package.origin is None:
        raise ImportError("facenet-pytorch is not installed: the face detector's weights come with it")
    weights: Weights = torch.load(Path(package.origin).parent / "data" / f"{name}.pt", map_location="cpu")
    return weights


# torch 1.5's own PReLU and max pooling are several times slower than the same in elementary operations, which give the
# same bits: with these a face is found in three quarters of the time.


def _prelu(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """[N, C, ...] with one slope for each channel."""
    slope = slope.view(1, -1, *[1] * (x.dim() - 2))
    return x.clamp(min=0).add_(x.clamp(max=0).mul_(slope))


def _pool(x: torch.Tensor, size: int) -> torch.Tensor:
    """Max pooling with stride 2 in which the last window may reach over the edge. [N, C, H, W], size 2 or 3."""
    for dim in (2, 3):
        windows = -(-(x.shape[dim] - size) // 2) + 1
        beyond = 2 * (windows - 1) + size - x.shape[dim]
        if beyond > 0:
            x = F.pad(x, (0, 0, 0, beyond) if dim == 2 else (0, beyond), value=-math.inf)
        end = 2 * windows - 1
        shifted = [x[:, :, i : i + end : 2] if dim == 2 else x[:, :, :, i : i + end : 2] for i in range(size)]
        x = functools.reduce(torch.max, shifted)
    return x


def _conv(x: torch.Tensor, weights: Weights, number: int) -> torch.Tensor:
    x = F.conv2d(x, weights[f"conv{number}.weight"], weights[f"conv{number}.bias"])
    return _prelu(x, weights[f"prelu{number}.weight"])


def _dense(x: torch.Tensor, weights: Weights, name: str) -> torch.Tensor:
    return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _flat(x: torch.Tensor) -> torch.Tensor:
    """The weights were converted from Caffe, whose order is width, height, channel."""
    return x.permute(0, 3, 2, 1).reshape(x.shape[0], -1)


def _propose(x: torch.Tensor, weights: Weights) -> tuple[torch.Tensor, torch.Tensor]:
    """P-Net, fully convolutional. [1, 3, H, W] -> box offsets [4, h, w] and probability of a face [h, w]."""
    x = _pool(_conv(x, weights, 1), 2)
    x = _conv(_conv(x, weights, 2), weights, 3)
    logits = F.conv2d(x, weights["conv4_1.weight"], weights["conv4_1.bias"])
    offsets = F.conv2d(x, weights["conv4_2.weight"], weights["conv4_2.bias"])
    return offsets[0], F.softmax(logits, dim=1)[0, 1]


def _refine(x: torch.Tensor, weights: Weights) -> tuple[torch.Tensor, torch.Tensor]:
    """R-Net. [N, 3, 24, 24] -> box offsets [N, 4] and probability of a face [N]."""
    x = _pool(_conv(x, weights, 1), 3)
    x = _pool(_conv(x, weights, 2), 3)
    x = _flat(_conv(x, weights, 3))
    x = _prelu(_dense(x, weights, "dense4"), weights["prelu4.weight"])
    return _dense(x, weights, "dense5_2"), F.softmax(_dense(x, weights, "dense5_1"), dim=1)[:, 1]


def _locate(x: torch.Tensor, weights: Weights) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """O-Net. [N, 3, 48, 48] -> box offsets [N, 4], probability of a face [N], landmarks [N, 10] (5 x, then 5 y)."""
    x = _pool(_conv(x, weights, 1), 3)
    x = _pool(_conv(x, weights, 2), 3)
    x = _pool(_conv(x, weights, 3), 2)
    x = _flat(_conv(x, weights, 4))
    x = _prelu(_dense(x, weights, "dense5"), weights["prelu5.weight"])
    confidence = F.softmax(_dense(x, weights, "dense6_1"), dim=1)[:, 1]
    return _dense(x, weights, "dense6_2"), confidence, _dense(x, weights, "dense6_3")


def suppress(boxes: np.ndarray, scores: np.ndarray, threshold: float, by_smaller: bool = False) -> np.ndarray:
    """Non-maximum suppression: indices of the boxes to keep, best first.

    boxes: [N, 4] XYXY; scores: [N]. Of two boxes that overlap by more than `threshold` the better one stays. Overlap
    is intersection over union, or over the smaller box's area with `by_smaller`.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.argsort(-scores, kind="stable")
    keep: list[int] = []
    while order.size:
        best, order = order[0], order[1:]
        keep.append(best)
        sides = np.minimum(boxes[best, 2:], boxes[order, 2:]) - np.maximum(boxes[best, :2], boxes[order, :2])
        shared = np.clip(sides, 0, None).prod(axis=1)
        whole = np.minimum(areas[best], areas[order]) if by_smaller else areas[best] + areas[order] - shared
        order = order[shared <= threshold * whole]
    return np.array(keep, dtype=np.int64)


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


def _patches(image: torch.Tensor, boxes: np.ndarray, size: int) -> tuple[torch.Tensor, np.ndarray]:
    """The boxes' contents, [M, 3, size, size], and which of the N boxes have any. image: [1, 3, H, W]."""
    height, width = image.shape[2:]
    edges = np.trunc(boxes).astype(np.int64)
    left, top = np.maximum(edges[:, 0], 1) - 1, np.maximum(edges[:, 1], 1) - 1
    right, bottom = np.minimum(edges[:, 2], width), np.minimum(edges[:, 3], height)
    inside = np.flatnonzero((right > left) & (bottom > top))
    patches = [
        F.interpolate(image[:, :, top[i] : bottom[i], left[i] : right[i]], size=(size, size), mode="area")
        for i in inside
    ]
    return (torch.cat(patches) if patches else image.new_zeros(0, 3, size, size)), inside


class Detector:
    """MTCNN. Holds 2 MB of weights and no state: one is enough for a process."""

    def __init__(self) -> None:
        self._pnet, self._rnet, self._onet = _weights("pnet"), _weights("rnet"), _weights("onet")

    def detect(self, photo: Image.Image) -> list[Face]:
        """All faces in an upright RGB photo, largest first; boxes and landmarks in the photo's pixels.

        A face is found from 20 pixels and from 4 % of the photo's longer side.
        """
        longer = max(photo.size)
        smallest = max(SMALLEST_FACE, SMALLEST_SHARE * longer)
        shrink = min(1.0, LARGEST_SIDE / longer)
        if shrink < 1:
            size = (max(1, round(photo.width * shrink)), max(1, round(photo.height * shrink)))
            image = photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        else:
            image = photo
        scale = np.array([photo.width / image.width, photo.height / image.height], dtype=np.float32)

        with torch.no_grad():
            # P-, R- and O-Net all take pixels in [-1, 1]: normalising once serves the pyramid and the patches alike.
            pixels = (torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() - 127.5) / 128
            boxes = self._candidates(pixels, smallest * shrink)
            boxes = self._refined(pixels, boxes)
            boxes, scores, landmarks = self._located(pixels, boxes)

        boxes, landmarks = boxes * np.tile(scale, 2), landmarks * scale
        faces = [
            Face(Box(*(float(edge) for edge in box)), float(score), points.astype(float))
            for box, score, points in zip(boxes, scores, landmarks)
        ]
        return sorted(faces, key=lambda face: -face.box.area)

    def _candidates(self, pixels: torch.Tensor, smallest: float) -> np.ndarray:
        """P-Net over an image pyramid. [1, 3, H, W] -> squares [N, 4] that may hold a face."""
        height, width = pixels.shape[2:]
        found = [np.zeros((0, 4), np.float32)]
        probabilities = [np.zeros(0, np.float32)]
        moves = [np.zeros((0, 4), np.float32)]
        scale = 12 / smallest  # P-Net sees 12 x 12 pixels
        while min(height, width) * scale >= 12:
            size = (int(height * scale + 1), int(width * scale + 1))
            offsets, probability = _propose(F.interpolate(pixels, size=size, mode="area"), self._pnet)
            rows, columns = np.nonzero(probability.numpy() >= CANDIDATE_THRESHOLD)
            corner = 2 * np.stack([columns, rows], axis=1).astype(np.float32)  # P-Net's stride is 2
            boxes = np.floor(np.concatenate([corner + 1, corner + 12], axis=1) / scale)
            scores = probability.numpy()[rows, columns]
            keep = suppress(boxes, scores, 0.5)
            found.append(boxes[keep])
            probabilities.append(scores[keep])
            moves.append(offsets.numpy()[:, rows, columns].T[keep])
            scale *= PYRAMID_FACTOR
        boxes, scores = np.concatenate(found), np.concatenate(probabilities)
        keep = suppress(boxes, scores, 0.7)
        return _square(_shift(boxes[keep], np.concatenate(moves)[keep], inclusive=0))

    def _refined(self, pixels: torch.Tensor, boxes: np.ndarray) -> np.ndarray:
        """R-Net throws out most candidates and moves the rest. [N, 4] -> [M, 4] squares."""
        patches, inside = _patches(pixels, boxes, 24)
        if not len(inside):
            return boxes[inside]
        offsets, scores = (out.numpy() for out in _refine(patches, self._rnet))
        good = np.flatnonzero(scores > REFINED_THRESHOLD)
        good = good[suppress(boxes[inside[good]], scores[good], 0.7)]
        return _square(_shift(boxes[inside[good]], offsets[good]))

    def _located(self, pixels: torch.Tensor, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """O-Net decides and places the landmarks. [N, 4] -> boxes [M, 4], scores [M], landmarks [M, 5, 2] XY."""
        patches, inside = _patches(pixels, boxes, 48)
        if not len(inside):
            return boxes[inside], np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32)
        offsets, scores, points = (out.numpy() for out in _locate(patches, self._onet))
        good = np.flatnonzero(scores > FACE_THRESHOLD)
        boxes, scores, offsets = boxes[inside[good]], scores[good], offsets[good]
        sides = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]
        landmarks = boxes[:, None, :2] - 1 + points[good].reshape(-1, 2, 5).transpose(0, 2, 1) * sides
        boxes = _shift(boxes, offsets)
        keep = suppress(boxes, scores, 0.7, by_smaller=True)
        return boxes[keep], scores[keep], landmarks[keep]
