"""Identity of an embedding: which network made it, so that embeddings of different networks are never mixed."""

from __future__ import annotations

from dataclasses import dataclass

GENERIC = "generic"  # the pretrained last layer: for people whom the network has never seen
TUNED = "tuned"  # the fine-tuned last layer: for the people it was trained on


@dataclass(frozen=True)
class EmbeddingSpec:
    """name: GENERIC or TUNED; digest: 16 hex digits of the weights that make it; size: numbers in an embedding."""

    name: str
    digest: str
    size: int
