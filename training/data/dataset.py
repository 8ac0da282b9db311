"""The files that `align` leaves, and the photos with a face as arrays: what every later step starts from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from training.data.prepare import examples
from training.records import Run

CROPS = "crops.npy"  # uint8 [photos, size, size, 3] RGB, black where there is no face
STATUS = "status.npy"  # uint8 [photos]
DIGESTS = "digests.npy"  # S16 [photos], of the photo's pixels
FACELESS, ALIGNED, UNREADABLE = 0, 1, 2  # a photo's status
BATCH = 256 if torch.cuda.is_available() else 32  # crops at a time


@dataclass(frozen=True)
class Dataset:
    """The rows that have a face. labels: int64, class index or -1; splits: str; rows: their place in crops.npy."""

    names: list[str]
    labels: np.ndarray
    splits: np.ndarray
    rows: np.ndarray


def dataset(run: Run) -> Dataset:
    names, listed = examples(run)
    kept = np.flatnonzero(np.load(run.out / STATUS) == ALIGNED)
    labels = np.array([example.person for example in listed], np.int64)
    splits = np.array([example.split for example in listed])
    return Dataset(names, labels[kept], splits[kept], kept)


def crops_of(run: Run, rows: np.ndarray) -> Iterator[np.ndarray]:
    """uint8 crops in batches [N, size, size, 3] RGB, read from disk as they are needed."""
    crops = np.load(run.out / CROPS, mmap_mode="r")
    for start in range(0, len(rows), BATCH):
        yield crops[rows[start : start + BATCH]]


def evenly(count: int, most: int) -> np.ndarray:
    """Indices of at most `most` out of `count`, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))
