"""The bundled model's training split and its scores, shared by several benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np
from tqdm import tqdm

from model.photo import decode
from model.recognizer import Recognizer, load_script
from model.store import BUNDLED, fetch
from training.data.align import pixels_digest
from training.data.prepare import STRANGER, TRAIN, Example, examples, prepare
from training.evaluation import metrics
from training.evaluation.gallery import Gallery
from training.evaluation.metrics import Probes
from training.records import Run

ROOT = Path(__file__).resolve().parent.parent
SPLIT = ROOT / "build" / "split"
MIN_IMAGES, VAL_SHARE, SEED = 4, 0.3, 0  # of the bundled model's training, see model/bundled/README.md
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "DLIB_NUM_THREADS": "1"}

Scores = Callable[[np.ndarray], np.ndarray]  # embeddings float32 [N, D] -> similarity [N, people]


def as_served(known: np.ndarray, labels: np.ndarray, people: int) -> Scores:
    """Log odds of the bundled model for its first `people` people.

    Uses the means in the model, which come from the same photos: `known` and `labels` are ignored.
    """
    script, _, _ = load_script(fetch(BUNDLED)[0])
    whole = Gallery.published(script)
    gallery = Gallery(whole.means[:people], whole.normalisation)
    return lambda embeddings: script.slope * gallery.scores(embeddings) + script.intercept


def rows_of(data: Path, people: int | None) -> tuple[int, list[Example]]:
    """Number of people, and the rows of their photos and of the strangers'.

    data: the data set of the bundled model; people: limit, which also reduces the strangers in proportion. Raises
    SystemExit if the model was trained on other people or another split.
    """
    run = Run(SPLIT)
    prepare(run, data, [], MIN_IMAGES, VAL_SHARE, SEED)
    names, rows = examples(run)
    recognizer = Recognizer.load(BUNDLED)
    if names != [person.name for person in recognizer.people]:
        raise SystemExit("The bundled model knows other people. Give the data set that it was trained on.")
    count = min(people or len(names), len(names))
    known = [row for row in rows if 0 <= row.person < count]
    trained = {photo for person in recognizer.people for photo in person.photos}
    for row in tqdm(known, desc="split", unit=" photos"):
        if (pixels_digest(decode(Path(row.path).read_bytes()).view()) in trained) != (row.split == TRAIN):
            raise SystemExit(f"{row.path}: the bundled model was trained on another split, results would be invalid.")
    strangers = [row for row in rows if row.split == STRANGER]
    return count, known + strangers[: len(strangers) * count // len(names)]


def evaluate_embeddings(scores: Scores, embeddings: np.ndarray, labels: np.ndarray, people: int) -> Probes:
    """Compare embeddings with their labels, int64 [N].

    embeddings: float32 [N, D], NaN if no face was found. Such a probe counts as wrong and is never accepted.
    """
    nobody = np.full(len(embeddings), people)
    probes = Probes(labels, nobody, np.full(len(embeddings), -np.inf), nobody.copy())
    faces = ~np.isnan(embeddings[:, 0])
    with_face = metrics.evaluate_scores(scores(embeddings[faces]), labels[faces])
    for field in ("predicted", "top_score", "rank"):
        getattr(probes, field)[faces] = getattr(with_face, field)
    return probes


def percent(share: float, digits: int = 2) -> str:
    """Format a share in [0, 1] as a percentage."""
    return f"{100 * share:.{digits}f} %"
