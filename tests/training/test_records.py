from __future__ import annotations

from pathlib import Path

import pytest

from training.atomic_files import atomic_write
from training.errors import TrainingError
from training.records import Run


def test_step_is_skipped_for_the_same_inputs(tmp_path: Path) -> None:
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


def test_results_of_an_earlier_run_do_not_stay(tmp_path: Path) -> None:
    """`report` shows the steps that have been run, and some are optional."""

    def run_all(number: int) -> Run:
        run = Run(tmp_path)
        run.step("first", {"number": number}, ["file"], lambda: {"bytes": (tmp_path / "file").write_text("")})
        return run

    run = run_all(1)
    for before, name in (("first", "second"), ("second", "third")):
        run.step(name, {"before": run.identity(before)}, [], dict)
    (tmp_path / "report.json").write_text("{}")
    (tmp_path / "file").unlink()
    assert run_all(1).has("third")
    run_all(2)
    assert [run.has(name) for name in ("first", "second", "third")] == [True, False, False]


def test_failed_step_leaves_no_record(tmp_path: Path) -> None:
    def work() -> dict[str, int]:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError):
        Run(tmp_path).step("s", {}, [], work)
    with pytest.raises(TrainingError, match="run `python -m training s` first"):
        Run(tmp_path).record("s")


@pytest.mark.parametrize(
    ("step", "command"),
    [("align", "align"), ("features-int8", "features --precision int8"), ("mobile", "features")],
)
def test_the_command_of_a_missing_step(step: str, command: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=f"run `python -m training {command}` first"):
        Run(tmp_path).record(step)


def test_unreadable_record(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text("{")
    with pytest.raises(TrainingError, match="delete it to run the step again"):
        Run(tmp_path).has("s")


def test_output_folder_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"cannot be created: Not a directory\."):
        Run(tmp_path / "file" / "out")


def test_atomic_write_keeps_the_old_file_if_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
