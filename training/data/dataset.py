"""The files that `align` writes, and the photos with a face as arrays, for all later steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from service import results
from training.data.prepare import TRAIN, examples
from training.errors import TrainingError
from training.records import Run

CROPS = "crops.npy"  # uint8 [photos, size, size, 3] RGB, black if there is no face
LANDMARK_CROPS = "landmark_crops.npy"  # uint8 [photos, 112, 112, 3] RGB, black if there is no face
RELIABLE = "reliable.npy"  # bool [photos], see model.landmarks.is_reliable
STATUS = "status.npy"  # uint8 [photos]
DIGESTS = "digests.npy"  # S16 [photos], of the photo's pixels
FACELESS, ALIGNED, UNREADABLE, SEVERAL = 0, 1, 2, 3  # the status of a photo
# Reasons of photos without a crop.
NOT_ALIGNED = {FACELESS: results.NO_FACE, UNREADABLE: results.UNREADABLE, SEVERAL: results.SEVERAL_FACES}
BATCH = 256 if torch.cuda.is_available() else 32  # crops at a time


@dataclass(frozen=True)
class Dataset:
    """The N photos with a face.

    names: of the people, by class index. labels: int64 [N], class index, -1 for strangers. splits: str [N]. rows: int64
    [N], index in crops.npy.
    """

    names: list[str]
    labels: np.ndarray
    splits: np.ndarray
    rows: np.ndarray


def dataset(run: Run) -> Dataset:
    """Load the photos with a face. A person without such a photo to train on is no class.

    Raises TrainingError if `prepare` has not been run, or if fewer than two people remain; OSError without `align`.
    """
    names, listed = examples(run)
    aligned = np.load(run.out / STATUS) == ALIGNED
    labels = np.array([example.person for example in listed], np.int64)
    splits = np.array([example.split for example in listed])
    classes = np.unique(labels[aligned & (splits == TRAIN)])
    if len(classes) < 2:
        raise TrainingError(f"Only {len(classes)} people have photos with a face to train on, but a model needs two.")
    rows = np.flatnonzero(aligned & ((labels < 0) | np.isin(labels, classes)))
    numbers = np.full(len(names) + 1, -1, np.int64)  # the last one for strangers, whose label is -1
    numbers[classes] = np.arange(len(classes))
    return Dataset([names[i] for i in classes], numbers[labels[rows]], splits[rows], rows)


def read_crops(run: Run, rows: np.ndarray, name: str = CROPS) -> Iterator[np.ndarray]:
    """Yield the crops of these rows in batches, uint8 [N, size, size, 3] RGB, read from disk one batch at a time.

    name: CROPS or LANDMARK_CROPS.
    """
    crops = np.load(run.out / name, mmap_mode="r")
    for start in range(0, len(rows), BATCH):
        yield crops[rows[start : start + BATCH]]


def evenly_spaced(count: int, limit: int) -> np.ndarray:
    """Return at most `limit` evenly spaced indices out of range(count), int64, the first and the last included."""
    return np.unique(np.linspace(0, count - 1, min(limit, count)).astype(int))
