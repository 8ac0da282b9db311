"""Open-set accuracy by the size of the gallery and the number of photos of each person.

A draw enrols some photos of each candidate, and searches at most PROBES other photos of each candidate and stranger.
Galleries of several sizes are parts of it: the candidates who are left out count as strangers too.
"""

from __future__ import annotations

from typing import Iterator, NamedTuple, Sequence

import numpy as np

from model.calibration import DEFAULT_STRICTNESS, Calibration
from model.gallery import Gallery
from training.evaluation.gallery import Drawn, draw_photos, mean_embeddings, mean_gallery
from training.evaluation.metrics import Probes, reliability, tpir_at_fpir

PEOPLE = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # in the galleries
PROBES = 3  # photos of each person that are searched, at most
PROMISES = (0.1, DEFAULT_STRICTNESS)  # strictness that is measured, percent
MIN_STRANGERS = 5  # people outside the gallery. With fewer, nothing is said about strangers
RESAMPLES = 1000  # of the bootstrap
HEADER = [
    "people",
    *(f"FPIR, promise {promise:g} %" for promise in PROMISES),
    *(f"TPIR at {promise:g} %" for promise in PROMISES),
    "with the best threshold",
    "error",
    "alone",
]


class Photos(NamedTuple):
    """Photos with a face.

    owners: int64 [N], a number for each person; reliable: bool [N], see `is_reliable`; whole, mobile: embeddings of
    length 1, float32 [N, size] and [N, 192]; enrolled: what each photo adds to a person's mean, float32 [N, size];
    empty: a gallery without people.
    """

    owners: np.ndarray
    reliable: np.ndarray
    whole: np.ndarray
    mobile: np.ndarray
    enrolled: np.ndarray
    empty: Gallery


class Compared(NamedTuple):
    """Photos that are compared with all people of a gallery.

    owners, labels: int64 [N], the person's number and their column, -1 for strangers; reliable: bool [N]; whole,
    mobile: scores, float32 [N, people].
    """

    owners: np.ndarray
    labels: np.ndarray
    reliable: np.ndarray
    whole: np.ndarray
    mobile: np.ndarray

    def part(self, columns: np.ndarray) -> Compared:
        """Select some of the people. The others become strangers. columns: int64, ascending."""
        inside = np.isin(self.labels, columns)
        labels = np.where(inside, np.searchsorted(columns, self.labels), -1)
        return Compared(self.owners, labels, self.reliable, self.whole[:, columns], self.mobile[:, columns])

    def probes(self) -> Probes:
        """Search the gallery with both networks for every photo. Nobody but the best person is ranked."""
        people = self.whole.argmax(axis=1)
        return Probes(self.labels, people, self.whole.max(axis=1), np.zeros_like(people))


class Results(NamedTuple):
    """Results of N photos.

    owners: see `Compared`; known, right: bool [len(PROMISES), N]; confidence, alone: for DEFAULT_STRICTNESS; whole:
    with both networks for every photo.
    """

    owners: np.ndarray
    known: np.ndarray
    right: np.ndarray
    confidence: np.ndarray
    alone: np.ndarray
    whole: Probes


def draw(
    owners: np.ndarray, people: np.ndarray, strangers: np.ndarray, photos: int, random: np.random.RandomState
) -> Drawn:
    """Draw photos of people to enrol, and other photos of theirs and of the strangers to search.

    owners: int64, the person of each photo; people, strangers: numbers in it; those in both are no strangers.
    """
    drawn = draw_photos(owners, people, photos, PROBES, random)
    others = draw_photos(owners, np.setdiff1d(strangers, people), 0, PROBES, random).probes
    labels = np.append(drawn.labels, np.full(len(others), -1))
    return drawn._replace(probes=np.append(drawn.probes, others), labels=labels)


def compare(
    data: Photos, candidates: np.ndarray, strangers: np.ndarray, photos: int, random: np.random.RandomState
) -> Compared:
    """Enrol `photos` photos of each candidate who has more, and compare other photos with them all.

    candidates, strangers: numbers of people, int64.
    """
    counts = np.bincount(data.owners, minlength=int(candidates.max(initial=-1)) + 1)
    people = candidates[counts[candidates] > photos]
    drawn = draw(data.owners, people, strangers, photos, random)
    enrolled = ((np.full(photos, i), data.enrolled[rows]) for i, rows in enumerate(drawn.enrolled))
    means = mean_embeddings(enrolled, len(people), data.empty.spec.size)
    gallery = mean_gallery(data.empty.spec, data.empty.cohort, [str(person) for person in people], means)
    rows = drawn.probes
    scores = gallery.scores(data.whole[rows]), gallery.scores(data.mobile[rows])
    return Compared(data.owners[rows], drawn.labels, data.reliable[rows], *scores)


def search(compared: Compared, joined: Calibration, mobile: Calibration) -> Results:
    """Decide as `Cascade.search` does, from scores that are computed already."""
    count, known, right = compared.whole.shape[1], [], []
    whole, alike, own = compared.probes(), compared.mobile.argmax(axis=1), compared.mobile.max(axis=1)
    people, score = whole.predicted, whole.top_score
    for strictness in PROMISES:
        alone = compared.reliable & ~mobile.undecided(own, count, strictness)
        accepted = own >= mobile.threshold(count, strictness), score >= joined.threshold(count, strictness)
        known.append(np.where(alone, *accepted))
        right.append(np.where(alone, alike, people) == compared.labels)
    # PROMISES ends with DEFAULT_STRICTNESS.
    confidence = np.where(alone, mobile.confidence(own, count), joined.confidence(score, count))
    return Results(compared.owners, np.stack(known), np.stack(right), confidence, alone, whole)


def galleries(
    compared: Compared, sizes: Sequence[int], random: np.random.RandomState
) -> Iterator[tuple[int, Compared]]:
    """Yield a random part for each size that does not exceed the number of people compared."""
    order = random.permutation(compared.whole.shape[1])
    for size in sizes:
        if size <= len(order):
            yield size, compared.part(np.sort(order[:size]))


def bootstrap(owners: np.ndarray, hits: np.ndarray) -> tuple[float, float, float]:
    """Compute a share and its 95 % confidence interval, by resampling people with all their photos.

    owners: int64 [N]; hits: bool [N]. -> share, lower and upper end. Efron, "Bootstrap Methods: Another Look at the
    Jackknife", 1979 (percentile interval).
    """
    _, numbers = np.unique(owners, return_inverse=True)
    counts, sums = np.bincount(numbers), np.bincount(numbers, hits)
    drawn = np.random.RandomState(0).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), RESAMPLES)
    low, high = np.quantile(drawn @ sums / (drawn @ counts), [0.025, 0.975])
    return float(hits.mean()), float(low), float(high)


def row(size: int, found: Sequence[Results]) -> list[str]:
    """Format the results of all galleries of one size: the cells of HEADER."""
    whole = Probes.joined([each.whole for each in found])
    known, right = (np.concatenate([getattr(each, name) for each in found], axis=1) for name in ("known", "right"))
    owners, confidence, alone = (
        np.concatenate([getattr(each, name) for each in found]) for name in ("owners", "confidence", "alone")
    )
    inside = whole.labels >= 0
    tpir = [_cell(owners[inside], hits[inside], 1) for hits in known & right]
    if len(np.unique(owners[~inside])) < MIN_STRANGERS:
        return [f"{size}", *[""] * len(PROMISES), *tpir, "", "", f"{100 * alone[inside].mean():.0f} %"]
    best = tpir_at_fpir(whole, DEFAULT_STRICTNESS / 100)
    weight = np.where(inside, 0.5 / inside.sum(), 0.5 / (~inside).sum())
    _, error = reliability(confidence, right[-1], weight)
    return [
        f"{size}",
        *(_cell(owners[~inside], hits[~inside], 2) for hits in known),
        *tpir,
        f"{100 * best:.1f} %",
        f"{100 * error:.1f} %",
        f"{100 * alone[inside].mean():.0f} / {100 * alone[~inside].mean():.0f} %",
    ]


def _cell(owners: np.ndarray, hits: np.ndarray, digits: int) -> str:
    share, low, high = (f"{100 * number:.{digits}f}" for number in bootstrap(owners, hits))
    return f"{share} ({low}-{high}) %"
