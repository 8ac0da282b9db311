"""The index of a large collection as a file: the clusters of its people (docs/format.md).

It is derived from the segments. A collection without it, or with one that cannot be used, is searched exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from model.clusters import Clusters
from model.embedding import EmbeddingSpec
from storage.errors import CorruptData
from storage.fields import describe


@dataclass(frozen=True)
class IndexFile:
    """An entry of a manifest. file: key below the collection."""

    file: str
    sha256: str
    bytes: int


def encode_clusters(clusters: Clusters) -> bytes:
    """Return the bytes of an index."""
    arrays = {"ids": clusters.ids, "numbers": clusters.numbers, "centroids": clusters.centroids.astype(np.float16)}
    data: bytes = safetensors.numpy.save(arrays)
    return data


def decode_clusters(data: bytes, spec: EmbeddingSpec) -> Clusters:
    """Read verified bytes of an index. spec: of the collection. Raises CorruptData."""
    try:
        arrays = safetensors.numpy.load(data)
        ids, numbers, centroids = (arrays[name] for name in ("ids", "numbers", "centroids"))
        if not (ids.dtype == np.int64 and numbers.dtype == np.int32 and ids.shape == numbers.shape == (len(ids),)):
            raise ValueError("people and clusters do not fit together")
        if centroids.dtype != np.float16 or centroids.ndim != 2 or centroids.shape[1] != spec.size:
            raise ValueError("it was made for another embedding")
        if (ids[1:] <= ids[:-1]).any() or (numbers < 0).any() or (numbers >= len(centroids)).any():
            raise ValueError("people are in clusters that are not there")
        return Clusters(ids, numbers, centroids.astype(np.float32), spec.mobile)
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise CorruptData(f"The index cannot be read: {describe(error)}.", "an index cannot be read") from error
