"""A .npy file that is written row by row and continued after an interruption."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike


class ResumableArray:
    """A .npy file that is written row by row. After an interruption it is continued if its inputs are the same.

    Until `finish` the rows are in `<name>.partial`, and `<name>.partial.txt` describes the inputs.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: DTypeLike, made_from: str) -> None:
        """Open the partial file of the same inputs, or start a new one. Raises OSError.

        shape: of the finished array, [rows, ...]. made_from: description of the inputs.
        """
        self.path, self.dtype = path, np.dtype(dtype)
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
        """Keep only the first rows, so that arrays interrupted at different rows continue together."""
        self.done = rows
        self._file.truncate(self._start + rows * self._row_bytes)
        self._file.seek(0, os.SEEK_END)

    def append(self, rows: np.ndarray) -> None:
        """Write rows of the array's dtype, [N, ...], and flush them to the operating system. Raises OSError."""
        self._file.write(np.ascontiguousarray(rows).tobytes())
        self._file.flush()
        self.done += len(rows)

    def finish(self) -> None:
        """Close the file and give it its final name. Raises AssertionError if rows are missing."""
        self.close()
        if self.done != self._rows:
            raise AssertionError(f"{self.path} has {self.done} of {self._rows} rows")
        os.replace(self._partial, self.path)
        self._note.unlink()

    def close(self) -> None:
        self._file.close()
