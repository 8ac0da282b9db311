"""What in model/ uses torch, without it: on ONNX Runtime or OpenVINO, for benchmarks/engine.py.

ENGINE_RUNTIME is onnxruntime or openvino, ENGINE_MODEL the folder that benchmarks/engine/export.py has filled,
ENGINE_NETWORK the recognizer's file in it, and OMP_NUM_THREADS the threads.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

import numpy as np
from PIL import Image

FOLDER = Path(os.getenv("ENGINE_MODEL") or "build/engine")
NETWORK = os.getenv("ENGINE_NETWORK") or "int8.onnx"
THREADS = int(os.getenv("OMP_NUM_THREADS") or 0)  # 0: as many as there are processors
BATCH = 128  # as in model/mtcnn.py

Run = Callable[..., "list[np.ndarray]"]  # what goes in, names of what comes out -> the latter


def onnxruntime(path: Path) -> Run:
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = THREADS
    # Between two runs other code has work: threads of four sessions that spin would take its processor.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda x, *names: session.run(names, {"x": x})


def openvino(path: Path) -> Run:
    from openvino import Core

    # Where the processor has bfloat16, floating point would be computed in it, and faces would lie elsewhere.
    settings: dict[str, object] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": THREADS,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    # Else a single thread is bound to one processor, also where others want it.
    settings["ENABLE_CPU_PINNING"] = False
    # Else it compiles for a second and a half at each start. An image would have to bring it, for its processor.
    settings["CACHE_DIR"] = str(FOLDER / "openvino")
    network = Core().compile_model(str(path), "CPU", settings)

    def run(x: np.ndarray, *names: str) -> list[np.ndarray]:
        found = network(x)
        return [found[name] for name in names]

    return run


def load(path: Path) -> Run:
    return {"onnxruntime": onnxruntime, "openvino": openvino}[os.getenv("ENGINE_RUNTIME") or "onnxruntime"](path)


class Sampler:
    """model/sampling.py in numpy: what it returns is the same, as arrays."""

    def __init__(self, photo: Image.Image) -> None:
        pixels = np.asarray(photo)
        self.height, self.width = pixels.shape[:2]
        self._sums = np.zeros((self.height + 1, self.width + 1, 3), np.int32)
        np.cumsum(pixels, axis=1, dtype=np.int32, out=self._sums[1:, 1:])
        for row in range(2, self.height + 1):
            self._sums[row] += self._sums[row - 1]
        self._planes = np.ascontiguousarray(self._sums.transpose(2, 0, 1))

    def level(self, height: int, width: int) -> np.ndarray:
        """All of the photo. -> [1, 3, height, width]."""
        top, bottom = _bins(self.height, height)
        left, right = _bins(self.width, width)
        rows = self._planes.take(bottom, axis=1) - self._planes.take(top, axis=1)
        sums = rows.take(right, axis=2) - rows.take(left, axis=2)
        return _normalised(sums, (bottom - top)[:, None] * (right - left))[None]

    def patches(self, boxes: np.ndarray, size: int) -> np.ndarray:
        """boxes: int [N, 4], XYXY edges within the photo, none of them empty. -> [N, 3, size, size]."""
        left, right = _bins(boxes[:, 2] - boxes[:, 0], size) + boxes[:, None, 0]
        top, bottom = _bins(boxes[:, 3] - boxes[:, 1], size) + boxes[:, None, 1]
        pixels = self._sums.reshape(-1, 3)

        def above_left(y: np.ndarray, x: np.ndarray) -> np.ndarray:
            return pixels.take(y[:, :, None] * (self.width + 1) + x[:, None, :], axis=0)

        sums = above_left(bottom, right) - above_left(top, right) - above_left(bottom, left) + above_left(top, left)
        areas = (bottom - top)[:, :, None] * (right - left)[:, None, :]
        return np.ascontiguousarray(_normalised(sums, areas[..., None]).transpose(0, 3, 1, 2))


def _bins(length: int | np.ndarray, count: int) -> np.ndarray:
    """As in model/sampling.py."""
    edges = np.arange(count + 1) * np.asarray(length)[..., None]
    return np.stack([edges[..., :-1] // count, -(-edges[..., 1:] // count)])


def _normalised(sums: np.ndarray, areas: np.ndarray) -> np.ndarray:
    return sums.astype(np.float32) / (areas.astype(np.float32) * 128) - np.float32(127.5 / 128)


class Networks:
    """model/mtcnn.py's, over arrays."""

    def __init__(self) -> None:
        self._pnet, self._rnet, self._onet = (load(FOLDER / f"{name}.onnx") for name in ("pnet", "rnet", "onet"))

    def propose(self, x: np.ndarray, least: float) -> tuple[np.ndarray, ...]:
        """[1, 3, H, W] -> rows, columns, scores and offsets of the places that are let through."""
        offsets, scores = self._pnet(x, "offsets", "scores")
        rows, columns = np.nonzero(scores[0, 1] >= least)
        return rows, columns, scores[0, 1, rows, columns], offsets[0, :, rows, columns]

    def refine(self, x: np.ndarray) -> list[np.ndarray]:
        return _in_batches(self._rnet, x, "scores", "offsets")

    def locate(self, x: np.ndarray) -> list[np.ndarray]:
        return _in_batches(self._onet, x, "scores", "offsets", "points")


def _in_batches(network: Run, x: np.ndarray, *names: str) -> list[np.ndarray]:
    """The probability of a face [N], and the other outputs [N, ...]."""
    runs = [network(x[start : start + BATCH], *names) for start in range(0, len(x), BATCH)]
    scores, *rest = (np.concatenate(parts) for parts in zip(*runs))
    return [scores[:, 1], *rest]


class Network:
    """The recognizer's, from crops on."""

    def __init__(self) -> None:
        self._run = load(FOLDER / NETWORK)

    def __call__(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 crops [N, size, size, 3] RGB -> logits [N, people], embeddings [N, 512]."""
        logits, embeddings = self._run(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)), "logits", "embeddings")
        return logits, embeddings
