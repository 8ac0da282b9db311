"""align: find and crop the face in each photo -> crops.npy, uint8 [photos, 160, 160, 3] RGB, as serving does."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from model.crop import CropSpec, crop, nearest_centre
from model.detection.detector import Detector
from model.errors import RecognitionError
from model.photo import decode
from training.data.dataset import ALIGNED, CROPS, DIGESTS, FACELESS, STATUS, UNREADABLE
from training.data.prepare import Example, examples
from training.records import Run
from training.resumable_array import ResumableArray

CHUNK = 32  # photos between two writes

# A change of each photo before its face is detected: upright RGB photo, detector -> bytes of the changed image file.
Change = Callable[[Image.Image, Detector], bytes]


def pixels_digest(photo: Image.Image) -> str:
    """Return 16 hex digits of the SHA-256 of a photo's size and pixels. A model keeps those of its training photos."""
    return hashlib.sha256(repr(photo.size).encode() + photo.tobytes()).hexdigest()[:16]


class Aligner:
    """Crops the face nearest to the centre of a photo file."""

    def __init__(self, spec: CropSpec, change: Change | None = None) -> None:
        self._spec = spec
        self._change = change
        self._detector = Detector()

    def align(self, path: Path) -> tuple[int, np.ndarray, str]:
        """Crop the face of one photo.

        Returns the status (ALIGNED, FACELESS or UNREADABLE), the crop (uint8 [size, size, 3] RGB, black if there is
        none) and the digest of the photo's pixels ("" if it is unreadable).
        """
        blank = np.zeros((self._spec.size, self._spec.size, 3), np.uint8)
        try:
            photo = decode(path.read_bytes())
            if self._change:
                photo = decode(self._change(photo.at_scale(), self._detector))
            image = photo.at_scale()
        except (RecognitionError, OSError):
            return UNREADABLE, blank, ""
        pixels = pixels_digest(image)
        faces = self._detector.detect(photo)
        if not faces:
            return FACELESS, blank, pixels
        return ALIGNED, crop(photo, nearest_centre(faces, photo), self._spec), pixels


_aligner: Aligner  # of this worker process


def _start_worker(spec: CropSpec, change: Change | None) -> None:
    global _aligner
    # Only the main process handles Ctrl-C, and it ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _aligner = Aligner(spec, change)


def _align_in_worker(path: str) -> tuple[int, np.ndarray, str]:
    return _aligner.align(Path(path))


def align_all(
    paths: Sequence[str], spec: CropSpec, desc: str, change: Change | None = None
) -> Iterator[tuple[int, np.ndarray, str]]:
    """Yield the result of Aligner.align for each photo, in order, computed by one process per processor.

    desc: label of the progress bar.
    """
    # Not forked: a child that is forked after torch has started its threads hangs.
    context = multiprocessing.get_context("spawn")
    workers = max(1, min(os.cpu_count() or 1, len(paths) // 8))
    with context.Pool(workers, _start_worker, (spec, change)) as pool:
        yield from tqdm(pool.imap(_align_in_worker, paths, chunksize=4), total=len(paths), desc=desc, unit=" photos")


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

    run.step("align", inputs, [CROPS, STATUS, DIGESTS], work)


def _write_crops(run: Run, rows: Sequence[Example], spec: CropSpec, made_from: str) -> None:
    """Write crops, statuses and digests of all photos, continuing an interrupted run."""
    size = len(rows)
    crops = ResumableArray(run.out / CROPS, (size, spec.size, spec.size, 3), np.uint8, made_from)
    statuses = ResumableArray(run.out / STATUS, (size,), np.uint8, made_from)
    digests = ResumableArray(run.out / DIGESTS, (size,), "S16", made_from)
    arrays = (crops, statuses, digests)
    done = min(array.done for array in arrays)
    for array in arrays:
        array.rewind(done)
    try:
        for chunk in chunks(align_all([row.path for row in rows[done:]], spec, "align"), CHUNK):
            chunk_statuses, chunk_crops, chunk_digests = zip(*chunk)
            crops.append(np.stack(chunk_crops))
            statuses.append(np.array(chunk_statuses, np.uint8))
            digests.append(np.array(chunk_digests, "S16"))
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
