"""Crops in, embeddings out: published networks, loaded.

`model.pt` is one TorchScript file that torch 1.5.0 loads with nothing else. It maps uint8 crops [N, 3, 160, 160] RGB to
InceptionResnetV1's two embeddings, each float32 [N, 512] of length 1: `generic` and `tuned`. The same file contains:

    config.json                 how crops are cut, a digest of each embedding, and the calibrations
    mobilefacenet.safetensors   the weights of MobileFaceNet, float16
    cohort.safetensors          strangers, in 8 bits (model/cohort.py)

It holds no people that can be identified.
"""

from __future__ import annotations

import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Callable, Mapping

import numpy as np
import safetensors.numpy
import torch
from safetensors import SafetensorError

from model.calibration import Calibration, Tail
from model.cohort import Cohort
from model.crop import CropSpec
from model.embedding import GENERIC, MOBILE, TUNED, EmbeddingSpec, join, normalize
from model.errors import NetworkFormatError
from model.mobilefacenet import MobileFaceNet

FORMAT = 3
CONFIG, MOBILE_WEIGHTS, COHORT = "config.json", "mobilefacenet.safetensors", "cohort.safetensors"  # extra files
ORDER = (GENERIC, TUNED)  # of the script's outputs

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class NetworkConfig:
    """Description of the networks, saved with them.

    specs: by the embedding's name; calibrations: by the embedding's name and, for MobileFaceNet's part alone, MOBILE;
    precision: of the backbone, int8 or fp32; metrics: accuracy when it was evaluated; versions: of the packages that
    wrote it.
    """

    crop: CropSpec
    specs: Mapping[str, EmbeddingSpec]
    calibrations: Mapping[str, Calibration]
    precision: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def parse(cls, text: str | bytes) -> NetworkConfig:
        """Raises NetworkFormatError for another format or a missing field."""
        try:
            content = json.loads(text)
            _check_format(content["format"])
            specs = {name: EmbeddingSpec(**spec) for name, spec in content["specs"].items()}
            calibrations = {name: calibration_of(found) for name, found in content["calibrations"].items()}
            if set(ORDER) != set(specs) or {*ORDER, MOBILE} != set(calibrations):
                raise KeyError(f"embeddings {', '.join(ORDER)} and calibrations of these and {MOBILE}")
            content.update(crop=CropSpec(**content["crop"]), specs=specs, calibrations=calibrations)
            return cls(**content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise NetworkFormatError(f"The network's {CONFIG} cannot be read: {error!r}.") from error

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def _check_format(number: int) -> None:
    if number < FORMAT:
        raise NetworkFormatError(
            f"The model file has format {number}, of an earlier release with other networks. This release reads format "
            f"{FORMAT}: export it again with `python -m training export`."
        )
    if number > FORMAT:
        raise NetworkFormatError(
            f"The model file has format {number} and this release reads format {FORMAT}: update the service."
        )


def _incomplete() -> NetworkFormatError:
    return NetworkFormatError("The model file lacks something that this project writes.")


def calibration_of(content: Mapping[str, Any]) -> Calibration:
    return Calibration(**{**content, "tail": Tail(**content["tail"])})


def read_extra(path: Path, name: str) -> bytes:
    """Read an extra file of the TorchScript, with any version of torch. Raises NetworkFormatError."""
    try:
        with zipfile.ZipFile(path) as archive:
            entry = next(entry for entry in archive.namelist() if entry.endswith(f"/extra/{name}"))
            return archive.read(entry)
    except (OSError, zipfile.BadZipFile, StopIteration, ValueError, RuntimeError) as error:
        raise NetworkFormatError("The model file is not one that this project wrote.") from error


def read_config(path: Path) -> NetworkConfig:
    """Read the networks' description without loading them. Raises NetworkFormatError."""
    return NetworkConfig.parse(read_extra(path, CONFIG))


def read_arrays(path: Path, name: str) -> Arrays:
    """Read the arrays of MOBILE_WEIGHTS or COHORT. Raises NetworkFormatError."""
    try:
        arrays: Arrays = safetensors.numpy.load(read_extra(path, name))
        return arrays
    except SafetensorError as error:
        raise NetworkFormatError(f"The model file's {name} cannot be read.") from error


class EmbeddingNetwork:
    """Both networks, ready to run, and the cohort."""

    def __init__(self, path: Path) -> None:
        """Raises NetworkFormatError."""
        self.config = read_config(path)
        self._joined: dict[str, Cohort] = {}
        try:
            self._script = torch.jit.load(str(path), map_location="cpu")
        except (RuntimeError, OSError) as error:
            raise NetworkFormatError("The model file is not one that this version of torch can load.") from error
        try:
            prepare = self._script.prepare
            self._mobile = MobileFaceNet(read_arrays(path, MOBILE_WEIGHTS))
            strangers = read_arrays(path, COHORT)
            self._cohort = {name: strangers[name] for name in (MOBILE, *ORDER)}  # the features are for training
        except (RuntimeError, AttributeError, KeyError, ValueError) as error:
            raise _incomplete() from error
        # Packing takes 0.1 s and does not hold Python's interpreter lock. MobileFaceNet decides most faces alone.
        thread = ThreadPoolExecutor(1)
        self._packed = thread.submit(self._pack, prepare)
        thread.shutdown(wait=False)

    def _pack(self, prepare: Callable[[], None]) -> None:
        try:
            prepare()
        except RuntimeError as error:
            raise _incomplete() from error
        self._script.weights = []  # their packed copies are used from now on, and 22 MB are free

    def mobile(self, crops: np.ndarray) -> np.ndarray:
        """Embed uint8 crops [N, 112, 112, 3] RGB (`landmark_crop`) with MobileFaceNet -> float32 [N, 192]."""
        return self._mobile.embed(crops)

    def inception(self, crops: np.ndarray, name: str) -> np.ndarray:
        """Embed uint8 crops [N, size, size, 3] RGB (`crop`) with InceptionResnetV1 -> float32 [N, 512].

        name: of the embedding. Raises NetworkFormatError where the weights cannot be packed.
        """
        self._packed.result()
        with torch.no_grad():
            outputs = self._script(to_tensor(crops))
        embeddings: np.ndarray = outputs[ORDER.index(name)].numpy()
        return embeddings

    def cohort(self, name: str) -> Cohort:
        """Return the strangers in the joined embedding of that name, the same object each time."""
        if name not in self._joined:
            parts = [normalize(self._cohort[part].astype(np.float32)) for part in (name, MOBILE)]
            self._joined[name] = Cohort(join(*parts))
        return self._joined[name]


def to_tensor(crops: np.ndarray) -> torch.Tensor:
    """Crops as InceptionResnetV1 takes them: uint8 [N, size, size, 3] -> uint8 [N, 3, size, size].

    They are normalized inside the graph, so that training and serving cannot differ in it.
    """
    return torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))
