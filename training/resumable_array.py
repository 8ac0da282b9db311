"""A .npy file that is written row by row and continues after an interruption."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike


class ResumableArray:
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
