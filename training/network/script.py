"""The network as it is saved: uint8 crops in, logits and embeddings out, everything else inside.

The file is flat: the trace takes the packed weights as a list, the weights lie beside it as plain tensors and are
packed once after loading. A file traced as a tree of 132 quantized modules computes the same and takes ten times as
long to load.
"""

# No `from __future__ import annotations`: torch 1.5 compiles what the annotations are, not what they are called.
from typing import Dict, List, Optional, Tuple

import torch
from torch import nn

from training.evaluation.gallery import Gallery
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


class Network(nn.Module):
    """What is saved. Call `prepare` once after loading, then the module."""

    weights: List[torch.Tensor]
    biases: List[torch.Tensor]
    strides: List[List[int]]
    paddings: List[List[int]]
    ready: List[torch.Tensor]
    embedding: torch.Tensor
    means: torch.Tensor
    hubness: torch.Tensor
    units: torch.Tensor

    def __init__(
        self,
        convs: Dict[str, Conv],
        scales: Optional[Dict[str, Scale]],
        embedding: torch.Tensor,
        gallery: Gallery,
        slope: float,
        intercept: float,
        size: int,
    ) -> None:
        """embedding: [512, 1792]; scales: None for fp32; size: of a crop's side, pixels."""
        super().__init__()
        self.int8 = scales is not None
        self.weights = quantize(convs) if self.int8 else [conv.weight for conv in convs.values()]
        self.biases = [conv.bias for conv in convs.values()]
        self.strides = [list(conv.stride) for conv in convs.values()]
        self.paddings = [list(conv.padding) for conv in convs.values()]
        self.ready = []
        self.register_buffer("embedding", embedding.half())
        self.register_buffer("means", torch.from_numpy(gallery.means))
        self.register_buffer("hubness", torch.from_numpy(gallery.hubness))
        self.register_buffer("units", torch.zeros(0))  # the means, of length 1
        self.slope, self.intercept = slope, intercept
        norm = gallery.normalisation
        self.cohort, self.probe_weight, self.person_weight = norm.cohort, norm.probe, norm.person
        example = torch.zeros(1, 3, size, size, dtype=torch.uint8)
        weights = pack(convs, self.weights) if self.int8 else self.weights
        self.trunk = torch.jit.trace(Backbone(convs, scales), (example, weights), check_trace=False)

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
        self.units = nn.functional.normalize(self.means, p=2.0, dim=1)

    def forward(self, crops: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        features = self.trunk(crops, self.ready)
        embeddings = nn.functional.normalize(nn.functional.linear(features, self.embedding), p=2.0, dim=1)
        scores = nn.functional.linear(embeddings, self.units)
        # As `training.evaluation.gallery.Gallery.scores` says.
        cohort = min(self.cohort, scores.size(1) - 1)
        if cohort > 0:
            best = torch.topk(scores, cohort + 1, dim=1)[0]
            scores = scores - self.probe_weight * best[:, 1:].mean(dim=1, keepdim=True)
        scores = scores - self.person_weight * self.hubness
        return self.slope * scores + self.intercept, embeddings
