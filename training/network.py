"""The network as it is saved: uint8 crops in, logits and embeddings out, everything else inside.

The file is flat: the trace takes the packed weights as a list, the weights lie beside it as plain tensors and are
packed once after loading. A file traced as a tree of 132 quantized modules computes the same and takes ten times as
long to load.
"""

# No `from __future__ import annotations`: torch 1.5 compiles what the annotations are, not what they are called.
from typing import Dict, List, Optional, Tuple

import numpy as np
import torch
from torch import nn

from training.quantize import Int8, Scale, pack, quantize
from training.trunk import Conv, Float, forward


class Trunk(nn.Module):
    """For tracing: (uint8 crops [N, 3, 160, 160], weights) -> features [N, 1792]."""

    def __init__(self, convs: Dict[str, Conv], scales: Optional[Dict[str, Scale]]) -> None:
        super().__init__()
        self._convs, self._scales = convs, scales

    def forward(self, crops: torch.Tensor, weights: List[torch.Tensor]) -> torch.Tensor:
        if self._scales is not None:
            return forward(Int8(self._convs, self._scales, weights), crops)
        named = zip(self._convs.items(), weights)
        return forward(Float({name: conv._replace(weight=weight) for (name, conv), weight in named}), crops)


class Network(nn.Module):
    """What is saved. Call `prepare` once after loading, then the module."""

    weights: List[torch.Tensor]
    biases: List[torch.Tensor]
    strides: List[List[int]]
    paddings: List[List[int]]
    ready: List[torch.Tensor]
    embedding: torch.Tensor
    means: torch.Tensor
    gallery: torch.Tensor

    def __init__(
        self,
        convs: Dict[str, Conv],
        scales: Optional[Dict[str, Scale]],
        embedding: torch.Tensor,
        means: np.ndarray,
        slope: float,
        intercept: float,
    ) -> None:
        """embedding: [512, 1792]; means: [people, 512]; scales: None for fp32."""
        super().__init__()
        self.int8 = scales is not None
        self.weights = quantize(convs) if self.int8 else [conv.weight for conv in convs.values()]
        self.biases = [conv.bias for conv in convs.values()]
        self.strides = [list(conv.stride) for conv in convs.values()]
        self.paddings = [list(conv.padding) for conv in convs.values()]
        self.ready = []
        self.register_buffer("embedding", embedding.half())
        self.register_buffer("means", torch.from_numpy(means))
        self.register_buffer("gallery", torch.zeros(0))  # the same, of length 1
        self.slope, self.intercept = slope, intercept
        example = torch.zeros(1, 3, 160, 160, dtype=torch.uint8)
        weights = pack(convs, self.weights) if self.int8 else self.weights
        self.trunk = torch.jit.trace(Trunk(convs, scales), (example, weights), check_trace=False)

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
        self.embedding = self.embedding.float()
        self.gallery = nn.functional.normalize(self.means, p=2.0, dim=1)

    def forward(self, crops: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        features = self.trunk(crops, self.ready)
        embeddings = nn.functional.normalize(nn.functional.linear(features, self.embedding), p=2.0, dim=1)
        return self.slope * nn.functional.linear(embeddings, self.gallery) + self.intercept, embeddings
