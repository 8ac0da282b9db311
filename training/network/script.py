"""The network as it is saved: uint8 crops in, both embeddings out.

The file is flat: the trace takes the packed weights as a list, the weights lie beside it as plain tensors and are
packed once after loading. A file traced as a tree of 132 quantized modules computes the same and takes ten times as
long to load.
"""

# No `from __future__ import annotations`: torch 1.5 compiles the annotations themselves, not their names.
from typing import Dict, List, Optional, Tuple

import torch
from torch import nn

from training.network.backbone import Conv, Float, forward
from training.network.quantize import Int8, Scale, pack, quantize


class Backbone(nn.Module):
    """For tracing: (uint8 crops [N, 3, 160, 160], weights) -> features [N, 1792]."""

    def __init__(self, convs: Dict[str, Conv], scales: Optional[Dict[str, Scale]]) -> None:
        super().__init__()
        self._convs, self._scales = convs, scales

    def forward(self, crops: torch.Tensor, weights: List[torch.Tensor]) -> torch.Tensor:
        if self._scales is not None:
            return forward(Int8(self._convs, self._scales, weights), crops)
        named = zip(self._convs.items(), weights)
        return forward(Float({name: conv._replace(weight=weight) for (name, conv), weight in named}), crops)


class EmbeddingScript(nn.Module):
    """The saved module: (uint8 crops) -> (generic, tuned), each [N, 512]. Call `prepare` once after loading."""

    weights: List[torch.Tensor]
    biases: List[torch.Tensor]
    strides: List[List[int]]
    paddings: List[List[int]]
    ready: List[torch.Tensor]
    generic: torch.Tensor
    generic_bias: torch.Tensor
    tuned: torch.Tensor

    def __init__(
        self,
        convs: Dict[str, Conv],
        scales: Optional[Dict[str, Scale]],
        generic: Tuple[torch.Tensor, torch.Tensor],
        tuned: torch.Tensor,
        size: int,
    ) -> None:
        """scales: None for fp32; generic: weight [512, 1792] and bias [512]; tuned: weight [512, 1792]; size: of a
        crop's side in pixels.
        """
        super().__init__()
        self.int8 = scales is not None
        self.weights = quantize(convs) if self.int8 else [conv.weight for conv in convs.values()]
        self.biases = [conv.bias for conv in convs.values()]
        self.strides = [list(conv.stride) for conv in convs.values()]
        self.paddings = [list(conv.padding) for conv in convs.values()]
        self.ready = []
        self.register_buffer("generic", generic[0].half())
        self.register_buffer("generic_bias", generic[1])
        self.register_buffer("tuned", tuned.half())
        example = torch.zeros(1, 3, size, size, dtype=torch.uint8)
        weights = pack(convs, self.weights) if self.int8 else self.weights
        self.backbone = torch.jit.trace(Backbone(convs, scales), (example, weights), check_trace=False)

    @torch.jit.export
    def prepare(self) -> None:
        for i in range(len(self.weights)):
            if self.int8:
                self.ready.append(
                    torch.ops.quantized.conv2d_prepack(
                        self.weights[i], self.biases[i], self.strides[i], self.paddings[i], [1, 1], 1
                    )
                )
            else:
                self.ready.append(self.weights[i])
        self.generic = self.generic.float()
        self.tuned = self.tuned.float()

    def forward(self, crops: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        features = self.backbone(crops, self.ready)
        generic = nn.functional.linear(features, self.generic, self.generic_bias)
        tuned = nn.functional.linear(features, self.tuned)
        return nn.functional.normalize(generic, p=2.0, dim=1), nn.functional.normalize(tuned, p=2.0, dim=1)
