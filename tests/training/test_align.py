"""Which face of a photo a model is trained on, and who is a class."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from PIL import Image

from model.crop import CropSpec
from model.detection.detector import Detector
from service.results import NO_FACE, SEVERAL_FACES, UNREADABLE
from testing.paths import SAMPLES
from tests.training.images import beside
from training.__main__ import main
from training.data.align import Aligner, align_all, aligned
from training.data.dataset import ALIGNED, SEVERAL, dataset
from training.data.prepare import CENTRAL, DOMINANT
from training.errors import TrainingError
from training.records import Run


@pytest.mark.parametrize(("scale", "status"), [(1, SEVERAL), (0.5, ALIGNED)])
def test_photos_of_own_people_need_a_dominant_face(scale: float, status: int, tmp_path: Path) -> None:
    """In a data set it is the face in the middle, however large it is."""
    path = tmp_path / "team.png"
    beside("Kofi_Annan_0006", "Tony_Blair_0007", "Alicia_Witt_0001", scale=scale).save(path)
    aligner = Aligner(CropSpec())
    assert aligner.align(path, DOMINANT).status == status
    central = aligner.align(path, CENTRAL)
    assert central.status == ALIGNED
    if status == ALIGNED:
        assert (aligner.align(path, DOMINANT).crop != central.crop).any()


def test_a_person_without_a_face_to_train_on_is_no_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = tmp_path / "people"
    for name in ("Group", "Kofi", "Nobody", "Tony"):
        (people / name).mkdir(parents=True)
    beside("Kofi_Annan_0006", "Tony_Blair_0007").save(people / "Group/team.png")
    Image.new("RGB", (64, 64)).save(people / "Nobody/blank.png")
    shutil.copy(SAMPLES / "Kofi_Annan_0006.jpg", people / "Kofi")
    shutil.copy(SAMPLES / "Tony_Blair_0007.jpg", people / "Tony")
    (people / "Tony/broken.jpg").write_bytes(b"\xff\xd8\xff")
    run = Run(tmp_path / "run")
    for command in (["prepare", "--people", str(people)], ["align"]):
        assert main([*command, "--out", str(run.out)]) == 0
    data = dataset(run)
    assert (data.names, data.labels.tolist()) == (["Kofi", "Tony"], [0, 1])
    found = aligned(run)
    assert (found.people, found.photos) == (2, 2)
    assert {(Path(photo.file).name, photo.reason) for photo in found.skipped} == {
        ("team.png", SEVERAL_FACES),
        ("blank.png", NO_FACE),
        ("broken.jpg", UNREADABLE),
    }
    assert f"{people / 'Nobody/blank.png'}: left out, no face found" in capsys.readouterr().err
    assert main(["align", "--strict", "--out", str(run.out)]) == 1
    shutil.rmtree(people / "Tony")
    for command, status in ((["prepare", "--people", str(people)], 0), (["align"], 1)):
        assert main([*command, "--out", str(run.out)]) == status
    assert "Only 1 people have photos with a face to train on, but a model needs two" in capsys.readouterr().err


def test_photos_that_are_away_for_a_while(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Such as on a drive that is not connected. They are not left out for ever."""
    people = tmp_path / "people"
    for name in ("Kofi_Annan_0006", "Tony_Blair_0007"):
        (people / name[:4]).mkdir(parents=True)
        shutil.copy(SAMPLES / f"{name}.jpg", people / name[:4])
    out = ["--out", str(tmp_path / "run")]
    assert main(["prepare", "--people", str(people), *out]) == 0
    people.rename(tmp_path / "away")
    assert main(["align", *out]) == 1
    assert f"error: No such file or directory ({people}/Kofi/Kofi_Annan_0006.jpg)" in capsys.readouterr().err
    (tmp_path / "away").rename(people)
    assert main(["align", *out]) == 0


def killed(photo: Image.Image, detector: Detector) -> bytes:
    """End this worker process as the system does when the memory is used up."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("this process is dead")


def test_a_worker_that_is_killed_is_reported() -> None:
    photos = [(str(SAMPLES / "Kofi_Annan_0006.jpg"), CENTRAL)] * 2
    with pytest.raises(TrainingError, match="ended unexpectedly"):
        list(align_all(photos, CropSpec(), "align", killed))
