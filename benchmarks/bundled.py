"""The bundled model's training split and its scores, shared by several benchmarks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Callable

import numpy as np
from tqdm import tqdm

from model.calibration import DEFAULT_STRICTNESS
from model.cascade import Cascade
from model.embedding import normalize
from model.gallery import Gallery, Matches
from model.photo import decode
from storage.folder import FolderBlobs
from storage.networks import BUNDLED, Snapshot, load_current
from testing.paths import ROOT
from training.data.prepare import STRANGER, TRAIN, Example, examples, prepare
from training.evaluation.gallery import TOP, probes_of
from training.evaluation.metrics import Probes
from training.network.base import in_cohort, load_base
from training.records import Run

SPLIT = ROOT / "build" / "split"
MIN_IMAGES, VAL_SHARE, SEED = 4, 0.3, 0  # of the bundled model's training, see model/bundled/README.md

Search = Callable[[np.ndarray], Matches]  # embeddings float32 [N, D] -> candidates, best first


def bundled() -> Snapshot:
    """Load the bundled model."""
    return load_current(FolderBlobs(Path(BUNDLED)))


def cascade(people: int) -> Cascade:
    """Make the cascade of the first `people` people of the bundled model, each of whom has one face: their mean."""
    whole = bundled().cascade
    gallery = whole.gallery.loaded()
    part = Gallery.of(
        gallery.spec, gallery.cohort, gallery.people[:people], gallery.faces[:people], gallery.embeddings[:people]
    )
    return replace(whole, gallery=part)


def as_served(known: np.ndarray, labels: np.ndarray, people: int) -> Search:
    """Search the first `people` people of the bundled model, with log odds as scores.

    Uses the means in the model, which come from the same photos: `known` and `labels` are ignored. A probe is an
    embedding of both networks, followed by 1 if MobileFaceNet may decide alone, else by 0 (`is_reliable`).
    """
    served = cascade(people)
    mobile = served.gallery.spec.mobile

    def search(probes: np.ndarray) -> Matches:
        embeddings, reliable = probes[:, :-1], probes[:, -1] > 0
        first, second = normalize(embeddings[:, -mobile:]), normalize(embeddings[:, :-mobile])
        found = served.search(first, reliable, lambda rows: second[rows], TOP, DEFAULT_STRICTNESS)
        return Matches(found.ids, log_odds(found.confidences))

    return search


def own_threshold(people: int) -> float:
    """Log odds from which `as_served` identifies a face that both networks decide.

    MobileFaceNet accepts alone only far above it, and rejects alone only below it.
    """
    served = cascade(people)
    score = served.joined.threshold(people, DEFAULT_STRICTNESS)
    return float(log_odds(served.joined.confidence(np.array(score), people)))


def log_odds(confidences: np.ndarray) -> np.ndarray:
    """Convert confidences in (0, 1)."""
    odds: np.ndarray = np.log(confidences / (1 - confidences))
    return odds


def rows_of(data: Path, people: int | None) -> tuple[int, list[Example]]:
    """Number of people, and the rows of their photos and of the strangers' who are not in the cohort.

    data: the data set of the bundled model; people: limit, which also reduces the strangers in proportion. Raises
    SystemExit if the model was trained on other people or another split.
    """
    run = Run(SPLIT)
    prepare(run, data, [], MIN_IMAGES, VAL_SHARE, SEED)
    names, rows = examples(run)
    gallery = bundled().gallery
    if names != [person.name for person in gallery.people]:
        raise SystemExit("The bundled model knows other people. Give the data set that it was trained on.")
    count = min(people or len(names), len(names))
    known = [row for row in rows if 0 <= row.person < count]
    trained = {photo for face in gallery.faces for photo in face.photos}
    for row in tqdm(known, desc="split", unit=" photos"):
        if (_digest(row) in trained) != (row.split == TRAIN):
            raise SystemExit(f"{row.path}: the bundled model was trained on another split, results would be invalid.")
    strangers = [row for row in rows if row.split == STRANGER]
    used = in_cohort(load_base(run), strangers, [_digest(row).encode() for row in strangers])
    strangers = [row for row, left_out in zip(strangers, used) if not left_out]
    return count, known + strangers[: len(strangers) * count // len(names)]


def _digest(row: Example) -> str:
    return decode(Path(row.path).read_bytes()).digest()


def evaluate_embeddings(search: Search, embeddings: np.ndarray, labels: np.ndarray) -> Probes:
    """Search embeddings and compare the candidates with the labels, int64 [N].

    embeddings: float32 [N, D], NaN if no face was found. Such a probe counts as wrong and is never accepted.
    """
    nobody = np.full(len(embeddings), -2)
    probes = Probes(labels, nobody, np.full(len(embeddings), -np.inf), np.full(len(embeddings), TOP))
    faces = ~np.isnan(embeddings[:, 0])
    with_face = probes_of(search(embeddings[faces]), labels[faces])
    for field in ("predicted", "top_score", "rank"):
        getattr(probes, field)[faces] = getattr(with_face, field)
    return probes


def percent(share: float, digits: int = 2) -> str:
    """Format a share in [0, 1] as a percentage."""
    return f"{100 * share:.{digits}f} %"
