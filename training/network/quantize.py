"""The backbone in int8: static post-training quantization, per channel for weights, for fbgemm (x86).

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Backend-Only Inference", 2017,
https://arxiv.org/abs/1712.05877, with PyTorch's observers and kernels.
"""

from __future__ import annotations

from typing import Iterable, Sequence, Tuple

import torch

from training.network.backbone import Conv, Float, forward, normalise

Scale = Tuple[float, int]  # scale and zero point of a layer's output

_QCONFIG = torch.quantization.get_default_qconfig("fbgemm")


class Observed(Float):
    """Backend in floating point that collects a histogram of every layer's output."""

    def __init__(self, convs: dict[str, Conv]) -> None:
        super().__init__(convs)
        self.observers: dict[str, torch.nn.Module] = {}

    def _observe(self, x: torch.Tensor, name: str) -> torch.Tensor:
        observer = self.observers.setdefault(name, _QCONFIG.activation())
        observer(x)
        return x

    def input(self, crops: torch.Tensor) -> torch.Tensor:
        return self._observe(super().input(crops), "input")

    def conv(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return self._observe(super().conv(x, name), name)

    def cat(self, xs: Sequence[torch.Tensor], name: str) -> torch.Tensor:
        return self._observe(super().cat(xs, name), name)

    def add(self, x: torch.Tensor, y: torch.Tensor, name: str, relu: bool) -> torch.Tensor:
        return self._observe(super().add(x, y, name, relu), name)


def calibrate(convs: dict[str, Conv], batches: Iterable[torch.Tensor]) -> dict[str, Scale]:
    """Return scale and zero point of every layer's output, by layer name, from its range on real crops.

    batches: uint8 crops, each batch [N, 3, 160, 160] RGB.
    """
    observed = Observed(convs)
    with torch.no_grad():
        for crops in batches:
            forward(observed, crops)
    scales = {}
    for name, observer in observed.observers.items():
        scale, zero_point = observer.calculate_qparams()
        scales[name] = (float(scale), int(zero_point))
    return scales


def quantize_weight(weight: torch.Tensor) -> torch.Tensor:
    """Quantize weights, float32 [out, ...], to qint8: symmetric, with one scale per output channel."""
    observer = _QCONFIG.weight()
    observer(weight)
    scales, zero_points = observer.calculate_qparams()
    return torch.quantize_per_channel(weight, scales, zero_points, axis=0, dtype=torch.qint8)


class Int8:
    """Backend in int8 with packed weights. It needs the kernels of torch 1.5."""

    def __init__(self, convs: dict[str, Conv], scales: dict[str, Scale], packed: list[torch.Tensor]) -> None:
        """Take the results of `calibrate` and `pack`, the latter in the order of `convs`."""
        self.convs = convs
        self.scales = scales
        self.packed = dict(zip(convs, packed))

    def input(self, crops: torch.Tensor) -> torch.Tensor:
        scale, zero_point = self.scales["input"]
        return torch.quantize_per_tensor(normalise(crops), scale, zero_point, torch.quint8)

    def conv(self, x: torch.Tensor, name: str) -> torch.Tensor:
        conv = self.convs[name]
        run = torch.ops.quantized.conv2d_relu if conv.relu else torch.ops.quantized.conv2d
        scale, zero_point = self.scales[name]
        y: torch.Tensor = run(x, self.packed[name], conv.stride, conv.padding, (1, 1), 1, scale, zero_point)
        return y

    def cat(self, xs: Sequence[torch.Tensor], name: str) -> torch.Tensor:
        scale, zero_point = self.scales[name]
        y: torch.Tensor = torch.ops.quantized.cat(list(xs), 1, scale, zero_point)
        return y

    def add(self, x: torch.Tensor, y: torch.Tensor, name: str, relu: bool) -> torch.Tensor:
        run = torch.ops.quantized.add_relu if relu else torch.ops.quantized.add
        scale, zero_point = self.scales[name]
        total: torch.Tensor = run(x, y, scale, zero_point)
        return total

    def output(self, x: torch.Tensor) -> torch.Tensor:
        return x.dequantize().mean(dim=(2, 3))


def quantize(convs: dict[str, Conv]) -> list[torch.Tensor]:
    """Quantize the weights of all convolutions to qint8, in the order of `convs`."""
    return [quantize_weight(conv.weight) for conv in convs.values()]


def pack(convs: dict[str, Conv], weights: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Pack quantized weights, in the order of `convs`, into the kernels' memory layout."""
    return [
        torch.ops.quantized.conv2d_prepack(weight, conv.bias, conv.stride, conv.padding, (1, 1), 1)
        for weight, conv in zip(weights, convs.values())
    ]
