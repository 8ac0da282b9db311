"""MobileFaceNet: crops aligned by landmarks -> embeddings of 192 numbers.

Chen et al., "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices", 2018,
https://arxiv.org/abs/1804.07573. Training and serving run this code, on the weights that a model file contains.

In torch 1.5 PReLU takes as long as the convolutions, so it is written as a maximum of two tensors. That is right for
slopes up to 1 only. Where a slope is above 1, the weights of the channel are negated when they are loaded, and so are
those by which the next layer reads it: min(x, a x) = -max(-x, a (-x)).
"""

from __future__ import annotations

from typing import Mapping, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

EMBEDDING = 192
BATCH = 4  # crops at a time. More take more memory, 25 MB for each, and more time
STRIDES = (2, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1)  # of the bottlenecks, those with stride 1 are residual


class _Layer(NamedTuple):
    """A convolution and the PReLU after it. slope: [1, C, 1, 1], None for a linear layer."""

    weight: torch.Tensor
    bias: torch.Tensor
    slope: torch.Tensor | None
    groups: int

    def __call__(self, x: torch.Tensor, stride: int = 1, padding: int = 0) -> torch.Tensor:
        x = F.conv2d(x, self.weight, self.bias, stride, padding, 1, self.groups)
        if self.slope is None:
            return x
        scaled = x * self.slope
        return torch.max(x, scaled, out=scaled)


class MobileFaceNet:
    """The network in float32, BatchNorm folded into the convolutions."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        """weights: for layer i `weight_i` [out, in / groups, h, w], `bias_i` [out] and, unless it is linear, `prelu_i`
        [out], the slopes. Raises KeyError, ValueError where they are another network's.
        """
        self._layers = _load(weights)

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """uint8 crops [N, 112, 112, 3] RGB (`landmark_crop`) -> float32 [N, 192] of length 1."""
        parts = [self._embed(crops[start : start + BATCH]) for start in range(0, len(crops), BATCH)]
        return np.concatenate([np.zeros((0, EMBEDDING), np.float32), *parts])

    def _embed(self, crops: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            x = torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))
            x = self._forward((x.float() - 127.5) / 128)
            embeddings: np.ndarray = F.normalize(x, dim=1).numpy()
        return embeddings

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, 3, 112, 112] -> [N, 192]. The comments give C x H x W."""
        layers = iter(self._layers)
        x = next(layers)(_pad(x), stride=2)  # 64 x 56 x 56
        x = next(layers)(x, padding=1)
        x = next(layers)(x)
        for stride in STRIDES:  # 64 x 28 x 28, 128 x 14 x 14, 128 x 7 x 7
            y = next(layers)(x)
            y = next(layers)(_pad(y), stride=2) if stride == 2 else next(layers)(y, padding=1)
            y = next(layers)(y)
            x = y if stride == 2 else y.add_(x)
        for layer in layers:  # 512 x 7 x 7, then 512 x 1 x 1
            x = layer(x)
        return x.flatten(1)


def _pad(x: torch.Tensor) -> torch.Tensor:
    """Pad as TensorFlow does for stride 2 on even sizes: one row and one column, at the end only."""
    return F.pad(x, (0, 1, 0, 1))


def _load(weights: Mapping[str, np.ndarray]) -> list[_Layer]:
    count = sum(name.startswith("weight_") for name in weights)
    layers = []
    sign = np.ones(1, np.float32)  # of the channels that the layer reads
    for i in range(count):
        weight, bias = (weights[f"{name}_{i}"].astype(np.float32) for name in ("weight", "bias"))
        depthwise = weight.shape[1] == 1
        weight = weight * (sign[:, None, None, None] if depthwise else sign[None, :, None, None])
        slope = None
        if f"prelu_{i}" in weights:
            slopes = weights[f"prelu_{i}"].astype(np.float32)
            sign = np.where(slopes > 1, -1, 1).astype(np.float32)
            weight, bias = weight * sign[:, None, None, None], bias * sign
            slope = torch.from_numpy(slopes.reshape(1, -1, 1, 1))
        else:
            sign = np.ones(len(bias), np.float32)
        groups = len(bias) if depthwise else 1
        layers.append(_Layer(torch.from_numpy(weight), torch.from_numpy(bias), slope, groups))
    if count != 3 + 3 * len(STRIDES) + 4 or weight.shape[0] != EMBEDDING:
        raise ValueError("these are not the weights of this MobileFaceNet")
    return layers
