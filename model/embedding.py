"""Embeddings: the two networks' parts of one, and which networks made it, so that different ones are never mixed.

An embedding joins InceptionResnetV1's and MobileFaceNet's, each of length 1: [sqrt(1 - w) a, sqrt(w) b]. Its length is
1 as well, and the cosine of two embeddings is the weighted mean of both networks' cosines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GENERIC = "generic"  # the pretrained last layer: for people whom the network has never seen
TUNED = "tuned"  # the fine-tuned last layer: for the people it was trained on
MOBILE = "mobile"  # MobileFaceNet's part of either, alone
MOBILE_WEIGHT = 0.5  # w; docs/training.md has what others give


@dataclass(frozen=True)
class EmbeddingSpec:
    """name: GENERIC or TUNED; digest: 16 hex digits of all that decides the numbers, the cohort included; size: numbers
    in an embedding; mobile: how many of them, the last ones, are MobileFaceNet's.
    """

    name: str
    digest: str
    size: int
    mobile: int


def join(inception: np.ndarray, mobile: np.ndarray) -> np.ndarray:
    """Join both networks' embeddings, float32 [N, 512] and [N, 192] of length 1 -> [N, 704] of length 1."""
    parts = [np.sqrt(1 - MOBILE_WEIGHT) * inception, np.sqrt(MOBILE_WEIGHT) * mobile]
    return np.concatenate(parts, axis=1).astype(np.float32)


def normalize(embeddings: np.ndarray) -> np.ndarray:
    """Scale embeddings [N, size] to length 1. One of length 0 stays."""
    lengths: np.ndarray = np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    return embeddings / lengths
