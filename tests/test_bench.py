"""The benchmark against the plain way: its sums, and one of its functions for real."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bench import Pair, check
from benchmarks.functions import Function, collage, event, photos, table
from benchmarks.growth import Growth
from benchmarks.served import Difference, report
from model.detection.detector import Detector
from model.photo import Photo
from testing.paths import ROOT


def test_a_ratio_is_that_of_neighbours() -> None:
    """What slows both for a while does not count."""
    pair = Pair(np.array([100.0, 1000, 100]), np.array([50.0, 500, 40]))
    assert pair.ratio == 0.5
    assert pair.cells() == ["100", "50", "455", "491", "0.500", "0.450-0.500", "3"]


def test_what_became_worse_by_more_than_a_quarter() -> None:
    recorded = {"a": 0.4, "b": 0.4}
    assert check({"a": 0.5, "b": 0.3, "new": 9}, recorded) == []
    assert check({"a": 0.51, "b": 0.4}, recorded) == ["a: 0.510 of the plain way's time, and 0.400 is on record."]


def test_tables() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    grown = Growth("Faces", "faces", [1, 50], [30.2, 1200.0], {"found": ["1", "50"]})
    assert grown.table().splitlines()[2:] == [
        "| faces | p50, ms | found |",
        "| --- | --- | --- |",
        "| 1 | 30 | 1 |",
        "| 50 | 1,200 | 50 |",
    ]


def test_as_many_faces_as_asked_for() -> None:
    assert len(Detector().detect(Photo.of(collage(5, 800, 600)))) == 5


def test_a_function(tmp_path: Path) -> None:
    with closing(Function("ours", tmp_path / "one", threads=1, MODEL_URI="")) as function:
        first, second = (function.duration(event(photos()["250 px"])) for _ in range(2))
        assert first > function.init() > second > 0
        assert 100 < function.peak() < 500


@pytest.mark.parametrize(("wrong", "status"), [(0, 0), (1, 1)])
def test_the_served_path_may_lose_a_tenth_of_a_point(
    wrong: int, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = ["a"] * 500
    names = [None] * wrong + truth[wrong:]
    assert report([[Difference(0.0, 0.0)]], truth, list(truth), {250: names}) == status
    assert f"| 250 | {1 - wrong / 500:.2%} | {wrong} |" in capsys.readouterr().out


@pytest.mark.parametrize(("memory", "threads"), [(512, 1), (1769, 1), (3008, 1), (3538, 2), (10_240, 5)])
def test_as_many_threads_as_the_memory_pays_for(memory: int, threads: int) -> None:
    code = (
        f"import torch; from model.processor import use_threads; use_threads({memory}); print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) == threads
