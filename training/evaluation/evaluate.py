"""evaluate: embeddings -> gallery, calibration and metrics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from model.calibration import DEFAULT_STRICTNESS, Calibration
from model.embedding import GENERIC, TUNED, EmbeddingSpec, normalize
from model.gallery import Gallery
from model.networks import calibration_of
from training.data.dataset import Dataset, dataset, evenly_spaced
from training.data.prepare import STRANGER, TRAIN, VAL
from training.errors import TrainingError
from training.evaluation import metrics
from training.evaluation.calibrate import MIN_COMPARISONS, Comparisons, calibrate, shifted
from training.evaluation.gallery import Batches, mean_embeddings, mean_gallery, probes_of, search_probes, top_matches
from training.evaluation.metrics import Probes
from training.network.backbone import EMBEDDING
from training.network.base import Base, load_base, outside_cohort
from training.network.embeddings import Embedding, load_embeddings
from training.network.features import load_features, load_mobile
from training.records import Run

BATCH = 256  # embeddings at a time
EVALUATED = "evaluated.npz"
COMPARED = 2000  # people, their photos, and strangers' photos that calibrate, at most
MIN_STRANGERS = 200  # photos of strangers, and val photos. With fewer, the cohort of the base calibrates


@dataclass(frozen=True)
class Features:
    """Features of the photos in a dataset.

    inception: float32 [N, 1792]; mobile: float32 [N, 192]; both can be memory-mapped. probes:
    bool [N], photos that may serve as strangers (`outside_cohort`).
    """

    inception: np.ndarray
    mobile: np.ndarray
    probes: np.ndarray


@dataclass(frozen=True)
class Assessment:
    """Gallery of the training photos, the probes that were searched in it, and scores of some with all people."""

    gallery: Gallery
    known: Probes
    strangers: Probes
    compared: Comparisons
    strangers_are: str

    def calibration(self, base: Base) -> Calibration:
        """Calibrate the embedding: `generic` as the base has it, `tuned` on these probes."""
        if self.gallery.spec.name == GENERIC:
            return base.calibrations[GENERIC]
        return fit(self.compared, base)


def fit(compared: Comparisons, base: Base) -> Calibration:
    """Calibrate on known people and strangers, or, where there are few, by the calibration of `generic`."""
    impostors = compared.impostors()
    if min(len(compared.labels), len(compared.strangers)) >= MIN_STRANGERS and len(impostors) >= MIN_COMPARISONS:
        return calibrate([compared])
    return shifted(base.calibrations[GENERIC], impostors)


def load_inputs(run: Run, precision: str, base: Base) -> Features:
    """Load the features of both networks. Raises TrainingError."""
    return Features(load_features(run, precision), load_mobile(run), outside_cohort(run, base))


def embed(
    embedding: Embedding, features: Features, data: Dataset, split: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield labels and embeddings of a split in batches. Strangers in the cohort are left out."""
    rows = np.flatnonzero((data.splits == split) & features.probes)
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        yield data.labels[batch], embedding.embed(features.inception[batch], features.mobile[batch])


def assess(embedding: Embedding, features: Features, data: Dataset, base: Base) -> Assessment:
    """Search the val photos and the strangers in the gallery of the training photos.

    Where there are fewer than MIN_STRANGERS photos of strangers, the base's cohort takes their place. Raises
    TrainingError if there are no val photos.
    """
    if not (data.splits == VAL).any():
        raise TrainingError("There are no validation photos with a face: add photos, or raise --val-share.")
    train = embed(embedding, features, data, TRAIN)
    means = mean_embeddings(train, len(data.names), embedding.spec.size)
    cohort = base.cohort(embedding)
    gallery = mean_gallery(embedding.spec, cohort, data.names, means)
    known = list(embed(embedding, features, data, VAL))
    if _count_strangers(features, data) >= MIN_STRANGERS:
        others = list(embed(embedding, features, data, STRANGER))
        strangers, scores = search_probes(gallery, others), _scores(gallery, others)[1]
        strangers_are = "other people"
    else:
        scores = cohort_scores(gallery)
        strangers = cohort_probes(gallery, scores)
        strangers_are = "the cohort of the bundled model"
    return Assessment(
        gallery, search_probes(gallery, known), strangers, _compare(gallery, known, scores), strangers_are
    )


def _count_strangers(features: Features, data: Dataset) -> int:
    return int(((data.splits == STRANGER) & features.probes).sum())


def cohort_probes(gallery: Gallery, scores: np.ndarray) -> Probes:
    """Convert the scores of `cohort_scores` to probes."""
    return probes_of(top_matches(gallery, scores), np.full(len(scores), -1))


def cohort_scores(gallery: Gallery) -> np.ndarray:
    """Score the cohort's strangers with all people, each normalized by the others. -> float32 [M, people]."""
    strangers = gallery.cohort.embeddings
    return gallery.scores(strangers, gallery.cohort.nearness(strangers, np.arange(len(strangers))))


def _compare(gallery: Gallery, known_batches: Batches, strangers: np.ndarray) -> Comparisons:
    """Collect scores with at most COMPARED people. strangers: float [S, people]."""
    columns = evenly_spaced(len(gallery), COMPARED)
    labels, known = _scores(gallery, known_batches)
    rows = np.flatnonzero(np.isin(labels, columns))
    rows = rows[evenly_spaced(len(rows), COMPARED)]
    return Comparisons(known[rows][:, columns], np.searchsorted(columns, labels[rows]), strangers[:, columns], False)


def _scores(gallery: Gallery, batches: Batches) -> tuple[np.ndarray, np.ndarray]:
    """Score at most about COMPARED photos with all people. -> labels, int64 [N], and scores, float32 [N, people]."""
    labels, embeddings = (np.concatenate(column) for column in zip(*batches))
    rows = evenly_spaced(len(labels), COMPARED)
    return labels[rows], gallery.scores(embeddings[rows])


def summary(found: Assessment, base: Base, val_images: int) -> dict[str, Any]:
    """Compute the metrics. Val photos without a detected face count as wrong. val_images: number of all val photos."""
    measured = metrics.measure(found.known, found.strangers, val_images)
    return {
        "val_accuracy": measured["top1"],
        "val_top5": measured["top5"],
        "named_at_strangers_accepted": measured["named_at_strangers_accepted"],
        "cross_validated": cross_validated(found.compared, base, len(found.known) / val_images),
    }


def cross_validated(compared: Comparisons, base: Base, share: float) -> dict[str, Any]:
    """Estimate how threshold and confidence generalize to people who were not used to choose them.

    Two-fold cross-validation: both are chosen on one half of the people, known and strangers, and evaluated on the
    other half. share: of the photos with a face. Returns FPIR (`strangers_accepted`), TPIR (`named`),
    `calibration_error` and the `calibration` table of `reliability`.
    """
    accepted, identified, confidence, correct, weight = [], [], [], [], []
    halves = [compared.half(i) for i in range(2)]
    for fitted, tested in (halves, halves[::-1]):
        calibration, people = fit(fitted, base), tested.known.shape[1]
        known, right, strangers = tested.best(np.arange(people))
        threshold = calibration.threshold(people, DEFAULT_STRICTNESS)
        accepted.append(strangers >= threshold)
        identified.append((known >= threshold) & right)
        for scores, hits in ((known, right), (strangers, np.zeros(len(strangers), bool))):
            confidence.append(calibration.confidence(scores, people))
            correct.append(hits)
            weight.append(np.full(len(scores), 0.25 / max(1, len(scores))))
    table, error = metrics.reliability(np.concatenate(confidence), np.concatenate(correct), np.concatenate(weight))
    return {
        "strangers_accepted": float(np.concatenate(accepted).mean()),
        "named": float(np.concatenate(identified).mean() * share),
        "calibration_error": error,
        "calibration": table,
    }


def evaluate(run: Run, precision: str) -> None:
    """Calibrate both embeddings on the val photos and the strangers, and record their metrics.

    The metrics at the top level are those of the tuned embedding.
    """
    base = load_base(run)
    inputs = {
        "finetune": run.identity("finetune"),
        "features": run.identity(f"features-{precision}"),
        "mobile": run.identity("mobile"),
        "precision": precision,
        "base": base.digest(),
    }

    def work() -> dict[str, Any]:
        data, features = dataset(run), load_inputs(run, precision, base)
        val_images = run.record("prepare")["facts"]["val_images"]
        embeddings = load_embeddings(run, precision, base.digest())
        found = {name: assess(each, features, data, base) for name, each in embeddings.items()}
        _save(run, found[TUNED])
        facts = {name: _facts(each, base, val_images) for name, each in found.items()}
        return {
            **facts[TUNED],
            "strangers_are": found[TUNED].strangers_are,
            "stranger_probes": len(found[TUNED].strangers),
            GENERIC: facts[GENERIC],
            "networks": _networks(found[TUNED], embeddings[TUNED], features, data, val_images),
        }

    run.step("evaluate", inputs, [EVALUATED], work)


def _facts(found: Assessment, base: Base, val_images: int) -> dict[str, Any]:
    return {**summary(found, base, val_images), "chosen": asdict(found.calibration(base))}


def _networks(
    found: Assessment, tuned: Embedding, features: Features, data: Dataset, val_images: int
) -> dict[str, dict[str, Any]]:
    """Measure each network alone, and both joined, with the same photos."""
    table = {}
    for name, numbers in (("InceptionResnetV1", slice(0, EMBEDDING)), ("MobileFaceNet", slice(EMBEDDING, None))):
        means = found.gallery.means[:, numbers]
        spec = EmbeddingSpec(name, "", means.shape[1], means.shape[1])
        gallery = mean_gallery(spec, found.gallery.cohort.part(numbers), data.names, means)

        def alone(split: str, numbers: slice = numbers) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for labels, embeddings in embed(tuned, features, data, split):
                yield labels, normalize(embeddings[:, numbers])

        own = _count_strangers(features, data) >= MIN_STRANGERS
        strangers = search_probes(gallery, alone(STRANGER)) if own else cohort_probes(gallery, cohort_scores(gallery))
        table[name] = metrics.measure(search_probes(gallery, alone(VAL)), strangers, val_images)
    table["both"] = metrics.measure(found.known, found.strangers, val_images)
    return table


def _save(run: Run, found: Assessment) -> None:
    probes = {
        f"{name}_{column}": values
        for name in ("known", "strangers")
        for column, values in vars(getattr(found, name)).items()
    }
    compared = {f"compared_{name}": getattr(found.compared, name) for name in ("known", "labels", "strangers")}
    np.savez(run.out / EVALUATED, means=found.gallery.means, **probes, **compared)


def load_assessment(run: Run) -> Assessment:
    """Load the assessment of the tuned embedding."""
    evaluated = run.record("evaluate")
    base = load_base(run)
    data = dataset(run)
    tuned = load_embeddings(run, evaluated["inputs"]["precision"], base.digest())[TUNED]
    with np.load(run.out / EVALUATED) as file:
        known, strangers = (
            Probes(*(file[f"{name}_{column}"] for column in Probes.__annotations__)) for name in ("known", "strangers")
        )
        compared = Comparisons(file["compared_known"], file["compared_labels"], file["compared_strangers"], False)
        gallery = mean_gallery(tuned.spec, base.cohort(tuned), data.names, file["means"])
        return Assessment(gallery, known, strangers, compared, evaluated["facts"]["strangers_are"])


def load_calibrations(run: Run) -> dict[str, Calibration]:
    """Load the calibrations that are exported: of both embeddings and of MobileFaceNet, by name."""
    facts = run.record("evaluate")["facts"]
    return {**load_base(run).calibrations, TUNED: calibration_of(facts["chosen"])}
