"""Open-set accuracy by the size of the gallery: of people whom the networks have never seen.

    python -m benchmarks.open_set --data lfw-deepfunneled-subset.tgz    computes features in build/open_set, once
    python -m benchmarks.open_set --run runs/lfw                        reads those of a training run

Nothing is judged by what chose it. Each split halves the known people, and the strangers outside the cohort: one half
calibrates both paths of the cascade, the other is judged. A draw chooses the enrolled photos and the people of each
gallery; of the other photos at most PROBES of each person are searched. Prints a table for each number of photos:

FPIR   share of the strangers' photos that is identified as somebody, for each promise
TPIR   share of the known people's photos that is identified correctly; in brackets that of both networks for every
       photo with the best threshold in hindsight, which keeps the promise exactly on the judged photos
error  calibration error of the confidence, if half of the photos show somebody in the gallery (1 % promised)
alone  share of known people's and of strangers' photos that MobileFaceNet decides alone (1 % promised)
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Iterator, NamedTuple, Sequence

import numpy as np
from tqdm import tqdm

from benchmarks.bundled import MIN_IMAGES, ROOT, SEED, VAL_SHARE, percent
from benchmarks.functions import table
from model.calibration import DEFAULT_STRICTNESS, STRICTNESS, Calibration
from model.crop import CropSpec
from model.gallery import Gallery
from training.data.align import align
from training.data.dataset import RELIABLE, dataset
from training.data.prepare import STRANGER, examples, prepare
from training.evaluation.calibrate import Comparisons, calibrate
from training.evaluation.gallery import draw_photos, mean_embeddings, mean_gallery
from training.evaluation.metrics import Probes, reliability, threshold_at_fpir, tpir_at
from training.network.base import load_base, outside_cohort
from training.network.embeddings import generic_embedding
from training.network.features import default_precision, features, load_features, load_mobile, mobile_embeddings
from training.records import Run

PEOPLE = (1, 2, 5, 10, 20, 50, 100, 200, 305)
PHOTOS, CALIBRATED, PROBES = (1, 2, 3), (1, 2, 4), 3  # of each person: enrolled to judge, to calibrate; searched


class Photos(NamedTuple):
    """Photos with a face. people: int64 [N], -1 for strangers; strangers: int64 [N], -1 for the others and the cohort.

    whole, mobile: embeddings, float32 [N, 704] and [N, 192]; empty: a gallery without people.
    """

    people: np.ndarray
    strangers: np.ndarray
    reliable: np.ndarray
    whole: np.ndarray
    mobile: np.ndarray
    empty: Gallery


class Compared(NamedTuple):
    """Known people's photos, then strangers', compared with all people of a gallery.

    labels: int64 [N], -1 for strangers; reliable: bool [N]; whole, mobile: scores, float32 [N, people].
    """

    labels: np.ndarray
    reliable: np.ndarray
    whole: np.ndarray
    mobile: np.ndarray

    def part(self, columns: np.ndarray) -> Compared:
        """Select some of the people, and leave out the other people's photos."""
        rows = np.isin(self.labels, [-1, *columns])
        labels = np.where(self.labels < 0, -1, np.searchsorted(columns, self.labels))[rows]
        return Compared(labels, self.reliable[rows], self.whole[rows][:, columns], self.mobile[rows][:, columns])


class Results(NamedTuple):
    """Results of N photos. whole: with both networks; known, right: bool [len(STRICTNESS), N]; the others for 1 %."""

    whole: Probes
    known: np.ndarray
    right: np.ndarray
    confidence: np.ndarray
    alone: np.ndarray


def load(run: Run, precision: str) -> Photos:
    """Embed the photos of a run with the embedding `generic`."""
    data, base, generic, (_, listed) = dataset(run), load_base(run), generic_embedding(), examples(run)
    folders = np.array([Path(listed[row].path).parent.name for row in data.rows])
    probes = (data.splits == STRANGER) & outside_cohort(run, base)
    _, numbers = np.unique(np.where(probes, folders, ""), return_inverse=True)  # "" is the first
    mobile = np.array(load_mobile(run))
    whole = generic.embed(load_features(run, precision), mobile)
    empty = Gallery(generic.spec, base.cohort(generic), [], [], whole[:0])
    return Photos(data.labels, numbers - 1, np.load(run.out / RELIABLE)[data.rows], whole, mobile, empty)


def compute(data: Path) -> Run:
    """Run the steps that are missing for `load`."""
    run = Run(ROOT / "build" / "open_set")
    prepare(run, data, [], MIN_IMAGES, VAL_SHARE, SEED)
    align(run, CropSpec())
    features(run, default_precision(), SEED)
    mobile_embeddings(run, load_base(run).mobile_weights)
    return run


def compare(data: Photos, half: Sequence[np.ndarray], photos: int, seed: int) -> Compared:
    """Enrol photos of the people in a half (people, strangers), and compare others and the strangers' with them all."""
    drawn = draw_photos(data.people, half[0], photos, PROBES, np.random.RandomState(seed))
    enrolled = ((np.full(photos, i), data.whole[rows]) for i, rows in enumerate(drawn.enrolled))
    count = len(drawn.enrolled)
    means = mean_embeddings(enrolled, count, data.empty.spec.size)
    gallery = mean_gallery(data.empty.spec, data.empty.cohort, [str(i) for i in range(count)], means)
    strangers = np.flatnonzero(np.isin(data.strangers, half[1]))
    labels, rows = np.append(drawn.labels, np.full(len(strangers), -1)), np.append(drawn.probes, strangers)
    return Compared(labels, data.reliable[rows], gallery.scores(data.whole[rows]), gallery.scores(data.mobile[rows]))


def fit(parts: list[Compared], name: str, seed: int) -> Calibration:
    """Calibrate one embedding. name: `whole` or `mobile`."""
    found = [(getattr(part, name), part.labels, part.labels >= 0) for part in parts]
    return calibrate([Comparisons(scores[own], labels[own], scores[~own], True) for scores, labels, own in found], seed)


def search(compared: Compared, joined: Calibration, mobile: Calibration) -> Results:
    """Decide as `Cascade.search` does, from scores that are computed already."""
    count, known, right = compared.whole.shape[1], [], []
    people, alike = compared.whole.argmax(axis=1), compared.mobile.argmax(axis=1)
    score, own = compared.whole.max(axis=1), compared.mobile.max(axis=1)
    for strictness in STRICTNESS:
        alone = compared.reliable & ~mobile.undecided(own, count, strictness)
        accepted = own >= mobile.threshold(count, strictness), score >= joined.threshold(count, strictness)
        known.append(np.where(alone, *accepted))
        right.append(np.where(alone, alike, people) == compared.labels)
        if strictness == DEFAULT_STRICTNESS:
            decided, confidence = alone, np.where(alone, mobile.confidence(own, count), joined.confidence(score, count))
    whole = Probes(compared.labels, people, score, np.zeros_like(people))
    return Results(whole, np.stack(known), np.stack(right), confidence, decided)


def judge(data: Photos, seed: int, draws: int) -> Iterator[tuple[int, int, Results]]:
    """Split, calibrate and search. -> photos of each person, people in the gallery, and results."""
    random = np.random.RandomState(seed)
    numbers = (random.permutation(group.max() + 1) for group in (data.people, data.strangers))
    fitted, judged = zip(*(np.array_split(group, 2) for group in numbers))
    parts = [compare(data, fitted, photos, seed) for photos in CALIBRATED]
    joined, mobile = (fit(parts, name, seed) for name in ("whole", "mobile"))
    for photos in PHOTOS * draws:
        compared = compare(data, judged, photos, random.randint(1 << 31))
        order = random.permutation(compared.whole.shape[1])
        for count in PEOPLE:
            yield photos, count, search(compared.part(np.sort(order[:count])), joined, mobile)


def row(count: int, found: list[Results]) -> list[str]:
    """Cells of all galleries of one size."""
    whole = Probes.joined([each.whole for each in found])
    known, right = (np.concatenate([getattr(each, name) for each in found], axis=1) for name in ("known", "right"))
    confidence, alone = (np.concatenate(column) for column in zip(*((each.confidence, each.alone) for each in found)))
    inside = whole.labels >= 0
    best = [tpir_at(whole[inside], threshold_at_fpir(whole[~inside], strictness / 100)) for strictness in STRICTNESS]
    tpir = zip((known & right)[:, inside].mean(axis=1), best)
    weight = np.where(inside, 0.5 / inside.sum(), 0.5 / (~inside).sum())
    _, error = reliability(confidence, right[STRICTNESS.index(DEFAULT_STRICTNESS)], weight)
    return [
        f"{count}",
        *(percent(share) for share in known[:, ~inside].mean(axis=1)),
        *(f"{100 * share:.1f} ({100 * limit:.1f}) %" for share, limit in tpir),
        percent(error, 1),
        f"{100 * alone[inside].mean():.0f} / {100 * alone[~inside].mean():.0f} %",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="archive or folder of LFW, deep-funneled")
    source.add_argument("--run", type=Path, help="folder of a training run on it")
    parser.add_argument("--splits", type=int, default=10, help="random halves (10)")
    parser.add_argument("--draws", type=int, default=20, help="galleries of each size in each split (20)")
    options = parser.parse_args()
    data = load(Run(options.run) if options.run else compute(options.data), default_precision())
    found: dict[tuple[int, int], list[Results]] = {}
    for seed in tqdm(range(options.splits), desc="splits"):
        for photos, count, results in judge(data, seed, options.draws):
            found.setdefault((photos, count), []).append(results)
    header = ["people", *(f"{name} at {strictness:g} %" for name in ("FPIR", "TPIR") for strictness in STRICTNESS)]
    for photos in PHOTOS:
        rows = [row(count, found[photos, count]) for count in PEOPLE]
        print(f"\n### Photos of each person: {photos}\n\n{table([*header, 'error', 'alone: known / strangers'], rows)}")


if __name__ == "__main__":
    main()
