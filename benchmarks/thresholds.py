"""Accuracy at the thresholds that programs written for Amazon Rekognition and CompreFace use.

    python -m benchmarks.thresholds --data lfw-deepfunneled-subset.tgz

Similarity is 100 times the confidence. Prints Markdown tables for the default threshold (1 % of strangers) and for
similarities of 50, 80, 90 and 99:

TPIR   share of known people's photos whose best candidate is the right person and reaches the threshold
FPIR   share of strangers' photos whose best candidate reaches it
TAR    the same as TPIR for two photos of one person that are compared (CompareFaces, verification)
FMR    the same as FPIR for photos of two people

Galleries are random people of LFW, with one or two photos each, enrolled as the service does, and all bundled people.
In random halves of people and strangers, one half calibrates and the other is judged. No half has 610 people, so
galleries of that size have the calibrations that are served, which were fitted to photos of these people. In brackets:
95 % confidence intervals, by bootstrap over people; where the result is the same for everybody, by the rule of three.

`--data` is the data set of the bundled model. Embeddings are kept in build/split.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

import numpy as np
from tqdm import tqdm

from benchmarks.bundled import SPLIT, bundled, percent, rows_of
from benchmarks.open_set import Calibrations, calibrate_half, owners
from benchmarks.options import parser_of
from model.calibration import DEFAULT_STRICTNESS, Calibration
from model.embedding import GENERIC, MOBILE
from storage.networks import Snapshot
from training.data.prepare import STRANGER, TRAIN, Example
from training.evaluation.evaluate_people import embed
from training.evaluation.open_set import Compared, Photos, Results, bootstrap, compare, galleries, search
from training.markdown import table
from training.records import Run

THRESHOLDS = (0.5, 0.8, 0.9, 0.99)  # confidences
PEOPLE, PHOTOS = (10, 100, 610), (1, 2)  # in the galleries; enrolled of each
DRAWS, PAIR_DRAWS = 100, 5  # galleries of each size; choices of photos that are compared with each other
SPLITS, HALF_DRAWS = 5, 20  # random halves; galleries of each size in each of them
FILE = "thresholds.npz"
PAIRS = "two photos compared"
HEADER = ["default", *(f"{100 * threshold:g}" for threshold in THRESHOLDS)]


class Decisions(NamedTuple):
    """N searches.

    owners: int64 [N], see `Photos`; inside: bool [N], the person is in the gallery; hits: bool [thresholds, N], with
    the default threshold and each of THRESHOLDS: identified correctly if inside, else identified as somebody.
    """

    owners: np.ndarray
    inside: np.ndarray
    hits: np.ndarray

    @classmethod
    def of(cls, found: Results) -> Decisions:
        accepted = np.stack([found.known[-1], *(found.confidence >= threshold for threshold in THRESHOLDS)])
        inside = found.whole.labels >= 0
        return cls(found.owners, inside, accepted & (found.right[-1] | ~inside))


Found = Dict[str, List[Decisions]]  # by kind of gallery


def load(data: Path, snapshot: Snapshot) -> tuple[Photos, list[Example]]:
    """Embed the photos in which a face is found, once. -> photos, and the row of each.

    Known people have the lowest numbers, strangers in the cohort are left out. Raises SystemExit if the bundled model
    was trained on other data.
    """
    known, rows = rows_of(data, None)
    run = Run(SPLIT)

    def work() -> dict[str, int]:
        photos = embed(snapshot, [(row.path, i) for i, row in enumerate(rows)])
        np.savez(run.out / FILE, **{name: getattr(photos, name) for name in Photos._fields if name != "empty"})
        return {"photos": len(photos.owners)}

    run.step("thresholds", {"prepare": run.identity("prepare"), "model": snapshot.version}, [FILE], work)
    with np.load(run.out / FILE) as file:
        photos = Photos(**file, empty=snapshot.gallery.loaded())
    kept = [rows[i] for i in photos.owners]
    return photos._replace(owners=owners(kept, known)), kept


def one_to_one(compared: Compared) -> Compared:
    """Make each comparison of two photos a search in a gallery of one person."""
    count = compared.whole.shape[1]
    labels = np.where(np.arange(count) == compared.labels[:, None], 0, -1).ravel()
    people, reliable = (np.repeat(each, count) for each in (compared.owners, compared.reliable))
    return Compared(people, labels, reliable, compared.whole.reshape(-1, 1), compared.mobile.reshape(-1, 1))


def search_pairs(data: Photos, people: np.ndarray, used: Calibrations, random: np.random.RandomState) -> Results:
    """Compare a photo of each person who has several with other photos, theirs and others', as `compare` serves it."""
    compared = compare(data._replace(enrolled=data.whole), people, people, 1, random)
    return search(one_to_one(compared), *used)


def search_bundled(data: Photos, rows: Sequence[Example], snapshot: Snapshot) -> Results:
    """Search the val photos and the strangers in the bundled collection. Raises SystemExit if it is not `generic`."""
    if snapshot.gallery.spec != data.empty.spec:
        raise SystemExit("The bundled collection holds another embedding.")
    chosen = np.array([row.split != TRAIN for row in rows])
    labels = np.array([row.person for row in rows])[chosen]
    scores = (snapshot.gallery.loaded().scores(part[chosen]) for part in (data.whole, data.mobile))
    compared = Compared(data.owners[chosen], labels, data.reliable[chosen], *scores)
    return search(compared, *calibrations(snapshot))


def calibrations(snapshot: Snapshot) -> Calibrations:
    """Return the calibrations that are served with the embedding `generic`."""
    served = snapshot.network.config.calibrations
    return Calibrations(served[GENERIC], served[MOBILE])


def measure(
    data: Photos, people: np.ndarray, strangers: np.ndarray, used: Calibrations, draws: int, seed: int
) -> Found:
    """Search in random galleries, and compare pairs. people, strangers: numbers, int64."""
    random = np.random.RandomState(seed)
    everybody = np.concatenate([people, strangers])
    found: Found = {PAIRS: [Decisions.of(search_pairs(data, everybody, used, random)) for _ in range(PAIR_DRAWS)]}
    for photos in PHOTOS:
        for _ in range(draws):
            compared = compare(data, people, strangers, photos, random)
            for count, part in galleries(compared, PEOPLE, random):
                found.setdefault(gallery_name(count, photos), []).append(Decisions.of(search(part, *used)))
    return found


def gallery_name(people: int, photos: int) -> str:
    return f"{people} people, {photos} photo{'s' if photos > 1 else ''} each"


def held_out(data: Photos, known: int, seed: int) -> Found:
    """Calibrate with one half of the people and of the strangers, and measure the other half."""
    judged, strangers, used = calibrate_half(data, known, seed, np.random.RandomState(seed))
    return measure(data, judged, strangers, used, HALF_DRAWS, seed)


def cell(people: np.ndarray, hits: np.ndarray, digits: int) -> str:
    """Format a share with its 95 % interval. people: int64 [N], of each search; hits: bool [N]."""
    share, low, high = bootstrap(people, hits)
    rest = 3 / len(np.unique(people))  # rule of three: 95 % bound if no person differs
    if not hits.any():
        high = min(1.0, rest)
    elif hits.all():
        low = max(0.0, 1 - rest)
    return f"{100 * share:.{digits}f} ({100 * low:.{digits}f}-{100 * high:.{digits}f})"


def rates(found: Found, *, inside: bool, digits: int) -> str:
    """Format a table with a row for each kind of gallery. inside: of known people's photos, else of strangers'."""
    rows = []
    for name, parts in found.items():
        people = np.concatenate([part.owners[part.inside == inside] for part in parts])
        hits = np.concatenate([part.hits[:, part.inside == inside] for part in parts], axis=1)
        size = f"{len(people):,} of {len(np.unique(people)):,} people"
        rows.append([name, size, *(cell(people, row, digits) for row in hits)])
    return table(["gallery", "searches", *HEADER], rows)


def report(found: Found) -> str:
    """Format both tables."""
    known, strangers = rates(found, inside=True, digits=1), rates(found, inside=False, digits=2)
    return f"TPIR and TAR, percent\n\n{known}\n\nFPIR and FMR, percent\n\n{strangers}"


def defaults(joined: Calibration) -> str:
    """Format the similarity of the default threshold, for both networks, by the number of people."""
    sizes = (1, *PEOPLE, 1000, 10_000, 100_000)
    scores = [(joined.threshold(people, DEFAULT_STRICTNESS), people) for people in sizes]
    similarities = [percent(float(joined.confidence(np.array(score), people)), 0)[:-2] for score, people in scores]
    return table(["people", *(f"{people:,}" for people in sizes)], [["Similarity", *similarities]])


def main() -> None:
    options = parser_of(__doc__, data=True).parse_args()
    snapshot = bundled()
    used, known = calibrations(snapshot), len(snapshot.gallery)
    data, rows = load(options.data, snapshot.emptied())
    numbers = np.unique(data.owners)
    found: Found = {}
    for seed in tqdm(range(SPLITS), desc="halves"):
        for name, parts in held_out(data, known, seed).items():
            found.setdefault(name, []).extend(parts)
    served = measure(data, numbers[numbers < known], numbers[numbers >= known], used, DRAWS, 0)
    found.update((name, parts) for name, parts in served.items() if name not in found)
    found[f"{known} people, bundled"] = [Decisions.of(search_bundled(data, rows, snapshot))]
    outside = sum(row.split == STRANGER for row in rows)
    print(f"{len(rows) - outside:,} photos of {known} people, {outside:,} of {len(numbers) - known} strangers.\n")
    print(f"Similarity of the default threshold\n\n{defaults(used.joined)}\n\n{report(found)}")


if __name__ == "__main__":
    main()
