"""Embeddings of val photos and strangers that are published with a network, to measure the effect of enrolling."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import safetensors.numpy

from model.gallery import Gallery
from training.evaluation.gallery import Batches, search_probes
from training.evaluation.metrics import tpir_at

KEPT = 1000  # of the val photos and of the strangers: 1 MB


def pack_probes(known: Batches, strangers: Batches) -> bytes:
    """Encode at most KEPT of either, evenly spaced, as a safetensors file.

    `labels`: int64 [N]; `embeddings`: int8 [N, size]. Lengths are not kept, because cosines do not depend on them.
    """
    rows = [row for side in (known, strangers) for row in _evenly_spaced(side)]
    labels, embeddings = zip(*rows)
    scaled = np.stack([127 * embedding / np.abs(embedding).max() for embedding in embeddings])
    return safetensors.numpy.save(
        {"labels": np.array(labels, np.int64), "embeddings": np.round(scaled).astype(np.int8)}
    )


def _evenly_spaced(batches: Batches) -> list[tuple[int, np.ndarray]]:
    """Take every second, third, ... row, so that at most KEPT are held at any time."""
    rows: list[tuple[int, np.ndarray]] = []
    step = 1
    for i, row in enumerate(itertools.chain.from_iterable(zip(*batch) for batch in batches)):
        if i % step == 0:
            rows.append(row)
        if len(rows) > KEPT:
            rows, step = rows[::2], 2 * step
    return rows


def read_probes(data: bytes) -> Batches:
    """Decode the file of `pack_probes`."""
    arrays = safetensors.numpy.load(data)
    embeddings = arrays["embeddings"].astype(np.float32)
    return [(arrays["labels"], embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True))]


def measure_cost(probes: Batches, gallery: Gallery, threshold: float) -> dict[str, Any]:
    """Measure TPIR and FPIR of the probes in a gallery. threshold: score from which a face counts as known."""
    found = search_probes(gallery, probes)
    known, strangers = found[found.labels >= 0], found[found.labels < 0]
    return {
        "photos": len(known),
        "tpir": tpir_at(known, threshold),
        "strangers": len(strangers),
        "fpir": float((strangers.top_score >= threshold).mean()) if len(strangers) else 0.0,
    }
