"""Training for people who are enrolled later: the embedding `tuned` on other people, compared with `generic`.

    python -m benchmarks.transfer --run build/open_set    a training run, or the folder that benchmarks.open_set fills

In each split the head is trained on half of the known people, and the other half is enrolled with some photos of each.
Prints TPIR at 1 % and at 0.1 % FPIR, with the threshold chosen in hindsight on strangers outside the cohort. Of each
split and number of photos, all galleries of one size count together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

import numpy as np

from benchmarks.bundled import percent
from benchmarks.open_set import halves, load
from benchmarks.options import parser_of
from training.data.dataset import Dataset, dataset
from training.data.prepare import TRAIN
from training.evaluation.metrics import Probes, tpir_at_fpir
from training.evaluation.open_set import Photos, compare, galleries
from training.markdown import table
from training.network.embeddings import generic_embedding, tuned_embedding
from training.network.features import default_precision, load_features
from training.network.finetune import Head, Recipe, train_head
from training.records import Run

PHOTOS, PEOPLE = (1, 2, 3, 5), (10, 50, 200)
DRAWS = 20
FPIRS = (0.01, 0.001)

Point = Tuple[int, int]  # people in the gallery, and photos enrolled of each


def train(run: Run, precision: str, people: np.ndarray, seed: int) -> Head:
    """Train a head on all photos of some people. people: class indices of the run."""
    data, people = dataset(run), np.sort(people)
    chosen = np.isin(data.labels, people)
    labels = np.searchsorted(people, data.labels[chosen])
    names = [data.names[person] for person in people]
    part = Dataset(names, labels, np.full(len(labels), TRAIN), data.rows[chosen])
    return train_head(load_features(run, precision)[chosen], part, Recipe(), seed)[0]


def measure(data: Photos, judged: np.ndarray, strangers: np.ndarray, seed: int) -> dict[Point, list[float]]:
    """Enrol and search. -> TPIR at each of FPIRS. The same seed draws the same photos for each embedding."""
    found: dict[Point, list[Probes]] = {}
    random = np.random.RandomState(seed)
    for photos in PHOTOS * DRAWS:
        compared = compare(data, judged, strangers, photos, random)
        for people, part in galleries(compared, PEOPLE, random):
            found.setdefault((people, photos), []).append(part.probes())
    return {point: [tpir_at_fpir(Probes.joined(parts), fpir) for fpir in FPIRS] for point, parts in found.items()}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder with the features of LFW")
    parser.add_argument("--splits", type=int, default=5, help="random halves (5)")
    options = parser.parse_args()
    run, precision = Run(options.run), default_precision()
    generic, known = load(run, precision, generic_embedding())
    numbers = np.unique(generic.owners)
    found: dict[Point, list[list[list[float]]]] = {}  # TPIR of each split, embedding and FPIR
    for seed in range(options.splits):
        trained, judged = halves(numbers[numbers < known], np.random.RandomState(seed))
        tuned, _ = load(run, precision, tuned_embedding(train(run, precision, trained, seed)))
        both = [measure(data, judged, numbers[numbers >= known], seed) for data in (generic, tuned)]
        for point in both[0]:
            found.setdefault(point, []).append([shares[point] for shares in both])
    header = [f"{name}, {percent(fpir, 1)} FPIR" for fpir in FPIRS for name in ("generic", "tuned")]
    rows = [
        [f"{people}", f"{photos}", *(percent(share, 1) for share in np.mean(found[people, photos], axis=0).T.ravel())]
        for people, photos in sorted(found)
    ]
    print(table(["people", "photos of each", *header], rows))


if __name__ == "__main__":
    main()
