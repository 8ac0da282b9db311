"""Means over many rectangles of a photo, each from four numbers of its integral image.

Crow, "Summed-area tables for texture mapping", SIGGRAPH 1984. The means are those of PyTorch's `mode="area"`: a pixel
of the output is the mean of all pixels that it touches.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image


class IntegralImage:
    """Scales a photo, or many parts of it. What comes out is float32 RGB, pixels in [-1, 1]."""

    def __init__(self, photo: Image.Image) -> None:
        pixels = torch.from_numpy(np.array(photo))
        self.height, self.width = pixels.shape[:2]
        sums = torch.zeros(self.height + 1, self.width + 1, 3, dtype=torch.int32)
        sums[1:, 1:] = pixels.int().cumsum(1, dtype=torch.int32)
        rows = sums.numpy().reshape(self.height + 1, -1)
        for row in range(2, self.height + 1):  # a row at a time is twice as fast as cumsum(0)
            rows[row] += rows[row - 1]
        # Whole levels are read faster with the colours level_offset, patches with them together.
        self._planes = sums.permute(2, 0, 1).contiguous()
        self._pixels = sums.view(-1, 3)

    def level(self, height: int, width: int) -> torch.Tensor:
        """All of the photo. -> [1, 3, height, width]."""
        top, bottom = (torch.from_numpy(edge) for edge in _bins(self.height, height))
        left, right = (torch.from_numpy(edge) for edge in _bins(self.width, width))
        rows = self._planes.index_select(1, bottom) - self._planes.index_select(1, top)
        sums = rows.index_select(2, right) - rows.index_select(2, left)
        return _normalised(sums, (bottom - top)[:, None], right - left)[None]

    def patches(self, boxes: np.ndarray, size: int) -> torch.Tensor:
        """boxes: int [N, 4], XYXY edges within the photo, none of them empty. -> [N, 3, size, size]."""
        left, right = _bins(boxes[:, 2] - boxes[:, 0], size) + boxes[:, None, 0]
        top, bottom = _bins(boxes[:, 3] - boxes[:, 1], size) + boxes[:, None, 1]

        def above_left(y: np.ndarray, x: np.ndarray) -> torch.Tensor:
            places = y[:, :, None] * (self.width + 1) + x[:, None, :]
            return self._pixels.index_select(0, torch.from_numpy(places.ravel()))

        sums = above_left(bottom, right) - above_left(top, right) - above_left(bottom, left) + above_left(top, left)
        heights, widths = (torch.from_numpy(ends - starts) for starts, ends in ((top, bottom), (left, right)))
        sums = sums.view(-1, size, size, 3).permute(0, 3, 1, 2)
        return _normalised(sums, heights[:, None, :, None], widths[:, None, None, :])


def _bins(length: int | np.ndarray, count: int) -> np.ndarray:
    """Edges of `count` bins that cover the length, or each of N lengths. -> int [2, count] or [2, N, count]."""
    edges = np.arange(count + 1) * np.asarray(length)[..., None]
    return np.stack([edges[..., :-1] // count, -(-edges[..., 1:] // count)])


def _normalised(sums: torch.Tensor, heights: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    # In the order of PyTorch and facenet-pytorch, so that not even rounding differs: see model/detection/mtcnn.py.
    return sums.float().div_(widths.float()).div_(heights.float()).sub_(127.5).mul_(1 / 128)
