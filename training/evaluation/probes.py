"""Embeddings of val photos and strangers that travel inside a model, so that who adds people can see what it costs."""

from __future__ import annotations

import base64
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.evaluation.gallery import Batches, Gallery
from training.evaluation.metrics import tpir_at

PROBES = "probes.json"  # an extra file of the TorchScript, which the service never reads
KEPT = 1000  # of the val photos and of the strangers: 1.4 MB


def pack_probes(known: Batches, strangers: Batches) -> str:
    """At most KEPT of either, evenly taken. Lengths are lost, which a cosine does not miss."""
    rows = [row for side in (known, strangers) for row in _evenly(side)]
    labels, embeddings = zip(*rows)
    scaled = np.stack([127 * embedding / np.abs(embedding).max() for embedding in embeddings])
    packed = base64.b64encode(np.round(scaled).astype(np.int8).tobytes()).decode()
    return json.dumps({"labels": [int(label) for label in labels], "embeddings": packed})


def _evenly(batches: Batches) -> list[tuple[int, np.ndarray]]:
    """Every second, third, ... so that at most KEPT are held at any time."""
    rows: list[tuple[int, np.ndarray]] = []
    step = 1
    for i, row in enumerate(itertools.chain.from_iterable(zip(*batch) for batch in batches)):
        if i % step == 0:
            rows.append(row)
        if len(rows) > KEPT:
            rows, step = rows[::2], 2 * step
    return rows


def read_probes(path: Path) -> tuple[str, Batches]:
    """The text as it stands in a model file, and what it says. Both are empty for a model without any."""
    extra = torch._C.ExtraFilesMap()
    extra[PROBES] = ""
    torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
    text: str = extra[PROBES]
    if not text:
        return "", []
    found = json.loads(text)
    labels = np.array(found["labels"], np.int64)
    vectors = np.frombuffer(base64.b64decode(found["embeddings"]), np.int8).reshape(len(labels), -1).astype(np.float32)
    return text, [(labels, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))]


def cost(batches: Batches, gallery: Gallery, threshold: float) -> dict[str, Any]:
    """What a gallery makes of the probes. threshold: a score."""
    found = gallery.judge(batches)
    known, strangers = found[found.labels >= 0], found[found.labels < 0]
    return {
        "photos": len(known),
        "right_and_known": tpir_at(known, threshold),
        "strangers": len(strangers),
        "strangers_accepted": float((strangers.top_score >= threshold).mean()) if len(strangers) else 0.0,
    }
