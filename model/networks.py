"""Crops in, embeddings out: a published network, loaded.

`model.pt` is one TorchScript file that torch 1.5.0 loads with nothing else. It maps uint8 crops [N, 3, 160, 160] RGB to
two embeddings, each float32 [N, 512] of length 1: `generic` and `tuned`. Its configuration lies in the same file as
`config.json`: how crops are cut, and a digest and a calibration for each embedding. It holds no people.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Mapping

import numpy as np
import torch

from model.calibration import Calibration, ScoreNormalization
from model.crop import CropSpec
from model.embedding import GENERIC, TUNED, EmbeddingSpec
from model.errors import NetworkFormatError

FORMAT = 2
CONFIG = "config.json"  # an extra file of the TorchScript
ORDER = (GENERIC, TUNED)  # of the script's outputs


@dataclass(frozen=True)
class NetworkConfig:
    """Description of a network, saved with it.

    specs, calibrations: by the embedding's name; precision: of the backbone, int8 or fp32; metrics: accuracy when it
    was evaluated; versions: of the packages that wrote it.
    """

    crop: CropSpec
    specs: Mapping[str, EmbeddingSpec]
    calibrations: Mapping[str, Calibration]
    precision: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def parse(cls, text: str) -> NetworkConfig:
        """Raises NetworkFormatError for another format or a missing field."""
        try:
            content = json.loads(text)
            _check_format(content["format"])
            specs = {name: EmbeddingSpec(**spec) for name, spec in content["specs"].items()}
            calibrations = {name: _calibration(found) for name, found in content["calibrations"].items()}
            if not set(ORDER) == set(specs) == set(calibrations):
                raise KeyError(f"embeddings {', '.join(ORDER)}")
            content.update(crop=CropSpec(**content["crop"]), specs=specs, calibrations=calibrations)
            return cls(**content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise NetworkFormatError(f"The network's {CONFIG} cannot be read: {error!r}.") from error

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def _check_format(number: int) -> None:
    if number < FORMAT:
        raise NetworkFormatError(
            f"The model file has format {number}, which held network and people together. This release reads format "
            f"{FORMAT}: export it again with `python -m training export`."
        )
    if number > FORMAT:
        raise NetworkFormatError(
            f"The model file has format {number} and this release reads format {FORMAT}: update the service."
        )


def _calibration(content: Mapping[str, Any]) -> Calibration:
    return Calibration(**{**content, "normalization": ScoreNormalization(**content["normalization"])})


def load_script(path: Path) -> tuple[torch.jit.ScriptModule, NetworkConfig]:
    """Load the file as it lies on disk, not yet ready to run. Raises NetworkFormatError."""
    # torch 1.5 fills in the names that are requested; one that is missing in the file stays empty.
    extra = torch._C.ExtraFilesMap()
    extra[CONFIG] = ""
    try:
        script = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
    except (RuntimeError, OSError) as error:
        raise NetworkFormatError("The model file is not one that this version of torch can load.") from error
    return script, NetworkConfig.parse(extra[CONFIG])


class EmbeddingNetwork:
    """A network that is ready to run."""

    def __init__(self, path: Path) -> None:
        """Raises NetworkFormatError."""
        self._script, self.config = load_script(path)
        try:
            self._script.prepare()
        except (RuntimeError, AttributeError) as error:
            raise NetworkFormatError("The model file was not written by this project: it has no `prepare`.") from error

    def embed(self, crops: np.ndarray, name: str) -> np.ndarray:
        """uint8 crops [N, size, size, 3] RGB -> the embedding of that name, float32 [N, 512] of length 1."""
        with torch.no_grad():
            outputs = self._script(to_tensor(crops))
        embeddings: np.ndarray = outputs[ORDER.index(name)].numpy()
        return embeddings


def to_tensor(crops: np.ndarray) -> torch.Tensor:
    """Crops as every network here takes them: uint8 [N, size, size, 3] -> uint8 [N, 3, size, size].

    They are normalized inside the graph, so that training and serving cannot differ in it.
    """
    return torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))
