"""Means of people that are packed to 8 bits, which torch's FBGEMM multiplies.

A product differs from the exact one by at most a bound, which is known for each block of people and each probe.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

import numpy as np
import torch

from model.cohort import ENTRY_WEIGHT
from model.embedding import MOBILE_WEIGHT
from model.index import LENGTH_EXPONENT

if TYPE_CHECKING:
    from model.gallery import Gallery

# Entries are rounded to 7 bits: FBGEMM adds two products of 8 bits in 16 bits on processors without VNNI.
LEVELS = 63
ROW = 512
PROBE_LEVELS = 255  # to which FBGEMM rounds a probe
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


def _folds(numbers: int) -> int:
    """Number of people in a row of weights. FBGEMM pads rows to a multiple of ROW numbers."""
    return max(1, ROW // numbers)


def _lengths(entries: np.ndarray) -> np.ndarray:
    lengths: np.ndarray = np.maximum(np.sqrt(np.einsum("ij,ij->i", entries, entries)), np.float32(1e-12))
    return lengths
