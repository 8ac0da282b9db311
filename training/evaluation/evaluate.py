"""evaluate: embeddings -> gallery, calibration and metrics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from model.calibration import Calibration, ScoreNormalization, confidence_of
from model.embedding import GENERIC, TUNED
from model.gallery import Gallery
from training.data.dataset import Dataset, dataset
from training.data.prepare import STRANGER, TRAIN, VAL
from training.errors import TrainingError
from training.evaluation import metrics
from training.evaluation.gallery import mean_embeddings, mean_gallery, search_probes
from training.evaluation.metrics import Probes
from training.network.embeddings import Embedding, load_embeddings
from training.network.features import load_features
from training.records import Run

BATCH = 256  # embeddings at a time
EVALUATED = "evaluated.npz"


@dataclass(frozen=True)
class Assessment:
    """Gallery of the training photos, and the probes that were searched in it."""

    gallery: Gallery
    known: Probes
    strangers: Probes


def embed(
    embedding: Embedding, features: np.ndarray, data: Dataset, split: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield labels and embeddings of a split in batches. features: float32 [rows, 1792]."""
    rows = np.flatnonzero(data.splits == split)
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        yield data.labels[batch], embedding.embed(features[batch])


def assess(embedding: Embedding, features: np.ndarray, data: Dataset) -> Assessment:
    """Search the val photos and the strangers in the gallery of the training photos.

    Without strangers, every val photo is also searched as a stranger, with its own person excluded from the gallery.
    Raises TrainingError if there are no val photos.
    """
    if not (data.splits == VAL).any():
        raise TrainingError("There are no validation photos: at least one person needs 4 or more photos.")
    train = embed(embedding, features, data, TRAIN)
    means = mean_embeddings(train, len(data.names), embedding.spec.size)
    gallery = mean_gallery(embedding.spec, data.names, means)
    known = search_probes(gallery, embed(embedding, features, data, VAL))
    if (data.splits == STRANGER).any():
        strangers = search_probes(gallery, embed(embedding, features, data, STRANGER))
    else:
        strangers = search_probes(gallery, embed(embedding, features, data, VAL), without_own=True)
    return Assessment(gallery, known, strangers)


def calibrate(found: Assessment) -> Calibration:
    """Choose confidence and threshold on the probes."""
    slope, intercept = metrics.fit_confidence(found.known, found.strangers)
    score = metrics.threshold_at_fpir(found.strangers, metrics.DEFAULT_FPIR)
    threshold = float(confidence_of(score, slope, intercept))
    return Calibration(found.gallery.normalization, slope, intercept, threshold)


def summary(found: Assessment, val_images: int) -> dict[str, Any]:
    """Compute the metrics. Val photos without a detected face count as wrong. val_images: number of all val photos."""
    measured = metrics.measure(found.known, found.strangers, val_images)
    return {
        "val_accuracy": measured["top1"],
        "val_top5": measured["top5"],
        "named_at_strangers_accepted": measured["named_at_strangers_accepted"],
        "cross_validated": metrics.cross_validated(found.known, found.strangers, val_images),
    }


def evaluate(run: Run, precision: str) -> None:
    """Calibrate both embeddings on the val photos and the strangers, and record their metrics.

    The metrics at the top level are those of the tuned embedding.
    """
    inputs = {
        "finetune": run.identity("finetune"),
        "features": run.identity(f"features-{precision}"),
        "precision": precision,
        "normalization": asdict(ScoreNormalization()),
        "rate": metrics.DEFAULT_FPIR,
    }

    def work() -> dict[str, Any]:
        data, features = dataset(run), load_features(run, precision)
        val_images = run.record("prepare")["facts"]["val_images"]
        found = {name: assess(each, features, data) for name, each in load_embeddings(run, precision).items()}
        _save(run, found[TUNED])
        facts = {name: _facts(each, val_images) for name, each in found.items()}
        return {
            **facts[TUNED],
            "strangers_are": "other people" if (data.splits == STRANGER).any() else "val photos without their person",
            "stranger_probes": len(found[TUNED].strangers),
            GENERIC: facts[GENERIC],
        }

    run.step("evaluate", inputs, [EVALUATED], work)


def _facts(found: Assessment, val_images: int) -> dict[str, Any]:
    calibration = calibrate(found)
    chosen = {name: getattr(calibration, name) for name in ("slope", "intercept", "threshold")}
    return {**summary(found, val_images), **chosen}


def _save(run: Run, found: Assessment) -> None:
    probes = {
        f"{name}_{column}": values
        for name in ("known", "strangers")
        for column, values in vars(getattr(found, name)).items()
    }
    np.savez(run.out / EVALUATED, means=found.gallery.means, **probes)


def load_assessment(run: Run) -> Assessment:
    """Load the assessment of the tuned embedding."""
    evaluated = run.record("evaluate")
    data, spec = dataset(run), load_embeddings(run, evaluated["inputs"]["precision"])[TUNED].spec
    with np.load(run.out / EVALUATED) as file:
        known, strangers = (
            Probes(*(file[f"{name}_{column}"] for column in Probes.__annotations__)) for name in ("known", "strangers")
        )
        return Assessment(mean_gallery(spec, data.names, file["means"]), known, strangers)


def load_calibrations(run: Run) -> dict[str, Calibration]:
    """Load the calibration of each embedding, by its name."""
    record = run.record("evaluate")
    normalization = ScoreNormalization(**record["inputs"]["normalization"])
    facts = {TUNED: record["facts"], GENERIC: record["facts"][GENERIC]}
    return {
        name: Calibration(normalization, found["slope"], found["intercept"], found["threshold"])
        for name, found in facts.items()
    }
