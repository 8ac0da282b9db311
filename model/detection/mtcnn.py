"""The three networks of MTCNN, with the weights that facenet-pytorch ships.

Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks", 2016,
https://arxiv.org/abs/1604.02878. Only the weight files of facenet-pytorch are read. It is never imported, because it
imports torchvision.

The networks are so small that in torch 1.5 max pooling, PReLU and memory allocation take longer than the convolutions.
Therefore pooling and PReLU are written in elementary operations, and the first convolution of each network computes
even and odd rows and columns separately, so that pooling with stride 2 reads contiguous memory. The results equal those
of facenet-pytorch to the last bit: a clear face has several boxes of nearly the same score, and rounding would decide
which of them is returned.
"""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Dict, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from model.processor import keep_freed_memory

Weights = Dict[str, torch.Tensor]

# Patches in the convolutions at a time. O-Net takes 0.8 MB for each, and for 128 of them 1.7 times as long, because
# glibc maps new pages for tensors of more than 32 MB. Only the dense layers round differently for other numbers.
PART = 32


class Proposals(NamedTuple):
    """P-Net's N positions with a face.

    rows, columns: int [N], position in P-Net's output; scores: float32 [N], probability of a face; offsets: float32
    [N, 4], of the box's edges XYXY in units of its sides.
    """

    rows: np.ndarray
    columns: np.ndarray
    scores: np.ndarray
    offsets: np.ndarray


NO_PROPOSALS = Proposals(np.zeros(0, int), np.zeros(0, int), np.zeros(0, np.float32), np.zeros((0, 4), np.float32))


class Networks:
    """P-, R- and O-Net. Inputs are float32 RGB, pixels in [-1, 1]."""

    def __init__(self) -> None:
        keep_freed_memory()
        self._pnet, self._rnet, self._onet = _weights("pnet"), _weights("rnet"), _weights("onet")

    def propose(self, x: torch.Tensor, min_score: float) -> Proposals:
        """Run P-Net, fully convolutional with stride 2, over one image [1, 3, H, W] of at least 12 x 12 pixels.

        min_score: probability of a face from which a position is returned.
        """
        weights = self._pnet
        x = _first_layer(x, weights, pool_size=2)
        x = _conv(_conv(x, weights, 2), weights, 3)
        columns = x.shape[3]
        x = x[0].flatten(1)
        # The difference between the logits of "face" and "no face" selects the positions for the rest of the network.
        no_face, face = weights["conv4_1.weight"].flatten(1)
        bias = weights["conv4_1.bias"][1] - weights["conv4_1.bias"][0]
        min_logit = math.log(min_score / (1 - min_score))
        places = torch.nonzero(torch.mv(x.t(), face - no_face).add_(bias) >= min_logit, as_tuple=True)[0]
        if not len(places):
            return NO_PROPOSALS
        x = x[:, places].view(1, len(x), 1, -1)
        scores = F.softmax(F.conv2d(x, weights["conv4_1.weight"], weights["conv4_1.bias"]), dim=1)[0, 1, 0]
        offsets = F.conv2d(x, weights["conv4_2.weight"], weights["conv4_2.bias"])[0, :, 0].t()
        rows = places.numpy() // columns
        return Proposals(rows, places.numpy() - rows * columns, scores.numpy(), offsets.numpy())

    def refine(self, x: torch.Tensor) -> tuple[np.ndarray, ...]:
        """Run R-Net over patches [N, 3, 24, 24] -> probability of a face [N], box offsets [N, 4]."""
        weights = self._rnet
        x = torch.cat([self._refining_features(part) for part in x.split(PART)])
        x = prelu(_dense(x, weights, "dense4"), weights["prelu4.weight"])
        return F.softmax(_dense(x, weights, "dense5_1"), dim=1)[:, 1].numpy(), _dense(x, weights, "dense5_2").numpy()

    def locate(self, x: torch.Tensor) -> tuple[np.ndarray, ...]:
        """Run O-Net over patches [N, 3, 48, 48].

        Returns the probability of a face [N], box offsets [N, 4] and landmarks [N, 10]: 5 x, then 5 y, in units of the
        box's sides from its upper left corner.
        """
        weights = self._onet
        x = torch.cat([self._locating_features(part) for part in x.split(PART)])
        x = prelu(_dense(x, weights, "dense5"), weights["prelu5.weight"])
        scores = F.softmax(_dense(x, weights, "dense6_1"), dim=1)[:, 1]
        return scores.numpy(), _dense(x, weights, "dense6_2").numpy(), _dense(x, weights, "dense6_3").numpy()

    def _refining_features(self, x: torch.Tensor) -> torch.Tensor:
        x = _first_layer(x, self._rnet, pool_size=3)
        x = pool(_conv(x, self._rnet, 2), 3)
        return _flatten(_conv(x, self._rnet, 3))

    def _locating_features(self, x: torch.Tensor) -> torch.Tensor:
        x = _first_layer(x, self._onet, pool_size=3)
        x = pool(_conv(x, self._onet, 2), 3)
        x = pool(_conv(x, self._onet, 3), 2)
        return _flatten(_conv(x, self._onet, 4))


def _weights(name: str) -> Weights:
    """Load facenet-pytorch's state dict `pnet`, `rnet` or `onet`, the first convolution prepared for `_first_layer`.

    Raises ImportError if facenet-pytorch is not installed.
    """
    package = importlib.util.find_spec("facenet_pytorch")
    if package is None or package.origin is None:
        raise ImportError("facenet-pytorch is not installed, and the face detector's weights are part of it")
    weights: Weights = torch.load(Path(package.origin).parent / "data" / f"{name}.pt", map_location="cpu")
    # Four shifted copies of the 3 x 3 kernel in 4 x 4, for even and odd rows and columns of the output.
    kernel = weights["conv1.weight"]
    weights["conv1.weight"] = torch.cat([F.pad(kernel, (x, 1 - x, y, 1 - y)) for y in (0, 1) for x in (0, 1)])
    for key in ("conv1.bias", "prelu1.weight"):
        weights[key] = weights[key].repeat(4)
    # The kernels are stored in Caffe's memory order, and every use would copy them.
    return {key: weight.contiguous() if weight.dim() == 4 else weight for key, weight in weights.items()}


def prelu(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """PReLU of [N, C, ...] with one slope per channel, [C]. He et al., 2015, https://arxiv.org/abs/1502.01852."""
    by_channel = slope.view(1, -1, *[1] * (x.dim() - 2))
    if slope.max() > 1:
        return x.clamp(max=0).mul_(by_channel).add_(x.clamp(min=0))
    scaled = x * by_channel
    return torch.max(x, scaled, out=scaled)


def pool(x: torch.Tensor, size: int) -> torch.Tensor:
    """Max pooling of [N, C, H, W] with stride 2 and `ceil_mode`; size is 2 or 3. Overwrites `x`."""
    x = _pool_along(x[:, :, ::2], x[:, :, 1::2], size, dim=2)
    return _pool_along(x[:, :, :, ::2], x[:, :, :, 1::2], size, dim=3)


def _pool_along(even: torch.Tensor, odd: torch.Tensor, size: int, dim: int) -> torch.Tensor:
    """Max pooling along one dimension, given its even and odd elements. Overwrites them."""
    if size == 2:
        out, rest = even, odd
    else:
        out = torch.max(even.narrow(dim, 0, odd.shape[dim]), odd)
        rest = even.narrow(dim, 1, even.shape[dim] - 1)
    inside = out.narrow(dim, 0, rest.shape[dim])
    torch.max(inside, rest, out=inside)
    return out


def _first_layer(x: torch.Tensor, weights: Weights, pool_size: int) -> torch.Tensor:
    """3 x 3 convolution, PReLU and max pooling. The convolution puts even and odd rows and columns in own channels."""
    height, width = x.shape[2] - 2, x.shape[3] - 2
    x = F.pad(x, (0, width % 2, 0, height % 2))
    x = prelu(F.conv2d(x, weights["conv1.weight"], weights["conv1.bias"], stride=2), weights["prelu1.weight"])
    even_even, even_odd, odd_even, odd_odd = x.chunk(4, dim=1)
    even = _pool_along(even_even, even_odd[..., : width // 2], pool_size, dim=3)
    odd = _pool_along(odd_even, odd_odd[..., : width // 2], pool_size, dim=3)
    return _pool_along(even, odd[:, :, : height // 2], pool_size, dim=2)


def _conv(x: torch.Tensor, weights: Weights, number: int) -> torch.Tensor:
    x = F.conv2d(x, weights[f"conv{number}.weight"], weights[f"conv{number}.bias"])
    return prelu(x, weights[f"prelu{number}.weight"])


def _dense(x: torch.Tensor, weights: Weights, name: str) -> torch.Tensor:
    return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _flatten(x: torch.Tensor) -> torch.Tensor:
    """Flatten [N, C, H, W] to [N, W * H * C], in Caffe's order, from which the weights were converted."""
    return x.permute(0, 3, 2, 1).reshape(x.shape[0], -1)
