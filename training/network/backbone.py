"""InceptionResnetV1 without its head: a crop in, 1792 features out.

Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning", 2016,
https://arxiv.org/abs/1602.07261, with the layer names and the VGGFace2 weights of facenet-pytorch (20180402-114759).

The network is written once, over an arithmetic that says what a convolution is: in floating point here, watched by
observers or in int8 in `training.network.quantize`. BatchNorm is folded into the convolutions, which changes
nothing: the
trunk stays frozen.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, NamedTuple, Protocol, Sequence, Tuple

import torch
import torch.nn.functional as F

PRETRAINED = "20180402-114759-vggface2"  # identifies the weights, however they are stored
WEIGHTS_URL = f"https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/{PRETRAINED}.pt"
FEATURES = 1792
EMBEDDING = 512
BATCHNORM_EPS = 1e-3

State = Dict[str, torch.Tensor]
Pair = Tuple[int, int]


class Conv(NamedTuple):
    """One convolution with everything that follows from the weights folded in. weight: [out, in, h, w]."""

    weight: torch.Tensor
    bias: torch.Tensor
    stride: Pair
    padding: Pair
    relu: bool


class Backend(Protocol):
    """What the network is computed in. Tensors are [N, C, H, W]; `name` names the layer whose output it is."""

    def input(self, crops: torch.Tensor) -> torch.Tensor:
        """uint8 crops [N, 3, 160, 160] RGB -> normalised network input."""

    def conv(self, x: torch.Tensor, name: str) -> torch.Tensor: ...

    def cat(self, xs: Sequence[torch.Tensor], name: str) -> torch.Tensor: ...

    def add(self, x: torch.Tensor, y: torch.Tensor, name: str, relu: bool) -> torch.Tensor: ...

    def output(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] -> float32 mean over the picture, [N, C]."""


def load_pretrained() -> State:
    """The VGGFace2 state dict of facenet-pytorch, from TORCH_HOME where it is, else downloaded there (107 MB)."""
    home = os.getenv("TORCH_HOME") or os.path.join(os.getenv("XDG_CACHE_HOME", "~/.cache"), "torch")
    folder = Path(home).expanduser() / "checkpoints"
    state: State = torch.hub.load_state_dict_from_url(WEIGHTS_URL, model_dir=str(folder), map_location="cpu")
    return {name: tensor.float() for name, tensor in state.items()}


def _geometry() -> dict[str, tuple[Pair, Pair]]:
    """Stride and padding of the convolutions that have any; the others have stride 1 and no padding."""
    one, two, none = (1, 1), (2, 2), (0, 0)
    geometry = {
        "conv2d_1a": (two, none),
        "conv2d_2b": (one, one),
        "conv2d_4b": (two, none),
        "mixed_6a.branch0": (two, none),
        "mixed_6a.branch1.1": (one, one),
        "mixed_6a.branch1.2": (two, none),
        "mixed_7a.branch0.1": (two, none),
        "mixed_7a.branch1.1": (two, none),
        "mixed_7a.branch2.1": (one, one),
        "mixed_7a.branch2.2": (two, none),
    }
    for i in range(5):
        for layer in ("branch1.1", "branch2.1", "branch2.2"):
            geometry[f"repeat_1.{i}.{layer}"] = (one, one)
    for i in range(10):
        geometry[f"repeat_2.{i}.branch1.1"] = (one, (0, 3))
        geometry[f"repeat_2.{i}.branch1.2"] = (one, (3, 0))
    for block in [f"repeat_3.{i}" for i in range(5)] + ["block8"]:
        geometry[f"{block}.branch1.1"] = (one, (0, 1))
        geometry[f"{block}.branch1.2"] = (one, (1, 0))
    return geometry


def _residual_scale(name: str) -> float:
    return {"repeat_1": 0.17, "repeat_2": 0.10, "repeat_3": 0.20}.get(name.split(".")[0], 1.0)


def fold(state: State) -> dict[str, Conv]:
    """The state dict's convolutions by layer name, in order, BatchNorm and residual scales folded into them."""
    geometry = _geometry()
    convs: dict[str, Conv] = {}
    for key, weight in state.items():
        if not key.endswith(("conv.weight", "conv2d.weight")):
            continue
        if key.endswith(".conv2d.weight"):  # the 1x1 convolution that closes a residual block: no BatchNorm, no ReLU
            name = key[: -len(".weight")]
            scale = _residual_scale(name)
            convs[name] = Conv(weight * scale, state[f"{name}.bias"] * scale, (1, 1), (0, 0), relu=False)
            continue
        name = key[: -len(".conv.weight")]
        gain = state[f"{name}.bn.weight"] / torch.sqrt(state[f"{name}.bn.running_var"] + BATCHNORM_EPS)
        bias = state[f"{name}.bn.bias"] - state[f"{name}.bn.running_mean"] * gain
        stride, padding = geometry.get(name, ((1, 1), (0, 0)))
        convs[name] = Conv(weight * gain[:, None, None, None], bias, stride, padding, relu=True)
    return convs


def parameters(state: State, classes: int) -> int:
    """Parameters of the network that is trained: the trunk as published, Linear(1792, 512), Linear(512, classes)."""
    trunk: int = sum(
        tensor.numel()
        for name, tensor in state.items()
        if not name.startswith(("last_", "logits")) and "running" not in name and "num_batches" not in name
    )
    return trunk + FEATURES * EMBEDDING + (EMBEDDING + 1) * classes


def pretrained_layer(state: State) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight [512, 1792] and bias [512] of the published network's last layer, BatchNorm folded into it."""
    gain = state["last_bn.weight"] / torch.sqrt(state["last_bn.running_var"] + BATCHNORM_EPS)
    bias = state["last_bn.bias"] - state["last_bn.running_mean"] * gain
    return state["last_linear.weight"] * gain[:, None], bias


def embed_pretrained(state: State, features: torch.Tensor) -> torch.Tensor:
    """Features [N, 1792] -> the published network's embeddings [N, 512], of length 1."""
    return F.normalize(F.linear(features, *pretrained_layer(state)), dim=1)


def normalised(crops: torch.Tensor) -> torch.Tensor:
    """uint8 -> float32 in [-1, 1], as the pretrained network was trained."""
    return (crops.float() - 127.5) / 128


def forward(a: Backend, crops: torch.Tensor) -> torch.Tensor:
    """uint8 crops [N, 3, 160, 160] RGB -> features float32 [N, 1792]. The comments give C x H x W."""
    x = a.input(crops)
    x = a.conv(x, "conv2d_1a")  # 32 x 79 x 79
    x = a.conv(x, "conv2d_2a")
    x = a.conv(x, "conv2d_2b")  # 64 x 77 x 77
    x = F.max_pool2d(x, 3, 2)
    x = a.conv(x, "conv2d_3b")
    x = a.conv(x, "conv2d_4a")
    x = a.conv(x, "conv2d_4b")  # 256 x 17 x 17
    for i in range(5):
        x = _residual(a, x, f"repeat_1.{i}", branches=(1, 2, 3))
    x = _reduction(a, x, "mixed_6a", branches=(1, 3))  # 896 x 8 x 8
    for i in range(10):
        x = _residual(a, x, f"repeat_2.{i}", branches=(1, 3))
    x = _reduction(a, x, "mixed_7a", branches=(2, 2, 3))  # 1792 x 3 x 3
    for i in range(5):
        x = _residual(a, x, f"repeat_3.{i}", branches=(1, 3))
    x = _residual(a, x, "block8", branches=(1, 3), relu=False)
    return a.output(x)


def _branches(a: Backend, x: torch.Tensor, name: str, branches: Sequence[int]) -> list[torch.Tensor]:
    """Side by side chains of convolutions; `branches` gives each chain's length."""
    out = []
    for number, length in enumerate(branches):
        y = x
        for i in range(length):
            y = a.conv(y, f"{name}.branch{number}" + (f".{i}" if length > 1 else ""))
        out.append(y)
    return out


def _residual(a: Backend, x: torch.Tensor, name: str, branches: Sequence[int], relu: bool = True) -> torch.Tensor:
    y = a.cat(_branches(a, x, name, branches), f"{name}.cat")
    return a.add(a.conv(y, f"{name}.conv2d"), x, f"{name}.add", relu)


def _reduction(a: Backend, x: torch.Tensor, name: str, branches: Sequence[int]) -> torch.Tensor:
    return a.cat([*_branches(a, x, name, branches), F.max_pool2d(x, 3, 2)], f"{name}.cat")


class Float:
    """Floating point arithmetic, on whatever device and in whatever precision the convolutions are."""

    def __init__(self, convs: dict[str, Conv]) -> None:
        self.convs = convs

    def input(self, crops: torch.Tensor) -> torch.Tensor:
        weight = self.convs["conv2d_1a"].weight
        return normalised(crops.to(weight.device)).to(weight.dtype)

    def conv(self, x: torch.Tensor, name: str) -> torch.Tensor:
        conv = self.convs[name]
        y = F.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding)
        return F.relu(y) if conv.relu else y

    def cat(self, xs: Sequence[torch.Tensor], name: str) -> torch.Tensor:
        return torch.cat(list(xs), dim=1)

    def add(self, x: torch.Tensor, y: torch.Tensor, name: str, relu: bool) -> torch.Tensor:
        return F.relu(x + y) if relu else x + y

    def output(self, x: torch.Tensor) -> torch.Tensor:
        return x.float().mean(dim=(2, 3))
