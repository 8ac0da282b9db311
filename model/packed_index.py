"""Search in a gallery of many people: exact, with a fifth of the memory of float32.

The means are rounded to 8 bits, and torch's FBGEMM multiplies them. A score that is found so differs from the exact one
by at most a bound that is known for each block of people and each probe. All people who can be among the best,
according to the bounds, are scored again by their exact means. So the result is that of FlatIndex.
"""

from __future__ import annotations

import ctypes
import math
import threading
from typing import TYPE_CHECKING, Iterator, Sequence

import numpy as np
import torch

from model.cohort import ENTRY_WEIGHT
from model.embedding import MOBILE_WEIGHT
from model.index import LENGTH_EXPONENT, Hits

if TYPE_CHECKING:
    from model.gallery import Gallery

BLOCK_PEOPLE = 4096
RELEASE_BLOCKS = 16  # that are packed until freed memory is returned to the system
SMALL_PEOPLE, SMALL_BLOCKS = 1024, 8  # blocks with fewer people are joined when there are more of them
# Entries are rounded to 7 bits: FBGEMM adds two products of 8 bits in 16 bits on processors without VNNI.
LEVELS = 63
ROW = 512
PROBE_LEVELS = 255  # to which FBGEMM rounds a probe
FAR = -1e30  # below all scores, but not below that of nobody, which is -inf
FLOAT_ERROR = 1e-5  # relative: of adding up float32 in another order


class Probe:
    """A part of a probe, which FBGEMM rounds to 8 bits."""

    def __init__(self, values: np.ndarray) -> None:
        """values: float32 [1, numbers]."""
        self.rows = torch.from_numpy(np.kron(np.eye(_folds(values.shape[1]), dtype=np.float32), values))
        step = (max(float(values.max(initial=0)), 0) - min(float(values.min(initial=0)), 0)) / PROBE_LEVELS
        self.error = step / 2 * math.sqrt(values.shape[1])  # distance from what it is rounded to, at most
        self.length = float(_lengths(values)[0])


class Packed:
    """Entries that are rounded to 8 bits."""

    def __init__(self, entries: np.ndarray) -> None:
        """entries: float32 [people, numbers]."""
        self._people, numbers = entries.shape
        folds = _folds(numbers)
        step = max(float(entries.max(initial=0)), -float(entries.min(initial=0)), 1e-12) / LEVELS
        padded = np.pad(entries, ((0, -len(entries) % folds), (0, 0))).reshape(folds, -1, numbers)
        exact = torch.from_numpy(np.ascontiguousarray(padded.transpose(1, 0, 2)).reshape(-1, folds * numbers))
        rounded = torch.quantize_per_tensor(exact, step, 0, torch.qint8)
        self._weights = torch.ops.quantized.linear_prepack(rounded, None)
        difference = (rounded.dequantize() - exact).numpy().reshape(-1, numbers)
        self._error = float(_lengths(difference).max())  # largest distance
        self._longest = float(_lengths(entries).max())

    def products(self, probe: Probe) -> np.ndarray:
        """Multiply a probe with the entries. -> float32 [people]."""
        found: np.ndarray = torch.ops.quantized.linear_dynamic(probe.rows, self._weights).numpy()
        return found.reshape(-1)[: self._people]

    def error(self, probe: Probe) -> float:
        """Return the bound of the difference between products and exact ones."""
        rounded = self._error * probe.length + (self._longest + self._error) * probe.error
        return rounded + FLOAT_ERROR * self._longest * probe.length


class Block:
    """People whose means are packed. They do not change.

    ids: int64 [people], ascending. InceptionResnetV1's part is packed when it is first needed.
    """

    def __init__(self, gallery: Gallery, rows: np.ndarray) -> None:
        """Pack some people, who have faces."""
        self.ids = gallery.ids[rows]
        self.penalties = ENTRY_WEIGHT * gallery.nearness[rows]
        means = gallery.means_of(rows, mobile=True)
        self._mobile_scale = 1 / _lengths(means) ** LENGTH_EXPONENT
        self._mobile = Packed(means * self._mobile_scale[:, None])
        self._completing = threading.Lock()  # requests, and the thread that has loaded the gallery
        self._inception: Packed | None = None
        self._share = np.zeros(0, np.float32)  # of MobileFaceNet's score in the whole one

    @property
    def is_complete(self) -> bool:
        return self._inception is not None

    def complete(self, gallery: Gallery) -> Packed:
        """Return InceptionResnetV1's part. gallery: one in which these people are the same."""
        with self._completing:
            if self._inception is None:
                means = gallery.means_of(np.searchsorted(gallery.ids, self.ids))
                scale = 1 / _lengths(means) ** LENGTH_EXPONENT
                self._share = np.float32(math.sqrt(MOBILE_WEIGHT)) * scale / self._mobile_scale
                self._inception = Packed(means[:, : -gallery.spec.mobile] * scale[:, None])
            return self._inception

    def scores(self, gallery: Gallery, mobile: Probe, inception: Probe | None) -> tuple[np.ndarray, float]:
        """Score a probe, without its own penalty. -> float32 [people], and the bound of their errors.

        inception: None to score by MobileFaceNet's part alone.
        """
        found, error = self._mobile.products(mobile), self._mobile.error(mobile)
        if inception is None:
            return found - self.penalties[:, 1], error
        packed = self.complete(gallery)
        found *= self._share
        found += packed.products(inception)
        found -= self.penalties[:, 0]
        return found, float(self._share.max()) * error + packed.error(inception)


class PackedIndex:
    """The blocks of a gallery, and for each the people whom it still stands for."""

    def __init__(self, blocks: Sequence[Block], current: Sequence[np.ndarray]) -> None:
        """current: for each block bool [people], False for a person who is in another block now, or nowhere."""
        self.blocks, self._current = tuple(blocks), tuple(current)

    @classmethod
    def of(cls, gallery: Gallery) -> PackedIndex:
        """Pack all people who have faces."""
        empty = cls([], [])
        return empty.updated(gallery, gallery.ids)

    def updated(self, gallery: Gallery, changed: np.ndarray) -> PackedIndex:
        """Return the index of a later gallery. changed: IDs of people who may differ, int64, ascending."""
        kept: list[tuple[Block, np.ndarray]] = []
        small: list[tuple[Block, np.ndarray]] = []
        renewed = [changed]
        for block, before in zip(self.blocks, self._current):
            current = before & ~np.isin(block.ids, changed, assume_unique=True)
            count = np.count_nonzero(current)
            if not block.is_complete and not current.all():  # it could not be completed any more
                renewed.append(block.ids[current])
            elif count:
                (kept if count >= SMALL_PEOPLE else small).append((block, current))
        if len(small) > SMALL_BLOCKS:
            renewed += [block.ids[current] for block, current in small]
            small = []
        rows = np.flatnonzero(np.isin(gallery.ids, np.concatenate(renewed)) & (gallery.face_counts > 0))
        new = [(block, np.ones(len(block.ids), bool)) for block in _packed(gallery, rows)]
        pairs = [*kept, *small, *new]
        return PackedIndex([block for block, _ in pairs], [current for _, current in pairs])

    def complete(self, gallery: Gallery) -> None:
        """Pack all that a search would pack when it is first needed."""
        for i, block in enumerate(self.blocks):
            block.complete(gallery)
            if i % RELEASE_BLOCKS == 0:
                release_freed_memory()
        release_freed_memory()

    def search(self, gallery: Gallery, probes: np.ndarray, k: int, exclude: np.ndarray | None = None) -> Hits:
        """Find the k best people of the gallery for each probe. Of equal scores the lower row comes first.

        probes: float32 of length 1, [N, size] or [N, mobile]; k: at most the number of people with a face; exclude:
        int64 [N], for each probe the row of a person who is found last, with the score -inf.
        """
        found = [Hits(np.zeros((0, k), np.int64), np.zeros((0, k), np.float32))]
        for i in range(len(probes)):
            found.append(self._search(gallery, probes[[i]], k, None if exclude is None else exclude[[i]]))
        return Hits(*(np.concatenate(column) for column in zip(*found)))

    def _search(self, gallery: Gallery, probe: np.ndarray, k: int, exclude: np.ndarray | None) -> Hits:
        rows = self.candidates(gallery, probe, k if exclude is None else k + 1)
        if exclude is not None:
            rows = np.union1d(rows, exclude)
            exclude = np.searchsorted(rows, exclude)
        hits = gallery.index_of(rows, mobile=probe.shape[1] < gallery.spec.size).search(probe, k, exclude)
        return Hits(rows[hits.rows], hits.scores)

    def candidates(self, gallery: Gallery, probe: np.ndarray, k: int) -> np.ndarray:
        """Return the rows of all people who can be among the k best, ascending. probe: one, as of `search`."""
        mobile, inception = Probe(probe[:, -gallery.spec.mobile :]), None
        if probe.shape[1] == gallery.spec.size:
            inception = Probe(probe[:, : -gallery.spec.mobile])
        scored = [block.scores(gallery, mobile, inception) for block in self.blocks]
        scores = [np.where(current, found, -np.inf) for (found, _), current in zip(scored, self._current)]
        # The kth best score is at least the kth best of the lower bounds.
        least = _kth([found - error for found, (_, error) in zip(scores, scored)], k)
        near = [found >= max(least - error, FAR) for found, (_, error) in zip(scores, scored)]
        ids = np.concatenate([block.ids[chosen] for block, chosen in zip(self.blocks, near)])
        return np.searchsorted(gallery.ids, np.sort(ids))


def _folds(numbers: int) -> int:
    """Number of people in a row of weights. FBGEMM pads rows to a multiple of ROW numbers."""
    return max(1, ROW // numbers)


def _packed(gallery: Gallery, rows: np.ndarray) -> Iterator[Block]:
    for i, start in enumerate(range(0, len(rows), BLOCK_PEOPLE), 1):
        yield Block(gallery, rows[start : start + BLOCK_PEOPLE])
        if i % RELEASE_BLOCKS == 0:
            release_freed_memory()


def release_freed_memory() -> None:
    """Return freed memory to the system: glibc keeps what lies between arrays that are still used."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def _kth(scores: Sequence[np.ndarray], k: int) -> float:
    """Return the kth highest of all scores or, with many blocks, a slightly lower number; -inf if there are fewer."""
    if len(scores) >= 2 * k:  # the highest of each block are enough, and take less time
        best = np.array([found.max() for found in scores])
    else:
        best = np.concatenate([found if len(found) <= k else np.partition(found, -k)[-k:] for found in scores])
    return float(np.partition(best, -k)[-k]) if len(best) >= k else -math.inf


def _lengths(entries: np.ndarray) -> np.ndarray:
    lengths: np.ndarray = np.maximum(np.sqrt(np.einsum("ij,ij->i", entries, entries)), np.float32(1e-12))
    return lengths
