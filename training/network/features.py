"""features: crops.npy -> features-PRECISION.npy, float32 [crops with a face, 1792], by the frozen trunk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from model.networks import to_tensor
from training.data.dataset import BATCH, crops_of, dataset
from training.data.prepare import TRAIN
from training.errors import TrainingError
from training.network.backbone import FEATURES, Backend, Conv, Float, fold, forward, load_pretrained
from training.network.quantize import Int8, Scale, calibrate, pack, quantize
from training.records import Run
from training.resumable_array import ResumableArray

INT8, FP32 = "int8", "fp32"
CALIBRATION_CROPS = 128
SERVING_TORCH = "1.5.0"


def default_precision() -> str:
    """int8 where the kernels are those that serve; the head trained on fp32 features is as good."""
    return INT8 if torch.__version__.split("+")[0] == SERVING_TORCH else FP32


def backend(convs: dict[str, Conv], scales: dict[str, Scale] | None) -> Backend:
    """To compute the trunk in: int8 with scales, else floating point; on a GPU, where there is one, in half."""
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
    """Raises TrainingError where int8 is asked of another torch than the one that serves."""
    if precision == INT8 and default_precision() != INT8:
        raise TrainingError(
            f"int8 features need torch {SERVING_TORCH}, and this is {torch.__version__}: use --precision fp32 here, or "
            "run under Python 3.8 with requirements.txt."
        )
    inputs = {"align": run.identity("align"), "seed": seed}
    path = _path(run, precision)

    def work() -> dict[str, Any]:
        data = dataset(run)
        convs = fold(load_pretrained())
        scales = None
        if precision == INT8:
            train = data.rows[data.splits == TRAIN]
            chosen = np.random.RandomState(seed).permutation(train)[:CALIBRATION_CROPS]
            batches = tqdm(crops_of(run, np.sort(chosen)), total=-(-len(chosen) // BATCH), desc="calibrate")
            scales = calibrate(convs, map(to_tensor, batches))
        out = ResumableArray(path, (len(data.rows), FEATURES), np.float32, repr(inputs))
        a = backend(convs, scales)
        todo = data.rows[out.done :]
        try:
            with tqdm(total=len(data.rows), initial=out.done, desc="features", unit=" crops") as bar, torch.no_grad():
                for crops in crops_of(run, todo):
                    out.append(forward(a, to_tensor(crops)).cpu().numpy())
                    bar.update(len(crops))
            out.finish()
        finally:
            out.close()
        return {"scales": scales}

    run.step(f"features-{precision}", inputs, [path.name], work)


def load_features(run: Run, precision: str) -> np.ndarray:
    """[crops with a face, 1792], in the order of `dataset`, read from disk as they are needed."""
    run.record(f"features-{precision}")
    return np.load(_path(run, precision), mmap_mode="r")


def _path(run: Run, precision: str) -> Path:
    return run.out / f"features-{precision}.npy"
