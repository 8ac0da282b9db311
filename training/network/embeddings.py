"""The two embeddings of a training run: features of both networks in, embeddings out, with the digest that identifies
each.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Callable

import numpy as np
import torch

from model.embedding import GENERIC, TUNED, EmbeddingSpec, join
from model.mobilefacenet import EMBEDDING as MOBILE_SIZE
from training.network.backbone import EMBEDDING, PRETRAINED, State, embed_pretrained, load_pretrained
from training.network.finetune import Head, load_head
from training.records import Run, digest

SIZE = EMBEDDING + MOBILE_SIZE


@dataclass(frozen=True)
class Embedding:
    """inception: features float32 [N, 1792] -> InceptionResnetV1's embedding, float32 [N, 512] of length 1."""

    spec: EmbeddingSpec
    inception: Callable[[np.ndarray], np.ndarray]

    def embed(self, features: np.ndarray, mobile: np.ndarray) -> np.ndarray:
        """Join both networks' embeddings.

        features: float32 [N, 1792]; mobile: MobileFaceNet's embeddings, float32 [N, 192]. -> float32 [N, 704].
        """
        return join(self.inception(features), mobile)


def load_embeddings(run: Run, precision: str, base: str) -> dict[str, Embedding]:
    """Both embeddings by name, once the run has a head. base: digest of the base."""
    made_from = {
        "weights": PRETRAINED,
        "crop": run.record("align")["inputs"]["crop"],
        "precision": precision,
        "base": base,
    }
    return {GENERIC: generic_embedding(made_from), TUNED: tuned_embedding(load_head(run), made_from)}


def generic_embedding(made_from: object = None) -> Embedding:
    """The pretrained embedding. made_from: what decides the numbers, for the digest."""

    @lru_cache(maxsize=1)
    def pretrained() -> State:
        # Loaded when it is needed: the identity of an embedding alone needs no download.
        return load_pretrained()

    def embed(features: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return embed_pretrained(pretrained(), torch.from_numpy(np.array(features))).numpy()

    return Embedding(EmbeddingSpec(GENERIC, digest(made_from), SIZE, MOBILE_SIZE), embed)


def tuned_embedding(head: Head, made_from: object = None) -> Embedding:
    """The fine-tuned embedding. made_from: what else decides the numbers, for the digest."""
    weight = head.embedding.weight.detach().numpy()
    content = {"base": made_from, "layer": hashlib.sha256(weight.tobytes()).hexdigest()}

    def embed(features: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return head.embed(torch.from_numpy(np.array(features))).numpy()

    return Embedding(EmbeddingSpec(TUNED, digest(content), SIZE, MOBILE_SIZE), embed)
