"""evaluate: the head's embeddings -> gallery, confidence, threshold, and how good they are together.

Also the same figures for a finished model and photos that it has never seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.recognizer import Recognizer
from training import figures
from training.align import ALIGNED, align_all, chunks
from training.features import BATCH, dataset, load_features
from training.finetune import load_head
from training.prepare import STRANGER, TRAIN, VAL, people_folders
from training.steps import Run, TrainingError, say


@dataclass(frozen=True)
class Served:
    """What turns embeddings into answers. means: [people, 512]; slope, intercept: of the logit over the cosine."""

    means: np.ndarray
    slope: float
    intercept: float
    threshold: float  # confidence

    def logits(self, embeddings: np.ndarray) -> np.ndarray:
        return self.slope * figures.cosines(embeddings, self.means) + self.intercept


def evaluate(run: Run, precision: str) -> None:
    """Choose threshold and confidence on the val photos and the strangers, and report both.

    Without strangers every val photo also stands for one, its own person taken out of the gallery.
    """
    inputs = {
        "finetune": run.identity("finetune"),
        "features": run.identity(f"features-{precision}"),
        "precision": precision,
    }

    def work() -> dict[str, Any]:
        data = dataset(run)
        with torch.no_grad():
            embeddings = load_head(run).embed(torch.from_numpy(load_features(run, precision))).numpy()
        split = {name: np.flatnonzero(data.splits == name) for name in (TRAIN, VAL, STRANGER)}
        if not len(split[VAL]):
            raise TrainingError("No photo is left to validate with: every person needs at least 4 photos.")
        means = figures.gallery(embeddings[split[TRAIN]], data.labels[split[TRAIN]], len(data.names))
        labels = data.labels[split[VAL]]
        known = figures.cosines(embeddings[split[VAL]], means)
        if len(split[STRANGER]):
            strangers = figures.cosines(embeddings[split[STRANGER]], means)
        else:
            strangers = figures.as_strangers(known, labels)
        slope, intercept = figures.fit_confidence(known, labels, strangers)
        cosine = figures.threshold_at(strangers.max(axis=1), figures.DEFAULT_RATE)
        threshold = float(torch.sigmoid(torch.tensor(slope * cosine + intercept)))
        np.savez(run.out / "gallery.npz", means=means)
        found = figures.measure(known, labels, strangers)
        # A photo in which no face is found has no right answer.
        share_found = len(labels) / run.record("prepare")["facts"]["val_images"]
        return {
            "val_accuracy": found["top1"] * share_found,
            "val_top5": found["top5"] * share_found,
            "named_at_strangers_accepted": found.get("named_at_strangers_accepted", {}),
            "strangers_are": "other people" if len(split[STRANGER]) else "val photos without their own person",
            "stranger_probes": len(strangers),
            "slope": slope,
            "intercept": intercept,
            "threshold": threshold,
            "threshold_cosine": cosine,
        }

    run.step("evaluate", inputs, ["gallery.npz"], work)


def load_served(run: Run) -> Served:
    facts = run.record("evaluate")["facts"]
    with np.load(run.out / "gallery.npz") as file:
        means = file["means"]
    return Served(means, facts["slope"], facts["intercept"], facts["threshold"])


def evaluate_model(uri: str, data: Path, strangers: Path | None) -> dict[str, Any]:
    """The figures of a finished model for folders of photos, a folder a person. Raises TrainingError."""
    recognizer = Recognizer.load(uri)
    ids = {person.name: person.id for person in recognizer.people}
    folders = people_folders(data)
    unknown = [name for name in folders if name not in ids]
    if unknown:
        say(f"not in the model, left out: {', '.join(unknown)}")
    known = [(path, ids[name]) for name, paths in folders.items() if name in ids for path in paths]
    if not known:
        raise TrainingError(f"None of the people in {data} is in the model.")
    scores, found = _confidences(recognizer, [path for path, _ in known])
    labels = np.array([label for _, label in known])[found]
    outside = np.zeros((0, len(ids)), np.float32)
    if strangers:
        outside, _ = _confidences(recognizer, [path for paths in people_folders(strangers).values() for path in paths])
    if not len(labels):
        raise TrainingError(f"No face was found in any photo of {data}.")
    threshold = recognizer.config.threshold
    result = {"model": recognizer.version, "people": len({label for _, label in known}), "images": len(known)}
    result["faceless"] = len(known) - len(labels)
    result.update(figures.measure(scores, labels, outside))
    result["threshold"] = threshold
    result["named_at_threshold"] = figures.named_at(scores, labels, threshold)
    if len(outside):
        result["strangers"] = len(outside)
        result["strangers_accepted_at_threshold"] = float((outside.max(axis=1) >= threshold).mean())
    return result


def _confidences(recognizer: Recognizer, paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Confidences [photos with a face, people] and the indices of those photos."""
    scores = [np.zeros((0, len(recognizer.people)), np.float32)]
    found: list[int] = []
    rows = align_all([str(path) for path in paths], recognizer.config.crop, "align")
    for chunk in chunks(((i, crop) for i, (status, crop, _) in enumerate(rows) if status == ALIGNED), BATCH):
        indices, crops = zip(*chunk)
        found += indices
        scores.append(recognizer.classify(np.stack(crops))[0])
    return np.concatenate(scores), np.array(found, np.int64)
