"""evaluate --model: the figures of a finished model, for photos that it has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from storage.networks import Snapshot
from training.data.align import Change, align_all, chunks
from training.data.dataset import ALIGNED, BATCH
from training.data.sources import people_folders
from training.errors import TrainingError, log
from training.evaluation import metrics
from training.evaluation.gallery import TOP, probes_of
from training.evaluation.metrics import Probes
from training.store import load_model


def evaluate_unseen(uri: str, data: Path, strangers: Path | None) -> dict[str, Any]:
    """Name the photos in `data` and `strangers`, folders with a folder a person. Raises TrainingError."""
    snapshot = load_model(uri)
    ids = {person.name: person.id for person in snapshot.gallery.people}
    folders = people_folders(data)
    unknown = [name for name in folders if name not in ids]
    if unknown:
        log(f"not in the model, left out: {', '.join(unknown)}")
    paths = {name: folders[name] for name in folders if name in ids}
    if not paths:
        raise TrainingError(f"None of the people in {data} is in the model.")
    known = judge(snapshot, [(str(path), ids[name]) for name in paths for path in paths[name]])
    if not len(known):
        raise TrainingError(f"No face was found in any photo of {data}.")
    others = people_folders(strangers) if strangers else {}
    outside = judge(snapshot, [(str(path), -1) for found in others.values() for path in found])
    threshold = snapshot.calibration.threshold
    images = sum(len(found) for found in paths.values())
    result = {"model": snapshot.version, "people": len(paths), "images": images, "faceless": images - len(known)}
    result.update(metrics.measure(known, outside, images))
    result["threshold"] = threshold
    result["named_at_threshold"] = metrics.named_at(known, threshold) * len(known) / images
    if len(outside):
        result["strangers"] = len(outside)
        result["strangers_accepted_at_threshold"] = float((outside.best >= threshold).mean())
    return result


def judge(
    snapshot: Snapshot, photos: Sequence[tuple[str, int]], desc: str = "align", change: Change | None = None
) -> Probes:
    """What the model says of each photo with a face, with the confidence as score. photos: path and label."""
    if not photos:
        return Probes.none()
    parts = [Probes.none()]
    rows = align_all([path for path, _ in photos], snapshot.network.config.crop, desc, change)
    aligned = ((label, crop) for (_, label), (status, crop, _) in zip(photos, rows) if status == ALIGNED)
    for chunk in chunks(aligned, BATCH):
        labels, crops = zip(*chunk)
        matches = snapshot.gallery.search(snapshot.embed(np.stack(crops)), TOP)
        confidences = snapshot.calibration.confidence(matches.scores)
        parts.append(probes_of(matches._replace(scores=confidences), np.array(labels)))
    return Probes.joined(parts)
