"""The speed benchmark: its statistics, and one of its functions in the emulator."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.bench import RESULTS, STAGES, Pair, check
from benchmarks.functions import Function, collage, event, photos
from benchmarks.served import LANDMARK, Compared, Difference, compare, report_accuracy, report_detection
from model.detection.detector import Detector
from model.photo import Photo
from testing.paths import ROOT, SAMPLES
from training.markdown import table


def test_ratio_compares_neighbouring_requests() -> None:
    """A temporary slowdown of both functions does not change the ratio."""
    pair = Pair([100.0, 1000, 100], [50.0, 500, 40])
    assert pair.cells() == ["100", "50", "455", "491", "0.500", "0.450-0.500", "3"]


def test_check_reports_ratios_that_are_25_percent_worse() -> None:
    recorded = {"a": 0.4, "b": 0.4}
    assert check({"a": 0.5, "b": 0.3, "new": 9}, recorded) == []
    assert check({"a": 0.51, "b": 0.4}, recorded) == ["a: 0.510 of the baseline's time; 0.400 is recorded."]


def test_recorded_ratios_have_the_labels_of_the_benchmark() -> None:
    """A label without a recorded ratio would pass every check."""
    labels = {f"{name}, {threads}" for name in (*STAGES, *photos()) for threads in (1, 2)}
    assert set(json.loads(RESULTS.with_suffix(".json").read_text())) == labels


def test_table() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_collage_shows_the_given_number_of_faces() -> None:
    assert len(Detector().detect(Photo.of(collage(5, 800, 600)))) == 5


def test_function_in_the_emulator(tmp_path: Path) -> None:
    with closing(Function("ours", tmp_path / "one", threads=1, MODEL_URI="")) as function:
        first, second = (function.duration(event(photos()["250 px"])) for _ in range(2))
        assert first > function.init() > second > 0
        assert 100 < function.peak() < 500


@pytest.mark.parametrize(("wrong", "failed"), [(0, False), (1, True)])
def test_end_to_end_accuracy_may_drop_by_a_tenth_of_a_point(
    wrong: int, failed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = ["a"] * 500
    names = [None] * wrong + truth[wrong:]
    assert report_accuracy(truth, list(truth), {250: names}) == failed
    assert f"| 250 | {1 - wrong / 500:.2%} | {wrong} |" in capsys.readouterr().out


def test_end_to_end_detection_may_differ_in_few_faces() -> None:
    same, far = Compared([Difference(0.0, 0.0)]), Compared([Difference(0.0, LANDMARK + 1)])
    assert not report_detection([same] * 199 + [far])
    assert report_detection([same] * 198 + [far] * 2)
    assert report_detection([same, Compared(None)])


def test_end_to_end_detection_leaves_out_photos_that_a_face_fills(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = Image.open(SAMPLES / "Kofi_Annan_0006.jpg")
    (face,) = Detector().detect(Photo.of(photo.convert("RGB")))
    box = face.box
    photo.crop((round(box.left), round(box.top), round(box.right), round(box.bottom))).save(tmp_path / "face.png")
    whole, filled = (compare(str(path)) for path in (SAMPLES / "Kofi_Annan_0006.jpg", tmp_path / "face.png"))
    assert filled.filled and not whole.filled
    assert whole.differences is not None and len(whole.differences) == 1
    assert not report_detection([whole, filled])
    assert "Not compared: 1 photos" in capsys.readouterr().out


@pytest.mark.parametrize(("memory", "threads"), [(512, 1), (1769, 1), (3008, 1), (3538, 2), (10_240, 5)])
def test_number_of_threads_by_memory(memory: int, threads: int) -> None:
    code = (
        f"import torch; from model.processor import use_threads; use_threads({memory}); print(torch.get_num_threads())"
    )
    completed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(completed.stdout) == threads
