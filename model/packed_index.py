"""Search in a gallery of many people: exact, with a fifth of the memory of float32.

The means are rounded to 8 bits, and torch's FBGEMM multiplies them. A score that is found so differs from the exact one
by at most a bound that is known for each block of people and each probe. All people who can be among the best,
according to the bounds, are scored again by their exact means. So the result is that of FlatIndex.

In a gallery with clusters, only people in the clusters near a probe are scored, and those who are in none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Iterator, NamedTuple, Sequence

import numpy as np

from model.clusters import NOWHERE
from model.cohort import PROBE_WEIGHT
from model.freed_memory import release_freed_memory
from model.index import Hits, best
from model.packed import Block, Probe

if TYPE_CHECKING:
    from model.gallery import Gallery

BLOCK_PEOPLE = 4096
FIRST = 24  # candidates that are scored exactly before the others are looked at
MANY = 20  # times as many people as are wanted must be in the clusters that are looked at
RELEASE_BLOCKS = 16  # that are packed until freed memory is returned to the system
SMALL_PEOPLE, SMALL_BLOCKS = 1024, 8  # blocks with fewer people are joined when there are more of them
FAR = -1e30  # below all scores, but not below that of nobody, which is -inf


class Held(NamedTuple):
    """A block of an index.

    current: bool [people], False for a person who is in another block now, or nowhere; cluster: of its people.
    """

    block: Block
    current: np.ndarray
    cluster: int


class Candidates(NamedTuple):
    """People who can be among the best. rows: int64 [N]; highest: bounds of their scores, float32 [N], descending."""

    rows: np.ndarray
    highest: np.ndarray


class _Exact:
    """Exact scores of one probe. exclude: row whose score is -inf, int64 [1]."""

    def __init__(self, gallery: Gallery, probe: np.ndarray, exclude: np.ndarray | None) -> None:
        self._gallery, self._probe, self._exclude = gallery, probe, exclude
        self._mobile = probe.shape[1] < gallery.spec.size

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Score people, without the part of the probe's own nearness. -> float32 [rows]."""
        if not len(rows):
            return np.zeros(0, np.float32)
        found: np.ndarray = self._gallery.index_of(rows, self._mobile).scores(self._probe, np.zeros(1, np.float32))[0]
        if self._exclude is not None:
            found[rows == self._exclude] = -np.inf
        return found


class PackedIndex:
    """The blocks of a gallery, and for each the people whom it still stands for."""

    def __init__(self, held: Sequence[Held]) -> None:
        self.held = tuple(held)

    @classmethod
    def of(cls, gallery: Gallery) -> PackedIndex:
        """Pack all people who have faces."""
        rows = np.flatnonzero(gallery.face_counts)
        if gallery.clusters is None:
            return cls(list(_packed(gallery, rows, NOWHERE)))
        numbers = gallery.clusters.of(gallery.ids[rows])
        order = np.argsort(numbers, kind="stable")
        found, starts = np.unique(numbers[order], return_index=True)
        groups = np.split(rows[order], starts[1:])
        return cls([held for group, number in zip(groups, found.tolist()) for held in _packed(gallery, group, number)])

    def updated(self, gallery: Gallery, changed: np.ndarray) -> PackedIndex:
        """Return the index of a later gallery. changed: IDs of people who may differ, int64, ascending."""
        kept: list[Held] = []
        small: list[Held] = []
        renewed = [changed]
        for block, before, cluster in self.held:
            current = before & ~np.isin(block.ids, changed, assume_unique=True)
            count = np.count_nonzero(current)
            if not block.is_complete and not current.all():  # it could not be completed any more
                renewed.append(block.ids[current])
            elif count:
                is_small = count < SMALL_PEOPLE and cluster == NOWHERE
                (small if is_small else kept).append(Held(block, current, cluster))
        if len(small) > SMALL_BLOCKS:
            renewed += [block.ids[current] for block, current, _ in small]
            small = []
        rows = np.flatnonzero(np.isin(gallery.ids, np.concatenate(renewed)) & (gallery.face_counts > 0))
        return PackedIndex([*kept, *small, *_packed(gallery, rows, NOWHERE)])

    def complete(self, gallery: Gallery) -> None:
        """Pack all that a search would pack when it is first needed."""
        for i, held in enumerate(self.held):
            held.block.complete(gallery)
            if i % RELEASE_BLOCKS == 0:
                release_freed_memory(0)
        release_freed_memory(0)

    def search(self, gallery: Gallery, probes: np.ndarray, k: int, exclude: np.ndarray | None = None) -> Hits:
        """Find the k best people of the gallery for each probe. Of equal scores the lower row comes first.

        probes: float32 of length 1, [N, size] or [N, mobile]; k: at most the number of people with a face; exclude:
        int64 [N], for each probe the row of a person who is found last, with the score -inf.
        """
        found = [Hits(np.zeros((0, k), np.int64), np.zeros((0, k), np.float32))]
        for i in range(len(probes) if k else 0):
            found.append(self._search(gallery, probes[[i]], k, None if exclude is None else exclude[[i]]))
        hits = Hits(*(np.concatenate(column) for column in zip(*found)))
        if not k:
            return Hits(*(column.reshape(len(probes), 0) for column in hits))
        penalties = PROBE_WEIGHT * gallery.cohort_of(probes).nearness(probes)
        return Hits(hits.rows, hits.scores - penalties[:, None])

    def _search(self, gallery: Gallery, probe: np.ndarray, k: int, exclude: np.ndarray | None) -> Hits:
        """Search one probe. exclude: int64 [1]."""
        candidates = self.candidates(gallery, probe, k if exclude is None else k + 1)
        if exclude is not None:
            kept = candidates.rows != exclude
            candidates = Candidates(
                np.append(candidates.rows[kept], exclude), np.append(candidates.highest[kept], -np.inf)
            )
        exact = _Exact(gallery, probe, exclude)
        scores = exact.scores(candidates.rows[: FIRST + k])
        least = np.partition(scores, -k)[-k]  # that of the kth best is no lower
        others = candidates.rows[FIRST + k :][candidates.highest[FIRST + k :] >= least]
        rows = np.concatenate([candidates.rows[: FIRST + k], others])
        scores = np.concatenate([scores, exact.scores(others)])
        order = np.argsort(rows)
        hits = best(scores[order][None], k)
        return Hits(rows[order][hits.rows], hits.scores)

    def candidates(self, gallery: Gallery, probe: np.ndarray, k: int) -> Candidates:
        """Return all people who can be among the k best. probe: one, as of `search`."""
        mobile, inception = Probe(probe[:, -gallery.spec.mobile :]), None
        if probe.shape[1] == gallery.spec.size:
            inception = Probe(probe[:, : -gallery.spec.mobile])
        chosen = self._near(gallery, probe, k)
        scored = [held.block.scores(gallery, mobile, inception) for held in chosen]
        scores = [np.where(held.current, found, -np.inf) for (found, _), held in zip(scored, chosen)]
        # The kth best score is at least the kth best of the lower bounds.
        least = _kth([found - error for found, (_, error) in zip(scores, scored)], k)
        near = [np.flatnonzero(found >= max(least - error, FAR)) for found, (_, error) in zip(scores, scored)]
        ids = np.concatenate([held.block.ids[rows] for held, rows in zip(chosen, near)])
        highest = np.concatenate([found[rows] + error for found, (_, error), rows in zip(scores, scored, near)])
        order = np.argsort(-highest)
        return Candidates(np.searchsorted(gallery.ids, ids[order]), highest[order])

    def _near(self, gallery: Gallery, probe: np.ndarray, k: int) -> Sequence[Held]:
        """Select the blocks that a search looks at: those of the clusters near the probe, and all without a cluster."""
        if gallery.clusters is None:
            return self.held
        near = gallery.clusters.near(probe)
        chosen = [held for held in self.held if near[held.cluster]]
        enough = sum(np.count_nonzero(held.current) for held in chosen) >= MANY * k
        return chosen if enough else self.held


def _packed(gallery: Gallery, rows: np.ndarray, cluster: int) -> Iterator[Held]:
    for i, start in enumerate(range(0, len(rows), BLOCK_PEOPLE), 1):
        some = rows[start : start + BLOCK_PEOPLE]
        yield Held(Block(gallery, some), np.ones(len(some), bool), cluster)
        if i % RELEASE_BLOCKS == 0:
            release_freed_memory(0)


def _kth(scores: Sequence[np.ndarray], k: int) -> float:
    """Return the kth highest of all scores or, with many blocks, a slightly lower number; -inf if there are fewer."""
    if len(scores) >= 2 * k:  # the highest of each block are enough, and take less time
        best = np.array([found.max() for found in scores])
    else:
        best = np.concatenate([found if len(found) <= k else np.partition(found, -k)[-k:] for found in scores])
    return float(np.partition(best, -k)[-k]) if len(best) >= k else -math.inf
