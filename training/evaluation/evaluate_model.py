"""evaluate --model: the figures of a finished model, for photos that it has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.recognizer import Recognizer
from training.data.align import Change, align_all, chunks
from training.data.dataset import ALIGNED, BATCH
from training.data.sources import people_folders
from training.errors import TrainingError, log
from training.evaluation import metrics
from training.evaluation.metrics import Probes


def evaluate_unseen(uri: str, data: Path, strangers: Path | None) -> dict[str, Any]:
    """Name the photos in `data` and `strangers`, folders with a folder a person. Raises TrainingError."""
    recognizer = Recognizer.load(uri)
    ids = {person.name: person.id for person in recognizer.people}
    folders = people_folders(data)
    unknown = [name for name in folders if name not in ids]
    if unknown:
        log(f"not in the model, left out: {', '.join(unknown)}")
    paths = {name: folders[name] for name in folders if name in ids}
    if not paths:
        raise TrainingError(f"None of the people in {data} is in the model.")
    known = judge(recognizer, [(str(path), ids[name]) for name in paths for path in paths[name]])
    if not len(known):
        raise TrainingError(f"No face was found in any photo of {data}.")
    others = people_folders(strangers) if strangers else {}
    outside = judge(recognizer, [(str(path), -1) for found in others.values() for path in found])
    threshold = recognizer.config.threshold
    images = sum(len(found) for found in paths.values())
    result = {"model": recognizer.version, "people": len(paths), "images": images, "faceless": images - len(known)}
    result.update(metrics.measure(known, outside, images))
    result["threshold"] = threshold
    result["named_at_threshold"] = metrics.tpir_at(known, threshold) * len(known) / images
    if len(outside):
        result["strangers"] = len(outside)
        result["strangers_accepted_at_threshold"] = float((outside.top_score >= threshold).mean())
    return result


def judge(
    recognizer: Recognizer, photos: Sequence[tuple[str, int]], desc: str = "align", change: Change | None = None
) -> Probes:
    """What the model says of each photo with a face, with the confidence as score. photos: path and label."""
    if not photos:
        return Probes.none()
    parts = [Probes.none()]
    rows = align_all([path for path, _ in photos], recognizer.config.crop, desc, change)
    aligned = ((label, crop) for (_, label), (status, crop, _) in zip(photos, rows) if status == ALIGNED)
    for chunk in chunks(aligned, BATCH):
        labels, crops = zip(*chunk)
        parts.append(metrics.evaluate_scores(recognizer.classify(np.stack(crops))[0], np.array(labels)))
    return Probes.joined(parts)
