"""Open-set accuracy by the size of the gallery: of people whom the networks have never seen.

    python -m benchmarks.open_set --data lfw-deepfunneled-subset.tgz    computes features in build/open_set, once
    python -m benchmarks.open_set --run runs/lfw                        reads those of a training run

Nothing is judged by what chose it. Each split halves the known people, and the strangers outside the cohort: one half
calibrates both paths of the cascade, the other is judged. Prints a table for each number of photos that are enrolled:

FPIR   share of the strangers' photos that is identified as somebody, for each promise
TPIR   share of the known people's photos that is identified correctly, for each promise
best   the same for 1 %, with both networks for every photo and the best threshold in hindsight, which keeps the promise
       exactly on the judged photos
error  calibration error of the confidence, if half of the photos show somebody in the gallery
alone  share of known people's and of strangers' photos that MobileFaceNet decides alone

In brackets: 95 % confidence intervals, by bootstrap over people.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, NamedTuple, Sequence

import numpy as np
from tqdm import tqdm

from benchmarks.bundled import MIN_IMAGES, SEED, VAL_SHARE
from benchmarks.options import parser_of
from model.calibration import Calibration
from model.crop import CropSpec
from model.gallery import Gallery
from testing.paths import ROOT
from training.data.align import align
from training.data.dataset import RELIABLE, dataset
from training.data.prepare import STRANGER, Example, examples, prepare
from training.evaluation.calibrate import Comparisons, calibrate
from training.evaluation.open_set import HEADER, Photos, Results, compare, galleries, row, search
from training.markdown import table
from training.network.base import load_base, outside_cohort
from training.network.embeddings import Embedding, generic_embedding
from training.network.features import default_precision, features, load_features, load_mobile, mobile_embeddings
from training.records import Run

PEOPLE = (1, 2, 5, 10, 20, 50, 100, 200, 305)
PHOTOS, CALIBRATED = (1, 2, 3), (1, 2, 4)  # of each person who is judged, and who calibrates


class Calibrations(NamedTuple):
    """Calibrations of both paths of the cascade."""

    joined: Calibration
    mobile: Calibration


def load(run: Run, precision: str, embedding: Embedding) -> tuple[Photos, int]:
    """Embed the photos of a run, without those of people in the cohort. -> photos, and the number of known people.

    Known people have the lowest numbers.
    """
    data, base, (_, listed) = dataset(run), load_base(run), examples(run)
    kept = np.flatnonzero((data.splits != STRANGER) | outside_cohort(run, base))
    known = len(data.names)
    people = owners([listed[row] for row in data.rows[kept]], known)
    mobile = np.array(load_mobile(run))[kept]
    whole = embedding.embed(load_features(run, precision)[kept], mobile)
    empty = Gallery.of(embedding.spec, base.cohort(embedding), [], [], whole[:0])
    return Photos(people, np.load(run.out / RELIABLE)[data.rows[kept]], whole, mobile, whole, empty), known


def owners(rows: Sequence[Example], known: int) -> np.ndarray:
    """Number the people of photos: known people as in `rows`, strangers from `known` on. -> int64 [N]."""
    _, folders = np.unique([Path(row.path).parent.name for row in rows], return_inverse=True)
    people = np.array([row.person for row in rows])
    return np.where(people < 0, known + folders, people)


def compute(data: Path) -> Run:
    """Run the steps that are missing for `load`."""
    run = Run(ROOT / "build" / "open_set")
    prepare(run, data, [], MIN_IMAGES, VAL_SHARE, SEED)
    align(run, CropSpec())
    features(run, default_precision(), SEED)
    mobile_embeddings(run, load_base(run).mobile_weights)
    return run


def halves(people: np.ndarray, random: np.random.RandomState) -> list[np.ndarray]:
    """Split people at random."""
    return np.array_split(random.permutation(people), 2)


def calibrate_half(
    data: Photos, known: int, seed: int, random: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray, Calibrations]:
    """Calibrate with one half of the people and of the strangers.

    known: number of people who are no strangers, see `load`. -> people and strangers of the other half, and both
    calibrations.
    """
    numbers = np.unique(data.owners)
    (fitted, judged), (fitted_strangers, strangers) = (
        halves(group, random) for group in (numbers[numbers < known], numbers[numbers >= known])
    )
    parts = [compare(data, fitted, fitted_strangers, photos, random) for photos in CALIBRATED]

    def fit(name: str) -> Calibration:
        found = []
        for part in parts:
            scores, own = getattr(part, name), part.labels >= 0
            found.append(Comparisons(scores[own], part.labels[own], scores[~own], True))
        return calibrate(found, seed)

    return judged, strangers, Calibrations(fit("whole"), fit("mobile"))


def judge(data: Photos, known: int, seed: int, draws: int) -> Iterator[tuple[int, int, Results]]:
    """Split, calibrate and search. -> photos of each person, people in the gallery, and results."""
    random = np.random.RandomState(seed)
    judged, strangers, used = calibrate_half(data, known, seed, random)
    for photos in PHOTOS * draws:
        compared = compare(data, judged, strangers, photos, random)
        for count, part in galleries(compared, PEOPLE, random):
            yield photos, count, search(part, *used)


def main() -> None:
    parser = parser_of(__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="archive or folder of LFW, deep-funneled")
    source.add_argument("--run", type=Path, help="folder of a training run on it")
    parser.add_argument("--splits", type=int, default=5, help="random halves (5)")
    parser.add_argument("--draws", type=int, default=20, help="galleries of each size in each split (20)")
    options = parser.parse_args()
    run = Run(options.run) if options.run else compute(options.data)
    data, known = load(run, default_precision(), generic_embedding())
    found: dict[tuple[int, int], list[Results]] = {}
    for seed in tqdm(range(options.splits), desc="splits"):
        for photos, count, results in judge(data, known, seed, options.draws):
            found.setdefault((photos, count), []).append(results)
    for photos in PHOTOS:
        rows = [row(count, found[photos, count]) for count in PEOPLE if (photos, count) in found]
        print(f"\n### Photos of each person: {photos}\n\n{table(HEADER, rows)}")


if __name__ == "__main__":
    main()
