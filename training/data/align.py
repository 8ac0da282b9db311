"""align: photos -> crops.npy, uint8 [photos, 160, 160, 3], by the same code that serves."""

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
from training.data.prepare import examples
from training.records import Run
from training.resumable_array import ResumableArray

CHUNK = 32  # photos between two writes


# Something done to a photo before it is looked at: upright RGB photo, detector -> the bytes of an image file.
Change = Callable[[Image.Image, Detector], bytes]


def pixels_digest(photo: Image.Image) -> str:
    """16 hex digits that stand for a photo's pixels: by them a model knows what it was trained on."""
    return hashlib.sha256(repr(photo.size).encode() + photo.tobytes()).hexdigest()[:16]


class Aligner:
    """Photo files to crops of the face nearest the photo's centre."""

    def __init__(self, spec: CropSpec, change: Change | None = None) -> None:
        self._spec = spec
        self._change = change
        self._detector = Detector()

    def align(self, path: Path) -> tuple[int, np.ndarray, str]:
        """A status, the crop (uint8 [size, size, 3], black where there is none), the digest of the photo's pixels."""
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


_aligner: Aligner  # one a worker process


def _start_worker(spec: CropSpec, change: Change | None) -> None:
    global _aligner
    # Ctrl-C is the main process's to handle; it ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _aligner = Aligner(spec, change)


def _work(path: str) -> tuple[int, np.ndarray, str]:
    return _aligner.align(Path(path))


def align_all(
    paths: Sequence[str], spec: CropSpec, desc: str, change: Change | None = None
) -> Iterator[tuple[int, np.ndarray, str]]:
    """What Aligner.align says of each photo, in order, with a process for each processor."""
    # Not forked: a fork after torch has started its threads hangs in the child.
    context = multiprocessing.get_context("spawn")
    workers = max(1, min(os.cpu_count() or 1, len(paths) // 8))
    with context.Pool(workers, _start_worker, (spec, change)) as pool:
        yield from tqdm(pool.imap(_work, paths, chunksize=4), total=len(paths), desc=desc, unit=" photos")


def align(run: Run, spec: CropSpec) -> None:
    _, rows = examples(run)
    inputs = {"prepare": run.identity("prepare"), "crop": asdict(spec)}

    def work() -> dict[str, Any]:
        size = len(rows)
        crops = ResumableArray(run.out / CROPS, (size, spec.size, spec.size, 3), np.uint8, repr(inputs))
        status = ResumableArray(run.out / STATUS, (size,), np.uint8, repr(inputs))
        digests = ResumableArray(run.out / DIGESTS, (size,), "S16", repr(inputs))
        files = (crops, status, digests)
        done = min(file.done for file in files)
        for file in files:
            file.rewind(done)
        try:
            for chunk in chunks(align_all([row.path for row in rows[done:]], spec, "align"), CHUNK):
                states, cut, pixels = zip(*chunk)
                crops.append(np.stack(cut))
                status.append(np.array(states, np.uint8))
                digests.append(np.array(pixels, "S16"))
            for file in files:
                file.finish()
        finally:
            for file in files:
                file.close()
        found = np.load(run.out / STATUS)
        return {
            "aligned": int((found == ALIGNED).sum()),
            "faceless": [rows[i].path for i in np.flatnonzero(found == FACELESS)],
            "unreadable": [rows[i].path for i in np.flatnonzero(found == UNREADABLE)],
        }

    run.step("align", inputs, [CROPS, STATUS, DIGESTS], work)


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    held = []
    for item in items:
        held.append(item)
        if len(held) == size:
            yield held
            held = []
    if held:
        yield held
