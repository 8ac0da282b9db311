"""evaluate: the head's embeddings -> gallery, confidence, threshold, and how good they are together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from training.data.dataset import Dataset, dataset
from training.data.prepare import STRANGER, TRAIN, VAL
from training.errors import TrainingError
from training.evaluation import metrics
from training.evaluation.gallery import Gallery, Normalisation
from training.evaluation.metrics import Probes
from training.network.features import load_features
from training.network.finetune import Head, load_head
from training.records import Run

BATCH = 256  # embeddings at a time


@dataclass(frozen=True)
class Scorer:
    """What turns embeddings into answers. slope, intercept: of the logit over the score."""

    gallery: Gallery
    slope: float
    intercept: float
    threshold: float  # confidence

    def logits(self, embeddings: np.ndarray) -> np.ndarray:
        return self.slope * self.gallery.scores(embeddings) + self.intercept


@dataclass(frozen=True)
class Assessment:
    """The gallery of the training photos, and what it says of the others."""

    gallery: Gallery
    known: Probes
    strangers: Probes


def embed(head: Head, features: np.ndarray, data: Dataset, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Labels and embeddings of a split, batch by batch. features: [rows, 1792]."""
    rows = np.flatnonzero(data.splits == split)
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        with torch.no_grad():
            yield data.labels[batch], head.embed(torch.from_numpy(features[batch])).numpy()


def assess(head: Head, features: np.ndarray, data: Dataset) -> Assessment:
    """Without strangers every val photo also stands for one, its own person taken out of the gallery.

    Raises TrainingError where there are no val photos.
    """
    if not (data.splits == VAL).any():
        raise TrainingError("No photo is left to validate with: somebody needs at least 4 photos.")
    gallery = Gallery.of(embed(head, features, data, TRAIN), len(data.names))
    known = gallery.judge(embed(head, features, data, VAL))
    if (data.splits == STRANGER).any():
        strangers = gallery.judge(embed(head, features, data, STRANGER))
    else:
        strangers = gallery.judge(embed(head, features, data, VAL), without_own=True)
    return Assessment(gallery, known, strangers)


def summary(found: Assessment, val_images: int) -> dict[str, Any]:
    """The figures of a split. A val photo in which no face was found, of `val_images` in all, counts as wrong."""
    measured = metrics.measure(found.known, found.strangers, val_images)
    return {
        "val_accuracy": measured["top1"],
        "val_top5": measured["top5"],
        "named_at_strangers_accepted": measured["named_at_strangers_accepted"],
        "cross_validated": metrics.cross_validated(found.known, found.strangers, val_images),
    }


def evaluate(run: Run, precision: str) -> None:
    """Choose threshold and confidence on the val photos and the strangers, and report both."""
    inputs = {
        "finetune": run.identity("finetune"),
        "features": run.identity(f"features-{precision}"),
        "precision": precision,
        "normalisation": asdict(Normalisation()),
        "rate": metrics.DEFAULT_FPIR,
    }

    def work() -> dict[str, Any]:
        data = dataset(run)
        found = assess(load_head(run), load_features(run, precision), data)
        slope, intercept = metrics.fit_confidence(found.known, found.strangers)
        score = metrics.threshold_at_fpir(found.strangers, metrics.DEFAULT_FPIR)
        probes = {
            f"{name}_{field}": values
            for name in ("known", "strangers")
            for field, values in vars(getattr(found, name)).items()
        }
        np.savez(run.out / "evaluated.npz", means=found.gallery.means, hubness=found.gallery.hubness, **probes)
        return {
            **summary(found, run.record("prepare")["facts"]["val_images"]),
            "strangers_are": "other people" if (data.splits == STRANGER).any() else "val photos without their person",
            "stranger_probes": len(found.strangers),
            "slope": slope,
            "intercept": intercept,
            "threshold": float(metrics.confidence_of(score, slope, intercept)),
        }

    run.step("evaluate", inputs, ["evaluated.npz"], work)


def load_assessment(run: Run) -> Assessment:
    """What `evaluate` found."""
    run.record("evaluate")
    with np.load(run.out / "evaluated.npz") as file:
        known, strangers = (
            Probes(*(file[f"{name}_{field}"] for field in Probes.__annotations__)) for name in ("known", "strangers")
        )
        return Assessment(Gallery(file["means"], hubness=file["hubness"]), known, strangers)


def load_scorer(run: Run) -> Scorer:
    facts = run.record("evaluate")["facts"]
    return Scorer(load_assessment(run).gallery, facts["slope"], facts["intercept"], facts["threshold"])
