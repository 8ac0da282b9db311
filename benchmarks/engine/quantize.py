"""recognizer.onnx in int8, by ONNX Runtime: static, per channel, the scales from crops of train photos.

python -m benchmarks.engine.quantize FOLDER    under .venv-engine: FOLDER has recognizer.onnx and calibration.npy
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Iterator

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

OPSET = 17  # scales per channel take 13 or later, and torch 1.5.0 writes 12
CONVOLUTIONS = ["Conv", "Relu", "Add", "Concat", "MaxPool"]  # the head stays as it is, as in training/network.py


class Crops(CalibrationDataReader):
    def __init__(self, crops: np.ndarray) -> None:
        """crops: uint8 [N, size, size, 3] RGB."""
        self._batches: Iterator[np.ndarray] = iter(np.array_split(crops, -(-len(crops) // 16)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"x": np.ascontiguousarray(batch.transpose(0, 3, 1, 2))}


def quantize(folder: Path) -> None:
    converted, prepared = folder / "converted.onnx", folder / "prepared.onnx"
    onnx.save(onnx.version_converter.convert_version(onnx.load(folder / "recognizer.onnx"), OPSET), converted)
    quant_pre_process(converted, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        folder / "int8.onnx",
        Crops(np.load(folder / "calibration.npy")),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=CONVOLUTIONS,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        reduce_range=True,  # 7 bits: processors without VNNI add products in pairs, and 8 would overflow
    )
    converted.unlink()
    prepared.unlink()


if __name__ == "__main__":
    quantize(Path(sys.argv[1]))
