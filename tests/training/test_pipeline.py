"""`python -m training` on real photos with the real network: all of it, cut off in the middle, and what follows."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest

from model.recognizer import BUNDLED, Recognizer
from tests.conftest import ROOT, SAMPLES, training


@pytest.fixture(scope="module")
def trained(lfw_small: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run that was interrupted while it aligned, and then finished."""
    out = tmp_path_factory.mktemp("run")
    command = [sys.executable, "-m", "training", "all", "--data", str(lfw_small), "--out", str(out)]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "TORCH_HOME": str(weights)}, stderr=subprocess.PIPE, text=True
    ) as first:
        for _ in range(600):
            partial = out / "crops.npy.partial"
            if partial.exists() and partial.stat().st_size > 40 * 160 * 160 * 3:
                break
            time.sleep(0.1)
        first.send_signal(signal.SIGINT)
        error = first.communicate(timeout=60)[1]
    assert first.returncode == 130, error
    assert "Traceback" not in error
    assert not (out / "crops.npy").exists()
    assert not (out / "align.json").exists()

    done = training("all", "--data", lfw_small, "--out", out, home=weights)
    assert done.returncode == 0, done.stderr
    assert "prepare: unchanged, skipped" in done.stderr
    assert "align: unchanged" not in done.stderr
    return out


def report(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text())


def test_report(trained: Path) -> None:
    found = report(trained)
    assert (found["classes"], found["people"]) == (12, 12)
    assert (found["train_images"], found["val_images"]) == (84, 36)
    assert (found["strangers"], found["stranger_images"]) == (60, 60)
    assert found["parameters"] == 23_799_660 - (620 - 12) * 513
    assert found["val_accuracy"] >= 0.97
    assert found["named_at_strangers_accepted"]["0.01"] >= 0.9
    assert found["fp32_val_accuracy"] - found["val_accuracy"] <= 0.003
    assert found["feature_cosine_to_fp32"] > 0.98
    assert set(found["seconds"]) == {"prepare", "align", "features-int8", "finetune", "evaluate", "export"}
    assert found["seed"] == 0
    assert found["versions"]["torch"].startswith("1.5.0")
    assert (trained / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_is_done_twice(trained: Path, lfw_small: Path, weights: Path) -> None:
    before = (trained / "model" / "latest.json").read_text()
    done = training("all", "--data", lfw_small, "--out", trained, home=weights)
    assert done.returncode == 0
    assert "started" not in done.stderr
    assert (trained / "model" / "latest.json").read_text() == before
    assert not list(trained.rglob("*partial*"))


def test_interrupted_alignment_is_what_it_would_have_been(trained: Path) -> None:
    """Each crop belongs to its photo, those from before the interruption and those from after."""
    from training.align import Aligner
    from training.prepare import photos
    from training.steps import Run

    crops = np.load(trained / "crops.npy", mmap_mode="r")
    _, rows = photos(Run(trained))
    aligner = Aligner(Recognizer.load(str(trained / "model")).config.crop)
    for i in (0, 30, 40, 41, 64, 100, len(rows) - 1):
        assert np.array_equal(crops[i], aligner.align(Path(rows[i].path))[1])


def test_model_names_photos_through_evaluate(trained: Path, lfw_small: Path) -> None:
    done = training("evaluate", "--model", trained / "model", "--data", lfw_small)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["people"] == 12
    assert found["top1"] >= 0.98
    assert "not in the model, left out" in done.stderr


def test_publish_what_was_trained(trained: Path, s3_environment: dict[str, str]) -> None:
    boto3.client("s3").create_bucket(Bucket="trained")
    done = training("publish", "--out", trained, "--to", "s3://trained/faces")
    assert done.returncode == 0, done.stderr
    assert Recognizer.load("s3://trained/faces").version == report(trained)["model"]["version"]


def test_other_settings_do_only_what_depends_on_them(trained: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(trained, out)
    done = training("finetune", "--out", out, "--epochs", 2, home=weights)
    assert done.returncode == 0, done.stderr
    assert len(json.loads((out / "finetune.json").read_text())["facts"]["history"]) == 2


def test_steps_say_what_they_need(tmp_path: Path) -> None:
    done = training("align", "--out", tmp_path)
    assert done.returncode == 1
    assert "run `python -m training prepare` first" in done.stderr


def test_full_disk(trained: Path, weights: Path, tmp_path: Path) -> None:
    """A file size limit is the disk that is full: writing fails in the middle of the features."""
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    for path in out.glob("features*"):
        path.unlink()
    limited = f"ulimit -f 300; exec {sys.executable} -m training features --out {out}"
    environment = {**os.environ, "TORCH_HOME": str(weights)}
    done = subprocess.run(
        ["bash", "-c", limited], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "File too large" in done.stderr
    assert not (out / "features-int8.npy").exists()
    done = training("features", "--out", out, home=weights)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(out / "features-int8.npy"), np.load(trained / "features-int8.npy"))


def test_enrol(tmp_path: Path) -> None:
    people = tmp_path / "people"
    for person, photo in (("Eileen_Collins", "astronaut"), ("Kofi_Annan", "Kofi_Annan_0006")):
        (people / person).mkdir(parents=True)
        shutil.copy(SAMPLES / f"{photo}.jpg", people / person)
    shutil.copy(SAMPLES / "astronaut.jpg", people / "Eileen_Collins" / "again.jpg")
    (people / "Eileen_Collins" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    done = training("enrol", "--people", people, "--model", BUNDLED, "--out", tmp_path / "models")
    assert done.returncode == 0, done.stderr
    assert "Eileen Collins: ID 610, 1 photo added" in done.stderr
    assert "astronaut.jpg: known already, left out" in done.stderr
    assert "broken.jpg: cannot be read, left out" in done.stderr

    before, after = Recognizer.load(BUNDLED), Recognizer.load(str(tmp_path / "models"))
    assert [(p.id, p.name) for p in after.people[:610]] == [(p.id, p.name) for p in before.people]
    known = {person.name: person for person in before.people}["Kofi Annan"]
    assert len(after.people[known.id].photos) == len(known.photos) + 1

    again = training("enrol", "--people", people, "--model", tmp_path / "models", "--out", tmp_path / "models")
    assert again.returncode == 0
    assert "nothing new" in again.stderr
    assert Recognizer.load(str(tmp_path / "models")).version == after.version


def test_enrol_nobody(tmp_path: Path) -> None:
    (tmp_path / "Nobody").mkdir()
    (tmp_path / "Nobody" / "x.jpg").write_bytes(b"no photo")
    done = training("enrol", "--people", tmp_path, "--out", tmp_path / "models")
    assert done.returncode == 1
    assert "nobody was enrolled" in done.stderr
    assert not (tmp_path / "models" / "latest.json").exists()
