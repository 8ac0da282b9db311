"""The split that the bundled model was trained on, and what its figures are made of: for several benchmarks."""

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
MIN_IMAGES, VAL_SHARE, SEED = 4, 0.3, 0  # what the bundled model was trained with: its README says so
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "DLIB_NUM_THREADS": "1"}

Scores = Callable[[np.ndarray], np.ndarray]  # embeddings float32 [N, D] -> [N, people], more is more alike


def as_served(known: np.ndarray, labels: np.ndarray, people: int) -> Scores:
    """The log odds that the bundled model answers with, by the means that lie in it: of the same photos."""
    script, _, _ = load_script(fetch(BUNDLED)[0])
    whole = Gallery.published(script)
    gallery = Gallery(whole.means[:people], whole.normalisation)
    return lambda embeddings: script.slope * gallery.scores(embeddings) + script.intercept


def rows_of(data: Path, people: int | None) -> tuple[int, list[Example]]:
    """How many people, and their photos and the strangers'; of fewer people, strangers in proportion."""
    run = Run(SPLIT)
    prepare(run, data, [], MIN_IMAGES, VAL_SHARE, SEED)
    names, rows = examples(run)
    recognizer = Recognizer.load(BUNDLED)
    if names != [person.name for person in recognizer.people]:
        raise SystemExit("The bundled model knows other people than these: give the data it was trained on.")
    some = min(people or len(names), len(names))
    known = [row for row in rows if 0 <= row.person < some]
    trained = {photo for person in recognizer.people for photo in person.photos}
    for row in tqdm(known, desc="split", unit=" photos"):
        if (pixels_digest(decode(Path(row.path).read_bytes()).view()) in trained) != (row.split == TRAIN):
            raise SystemExit(
                f"{row.path}: the bundled model was not trained on this split, so its figures would not hold."
            )
    strangers = [row for row in rows if row.split == STRANGER]
    return some, known + strangers[: len(strangers) * some // len(names)]


def judge(scores: Scores, found: np.ndarray, labels: np.ndarray, people: int) -> Probes:
    """found: embeddings [N, D], not a number where no face was found: nobody is named then, and nobody accepted."""
    nobody = np.full(len(found), people)
    probes = Probes(labels, nobody, np.full(len(found), -np.inf), nobody.copy())
    faces = ~np.isnan(found[:, 0])
    said = metrics.evaluate_scores(scores(found[faces]), labels[faces])
    for field in ("predicted", "top_score", "rank"):
        getattr(probes, field)[faces] = getattr(said, field)
    return probes


def percent(share: float, digits: int = 2) -> str:
    return f"{100 * share:.{digits}f} %"
