"""features: run both networks on the crops.

-> features-PRECISION.npy, of InceptionResnetV1's frozen backbone, float32 [crops with a face, 1792], and mobile.npy,
MobileFaceNet's embeddings, float32 [crops with a face, 192].
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Callable

import numpy as np
import torch
from tqdm import tqdm

from model.mobilefacenet import EMBEDDING as MOBILE_SIZE
from model.mobilefacenet import MobileFaceNet
from model.networks import Arrays, to_tensor
from training.data.dataset import BATCH, CROPS, LANDMARK_CROPS, Dataset, dataset, read_crops
from training.data.prepare import TRAIN
from training.errors import TrainingError
from training.network.backbone import FEATURES, Backend, Conv, Float, fold, forward, load_pretrained
from training.network.quantize import Int8, Scale, calibrate, pack, quantize
from training.records import Run
from training.resumable_array import ResumableArray

INT8, FP32 = "int8", "fp32"
CALIBRATION_CROPS = 128
SERVING_TORCH = "1.5.0"
MOBILE_FILE = "mobile.npy"


def default_precision() -> str:
    """Return int8 with the torch version that serves, otherwise fp32. Heads trained on either are equally accurate."""
    return INT8 if torch.__version__.split("+")[0] == SERVING_TORCH else FP32


def select_backend(convs: dict[str, Conv], scales: dict[str, Scale] | None) -> Backend:
    """Return the backend for the backbone: int8 if there are scales, else float16 on a GPU, else float32."""
    if scales is not None:
        return Int8(convs, scales, pack(convs, quantize(convs)))
    if torch.cuda.is_available():
        return Float(
            {
                name: conv._replace(weight=conv.weight.cuda().half(), bias=conv.bias.cuda().half())
                for name, conv in convs.items()
            }
        )
    return Float(convs)


def features(run: Run, precision: str, seed: int) -> None:
    """Run the step `features`, continuing an interrupted run. seed: selects the crops for the calibration of int8.

    Raises TrainingError if earlier steps have not been run or this torch cannot compute int8 as serving does.
    """
    if precision == INT8 and default_precision() != INT8:
        raise TrainingError(
            f"int8 features need torch {SERVING_TORCH}, but this is torch {torch.__version__}: use --precision fp32, "
            "or run with Python 3.8 and requirements.txt."
        )
    inputs = {"align": run.identity("align"), "seed": seed}
    path = _path(run, precision)

    def work() -> dict[str, Any]:
        data = dataset(run)
        convs = fold(load_pretrained())
        scales = _calibrate(run, data, convs, seed) if precision == INT8 else None
        array = ResumableArray(path, (len(data.rows), FEATURES), np.float32, repr(inputs))
        backend = select_backend(convs, scales)

        def compute(crops: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return forward(backend, to_tensor(crops)).cpu().numpy()

        _write(run, data.rows, CROPS, compute, array, "features")
        return {"scales": scales}

    run.step(f"features-{precision}", inputs, [path.name], work)


def _calibrate(run: Run, data: Dataset, convs: dict[str, Conv], seed: int) -> dict[str, Scale]:
    """Calibrate int8 on a seeded sample of the training crops."""
    train = data.rows[data.splits == TRAIN]
    sample = np.random.RandomState(seed).permutation(train)[:CALIBRATION_CROPS]
    batches = tqdm(read_crops(run, np.sort(sample)), total=-(-len(sample) // BATCH), desc="calibrate")
    return calibrate(convs, map(to_tensor, batches))


def _write(
    run: Run,
    rows: np.ndarray,
    crops_file: str,
    compute: Callable[[np.ndarray], np.ndarray],
    array: ResumableArray,
    desc: str,
) -> None:
    """Compute and append what is missing in `array`, and close it.

    rows: of the crops; crops_file: CROPS or LANDMARK_CROPS; compute: a batch of crops -> rows of the array; desc: label
    of the progress bar.
    """
    try:
        with tqdm(total=len(rows), initial=array.done, desc=desc, unit=" crops") as bar:
            for crops in read_crops(run, rows[array.done :], crops_file):
                array.append(compute(crops))
                bar.update(len(crops))
        array.finish()
    finally:
        array.close()


def load_features(run: Run, precision: str) -> np.ndarray:
    """Return the features, float32 [crops with a face, 1792] in the order of `dataset`, memory-mapped.

    Raises TrainingError if the step `features` has not been run in this precision.
    """
    run.record(f"features-{precision}")
    return np.load(_path(run, precision), mmap_mode="r")


def mobile_embeddings(run: Run, weights: Arrays) -> None:
    """Run the step `mobile`: MobileFaceNet's embeddings. weights: see MobileFaceNet. Raises TrainingError."""
    digest = hashlib.sha256(b"".join(weights[name].tobytes() for name in sorted(weights))).hexdigest()
    inputs = {"align": run.identity("align"), "weights": digest}

    def work() -> dict[str, Any]:
        rows, network = dataset(run).rows, MobileFaceNet(weights)
        array = ResumableArray(run.out / MOBILE_FILE, (len(rows), MOBILE_SIZE), np.float32, repr(inputs))
        _write(run, rows, LANDMARK_CROPS, network.embed, array, "MobileFaceNet")
        return {}

    run.step("mobile", inputs, [MOBILE_FILE], work)


def load_mobile(run: Run) -> np.ndarray:
    """Return MobileFaceNet's embeddings, float32 [crops with a face, 192], memory-mapped. Raises TrainingError."""
    run.record("mobile")
    return np.load(run.out / MOBILE_FILE, mmap_mode="r")


def _path(run: Run, precision: str) -> Path:
    return run.out / f"features-{precision}.npy"
