"""The bundled model and the detector's networks as ONNX files, written by torch 1.5.0's own exporter, and crops.

recognizer.onnx is the network that the bundled model was made of, in floating point: the trunk from its pretrained
weights, embedding and gallery from the model's file. pnet, rnet and onet.onnx are facenet-pytorch's.
"""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path
from typing import Any, NamedTuple, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.bundled import ROOT, rows_of
from model.recognizer import CONFIG, PEOPLE, Recognizer, load_script, people_to_json
from model.store import BUNDLED, fetch
from training.align import align_all
from training.dataset import ALIGNED
from training.prepare import STRANGER, TRAIN, VAL
from training.trunk import Float, fold, forward, load_pretrained

OUT = ROOT / "build" / "engine"
PYTHON = ROOT / ".venv-engine" / "bin" / "python"
CALIBRATION = 256  # train crops
OPSET = 12  # the latest that torch 1.5.0 writes


class Whole(nn.Module):
    """uint8 crops [N, 3, 160, 160] -> logits [N, people], embeddings [N, 512], as training.network.Network."""

    def __init__(self, script: Any) -> None:
        super().__init__()
        self._trunk = Float(fold(load_pretrained()))
        self._embedding = script.embedding.float()
        self._units, self._hubness = F.normalize(script.means, dim=1), script.hubness
        self._cohort = min(script.cohort, len(self._units) - 1)
        self._weights = script.probe_weight, script.person_weight
        self._slope, self._intercept = script.slope, script.intercept

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        embeddings = F.linear(forward(self._trunk, crops), self._embedding)
        embeddings = embeddings / embeddings.norm(dim=1, keepdim=True)  # F.normalize's clamp is not exported rightly
        scores = F.linear(embeddings, self._units)
        best = torch.topk(scores, self._cohort + 1, dim=1)[0]
        probe, person = self._weights
        scores = scores - probe * best[:, 1:].mean(dim=1, keepdim=True) - person * self._hubness
        return self._slope * scores + self._intercept, embeddings


class Elementary(nn.Module):
    """PReLU in operations that ONNX Runtime is quicker at, as torch 1.5.0 is: P-Net takes 3/4 of the time."""

    def __init__(self, slope: torch.Tensor) -> None:
        super().__init__()
        self._slope = slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        positive = F.relu(x)
        return positive + self._slope.view(1, -1, *[1] * (x.dim() - 2)) * (x - positive)


def elementary(network: nn.Module) -> nn.Module:
    for name, layer in list(network.named_children()):
        if isinstance(layer, nn.PReLU):
            setattr(network, name, Elementary(layer.weight.detach()))
    return network


def write(network: nn.Module, example: torch.Tensor, path: Path, outputs: Sequence[str], free: dict[int, str]) -> None:
    """free: the axes that may have any length, of what goes in and what comes out."""
    axes = dict.fromkeys(["x", *outputs], free)
    torch.onnx.export(
        network.eval(),
        example,
        str(path),
        opset_version=OPSET,
        input_names=["x"],
        output_names=outputs,
        dynamic_axes=axes,
    )


def export(folder: Path) -> None:
    from facenet_pytorch.models import mtcnn  # takes torchvision with it

    script, config, people = load_script(fetch(BUNDLED)[0])
    crops = torch.zeros(2, 3, 160, 160, dtype=torch.uint8)
    write(Whole(script), crops, folder / "recognizer.onnx", ["logits", "embeddings"], {0: "n"})
    write(
        elementary(mtcnn.PNet()),
        torch.zeros(1, 3, 60, 40),
        folder / "pnet.onnx",
        ["offsets", "scores"],
        {2: "height", 3: "width"},
    )
    write(elementary(mtcnn.RNet()), torch.zeros(2, 3, 24, 24), folder / "rnet.onnx", ["offsets", "scores"], {0: "n"})
    write(
        elementary(mtcnn.ONet()),
        torch.zeros(2, 3, 48, 48),
        folder / "onet.onnx",
        ["offsets", "points", "scores"],
        {0: "n"},
    )
    (folder / CONFIG).write_text(config.to_json())
    (folder / PEOPLE).write_text(people_to_json(people))


class Faces(NamedTuple):
    """Of val photos and strangers. labels: -1 for the latter."""

    crops: Path
    labels: np.ndarray


def prepare(data: Path) -> Faces:
    """Crops to calibrate and to judge with, and the networks as ONNX."""
    OUT.mkdir(parents=True, exist_ok=True)
    calibration, crops, labels = OUT / "calibration.npy", OUT / "crops.npy", OUT / "labels.npy"
    if not labels.exists():
        _, rows = rows_of(data, None)
        train = [row for row in rows if row.split == TRAIN]
        chosen = [train[i] for i in np.random.RandomState(0).permutation(len(train))[:CALIBRATION]]
        asked = [*chosen, *(row for row in rows if row.split in (VAL, STRANGER))]
        states, cut, _ = zip(*align_all([row.path for row in asked], Recognizer.load(BUNDLED).config.crop, "crops"))
        found = np.array(states) == ALIGNED
        calibrates = np.arange(len(asked)) < len(chosen)
        np.save(calibration, np.stack(cut)[calibrates & found])
        np.save(crops, np.stack(cut)[~calibrates & found])
        np.save(labels, np.array([row.person for row in asked])[~calibrates & found])
    if not (OUT / "int8.onnx").exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the trace, whose shapes are always the same
            export(OUT)
        subprocess.run([str(PYTHON), "-m", "benchmarks.engine.quantize", str(OUT)], cwd=ROOT, check=True)
    return Faces(crops, np.load(labels))
