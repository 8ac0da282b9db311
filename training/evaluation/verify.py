"""verify: face verification by LFW's protocol: 6,000 pairs of photos in ten folds, listed in pairs.txt.

Huang et al., "Labeled Faces in the Wild: A Database for Studying Face Recognition in Unconstrained Environments", 2007,
setting "unrestricted with labeled outside data". Uses the pretrained embedding, because the tuned one was trained on
these people.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from model.cohort import ENTRY_WEIGHT, PROBE_WEIGHT
from storage.cache import sha256_of
from training.data.dataset import dataset
from training.data.prepare import examples
from training.errors import TrainingError
from training.network.base import load_base
from training.network.embeddings import generic_embedding
from training.network.features import load_features, load_mobile
from training.records import Run


class Pair(NamedTuple):
    """Two photos, each given by the name of its folder and its number. same: the photos show one person."""

    first: tuple[str, int]
    second: tuple[str, int]
    same: bool
    fold: int


def read_pairs(path: Path) -> list[Pair]:
    """Read a file in the format of LFW's pairs.txt. Raises TrainingError if it is not one."""
    try:
        header, *lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        folds, each = (int(field) for field in header)
        if len(lines) != folds * each * 2:
            raise ValueError(f"{len(lines)} pairs, but the first line announces {folds} folds of 2 x {each}")
        return [_pair(fields, i // (2 * each)) for i, fields in enumerate(lines)]
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} is not a list of pairs in the format of LFW's pairs.txt: {error}.") from error


def _pair(fields: list[str], fold: int) -> Pair:
    if len(fields) == 3:
        name, first, second = fields
        return Pair((name, int(first)), (name, int(second)), True, fold)
    name, first, other, second = fields
    return Pair((name, int(first)), (other, int(second)), False, fold)


def verify(run: Run, precision: str, pairs: Path) -> None:
    """Measure verification accuracy on the pairs whose photos are in the data and show a face.

    precision: of the features; pairs: see `read_pairs`. Raises TrainingError if there is no such pair.
    """
    listed = read_pairs(pairs)
    base = load_base(run)
    inputs = {
        "features": run.identity(f"features-{precision}"),
        "mobile": run.identity("mobile"),
        "pairs": sha256_of(pairs),
        "base": base.digest(),
    }

    def work() -> dict[str, Any]:
        row_of = _photo_rows(run)
        found = [pair for pair in listed if pair.first in row_of and pair.second in row_of]
        if not found:
            raise TrainingError(f"None of the photos in {pairs} is in the data, or none of them shows a face.")
        generic, features, mobile = generic_embedding(), load_features(run, precision), load_mobile(run)

        def embeddings(photos: list[tuple[str, int]]) -> np.ndarray:
            rows = [row_of[photo] for photo in photos]
            return generic.embed(features[rows], mobile[rows])

        first, second = embeddings([pair.first for pair in found]), embeddings([pair.second for pair in found])
        cohort = base.cohort(generic)
        nearness = cohort.nearness(first) + cohort.nearness(second)
        # Symmetric in the two photos, unlike the score of a probe and a gallery's entry.
        scores = (first * second).sum(axis=1) - (PROBE_WEIGHT + ENTRY_WEIGHT) / 2 * nearness
        same, fold = np.array([pair.same for pair in found]), np.array([pair.fold for pair in found])
        return {"pairs": len(found), "missing": len(listed) - len(found), **cross_validate(scores, same, fold)}

    run.step("verify", inputs, [], work)


def _photo_rows(run: Run) -> dict[tuple[str, int], int]:
    """Rows of the features by photo, from file names in the format of LFW, <name>_<number>.jpg."""
    _, listed = examples(run)
    rows = {}
    for i, row in enumerate(dataset(run).rows):
        match = re.fullmatch(r"(.+)_(\d+)", Path(listed[row].path).stem)
        if match:
            rows[match[1], int(match[2])] = i
    return rows


def cross_validate(scores: np.ndarray, same: np.ndarray, fold: np.ndarray) -> dict[str, float]:
    """Mean accuracy over the folds and its standard error; each fold uses the best threshold of the other folds.

    scores: float [pairs]; same: bool [pairs]; fold: int [pairs].
    """
    accuracies = []
    for test_fold in np.unique(fold):
        test = fold == test_fold
        threshold = _best_threshold(scores[~test], same[~test])
        accuracies.append(float(((scores >= threshold) == same)[test].mean()))
    error = float(np.std(accuracies, ddof=1) / np.sqrt(len(accuracies))) if len(accuracies) > 1 else 0.0
    return {"accuracy": float(np.mean(accuracies)), "standard_error": error, "folds": len(accuracies)}


def _best_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """The middle one of the thresholds with the highest accuracy. scores: float [pairs]; same: bool [pairs]."""
    ranked = np.unique(scores)
    candidates = np.concatenate([ranked[:1] - 1, (ranked[1:] + ranked[:-1]) / 2, ranked[-1:] + 1])
    true_negatives = np.searchsorted(np.sort(scores[~same]), candidates)
    true_positives = same.sum() - np.searchsorted(np.sort(scores[same]), candidates)
    correct = true_negatives + true_positives
    best = np.flatnonzero(correct == correct.max())
    return float(candidates[best[len(best) // 2]])
