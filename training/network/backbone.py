"""InceptionResnetV1 without its head: crops -> 1792 features each.

Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning", 2016,
https://arxiv.org/abs/1602.07261, with the layer names and the VGGFace2 weights of facenet-pytorch (20180402-114759).

The network is written once, in terms of a Backend that implements the layers: in floating point here, with observers or
in int8 in `training.network.quantize`. The backbone is never trained, so BatchNorm is folded into the convolutions.
"""

from __future__ import annotations

from typing import Dict, NamedTuple, Protocol, Sequence, Tuple

import torch
import torch.nn.functional as F

from settings import torch_home_from_env

PRETRAINED = "20180402-114759-vggface2"  # identifies the weights, however they are stored
WEIGHTS_URL = f"https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/{PRETRAINED}.pt"
FEATURES = 1792
EMBEDDING = 512
BATCHNORM_EPS = 1e-3

State = Dict[str, torch.Tensor]
Pair = Tuple[int, int]


class Conv(NamedTuple):
    """One convolution with BatchNorm and residual scale folded in.

    weight: [out, in, h, w]; bias: [out]; stride, padding: (vertical, horizontal); relu: followed by a ReLU.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    stride: Pair
    padding: Pair
    relu: bool


class Backend(Protocol):
    """Implementation of the layers. Tensors are [N, C, H, W]; `name` is the layer's name."""

    def input(self, crops: torch.Tensor) -> torch.Tensor:
        """Normalise crops, uint8 [N, 3, 160, 160] RGB."""

    def conv(self, x: torch.Tensor, name: str) -> torch.Tensor: ...

    def cat(self, xs: Sequence[torch.Tensor], name: str) -> torch.Tensor: ...

    def add(self, x: torch.Tensor, y: torch.Tensor, name: str, relu: bool) -> torch.Tensor: ...

    def output(self, x: torch.Tensor) -> torch.Tensor:
        """Average over height and width: [N, C, H, W] -> float32 [N, C]."""


def load_pretrained() -> State:
    """Load facenet-pytorch's VGGFace2 state dict, float32, from TORCH_HOME. Downloads it first if missing (107 MB)."""
    folder = torch_home_from_env() / "checkpoints"
    state: State = torch.hub.load_state_dict_from_url(WEIGHTS_URL, model_dir=str(folder), map_location="cpu")
    return {name: tensor.float() for name, tensor in state.items()}


def _geometry() -> dict[str, tuple[Pair, Pair]]:
    """Return (stride, padding) by layer name, for the convolutions with a stride above 1 or with padding."""
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
    """Fold BatchNorm and residual scales into the convolutions -> by layer name, in the order of the state dict."""
    geometry = _geometry()
    convs: dict[str, Conv] = {}
    for key, weight in state.items():
        if not key.endswith(("conv.weight", "conv2d.weight")):
            continue
        if key.endswith(".conv2d.weight"):  # the last 1x1 convolution of a residual block: no BatchNorm, no ReLU
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


def count_parameters(state: State, classes: int) -> int:
    """Count the parameters of the trained network: backbone as published, Linear(1792, 512), Linear(512, classes)."""
    backbone: int = sum(
        tensor.numel()
        for name, tensor in state.items()
        if not name.startswith(("last_", "logits")) and "running" not in name and "num_batches" not in name
    )
    return backbone + FEATURES * EMBEDDING + (EMBEDDING + 1) * classes


def pretrained_layer(state: State) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight [512, 1792] and bias [512] of the published network's last layer, BatchNorm folded into it."""
    gain = state["last_bn.weight"] / torch.sqrt(state["last_bn.running_var"] + BATCHNORM_EPS)
    bias = state["last_bn.bias"] - state["last_bn.running_mean"] * gain
    return state["last_linear.weight"] * gain[:, None], bias


def embed_pretrained(state: State, features: torch.Tensor) -> torch.Tensor:
    """Compute the published network's embeddings, [N, 512] of length 1, from features [N, 1792]."""
    return F.normalize(F.linear(features, *pretrained_layer(state)), dim=1)


def normalise(crops: torch.Tensor) -> torch.Tensor:
    """Scale uint8 pixels to float32 in [-1, 1], as in the training of the pretrained network."""
    return (crops.float() - 127.5) / 128


def forward(backend: Backend, crops: torch.Tensor) -> torch.Tensor:
    """Compute the features, float32 [N, 1792], of crops, uint8 [N, 3, 160, 160] RGB."""
    # The comments give C x H x W.
    x = backend.input(crops)
    x = backend.conv(x, "conv2d_1a")  # 32 x 79 x 79
    x = backend.conv(x, "conv2d_2a")
    x = backend.conv(x, "conv2d_2b")  # 64 x 77 x 77
    x = F.max_pool2d(x, 3, 2)
    x = backend.conv(x, "conv2d_3b")
    x = backend.conv(x, "conv2d_4a")
    x = backend.conv(x, "conv2d_4b")  # 256 x 17 x 17
    for i in range(5):
        x = _residual(backend, x, f"repeat_1.{i}", branches=(1, 2, 3))
    x = _reduction(backend, x, "mixed_6a", branches=(1, 3))  # 896 x 8 x 8
    for i in range(10):
        x = _residual(backend, x, f"repeat_2.{i}", branches=(1, 3))
    x = _reduction(backend, x, "mixed_7a", branches=(2, 2, 3))  # 1792 x 3 x 3
    for i in range(5):
        x = _residual(backend, x, f"repeat_3.{i}", branches=(1, 3))
    x = _residual(backend, x, "block8", branches=(1, 3), relu=False)
    return backend.output(x)


def _branches(backend: Backend, x: torch.Tensor, name: str, branches: Sequence[int]) -> list[torch.Tensor]:
    """Run parallel chains of convolutions. branches: number of convolutions in each chain."""
    out = []
    for number, length in enumerate(branches):
        y = x
        for i in range(length):
            y = backend.conv(y, f"{name}.branch{number}" + (f".{i}" if length > 1 else ""))
        out.append(y)
    return out


def _residual(backend: Backend, x: torch.Tensor, name: str, branches: Sequence[int], relu: bool = True) -> torch.Tensor:
    y = backend.cat(_branches(backend, x, name, branches), f"{name}.cat")
    return backend.add(backend.conv(y, f"{name}.conv2d"), x, f"{name}.add", relu)


def _reduction(backend: Backend, x: torch.Tensor, name: str, branches: Sequence[int]) -> torch.Tensor:
    return backend.cat([*_branches(backend, x, name, branches), F.max_pool2d(x, 3, 2)], f"{name}.cat")


class Float:
    """Backend in floating point, on the device and in the precision of the convolutions' weights."""

    def __init__(self, convs: dict[str, Conv]) -> None:
        self.convs = convs

    def input(self, crops: torch.Tensor) -> torch.Tensor:
        weight = self.convs["conv2d_1a"].weight
        return normalise(crops.to(weight.device)).to(weight.dtype)

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
