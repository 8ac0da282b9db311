"""align: find and crop the face in each photo, for both networks and as serving does.

-> crops.npy, uint8 [photos, 160, 160, 3] RGB, and landmark_crops.npy, uint8 [photos, 112, 112, 3] RGB.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from model.crop import CropSpec, crop, nearest_centre
from model.detection.detector import Detector
from model.errors import RecognitionError
from model.landmarks import SIZE, is_reliable, landmark_crop
from model.photo import decode
from model.stored_crop import unpack
from training.data.dataset import (
    ALIGNED,
    BATCH,
    CROPS,
    DIGESTS,
    FACELESS,
    LANDMARK_CROPS,
    RELIABLE,
    STATUS,
    UNREADABLE,
)
from training.data.prepare import Example, examples
from training.data.stored_crops import ENDING
from training.records import Run
from training.resumable_array import ResumableArray

CHUNK = 32  # photos between two writes

# A change of each photo before its face is detected: upright RGB photo, detector -> bytes of the changed image file.
Change = Callable[[Image.Image, Detector], bytes]


class Aligned(NamedTuple):
    """The face of one photo.

    status: ALIGNED, FACELESS or UNREADABLE; crop: uint8 [size, size, 3] RGB, landmark_crop: uint8 [112, 112, 3] RGB,
    both black if there is none; reliable: see `is_reliable`; digest: of the photo's pixels, "" if it is unreadable.
    """

    status: int
    crop: np.ndarray
    landmark_crop: np.ndarray
    reliable: bool
    digest: str


class Aligner:
    """Crops the face nearest to the centre of a photo file."""

    def __init__(self, spec: CropSpec, change: Change | None = None) -> None:
        self._spec = spec
        self._change = change
        self._detector = Detector()

    def align(self, path: Path) -> Aligned:
        """Crop the face of one photo."""
        blank = (np.zeros((self._spec.size, self._spec.size, 3), np.uint8), np.zeros((SIZE, SIZE, 3), np.uint8), False)
        try:
            if path.name.endswith(ENDING):
                return self._stored(path)
            photo = decode(path.read_bytes())
            if self._change:
                photo = decode(self._change(photo.at_scale(), self._detector))
            digest = photo.digest()
        except (RecognitionError, OSError):
            return Aligned(UNREADABLE, *blank, "")
        faces = self._detector.detect(photo)
        if not faces:
            return Aligned(FACELESS, *blank, digest)
        face = nearest_centre(faces, photo)
        cuts = crop(photo, face, self._spec), landmark_crop(photo, face)
        return Aligned(ALIGNED, *cuts, is_reliable(photo, face), digest)

    def _stored(self, path: Path) -> Aligned:
        """Read a stored crop, which needs no detection. Raises UnreadableImage, OSError."""
        data = path.read_bytes()
        return Aligned(ALIGNED, *unpack(data, self._spec.size, SIZE), True, decode(data).digest())


_aligner: Aligner  # of this worker process


def _start_worker(spec: CropSpec, change: Change | None) -> None:
    global _aligner
    # Only the main process handles Ctrl-C, and it ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _aligner = Aligner(spec, change)


def _align_in_worker(path: str) -> Aligned:
    return _aligner.align(Path(path))


def align_all(paths: Sequence[str], spec: CropSpec, desc: str, change: Change | None = None) -> Iterator[Aligned]:
    """Yield the result of Aligner.align for each photo, in order, computed by one process per processor.

    desc: label of the progress bar.
    """
    # Not forked: a child that is forked after torch has started its threads hangs.
    context = multiprocessing.get_context("spawn")
    workers = max(1, min(os.cpu_count() or 1, len(paths) // 8))
    with context.Pool(workers, _start_worker, (spec, change)) as pool:
        yield from tqdm(pool.imap(_align_in_worker, paths, chunksize=4), total=len(paths), desc=desc, unit=" photos")


class Batch(NamedTuple):
    """Photos with a face. labels: int64 [N]; the others are arrays of what `Aligned` holds of each."""

    labels: np.ndarray
    crops: np.ndarray
    landmark_crops: np.ndarray
    reliable: np.ndarray


def aligned_batches(
    photos: Sequence[tuple[str, int]], spec: CropSpec, desc: str, change: Change | None = None
) -> Iterator[Batch]:
    """Yield the photos in which a face is found. photos: path and label; the other arguments: see `align_all`."""
    if not photos:
        return
    rows = align_all([path for path, _ in photos], spec, desc, change)
    aligned = ((label, face) for (_, label), face in zip(photos, rows) if face.status == ALIGNED)
    for chunk in chunks(aligned, BATCH):
        labels, faces = zip(*chunk)
        yield Batch(np.array(labels), *stacked(faces))


def stacked(faces: Sequence[Aligned]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stack the crops, the landmark crops and `reliable` of some faces."""
    crops, landmark_crops, reliable = zip(*((face.crop, face.landmark_crop, face.reliable) for face in faces))
    return np.stack(crops), np.stack(landmark_crops), np.array(reliable)


def align(run: Run, spec: CropSpec) -> None:
    """Run the step `align`. Raises TrainingError if `prepare` has not been run, and OSError."""
    _, rows = examples(run)
    inputs = {"prepare": run.identity("prepare"), "crop": asdict(spec)}

    def work() -> dict[str, Any]:
        _write_crops(run, rows, spec, repr(inputs))
        status = np.load(run.out / STATUS)
        return {
            "aligned": int((status == ALIGNED).sum()),
            "faceless": [rows[i].path for i in np.flatnonzero(status == FACELESS)],
            "unreadable": [rows[i].path for i in np.flatnonzero(status == UNREADABLE)],
        }

    run.step("align", inputs, [CROPS, LANDMARK_CROPS, RELIABLE, STATUS, DIGESTS], work)


def _write_crops(run: Run, rows: Sequence[Example], spec: CropSpec, made_from: str) -> None:
    """Write crops, statuses and digests of all photos, continuing an interrupted run."""
    size = len(rows)
    arrays = [
        ResumableArray(run.out / name, (size, *shape), dtype, made_from)
        for name, shape, dtype in (
            (STATUS, (), np.uint8),
            (CROPS, (spec.size, spec.size, 3), np.uint8),
            (LANDMARK_CROPS, (SIZE, SIZE, 3), np.uint8),
            (RELIABLE, (), bool),
            (DIGESTS, (), "S16"),
        )  # in the order of Aligned
    ]
    done = min(array.done for array in arrays)
    for array in arrays:
        array.rewind(done)
    try:
        for chunk in chunks(align_all([row.path for row in rows[done:]], spec, "align"), CHUNK):
            for array, column in zip(arrays, zip(*chunk)):
                array.append(np.array(column, array.dtype))
        for array in arrays:
            array.finish()
    finally:
        for array in arrays:
            array.close()


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield the items in lists of `size`; the last one may be shorter."""
    chunk = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
