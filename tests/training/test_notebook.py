"""The notebook, run from top to bottom as on Colab: with a current Python and torch, and Python 3.8 for the export."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import boto3
import numpy as np
import pytest
import torch

from model.crop import CropSpec
from model.mobilefacenet import MobileFaceNet
from model.networks import to_tensor
from testing.paths import ROOT, SAMPLES
from training.data.align import Aligner
from training.network.backbone import Float, fold, forward, load_pretrained
from training.network.base import load_base
from training.network.embeddings import generic_embedding
from training.records import Run
from training.store import load_model

EXECUTED = ROOT / "build" / "train.ipynb"


def test_notebook(lfw_small: Path, weights: Path, tmp_path: Path, s3_environment: dict[str, str]) -> None:
    boto3.client("s3").create_bucket(Bucket="notebook")
    EXECUTED.parent.mkdir(exist_ok=True)
    parameters = {
        "DATA": lfw_small,
        "OUT": tmp_path / "run",
        "PUBLISH_TO": "s3://notebook/faces",
        "EPOCHS": 5,
        "SEEDS": 2,
    }
    command = [str(ROOT / ".venv-notebook" / "bin" / "papermill"), "training/train.ipynb", str(EXECUTED)]
    command += ["--kernel", "python3", "--no-progress-bar", "--cwd", str(ROOT)]
    for name, value in parameters.items():
        command += ["-p", name, str(value)]
    environment = {**os.environ, **s3_environment, "TORCH_HOME": str(weights)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-5000:]

    snapshot = load_model("s3://notebook/faces")
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert snapshot.version == report["model"]["version"]
    assert report["val_accuracy"] >= 0.97
    assert report["precision"] == "int8"
    assert (len(snapshot.gallery.people), snapshot.pointer.collection) == (12, "trained")

    cells = json.loads(EXECUTED.read_text())["cells"]
    pictures = [output for cell in cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    assert len(pictures) >= 7
    texts = ["".join(output.get("text", "")) for cell in cells for output in cell.get("outputs", [])]
    printed = "".join(texts)
    for name in ("InceptionResnetV1", "MobileFaceNet", "both"):
        assert re.search(rf"^{name} +rank-1 accuracy [\d.]+%", printed, re.MULTILINE), name
    assert len(re.findall(r"^[01]\.\d{3}  .+ \((?:known|below the threshold)\)$", printed, re.MULTILINE)) == 5


CURRENT = """
import sys
from pathlib import Path
import numpy as np, torch
from model.crop import CropSpec
from model.mobilefacenet import MobileFaceNet
from model.networks import to_tensor
from training.data.align import Aligner
from training.network.backbone import Float, fold, forward, load_pretrained
from training.network.base import load_base
from training.network.embeddings import generic_embedding
from training.records import Run

faces = [Aligner(CropSpec()).align(Path(photo)) for photo in sys.argv[2:]]
crops, landmark_crops, reliable = (np.stack(column) for column in list(zip(*faces))[1:4])
convs = fold(load_pretrained())
half = {n: c._replace(weight=c.weight.half(), bias=c.bias.half()) for n, c in convs.items()}
with torch.no_grad():
    features = [forward(Float(c), to_tensor(crops)).numpy() for c in (convs, half)]
base = load_base(Run(Path("no run")))
mobile = MobileFaceNet(base.mobile_weights).embed(landmark_crops)
cohort = base.cohort(generic_embedding()).embeddings
found = dict(crops=crops, landmark_crops=landmark_crops, reliable=reliable, mobile=mobile, cohort=cohort)
np.savez(sys.argv[1], fp32=features[0], fp16=features[1], **found)
"""


def test_crops_and_features_of_a_current_torch_equal_those_of_the_serving_one(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Includes half precision, which a GPU uses."""
    monkeypatch.setenv("TORCH_HOME", str(weights))
    photos = sorted(SAMPLES.glob("*.jpg"))[:4]
    command = [str(ROOT / ".venv-notebook" / "bin" / "python"), "-c", CURRENT, str(tmp_path / "found.npz")]
    subprocess.run([*command, *map(str, photos)], cwd=ROOT, check=True, timeout=300)
    aligner = Aligner(CropSpec())
    faces = [aligner.align(photo) for photo in photos]
    crops, landmark_crops = (np.stack(column) for column in list(zip(*faces))[1:3])
    base = load_base(Run(tmp_path))
    mobile = MobileFaceNet(base.mobile_weights).embed(landmark_crops)
    with torch.no_grad():
        features = forward(Float(fold(load_pretrained())), to_tensor(crops)).numpy()
    with np.load(tmp_path / "found.npz") as found:
        assert np.abs(found["crops"].astype(int) - crops).mean() < 1
        assert np.abs(found["landmark_crops"].astype(int) - landmark_crops).mean() < 1
        assert found["reliable"].tolist() == [face.reliable for face in faces]
        assert (found["mobile"] * mobile).sum(axis=1).min() > 0.999
        assert (found["cohort"] * base.cohort(generic_embedding()).embeddings).sum(axis=1).min() > 0.999
        for precision in ("fp32", "fp16"):
            other = found[precision]
            lengths = np.linalg.norm(other, axis=1) * np.linalg.norm(features, axis=1)
            assert ((other * features).sum(axis=1) / lengths).min() > 0.999, precision


def test_notebook_is_stored_without_outputs() -> None:
    cells = json.loads((ROOT / "training" / "train.ipynb").read_text())["cells"]
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
