"""Scale an image, or many patches of it, with an integral image: the mean of a rectangle takes four of its entries.

Crow, "Summed-area tables for texture mapping", SIGGRAPH 1984. The result is that of PyTorch's `mode="area"`: an output
pixel is the mean of all input pixels that it touches.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image


class IntegralImage:
    """The integral image of an RGB image. Results are float32 RGB, pixels in [-1, 1]."""

    def __init__(self, image: Image.Image) -> None:
        """Compute the sums over all rectangles that start at the upper left corner."""
        pixels = torch.from_numpy(np.array(image))
        self.height, self.width = pixels.shape[:2]
        sums = torch.zeros(self.height + 1, self.width + 1, 3, dtype=torch.int32)
        sums[1:, 1:] = pixels.int().cumsum(1, dtype=torch.int32)
        rows = sums.numpy().reshape(self.height + 1, -1)
        for row in range(2, self.height + 1):  # adding row by row is twice as fast as cumsum(0)
            rows[row] += rows[row - 1]
        # Levels are read faster from one plane per channel, patches from interleaved channels.
        self._planes = sums.permute(2, 0, 1).contiguous()
        self._pixels = sums.view(-1, 3)

    def level(self, height: int, width: int) -> torch.Tensor:
        """Scale the whole image -> [1, 3, height, width]."""
        top, bottom = (torch.from_numpy(edge) for edge in _bins(self.height, height))
        left, right = (torch.from_numpy(edge) for edge in _bins(self.width, width))
        rows = self._planes.index_select(1, bottom) - self._planes.index_select(1, top)
        sums = rows.index_select(2, right) - rows.index_select(2, left)
        return _normalise(sums, (bottom - top)[:, None], right - left)[None]

    def patches(self, boxes: np.ndarray, size: int) -> torch.Tensor:
        """Scale each box to a square -> [N, 3, size, size].

        boxes: int [N, 4] XYXY with exclusive right and bottom edges, within the image, none of them empty.
        """
        left, right = _bins(boxes[:, 2] - boxes[:, 0], size) + boxes[:, None, 0]
        top, bottom = _bins(boxes[:, 3] - boxes[:, 1], size) + boxes[:, None, 1]

        def sums_up_to(y: np.ndarray, x: np.ndarray) -> torch.Tensor:
            places = y[:, :, None] * (self.width + 1) + x[:, None, :]
            return self._pixels.index_select(0, torch.from_numpy(places.ravel()))

        sums = sums_up_to(bottom, right) - sums_up_to(top, right) - sums_up_to(bottom, left) + sums_up_to(top, left)
        heights, widths = (torch.from_numpy(ends - starts) for starts, ends in ((top, bottom), (left, right)))
        sums = sums.view(-1, size, size, 3).permute(0, 3, 1, 2)
        return _normalise(sums, heights[:, None, :, None], widths[:, None, None, :])


def _bins(length: int | np.ndarray, count: int) -> np.ndarray:
    """Divide a length, or each of N lengths, into `count` bins -> their edges, int [2, count] or [2, N, count].

    Bins overlap by a pixel where a length is not divisible.
    """
    edges = np.arange(count + 1) * np.asarray(length)[..., None]
    return np.stack([edges[..., :-1] // count, -(-edges[..., 1:] // count)])


def _normalise(sums: torch.Tensor, heights: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    """Turn sums over heights x widths pixels of [0, 255] into means in [-1, 1], float32."""
    # The same order of operations as in PyTorch and facenet-pytorch gives the same rounding: see mtcnn.py.
    return sums.float().div_(widths.float()).div_(heights.float()).sub_(127.5).mul_(1 / 128)
