"""The three networks of MTCNN, with the weights that facenet-pytorch ships.

Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks", 2016,
https://arxiv.org/abs/1604.02878. facenet-pytorch is read for its weights but never imported, because importing it takes
torchvision with it.

They are so small that max pooling, PReLU and fresh memory cost torch 1.5 more than the convolutions. So both are
written in elementary operations, and each network's first convolution computes even and odd rows and columns apart:
pooling with stride 2 then reads memory as it lies. What comes out is what facenet-pytorch computes, to the last bit:
a clear face has several boxes of nearly the same score, and rounding would decide which of them is returned.
"""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Callable, Dict, NamedTuple, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from model.processor import keep_freed_memory

Weights = Dict[str, torch.Tensor]

BATCH = 128  # patches at a time, which bounds the memory: O-Net takes 0.8 MB for each


class Proposals(NamedTuple):
    """Where P-Net sees a face, N times. rows, columns: of its output; scores: probabilities; offsets: [N, 4]."""

    rows: np.ndarray
    columns: np.ndarray
    scores: np.ndarray
    offsets: np.ndarray


NO_PROPOSALS = Proposals(np.zeros(0, int), np.zeros(0, int), np.zeros(0, np.float32), np.zeros((0, 4), np.float32))


class Networks:
    """P-, R- and O-Net. Each takes float32 RGB, pixels in [-1, 1], and `least`, the probability that lets through."""

    def __init__(self) -> None:
        keep_freed_memory()
        self._pnet, self._rnet, self._onet = _weights("pnet"), _weights("rnet"), _weights("onet")

    def propose(self, x: torch.Tensor, least: float) -> Proposals:
        """P-Net, fully convolutional with stride 2. [1, 3, H, W], at least 12 x 12."""
        weights = self._pnet
        x = _first(x, weights, pooled=2)
        x = _conv(_conv(x, weights, 2), weights, 3)
        columns = x.shape[3]
        x = x[0].flatten(1)
        # The difference of the logits of "face" and "none" tells where it is worth to go on.
        none, face = weights["conv4_1.weight"].flatten(1)
        bias = weights["conv4_1.bias"][1] - weights["conv4_1.bias"][0]
        at = torch.nonzero(torch.mv(x.t(), face - none).add_(bias) >= math.log(least / (1 - least)), as_tuple=True)[0]
        if not len(at):
            return NO_PROPOSALS
        x = x[:, at].view(1, len(x), 1, -1)
        scores = F.softmax(F.conv2d(x, weights["conv4_1.weight"], weights["conv4_1.bias"]), dim=1)[0, 1, 0]
        offsets = F.conv2d(x, weights["conv4_2.weight"], weights["conv4_2.bias"])[0, :, 0].t()
        rows, places = at.numpy() // columns, at.numpy()
        return Proposals(rows, places - rows * columns, scores.numpy(), offsets.numpy())

    def refine(self, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """R-Net. [N, 3, 24, 24] -> probability of a face [N], box offsets [N, 4]."""
        scores, offsets = _in_batches(self._refine, x)
        return scores, offsets

    def locate(self, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """O-Net. [N, 3, 48, 48] -> probability of a face [N], box offsets [N, 4], landmarks [N, 10], 5 x, then 5 y."""
        scores, offsets, points = _in_batches(self._locate, x)
        return scores, offsets, points

    def _refine(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        weights = self._rnet
        x = _first(x, weights, pooled=3)
        x = pool(_conv(x, weights, 2), 3)
        x = _flat(_conv(x, weights, 3))
        x = prelu(_dense(x, weights, "dense4"), weights["prelu4.weight"])
        return F.softmax(_dense(x, weights, "dense5_1"), dim=1)[:, 1], _dense(x, weights, "dense5_2")

    def _locate(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        weights = self._onet
        x = _first(x, weights, pooled=3)
        x = pool(_conv(x, weights, 2), 3)
        x = pool(_conv(x, weights, 3), 2)
        x = _flat(_conv(x, weights, 4))
        x = prelu(_dense(x, weights, "dense5"), weights["prelu5.weight"])
        confidence = F.softmax(_dense(x, weights, "dense6_1"), dim=1)[:, 1]
        return confidence, _dense(x, weights, "dense6_2"), _dense(x, weights, "dense6_3")


def _weights(name: str) -> Weights:
    """The state dict of facenet-pytorch's `pnet`, `rnet` or `onet`, its first convolution made ready for `_first`."""
    package = importlib.util.find_spec("facenet_pytorch")
    if package is None or package.origin is None:
        raise ImportError("facenet-pytorch is not installed: the face detector's weights come with it")
    weights: Weights = torch.load(Path(package.origin).parent / "data" / f"{name}.pt", map_location="cpu")
    kernel = weights["conv1.weight"]
    weights["conv1.weight"] = torch.cat([F.pad(kernel, (x, 1 - x, y, 1 - y)) for y in (0, 1) for x in (0, 1)])
    for key in ("conv1.bias", "prelu1.weight"):
        weights[key] = weights[key].repeat(4)
    # They lie there as Caffe had them, and each use would copy them.
    return {key: weight.contiguous() if weight.dim() == 4 else weight for key, weight in weights.items()}


def _in_batches(network: Callable[[torch.Tensor], Sequence[torch.Tensor]], x: torch.Tensor) -> list[np.ndarray]:
    """What the network makes of N patches, each output [N, ...]."""
    return [torch.cat(parts).numpy() for parts in zip(*(network(batch) for batch in x.split(BATCH)))]


def prelu(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """[N, C, ...] with one slope for each channel."""
    by_channel = slope.view(1, -1, *[1] * (x.dim() - 2))
    if slope.max() > 1:
        return x.clamp(max=0).mul_(by_channel).add_(x.clamp(min=0))
    scaled = x * by_channel
    return torch.max(x, scaled, out=scaled)


def pool(x: torch.Tensor, size: int) -> torch.Tensor:
    """Max pooling with stride 2 in which the last window may reach over the edge. [N, C, H, W], size 2 or 3.

    Writes to `x`.
    """
    x = _pooled(x[:, :, ::2], x[:, :, 1::2], size, dim=2)
    return _pooled(x[:, :, :, ::2], x[:, :, :, 1::2], size, dim=3)


def _pooled(even: torch.Tensor, odd: torch.Tensor, size: int, dim: int) -> torch.Tensor:
    """The same along one dimension, whose even and odd elements are given. Writes to them."""
    if size == 2:
        out, rest = even, odd
    else:
        out = torch.max(even.narrow(dim, 0, odd.shape[dim]), odd)
        rest = even.narrow(dim, 1, even.shape[dim] - 1)
    inside = out.narrow(dim, 0, rest.shape[dim])
    torch.max(inside, rest, out=inside)
    return out


def _first(x: torch.Tensor, weights: Weights, pooled: int) -> torch.Tensor:
    """Convolution of 3 x 3, PReLU and pooling. Its outputs at even and odd rows and columns are channels at first."""
    height, width = x.shape[2] - 2, x.shape[3] - 2
    x = F.pad(x, (0, width % 2, 0, height % 2))
    x = prelu(F.conv2d(x, weights["conv1.weight"], weights["conv1.bias"], stride=2), weights["prelu1.weight"])
    even_even, even_odd, odd_even, odd_odd = x.chunk(4, dim=1)
    even = _pooled(even_even, even_odd[..., : width // 2], pooled, dim=3)
    odd = _pooled(odd_even, odd_odd[..., : width // 2], pooled, dim=3)
    return _pooled(even, odd[:, :, : height // 2], pooled, dim=2)


def _conv(x: torch.Tensor, weights: Weights, number: int) -> torch.Tensor:
    x = F.conv2d(x, weights[f"conv{number}.weight"], weights[f"conv{number}.bias"])
    return prelu(x, weights[f"prelu{number}.weight"])


def _dense(x: torch.Tensor, weights: Weights, name: str) -> torch.Tensor:
    return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _flat(x: torch.Tensor) -> torch.Tensor:
    """The weights were converted from Caffe, whose order is width, height, channel."""
    return x.permute(0, 3, 2, 1).reshape(x.shape[0], -1)
