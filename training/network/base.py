"""The base of a training run: all of the networks that training does not change.

These are MobileFaceNet, the cohort, and the calibrations of the embedding `generic` and of MobileFaceNet alone. They
come from the bundled model, unless the run has a folder `base` of its own, which the command `base` makes
(training/publishing/base.py).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Sequence

import numpy as np
import safetensors.numpy

from model.calibration import Calibration
from model.cohort import Cohort
from model.embedding import GENERIC, MOBILE, normalize
from model.networks import COHORT, MOBILE_WEIGHTS, Arrays, calibration_of, read_config, read_extra
from storage.networks import BUNDLED, POINTER, Pointer
from training.atomic_files import atomic_write, write_json
from training.data.dataset import ALIGNED, DIGESTS, STATUS
from training.data.prepare import STRANGER, Example, examples
from training.network.embeddings import Embedding
from training.records import Run

CALIBRATIONS = "calibrations.json"
FOLDER = "base"


@dataclass(frozen=True)
class Base:
    """files: MOBILE_WEIGHTS and COHORT as they are saved; calibrations: of GENERIC and MOBILE."""

    files: dict[str, bytes]
    calibrations: dict[str, Calibration]

    @property
    def mobile_weights(self) -> Arrays:
        weights: Arrays = safetensors.numpy.load(self.files[MOBILE_WEIGHTS])
        return weights

    @property
    def strangers(self) -> Arrays:
        """The cohort, see `pack_cohort`."""
        arrays: Arrays = safetensors.numpy.load(self.files[COHORT])
        return arrays

    def digest(self) -> str:
        """Return 16 hex digits that change with the weights and the cohort."""
        return hashlib.sha256(b"".join(self.files.values())).hexdigest()[:16]

    def cohort(self, embedding: Embedding) -> Cohort:
        """Return the cohort in an embedding."""
        return Cohort(embedding.embed(*unpack_cohort(self.strangers)))


def load_base(run: Run) -> Base:
    """Load the run's own base, or that of the bundled model."""
    own = run.out / FOLDER
    if (own / CALIBRATIONS).exists():
        content = json.loads((own / CALIBRATIONS).read_text(encoding="utf-8"))
        files = {name: (own / name).read_bytes() for name in (MOBILE_WEIGHTS, COHORT)}
        return Base(files, {name: calibration_of(each) for name, each in content.items()})
    folder = Path(BUNDLED)
    path = folder / Pointer.parse((folder / POINTER).read_bytes()).file
    calibrations = read_config(path).calibrations
    files = {name: read_extra(path, name) for name in (MOBILE_WEIGHTS, COHORT)}
    return Base(files, {name: calibrations[name] for name in (GENERIC, MOBILE)})


def write_base(run: Run, base: Base) -> None:
    """Write the run's own base. The calibrations come last: without them it does not count."""
    folder = run.out / FOLDER
    folder.mkdir(exist_ok=True)
    for name, data in base.files.items():
        with atomic_write(folder / name) as partial:
            partial.write_bytes(data)
    write_json(folder / CALIBRATIONS, {name: asdict(each) for name, each in base.calibrations.items()})


def pack_cohort(features: np.ndarray, mobile: np.ndarray, digests: np.ndarray) -> dict[str, np.ndarray]:
    """Encode strangers in 8 bits.

    features: float [M, 1792] -> `features`, int8, and `scales`, float32 [M], with which they are multiplied; mobile:
    float [M, 192] -> int8, of which the length is not kept; digests: S16 [M], of the photos -> `photos`, uint8 [M, 16].
    """
    return {
        "features": to_int8(features),
        "scales": (np.abs(features).max(axis=1) / 127).astype(np.float32),
        MOBILE: to_int8(mobile),
        "photos": np.frombuffer(digests.tobytes(), np.uint8).reshape(-1, 16),
    }


def unpack_cohort(arrays: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Decode strangers: float32 features [M, 1792], and MobileFaceNet's embeddings [M, 192] of length 1."""
    features = arrays["features"].astype(np.float32) * arrays["scales"][:, None]
    return features, normalize(arrays[MOBILE].astype(np.float32))


def to_int8(embeddings: np.ndarray) -> np.ndarray:
    """Scale each embedding to 127 and round it, [N, size] -> int8. Lengths are lost; cosines stay."""
    scaled: np.ndarray = np.rint(127 * embeddings / np.abs(embeddings).max(axis=1, keepdims=True))
    return scaled.astype(np.int8)


def outside_cohort(run: Run, base: Base) -> np.ndarray:
    """Select the photos that may serve as probes: not of people in the cohort. bool [photos with a face].

    People in the training are never among them, even if a photo of theirs is in the cohort.
    """
    _, rows = examples(run)
    used = in_cohort(base, rows, np.load(run.out / DIGESTS))
    return ~used[np.load(run.out / STATUS) == ALIGNED]


def in_cohort(base: Base, rows: Sequence[Example], digests: Sequence[bytes]) -> np.ndarray:
    """Select the photos of strangers of whom a photo is in the cohort. digests: of the photos. -> bool [rows]."""
    known = {bytes(digest) for digest in base.strangers["photos"]}
    folders = {Path(row.path).parent for row, digest in zip(rows, digests) if digest in known}
    return np.array([row.split == STRANGER and Path(row.path).parent in folders for row in rows], bool)
