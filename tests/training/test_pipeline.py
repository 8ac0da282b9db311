"""`python -m training` on real photos with the real network: complete and interrupted runs, and later commands."""

from __future__ import annotations

import json
import os
import re
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

from benchmarks import open_set, transfer
from model.embedding import GENERIC, TUNED, join
from model.gallery import Gallery
from storage.networks import BUNDLED
from testing.paths import ROOT, SAMPLES
from tests.commands import begin, clone, documented, shell
from tests.conftest import TEN, archive_of, some_of, training
from training.publishing.collections import Access
from training.publishing.export import better_embedding
from training.records import Run
from training.store import load_model

ARCHIVE = "lfw-deepfunneled-subset.tgz"


@pytest.fixture(scope="module")
def cloned(lfw_small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the repository with the small archive under the name of the large one."""
    folder = clone(tmp_path_factory.mktemp("training") / "clone")
    archive_of(lfw_small, folder / ARCHIVE)
    return folder


def train_command(out: Path) -> str:
    """Return the documented command for a complete training run. out: absolute path."""
    return documented(
        ".venv/bin/python -m training all --out runs/lfw --data lfw-deepfunneled-subset.tgz --collection lfw",
        replace={"runs/lfw": str(out)},
        extra="--seeds 2",
    )


@pytest.fixture(scope="module")
def trained(cloned: Path, weights: Path) -> Path:
    """The output folder of a run that was interrupted during alignment and then finished."""
    out = cloned / "runs/lfw"
    with begin(train_command(out), cloned, TORCH_HOME=str(weights)) as first:
        for _ in range(600):
            partial = out / "crops.npy.partial"
            if partial.exists() and partial.stat().st_size > 40 * 160 * 160 * 3:
                break
            time.sleep(0.1)
        os.killpg(first.pid, signal.SIGINT)
        error = first.communicate(timeout=60)[1]
    assert first.returncode == 130, error
    assert "Traceback" not in error
    for name in ("crops.npy", "landmark_crops.npy", "reliable.npy", "align.json"):
        assert not (out / name).exists(), name

    done = shell(train_command(out), cloned, TORCH_HOME=str(weights))
    assert done.returncode == 0, done.stderr
    assert "prepare: unchanged, skipped" in done.stderr
    assert "align: unchanged" not in done.stderr
    return out


def report(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text())


def cohort_size() -> int:
    """Number of strangers in the cohort of the bundled model."""
    return len(load_model(BUNDLED).network.cohort(GENERIC).embeddings)


def test_report(trained: Path) -> None:
    found = report(trained)
    assert (found["classes"], found["people"]) == (12, 12)
    assert (found["train_images"], found["val_images"]) == (84, 36)
    assert (found["strangers"], found["stranger_images"]) == (60, 80)
    assert found["parameters"] == 23_799_660 - (620 - 12) * 513
    assert found["val_accuracy"] >= 0.97
    assert found["named_at_strangers_accepted"]["0.01"] >= 0.9
    assert found["fp32_val_accuracy"] - found["val_accuracy"] <= 0.003
    assert found["feature_cosine_to_fp32"] > 0.98
    assert 0.5 < found["val_decided_by_mobilefacenet"] <= 1
    assert found["val_named_at_threshold"] >= 0.9
    assert (found["strangers_are"], found["stranger_probes"]) == ("the cohort of the bundled model", cohort_size())
    assert found["embedding"] == better_embedding(Run(trained))
    assert set(found["networks"]) == {"InceptionResnetV1", "MobileFaceNet", "both"}
    assert min(network["top1"] for network in found["networks"].values()) >= 0.9
    steps = ("prepare", "align", "features-int8", "finetune", "evaluate", "repeat", "export")
    assert tuple(found["seconds"]) == steps
    assert found["seed"] == 0
    assert found["versions"]["torch"].startswith("1.5.0")
    assert found["seeds"]["seeds"] == [0, 1]
    assert found["seeds"]["figures"]["val_accuracy"]["lowest"] >= 0.95
    assert len(found["per_person"]) == 12
    assert len(found["wrong"]) == sum(row["val"] - row["right"] for row in found["per_person"])
    assert len(found["data_digest"]) == 16
    page = (trained / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 4
    assert "http" not in page.replace("http-equiv", "")


def test_exported_model_gives_the_evaluated_confidences(
    trained: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exported files give the embeddings and confidences that the evaluation was based on."""
    from training.data.dataset import dataset
    from training.data.prepare import VAL
    from training.evaluation.evaluate import embed, load_assessment, load_calibrations, load_inputs
    from training.network.base import load_base
    from training.network.embeddings import load_embeddings

    monkeypatch.setenv("TORCH_HOME", str(weights))
    run = Run(trained)
    data, base = dataset(run), load_base(run)
    rows = data.rows[data.splits == VAL]
    crops, landmark_crops, reliable = (
        np.load(trained / f"{name}.npy")[rows] for name in ("crops", "landmark_crops", "reliable")
    )
    snapshot = load_model(str(trained / "model"))
    embeddings = load_embeddings(run, "int8", base.digest())
    assert snapshot.network.config.calibrations == load_calibrations(run)
    assert snapshot.network.config.specs == {name: embedding.spec for name, embedding in embeddings.items()}
    mobile = snapshot.network.mobile(landmark_crops)
    for name, embedding in embeddings.items():
        expected = np.concatenate([found for _, found in embed(embedding, load_inputs(run, "int8", base), data, VAL)])
        found = join(snapshot.network.inception(crops, name), mobile)
        assert (found * expected).sum(axis=1).min() > 0.999, name
        cosines = snapshot.network.cohort(name).embeddings * base.cohort(embedding).embeddings
        assert cosines.sum(axis=1).min() > 0.999, name  # 8 bits

    # The exported gallery has the embedding that identifies more; `evaluate` keeps the tuned one's.
    evaluated, served = load_assessment(run).gallery, snapshot.gallery
    assert served.spec == embeddings[better_embedding(run)].spec
    tuned = join(snapshot.network.inception(crops, TUNED), mobile)
    matches = evaluated.search(tuned, 5)
    again = Gallery.of(evaluated.spec, snapshot.network.cohort(TUNED), served.people, evaluated.faces, evaluated.means)
    other = again.search(tuned, 5)
    assert (matches.ids[:, 0] == other.ids[:, 0]).all()
    calibration = load_calibrations(run)[TUNED]
    confidences = [calibration.confidence(each.scores, len(served)) for each in (matches, other)]
    assert np.abs(confidences[0] - confidences[1]).max() < 0.01

    answers = snapshot.search(crops, landmark_crops, reliable, 5)
    right = answers.ids[:, 0] == data.labels[data.splits == VAL]
    shares = (report(trained)[name] for name in ("val_accuracy", "val_named_at_threshold"))
    assert [int(each.sum()) / 36 for each in (right, right & answers.known)] == list(shares)


def test_the_collection_holds_tuned_where_training_helps(trained: Path, weights: Path, tmp_path: Path) -> None:
    """The mean over the seeds of `repeat` decides, and without them `evaluate` does."""
    out = tmp_path / "copy"
    shutil.copytree(trained, out)
    run = Run(out)

    def record(step: str, results: list[dict[str, Any]], shares: list[tuple[float, float]]) -> None:
        content = run.record(step)
        for found, (tuned, generic) in zip(results, shares):
            found["named_at_strangers_accepted"]["0.01"] = tuned
            found[GENERIC]["named_at_strangers_accepted"]["0.01"] = generic
        content["facts"] = {"runs": results} if step == "repeat" else results[0]
        (out / f"{step}.json").write_text(json.dumps(content))

    evaluated, repeated = run.record("evaluate")["facts"], run.record("repeat")["facts"]["runs"]
    record("evaluate", [evaluated], [(0.9, 0.8)])
    record("repeat", repeated, [(0.9, 0.8), (0.7, 0.9)])
    assert better_embedding(run) == GENERIC
    record("repeat", repeated, [(0.9, 0.8), (0.9, 0.9)])
    assert better_embedding(run) == TUNED
    (out / "repeat.json").unlink()
    assert better_embedding(run) == TUNED
    record("evaluate", [evaluated], [(0.9, 0.9)])
    assert better_embedding(run) == GENERIC

    record("evaluate", [evaluated], [(0.9, 0.8)])
    done = training("export", "--out", out, home=weights)
    assert done.returncode == 0, done.stderr
    assert "its collection holds the embedding tuned" in done.stderr
    snapshot = load_model(str(out / "model"))
    assert snapshot.gallery.spec == snapshot.network.config.specs[TUNED]
    assert report(out)["embedding"] == TUNED
    assert report(out)["val_accuracy"] >= 0.97
    assert snapshot.emptied().gallery.spec == snapshot.network.config.specs[GENERIC]


def test_training_is_reproducible(trained: Path, cloned: Path, weights: Path, tmp_path: Path) -> None:
    """Same seed, crops and versions: the same report and the same model, to the last bit."""
    out = tmp_path / "again"
    shutil.copytree(trained, out)
    kept = {"photos", "photos.csv", "prepare.json", "crops.npy", "status.npy", "digests.npy", "align.json"}
    kept |= {"landmark_crops.npy", "reliable.npy"}
    for path in out.iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = shell(train_command(out), cloned, TORCH_HOME=str(weights))
    assert done.returncode == 0, done.stderr
    first, second = report(trained), report(out)
    for found in (first, second):
        found.pop("seconds")
    assert first == second
    table = training("compare", trained, out)
    assert table.returncode == 0, table.stderr
    assert "val_accuracy" in table.stdout
    assert "seed" not in table.stdout


def test_compare_shows_differences(trained: Path, tmp_path: Path) -> None:
    other = report(trained)
    other["val_accuracy"] -= 0.25
    other["seed"] = 7
    (tmp_path / "other.json").write_text(json.dumps(other))
    rows = [line.split() for line in training("compare", trained, tmp_path / "other.json").stdout.splitlines()]
    assert ["seed", "0", "7", "+7"] in rows
    assert [row[-1] for row in rows if row[0] == "val_accuracy"] == ["-0.25"]
    assert training("compare", trained, tmp_path / "nothing").returncode == 1


def test_verification(trained: Path, cloned: Path, weights: Path) -> None:
    """Verify pairs in the format of LFW's pairs.txt. The photos of one pair are missing."""
    drawn = shell(documented(".venv/bin/python -m benchmarks.pairs lfw-deepfunneled-subset.tgz > pairs.txt"), cloned)
    assert drawn.returncode == 0, drawn.stderr
    pairs = cloned / "pairs.txt"
    pairs.write_text("\n".join([*pairs.read_text().splitlines()[:-1], "Nobody\t1\tNowhere\t2"]) + "\n")
    verify = documented(".venv/bin/python -m training evaluate --out runs/lfw --pairs pairs.txt")
    done = shell(verify, cloned, TORCH_HOME=str(weights))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["verify"]
    assert (found["pairs"], found["missing"], found["folds"]) == (5999, 1, 10)
    assert found["accuracy"] >= 0.95
    pairs.write_text("10 300\nAnna 1 2\n")
    done = shell(verify, cloned, TORCH_HOME=str(weights))
    assert done.returncode == 1
    assert "is not a list of pairs" in done.stderr


def test_groups(trained: Path, cloned: Path) -> None:
    done = shell(documented("python -m benchmarks.groups runs/lfw"), cloned)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines() if line]
    assert sum(int(row[2]) for row in rows if len(row) == 7 and row[2].isdigit()) == report(trained)["val_images"]
    assert [row[0] for row in rows if len(row) == 5][2:] == ["1 to 3", "4 to 9", "10 and more"]
    turned = [row for row in rows if len(row) == 6][2:]
    assert [row[0] for row in turned] == ["0 to 0.15", "0.15 to 0.3", "0.3 and more"]
    assert sum(int(row[1]) for row in turned) == report(trained)["val_images"]


def test_stress(trained: Path) -> None:
    done = training("stress", "--out", trained, "--photos", 12)
    assert done.returncode == 0, done.stderr
    found = {row["change"]: row for row in json.loads(done.stdout)["table"]}
    assert len(found) == 12
    for change in ("unchanged", "JPEG quality 20", "rotated by EXIF", "rolled by 15 degrees", "face 40 pixels wide"):
        assert found[change]["right"] >= 0.9, change
    assert found["unchanged"]["right"] >= found["eyes hidden"]["right"]
    assert all(row["strangers_known"] <= 0.2 for row in found.values())
    assert training("report", "--out", trained).returncode == 0
    assert "rolled by 45 degrees" in (trained / "report.html").read_text()


def test_finished_steps_are_skipped(trained: Path, cloned: Path, weights: Path) -> None:
    before = (trained / "model" / "latest.json").read_text()
    done = shell(train_command(trained), cloned, TORCH_HOME=str(weights))
    assert done.returncode == 0
    assert "started" not in done.stderr
    assert (trained / "model" / "latest.json").read_text() == before
    assert not list(trained.rglob("*partial*"))


def test_interrupted_alignment_is_resumed(trained: Path) -> None:
    """Both crops belong to their photo, before and after the interruption."""
    from training.data.align import Aligner
    from training.data.prepare import examples

    names = ("crops", "landmark_crops", "reliable", "status", "digests")
    crops, landmark_crops, reliable, status, digests = (
        np.load(trained / f"{name}.npy", mmap_mode="r") for name in names
    )
    _, rows = examples(Run(trained))
    aligner = Aligner(load_model(str(trained / "model")).network.config.crop)
    for i in (0, 30, 40, 41, 64, 100, len(rows) - 1):
        face = aligner.align(Path(rows[i].path))
        assert np.array_equal(crops[i], face.crop)
        # Landmarks depend on the number of threads in their last bits, and pixels follow by one step.
        assert np.abs(landmark_crops[i].astype(int) - face.landmark_crop).max() <= 1
        assert (status[i], reliable[i], digests[i]) == (face.status, face.reliable, face.digest.encode())


def test_evaluate_a_model_on_photos(trained: Path, lfw_small: Path) -> None:
    done = training("evaluate", "--model", trained / "model", "--data", lfw_small)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["people"] == 12
    assert found["top1"] >= 0.98
    assert "left out, the person is not in the model" in done.stderr


def test_open_set_benchmark(
    trained: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of the twelve people are judged."""
    monkeypatch.setenv("TORCH_HOME", str(weights))
    monkeypatch.setattr("sys.argv", ["open_set", "--run", str(trained), "--splits", "2", "--draws", "2"])
    open_set.main()
    tables = capsys.readouterr().out.split("### Photos of each person: ")[1:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in tables[1].splitlines()[4:] if line]
    assert [row[0] for row in rows] == ["1", "2", "5"]
    assert all(float(row[5].split()[0]) >= 90 for row in rows)  # TPIR with the best threshold


def test_transfer_benchmark(
    trained: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The head is trained on six of the twelve people."""
    monkeypatch.setenv("TORCH_HOME", str(weights))
    monkeypatch.setattr("sys.argv", ["transfer", "--run", str(trained), "--splits", "1"])
    monkeypatch.setattr(transfer, "PEOPLE", (5,))
    transfer.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["5", "1"], ["5", "2"], ["5", "3"], ["5", "5"]]
    assert all(float(cell.strip(" %")) >= 80 for row in rows for cell in row[2:])


def test_evaluate_people(lfw_small: Path, checkout: Path) -> None:
    """Ten people, an eleventh with a copy of another photo, and 18 strangers."""
    some_of(lfw_small, checkout / "photos", known=10, photos=4, strangers=0)
    copy = next((checkout / "photos/Jiri_Novak").iterdir())
    (checkout / "photos/Somebody").mkdir()
    shutil.copy(copy, checkout / "photos/Somebody")
    for name in [path.name for path in sorted(lfw_small.iterdir()) if len(list(path.iterdir())) == 1][:18]:
        shutil.copytree(lfw_small / name, checkout / "others" / name)
    command = documented("make evaluate PEOPLE=photos")
    done = shell(documented("make evaluate PEOPLE=photos STRANGERS=others"), checkout)
    assert done.returncode == 0, done.stderr
    assert "skipped: a copy of another photo        1  such as photos/Somebody/" in done.stderr
    tables = done.stdout.split("### Photos of each person: ")[1:]
    assert [table[0] for table in tables] == ["1", "2", "3"]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in tables[0].splitlines()[4:] if line]
    assert [row[0] for row in rows] == ["1", "2", "5", "10"]
    assert all(re.match(r"(100|9\d)\.\d \(", row[4]) for row in rows)  # TPIR
    assert all(re.match(r"[0-9]\.\d\d \(", row[2]) for row in rows)  # FPIR
    shutil.copytree(lfw_small / "Jiri_Novak", checkout / "others/Jiri_Novak")
    done = shell(command, checkout, STRANGERS="others")
    assert done.returncode == 2
    assert "Jiri Novak is among the people and among the strangers" in done.stderr


def test_publish_a_trained_model(trained: Path, s3_environment: dict[str, str]) -> None:
    boto3.client("s3").create_bucket(Bucket="trained")
    done = training("publish", "--out", trained, "--to", "s3://trained/faces")
    assert done.returncode == 0, done.stderr
    assert load_model("s3://trained/faces").version == report(trained)["model"]["version"]


def test_changed_settings_repeat_only_dependent_steps(trained: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(trained, out)
    done = training("finetune", "--out", out, "--epochs", 2, home=weights)
    assert done.returncode == 0, done.stderr
    assert len(json.loads((out / "finetune.json").read_text())["facts"]["history"]) == 2


def test_train_own_people(lfw_small: Path, checkout: Path, weights: Path) -> None:
    """Train with an archive in place of the LFW download: two people with four photos, and two strangers."""
    archive_of(some_of(lfw_small, checkout / "unpacked", known=2, photos=4), checkout / ARCHIVE)
    shutil.copytree(lfw_small / "Jiri_Novak", checkout / "photos/Jiri_Novak")
    command = documented("make train PEOPLE=photos OUT=runs/mine", extra=f"DATA={ARCHIVE}")
    done = shell(command, checkout, TORCH_HOME=str(weights))
    assert done.returncode == 0, done.stderr
    assert (report(checkout / "runs/mine")["classes"], report(checkout / "runs/mine")["strangers"]) == (3, 2)
    assert (checkout / "runs/mine/report.html").exists()
    assert (checkout / "runs/mine/model/latest.json").exists()


def test_the_course_projects_protocol(lfw_small: Path, checkout: Path, weights: Path) -> None:
    archive_of(some_of(lfw_small, checkout / "unpacked", known=12, photos=4), checkout / ARCHIVE)
    command = documented(
        "mkdir lfw custom && tar xzf lfw-deepfunneled-subset.tgz -C lfw",
        extra="--seeds 1 --precision fp32",  # calibrating int8 takes most of the time
    )
    done = shell(command, checkout, TORCH_HOME=str(weights))
    assert done.returncode == 0, done.stderr
    people = [person.name for person in load_model(str(checkout / "runs/620/model")).gallery.people]
    assert people[2:] == [name.replace("_", " ") for name in TEN]
    assert report(checkout / "runs/620")["images"] == 48


def test_missing_inputs_are_reported(tmp_path: Path) -> None:
    done = training("align", "--out", tmp_path)
    assert done.returncode == 1
    assert "run `python -m training prepare` first" in done.stderr
    done = training("evaluate", "--model", BUNDLED, "--out", tmp_path)
    assert done.returncode == 1
    assert "evaluate --model needs --data" in done.stderr


def test_full_disk(trained: Path, weights: Path, tmp_path: Path) -> None:
    """Simulate a full disk with a file size limit: writing fails in the middle of the features."""
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    features = out / "features-fp32.npy"
    command = ["features", "--out", str(out), "--precision", "fp32"]
    limited = f"ulimit -f 300; exec {sys.executable} -m training {' '.join(command)}"
    environment = {**os.environ, "TORCH_HOME": str(weights)}
    done = subprocess.run(
        ["bash", "-c", limited], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "File too large" in done.stderr
    assert not features.exists()

    def whole() -> np.ndarray:
        done = training(*command, home=weights)
        assert done.returncode == 0, done.stderr
        return np.load(features)

    continued = whole()
    features.unlink()
    assert np.abs(whole() - continued).max() < 1e-4


def test_full_disk_during_export(trained: Path, weights: Path, tmp_path: Path) -> None:
    """The published version stays in place. torch's own function for saving would abort the process."""
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    before = load_model(str(out / "model")).pointer
    (out / "export.json").unlink()
    limited = f"ulimit -f 10000; exec {sys.executable} -m training export --out {out}"
    environment = {**os.environ, "TORCH_HOME": str(weights)}
    done = subprocess.run(
        ["bash", "-c", limited], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "error: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert load_model(str(out / "model")).pointer == before


def two_people(folder: Path) -> None:
    """Photos of a new person and of one in the bundled collection, one of them twice and one broken."""
    for person, photo in (("Eileen_Collins", "astronaut"), ("Kofi_Annan", "Kofi_Annan_0006")):
        (folder / person).mkdir(parents=True)
        shutil.copy(SAMPLES / f"{photo}.jpg", folder / person)
    shutil.copy(SAMPLES / "astronaut.jpg", folder / "Eileen_Collins" / "again.jpg")
    (folder / "Eileen_Collins" / "broken.jpg").write_bytes(b"\xff\xd8\xff")


def enrolled(galleries: Path, model: str = BUNDLED) -> Gallery:
    """The collection `people` in a folder."""
    return Access(str(galleries), model).galleries.open("people")().snapshot.gallery.loaded()


def test_enrol(checkout: Path) -> None:
    """People are enrolled into a collection of their own, without those of the bundled one."""
    two_people(checkout / "photos")
    enrol = documented("make enrol PEOPLE=photos")
    preview = shell(documented("make enrol PEOPLE=photos ARGS=--dry-run"), checkout)
    assert preview.returncode == 0, preview.stderr
    assert "Eileen Collins: 1 photo would be added" in preview.stderr
    assert not (checkout / "galleries").exists()
    done = shell(enrol, checkout)
    assert done.returncode == 0, done.stderr
    assert "the collection people is new and begins without the people of lfw; --from lfw" in done.stderr
    assert "Eileen Collins: ID 0, 1 photo added" in done.stderr
    assert "only one photo of Eileen Collins, Kofi Annan. Add a second photo" in done.stderr
    assert "astronaut.jpg: left out, a copy of another photo" in done.stderr
    assert "broken.jpg: left out, cannot be read" in done.stderr
    assert "looks like" not in done.stderr

    first = enrolled(checkout / "galleries")
    assert [(person.id, person.name) for person in first.people] == [(0, "Eileen Collins"), (1, "Kofi Annan")]
    assert first.spec.name == GENERIC
    again = shell(enrol, checkout)
    assert again.returncode == 0
    assert "nothing new" in again.stderr
    assert enrolled(checkout / "galleries").faces == first.faces

    (checkout / "photos" / "Tony_Blair").mkdir()
    shutil.copy(SAMPLES / "Tony_Blair_0007.jpg", checkout / "photos" / "Tony_Blair")
    done = shell(enrol, checkout)
    assert "is new" not in done.stderr
    assert "Tony Blair: ID 2, 1 photo added" in done.stderr
    after = enrolled(checkout / "galleries")
    assert after.people[:2] == first.people
    assert after.faces[:2] == first.faces
    assert np.array_equal(after.embeddings[:2], first.embeddings)


def test_enrol_into_a_copy_of_the_bundled_collection(checkout: Path) -> None:
    two_people(checkout / "photos")
    enrol = documented("make enrol PEOPLE=photos", extra="FROM=lfw")
    done = shell(enrol, checkout)
    assert done.returncode == 0, done.stderr
    assert "the collection people begins with the 610 people of lfw" in done.stderr
    assert "Eileen Collins: ID 610, 1 photo added" in done.stderr
    assert "astronaut.jpg: left out, a copy of another photo" in done.stderr
    assert "broken.jpg: left out, cannot be read" in done.stderr

    before, after = load_model(BUNDLED).gallery, enrolled(checkout / "galleries")
    assert (after.spec, after.people[:610]) == (before.spec, before.people)
    (known,) = (person.id for person in before.people if person.name == "Kofi Annan")
    counts = [sum(len(face.photos) for face in each.faces if face.person == known) for each in (before, after)]
    assert counts[1] == counts[0] + 1

    for command in (enrol, documented("make enrol PEOPLE=photos")):
        again = shell(command, checkout)
        assert again.returncode == 0
        assert "nothing new" in again.stderr
    assert enrolled(checkout / "galleries").faces == after.faces


def test_enrol_reports_look_alikes(trained: Path, lfw_small: Path, tmp_path: Path) -> None:
    """Enrol a known person under another name and a new person, with photos that the model was not trained on."""
    from training.data.prepare import VAL, examples

    names, rows = examples(Run(trained))
    known = [Path(row.path) for row in rows if row.person == 0 and row.split == VAL]
    (tmp_path / "people" / "Somebody_Else").mkdir(parents=True)
    for path in known:
        shutil.copy(path, tmp_path / "people" / "Somebody_Else")
    (tmp_path / "more" / "Eileen_Collins").mkdir(parents=True)
    shutil.copy(SAMPLES / "astronaut.jpg", tmp_path / "more" / "Eileen_Collins")
    model, galleries = str(trained / "model"), tmp_path / "galleries"
    command = ["enrol", "--model", model, "--galleries", galleries, "--from", "lfw", "--people", tmp_path / "more"]
    done = training(*command, "--people", tmp_path / "people")
    assert done.returncode == 0, done.stderr
    found = re.search(f"Somebody Else looks like {names[0]} \\(confidence ([\\d.]+)\\)", done.stderr)
    assert found, done.stderr
    assert float(found[1]) > 0.9
    assert "Eileen Collins looks like" not in done.stderr
    before, after = load_model(model).gallery, enrolled(galleries, model)
    assert after.spec == before.spec
    assert after.people[:12] == before.people
    assert [person.name for person in after.people[12:]] == ["Eileen Collins", "Somebody Else"]
    again = training(*command)
    assert again.returncode == 0
    assert "nothing new" in again.stderr


def test_enrol_nobody(tmp_path: Path) -> None:
    (tmp_path / "people" / "Nobody").mkdir(parents=True)
    (tmp_path / "people" / "Nobody" / "x.jpg").write_bytes(b"\xff\xd8\xff")
    done = training("enrol", "--people", tmp_path / "people", "--galleries", tmp_path / "galleries")
    assert done.returncode == 1
    assert "nobody was enrolled" in done.stderr
    assert not (tmp_path / "galleries").exists()
