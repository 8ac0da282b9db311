"""verify: LFW's own protocol. Do two photos show the same person? 6,000 pairs in ten folds, named in pairs.txt.

Huang et al., "Labeled Faces in the Wild: A Database for Studying Face Recognition in Unconstrained Environments", 2007,
in the setting "unrestricted, labeled outside data". The embedding is the pretrained one: the tuned one has seen these
very people.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from storage.cache import sha256_of
from training.data.dataset import dataset
from training.data.prepare import examples
from training.errors import TrainingError
from training.network.backbone import embed_pretrained, load_pretrained
from training.network.features import load_features
from training.records import Run


class Pair(NamedTuple):
    """Two photos, each a folder's name and a number; fold: which tenth of the pairs it belongs to."""

    first: tuple[str, int]
    second: tuple[str, int]
    same: bool
    fold: int


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a file in the form of LFW's pairs.txt. Raises TrainingError."""
    try:
        head, *lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        folds, each = (int(field) for field in head)
        if len(lines) != folds * each * 2:
            raise ValueError(f"{len(lines)} pairs where the first line promises {folds} times {each} and {each}")
        return [_pair(fields, i // (2 * each)) for i, fields in enumerate(lines)]
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} is not a list of pairs like LFW's pairs.txt: {error}.") from error


def _pair(fields: list[str], fold: int) -> Pair:
    if len(fields) == 3:
        name, first, second = fields
        return Pair((name, int(first)), (name, int(second)), True, fold)
    name, first, other, second = fields
    return Pair((name, int(first)), (other, int(second)), False, fold)


def verify(run: Run, precision: str, pairs: Path) -> None:
    """Raises TrainingError where none of the pairs is in the data."""
    found = read_pairs(pairs)
    inputs = {"features": run.identity(f"features-{precision}"), "pairs": sha256_of(pairs)}

    def work() -> dict[str, Any]:
        data, features = dataset(run), load_features(run, precision)
        _, rows = examples(run)
        place = {}
        for i, row in enumerate(data.rows):
            named = re.fullmatch(r"(.+)_(\d+)", Path(rows[row].path).stem)
            if named:
                place[named[1], int(named[2])] = i
        there = [pair for pair in found if pair.first in place and pair.second in place]
        if not there:
            raise TrainingError(f"None of the photos in {pairs} is in the data, or none of them shows a face.")
        state = load_pretrained()

        def embeddings(keys: list[tuple[str, int]]) -> torch.Tensor:
            return embed_pretrained(state, torch.from_numpy(features[[place[key] for key in keys]]))

        cosines = F.cosine_similarity(
            embeddings([pair.first for pair in there]), embeddings([pair.second for pair in there])
        ).numpy()
        same, fold = np.array([pair.same for pair in there]), np.array([pair.fold for pair in there])
        return {"pairs": len(there), "missing": len(found) - len(there), **cross_validate(cosines, same, fold)}

    run.step("verify", inputs, [], work)


def cross_validate(scores: np.ndarray, same: np.ndarray, fold: np.ndarray) -> dict[str, float]:
    """Accuracy in each fold with the threshold that is best in the others: mean and standard error. All [pairs]."""
    accuracies = []
    for judged_fold in np.unique(fold):
        others = fold != judged_fold
        threshold = _best_threshold(scores[others], same[others])
        accuracies.append(float(((scores >= threshold) == same)[~others].mean()))
    error = float(np.std(accuracies, ddof=1) / np.sqrt(len(accuracies))) if len(accuracies) > 1 else 0.0
    return {"accuracy": float(np.mean(accuracies)), "standard_error": error, "folds": len(accuracies)}


def _best_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """The middle of those that tell most pairs rightly. Both [pairs]."""
    ranked = np.unique(scores)
    candidates = np.concatenate([ranked[:1] - 1, (ranked[1:] + ranked[:-1]) / 2, ranked[-1:] + 1])
    below = np.searchsorted(np.sort(scores[~same]), candidates)  # different, and said to be
    above = same.sum() - np.searchsorted(np.sort(scores[same]), candidates)
    best = np.flatnonzero(below + above == (below + above).max())
    return float(candidates[best[len(best) // 2]])
