"""The two embeddings of a training run: features of the backbone in, embeddings out, with the digest that identifies
each.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Callable

import numpy as np
import torch

from model.embedding import GENERIC, TUNED, EmbeddingSpec
from training.network.backbone import EMBEDDING, PRETRAINED, State, embed_pretrained, load_pretrained
from training.network.finetune import Head, load_head
from training.records import Run, digest


@dataclass(frozen=True)
class Embedding:
    """embed: features float32 [N, 1792] -> float32 [N, 512] of length 1."""

    spec: EmbeddingSpec
    embed: Callable[[np.ndarray], np.ndarray]


def load_embeddings(run: Run, precision: str) -> dict[str, Embedding]:
    """Both embeddings by name, once the run has a head."""
    base = {"weights": PRETRAINED, "crop": run.record("align")["inputs"]["crop"], "precision": precision}

    @lru_cache(maxsize=1)
    def pretrained() -> State:
        # Loaded when it is needed: the identity of an embedding alone needs no download.
        return load_pretrained()

    def generic(features: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return embed_pretrained(pretrained(), torch.from_numpy(features)).numpy()

    return {
        GENERIC: Embedding(EmbeddingSpec(GENERIC, digest(base), EMBEDDING), generic),
        TUNED: tuned_embedding(load_head(run), base),
    }


def tuned_embedding(head: Head, base: object = None) -> Embedding:
    """The fine-tuned embedding. base: what else decides the numbers, for the digest."""
    weight = head.embedding.weight.detach().numpy()
    content = {"base": base, "layer": hashlib.sha256(weight.tobytes()).hexdigest()}

    def embed(features: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return head.embed(torch.from_numpy(features)).numpy()

    return Embedding(EmbeddingSpec(TUNED, digest(content), EMBEDDING), embed)
