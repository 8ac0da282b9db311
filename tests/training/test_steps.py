from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.atomic_files import atomic_write
from training.errors import TrainingError
from training.records import Run
from training.resumable_array import ResumableArray


def test_a_step_runs_once_for_the_same_inputs(tmp_path: Path) -> None:
    run, calls = Run(tmp_path), []

    def work() -> dict[str, int]:
        calls.append(1)
        (tmp_path / "out").write_text("x")
        return {"n": len(calls)}

    assert run.step("s", {"a": 1}, ["out"], work)["facts"] == {"n": 1}
    assert run.step("s", {"a": 1}, ["out"], work)["facts"] == {"n": 1}
    before = run.identity("s")
    assert run.step("s", {"a": 2}, ["out"], work)["facts"] == {"n": 2}
    assert run.identity("s") != before
    (tmp_path / "out").unlink()
    assert run.step("s", {"a": 2}, ["out"], work)["facts"] == {"n": 3}


def test_a_step_that_fails_leaves_no_record(tmp_path: Path) -> None:
    def work() -> dict[str, int]:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError):
        Run(tmp_path).step("s", {}, [], work)
    with pytest.raises(TrainingError, match="run `python -m training s` first"):
        Run(tmp_path).record("s")


def test_replacing_leaves_the_old_file_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_rows_go_on_where_they_were_cut_off(tmp_path: Path) -> None:
    path, values = tmp_path / "rows.npy", np.arange(20, dtype=np.float32).reshape(5, 4)
    rows = ResumableArray(path, (5, 4), np.float32, "inputs")
    rows.append(values[:2])
    rows._file.write(b"half a row")
    rows.close()
    assert not path.exists()

    rows = ResumableArray(path, (5, 4), np.float32, "inputs")
    assert rows.done == 2
    rows.append(values[2:])
    rows.finish()
    assert np.array_equal(np.load(path), values)
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.npy"]


def test_rows_of_other_inputs_start_again(tmp_path: Path) -> None:
    rows = ResumableArray(tmp_path / "rows.npy", (5,), np.uint8, "inputs")
    rows.append(np.ones(3, np.uint8))
    rows.close()
    rows = ResumableArray(tmp_path / "rows.npy", (5,), np.uint8, "other inputs")
    assert rows.done == 0
    rows.close()
