"""The output folder of a training run: each step leaves files and a record, and is skipped while its inputs stay.

A record, `<step>.json`, is written last. It holds the inputs that the step was run with, the seconds it took and the
facts that it found; a later step takes the record's digest among its own inputs, so that whatever changes upstream is
done again downstream.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from numpy.typing import DTypeLike

Record = dict  # inputs, seconds, facts


class TrainingError(Exception):
    """Something that the person at the keyboard can mend; the message is a sentence for them."""


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name to write to that becomes `path` only when all is written. The file is removed where that fails."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def packages() -> dict[str, str]:
    """The versions of those that decide the numbers."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


def digest(content: Any) -> str:
    """16 hex digits that stand for anything JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


class Run:
    """One output folder."""

    def __init__(self, out: Path) -> None:
        self.out = out
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"The output folder {out} cannot be made: {error.strerror}.") from error

    def step(self, name: str, inputs: dict[str, Any], files: list[str], work: Callable[[], dict[str, Any]]) -> Record:
        """Do `work`, which writes `files` and returns facts, unless that has been done from the same inputs."""
        inputs = json.loads(json.dumps(inputs))
        done = self._read(name)
        if done and done["inputs"] == inputs and all((self.out / file).exists() for file in files):
            say(f"{name}: unchanged, skipped")
            return done
        say(f"{name}: started")
        started = time.monotonic()
        facts = work()
        record = {"inputs": inputs, "seconds": round(time.monotonic() - started, 1), "facts": facts}
        write_json(self.out / f"{name}.json", record)
        say(f"{name}: done in {record['seconds']} s")
        return record

    def record(self, name: str) -> Record:
        """What an earlier step left. Raises TrainingError where it has not been run."""
        found = self._read(name)
        if found is None:
            raise TrainingError(f"{self.out} has no {name}.json: run `python -m training {name}` first.")
        return found

    def has(self, name: str) -> bool:
        return self._read(name) is not None

    def identity(self, name: str) -> str:
        """What later steps take among their inputs: changes when the step's inputs or its facts do."""
        record = self.record(name)
        return digest([record["inputs"], record["facts"]])

    def _read(self, name: str) -> Record | None:
        path = self.out / f"{name}.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return found if {"inputs", "seconds", "facts"} <= set(found) else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise TrainingError(f"{path} cannot be read ({error}): delete it to do the step again.") from error


class Rows:
    """A .npy file that grows row by row, and goes on where it was cut off if the inputs are the same.

    Until `finish` it has another name and lies beside a note of what it is made from.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: DTypeLike, made_from: str) -> None:
        """shape: of the finished file, [rows, ...]."""
        self.path = path
        self._partial = path.with_name(f"{path.name}.partial")
        self._note = path.with_name(f"{path.name}.partial.txt")
        same = self._note.exists() and self._note.read_text() == made_from and self._partial.exists()
        self._row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * np.dtype(dtype).itemsize
        self._rows = shape[0]
        if not same:
            self._partial.unlink(missing_ok=True)
            self._note.write_text(made_from)
        self._file = open(self._partial, "r+b" if same else "w+b")  # noqa: SIM115 - open until `close`
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._start = self._file.tell()
        self._file.seek(0, os.SEEK_END)
        self.done = min((self._file.tell() - self._start) // self._row_bytes, self._rows)
        self.rewind(self.done)

    def rewind(self, rows: int) -> None:
        """Keep only the first rows: two files of which one got further go on together."""
        self.done = rows
        self._file.truncate(self._start + rows * self._row_bytes)
        self._file.seek(0, os.SEEK_END)

    def append(self, rows: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(rows).tobytes())
        self._file.flush()
        self.done += len(rows)

    def finish(self) -> None:
        self.close()
        if self.done != self._rows:
            raise AssertionError(f"{self.path} has {self.done} of {self._rows} rows")
        os.replace(self._partial, self.path)
        self._note.unlink()

    def close(self) -> None:
        self._file.close()
