"""align: find and crop the person's face in each photo, for both networks and as serving does.

In a data set that is the face nearest to the centre, since such photos are centred on the person. In photos of the
user's own people it is the one that enrolling uses: the largest, if no other is nearly as large.

-> crops.npy, uint8 [photos, 160, 160, 3] RGB, and landmark_crops.npy, uint8 [photos, 112, 112, 3] RGB.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
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
from service.enrolment import dominant_face
from service.results import Skipped
from training.data.dataset import (
    ALIGNED,
    BATCH,
    CROPS,
    DIGESTS,
    FACELESS,
    LANDMARK_CROPS,
    NOT_ALIGNED,
    RELIABLE,
    SEVERAL,
    STATUS,
    UNREADABLE,
    dataset,
)
from training.data.prepare import CENTRAL, Example, examples, prepared
from training.data.skipped import Summary, log_each, printable
from training.errors import TrainingError
from training.records import Run
from training.resumable_array import ResumableArray

CHUNK = 32  # photos between two writes
SENT = 4  # photos at a time, to a worker
STORED_CROP = ".crop.jpg"  # ending of files that hold both crops already, see model/stored_crop.py

# A change of each photo before its face is detected: upright RGB photo, detector -> bytes of the changed image file.
Change = Callable[[Image.Image, Detector], bytes]


class Aligned(NamedTuple):
    """The face of one photo.

    status: ALIGNED, FACELESS, SEVERAL or UNREADABLE; crop: uint8 [size, size, 3] RGB, landmark_crop: uint8 [112, 112,
    3] RGB, both black if there is none; reliable: see `is_reliable`; digest: of the photo's pixels, "" if it is
    unreadable.
    """

    status: int
    crop: np.ndarray
    landmark_crop: np.ndarray
    reliable: bool
    digest: str


class Aligner:
    """Crops the person's face in a photo file."""

    def __init__(self, spec: CropSpec, change: Change | None = None) -> None:
        self._spec = spec
        self._change = change
        self._detector = Detector()

    def align(self, path: Path, face: str = CENTRAL) -> Aligned:
        """Crop the face of one photo. face: CENTRAL or DOMINANT. Raises OSError."""
        blank = (np.zeros((self._spec.size, self._spec.size, 3), np.uint8), np.zeros((SIZE, SIZE, 3), np.uint8), False)
        try:
            if path.name.endswith(STORED_CROP):
                return self._stored(path)
            photo = decode(path.read_bytes())
            if self._change:
                photo = decode(self._change(photo.at_scale(), self._detector))
            digest = photo.digest()
        except RecognitionError:
            return Aligned(UNREADABLE, *blank, "")
        faces = self._detector.detect(photo)
        if not faces:
            return Aligned(FACELESS, *blank, digest)
        chosen = nearest_centre(faces, photo) if face == CENTRAL else dominant_face(faces)
        if chosen is None:
            return Aligned(SEVERAL, *blank, digest)
        cuts = crop(photo, chosen, self._spec), landmark_crop(photo, chosen)
        return Aligned(ALIGNED, *cuts, is_reliable(photo, chosen), digest)

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


def _align_in_worker(photos: Sequence[tuple[str, str]]) -> list[Aligned]:
    return [_aligner.align(Path(path), face) for path, face in photos]


def align_all(
    photos: Sequence[tuple[str, str]], spec: CropSpec, desc: str, change: Change | None = None
) -> Iterator[Aligned]:
    """Yield the result of Aligner.align for each photo, in order, computed by one process per processor.

    photos: path, and CENTRAL or DOMINANT; desc: label of the progress bar.

    Raises OSError if a file cannot be read, TrainingError if a process is killed.
    """
    # Not forked: a child that is forked after torch has started its threads hangs.
    context = multiprocessing.get_context("spawn")
    workers = max(1, min(os.cpu_count() or 1, len(photos) // 8))
    # Not `multiprocessing.Pool`: where a worker is killed, it waits for its results for ever.
    with ProcessPoolExecutor(workers, context, _start_worker, (spec, change)) as pool:
        waiting = deque(pool.submit(_align_in_worker, some) for some in chunks(photos, SENT))
        try:
            with tqdm(total=len(photos), desc=desc, unit=" photos") as bar:
                while waiting:
                    for result in waiting.popleft().result():
                        bar.update()
                        yield result
        except BrokenProcessPool as error:
            raise TrainingError(
                "A process that aligns photos has ended unexpectedly: perhaps the memory is used up."
            ) from error
        finally:
            for future in waiting:  # the caller may have stopped
                future.cancel()


class Batch(NamedTuple):
    """Photos with a face. labels: int64 [N]; the others are arrays of what `Aligned` holds of each."""

    labels: np.ndarray
    crops: np.ndarray
    landmark_crops: np.ndarray
    reliable: np.ndarray


def aligned_batches(
    photos: Sequence[tuple[str, int, str]],
    spec: CropSpec,
    desc: str,
    change: Change | None = None,
    skipped: list[Skipped] | None = None,
) -> Iterator[Batch]:
    """Yield the photos in which a face is found.

    photos: path, label, and CENTRAL or DOMINANT; spec, desc, change: see `align_all`; skipped: list to which the other
    photos are added.
    """
    if not photos:
        return
    rows = zip(photos, align_all([(path, face) for path, _, face in photos], spec, desc, change))
    for chunk in chunks(_aligned(rows, skipped), BATCH):
        labels, faces = zip(*chunk)
        yield Batch(np.array(labels), *stacked(faces))


def _aligned(
    rows: Iterable[tuple[tuple[str, int, str], Aligned]], skipped: list[Skipped] | None
) -> Iterator[tuple[int, Aligned]]:
    """Yield label and result of the photos with a face. skipped: list to which the other photos are added."""
    for (path, label, _), row in rows:
        if row.status == ALIGNED:
            yield label, row
        elif skipped is not None:
            skipped.append(Skipped(printable(path), NOT_ALIGNED[row.status]))


def stacked(faces: Sequence[Aligned]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stack the crops, the landmark crops and `reliable` of some faces."""
    crops, landmark_crops, reliable = zip(*((face.crop, face.landmark_crop, face.reliable) for face in faces))
    return np.stack(crops), np.stack(landmark_crops), np.array(reliable)


def align(run: Run, spec: CropSpec) -> None:
    """Run the step `align`.

    Raises TrainingError if `prepare` has not been run, or if fewer than two people have photos with a face; OSError.
    """
    _, rows = examples(run)
    inputs = {"prepare": run.identity("prepare"), "crop": asdict(spec)}

    def work() -> dict[str, Any]:
        _write_crops(run, rows, spec, repr(inputs))
        status = np.load(run.out / STATUS)
        left_out = {
            reason: [printable(rows[i].path) for i in np.flatnonzero(status == code)]
            for code, reason in NOT_ALIGNED.items()
        }
        log_each(Skipped(path, reason) for reason, paths in left_out.items() for path in paths)
        return {"aligned": int((status == ALIGNED).sum()), "left_out": left_out}

    run.step("align", inputs, [CROPS, LANDMARK_CROPS, RELIABLE, STATUS, DIGESTS], work)
    dataset(run)


def aligned(run: Run) -> Summary:
    """Return the people and photos of the steps `prepare` and `align`. Raises TrainingError if one was not run."""
    before, data = prepared(run), dataset(run)
    left_out = run.record("align")["facts"]["left_out"]
    skipped = [Skipped(path, reason) for reason, paths in left_out.items() for path in paths]
    photos = int((data.labels >= 0).sum())
    return Summary(len(data.names), photos, [*before.skipped, *skipped], before.ignored)


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
        photos = [(row.path, row.face) for row in rows[done:]]
        for chunk in chunks(align_all(photos, spec, "align"), CHUNK):
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
