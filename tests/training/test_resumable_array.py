from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.resumable_array import ResumableArray


def test_continues_after_an_interruption(tmp_path: Path) -> None:
    path, values = tmp_path / "rows.npy", np.arange(20, dtype=np.float32).reshape(5, 4)
    array = ResumableArray(path, (5, 4), np.float32, "inputs")
    array.append(values[:2])
    array.close()
    with path.with_name("rows.npy.partial").open("ab") as file:
        file.write(b"half a row")
    assert not path.exists()

    array = ResumableArray(path, (5, 4), np.float32, "inputs")
    assert array.done == 2
    array.append(values[2:])
    array.finish()
    assert np.array_equal(np.load(path), values)
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.npy"]


def test_starts_again_if_the_inputs_differ(tmp_path: Path) -> None:
    array = ResumableArray(tmp_path / "rows.npy", (5,), np.uint8, "inputs")
    array.append(np.ones(3, np.uint8))
    array.close()
    array = ResumableArray(tmp_path / "rows.npy", (5,), np.uint8, "other inputs")
    assert array.done == 0
    array.close()


def test_missing_rows(tmp_path: Path) -> None:
    array = ResumableArray(tmp_path / "rows.npy", (5,), np.uint8, "inputs")
    array.append(np.ones(3, np.uint8))
    with pytest.raises(AssertionError, match="has 3 of 5 rows"):
        array.finish()
    assert not (tmp_path / "rows.npy").exists()
