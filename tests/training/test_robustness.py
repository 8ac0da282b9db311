"""stress: photos of a run after changes, identified by its exported model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.crop import CropSpec
from model.gallery import Gallery
from model.records import EnrolledFace, Person
from storage.networks import BUNDLED
from testing.paths import SAMPLES
from tests.training.images import beside
from training.data.align import STORED_CROP, align
from training.data.prepare import DOMINANT, PHOTOS, TRAIN, VAL, Example, write_examples
from training.errors import TrainingError
from training.evaluation import robustness
from training.publishing.versions import write_version
from training.records import Run
from training.store import load_model

NAMES = ["Anna Berg", "Kofi Annan", "Tony Blair"]  # no face is found of the first


def prepared(run: Run, paths: list[str]) -> None:
    """Write photos.csv: one photo of each of NAMES, for training and for validation, as of the user's own people."""
    rows = [Example(path, i, split, "", DOMINANT) for i, path in enumerate(paths) for split in (TRAIN, VAL)]
    write_examples(run, rows)
    run.step("prepare", {}, [PHOTOS], lambda: {"people": NAMES})


def exported(run: Run) -> None:
    """Write a model of the people with a face, whose IDs are their class indices."""
    bundled = load_model(BUNDLED)
    gallery = bundled.gallery.loaded()
    people = [gallery.named(name)[0] for name in NAMES[1:]]
    faces = [EnrolledFace(f"face {i}", i, (), "2026-12-01") for i in range(len(people))]
    means = np.concatenate([gallery.mean_of(person.id) for person in people])
    named = [Person(i, person.name) for i, person in enumerate(people)]
    small = Gallery.of(gallery.spec, gallery.cohort, named, faces, means)
    write_version(run.out / "model", lambda path: shutil.copy(bundled.path, path), small, "trained", None)
    run.step("export", {}, [], dict)


def test_labels_and_faces_are_those_of_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """People without a face are no classes, and Kofi Annan's face is the largest of his photo."""
    monkeypatch.setattr(robustness, "CHANGES", {"unchanged": robustness.CHANGES["unchanged"]})
    run = Run(tmp_path / "run")
    Image.new("RGB", (250, 250), "grey").save(tmp_path / "wall.png")
    beside("Kofi_Annan_0006", "Tony_Blair_0007", "Alicia_Witt_0001", scale=0.5).save(tmp_path / "team.png")
    prepared(run, [f"{tmp_path}/wall.png", f"{tmp_path}/team.png", f"{SAMPLES}/Tony_Blair_0007.jpg"])
    align(run, CropSpec())
    exported(run)
    robustness.measure_robustness(run, 10)
    (row,) = run.record("stress")["facts"]["table"]
    assert (row["face_found"], row["right"], row["wrong_and_known"]) == pytest.approx((2 / 3, 2 / 3, 0))


def test_stored_crops_cannot_be_changed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    prepared(run, [f"{name}{STORED_CROP}" for name in NAMES])
    run.step("export", {}, [], dict)
    with pytest.raises(TrainingError, match="stress needs photos"):
        robustness.measure_robustness(run, 10)
