"""A column of texts in two arrays, which takes a small part of the memory of Python's strings."""

from __future__ import annotations

from functools import cached_property
from typing import Iterator, Sequence

import numpy as np

NONE = -1  # length of a value that is None


class Texts:
    """Texts or None, one after the other in UTF-8.

    data: uint8 [bytes]; lengths: int32 [rows], in bytes, NONE for None. Both may be mapped from a file.
    """

    def __init__(self, data: np.ndarray, lengths: np.ndarray) -> None:
        self.data, self.lengths = data, lengths

    @classmethod
    def of(cls, values: Sequence[str | None]) -> Texts:
        encoded = [None if value is None else value.encode() for value in values]
        lengths = np.array([NONE if value is None else len(value) for value in encoded], np.int32)
        return cls(np.frombuffer(b"".join(filter(None, encoded)), np.uint8), lengths)

    @classmethod
    def none(cls, rows: int) -> Texts:
        """Return a column without any value."""
        return cls(np.zeros(0, np.uint8), np.full(rows, NONE, np.int32))

    @classmethod
    def joined(cls, parts: Sequence[Texts]) -> Texts:
        """Join columns one after the other."""
        data = np.concatenate([np.zeros(0, np.uint8), *(part.data for part in parts)])
        return cls(data, np.concatenate([np.zeros(0, np.int32), *(part.lengths for part in parts)]))

    def check(self) -> None:
        """Check values that were read from a file. Raises ValueError."""
        if (self.lengths < NONE).any() or int(np.maximum(self.lengths, 0).sum(dtype=np.int64)) != len(self.data):
            raise ValueError("a column of texts has other lengths than its bytes")
        self.data.tobytes().decode()
        if (self.data[self._starts[self.lengths > 0]] & 0xC0 == 0x80).any():
            raise ValueError("a text begins inside a character")

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, row: int) -> str | None:
        length = int(self.lengths[row])
        if length == NONE:
            return None
        start = int(self._starts[row])
        return self.data[start : start + length].tobytes().decode()

    def __iter__(self) -> Iterator[str | None]:
        return (self[row] for row in range(len(self)))

    def take(self, rows: np.ndarray) -> Texts:
        """Select rows, int [rows]."""
        lengths = self.lengths[rows]
        sizes = np.maximum(lengths, 0)
        ends = np.cumsum(sizes, dtype=np.int64)
        # Of each byte: the offset of its row in the old data, minus that in the new data, plus its own.
        shifts = np.repeat(self._starts[rows] - (ends - sizes), sizes)
        return Texts(self.data[shifts + np.arange(len(shifts))], lengths)

    def find(self, value: str) -> np.ndarray:
        """Return the rows with this text, int64."""
        wanted = np.frombuffer(value.encode(), np.uint8)
        rows = np.flatnonzero(self.lengths == len(wanted))
        for i, byte in enumerate(wanted):  # few rows remain after a few bytes
            if not len(rows):
                break
            rows = rows[self.data[self._starts[rows] + i] == byte]
        return rows

    @cached_property
    def folded(self) -> Texts:
        """The same texts, to compare them without case."""
        return Texts.of([value and value.casefold() for value in self])

    def find_line(self, value: str) -> np.ndarray:
        """Return the rows with a line that is this text, int64, ascending."""
        rows = self.find(value)
        others = self._rows_of_lines.get(value)
        return rows if others is None else np.union1d(rows, others)

    @cached_property
    def _rows_of_lines(self) -> dict[str, list[int]]:
        """Rows by line, of the values with several lines."""
        found: dict[str, list[int]] = {}
        for row in np.flatnonzero(self.lines() > 1).tolist():
            for line in (self[row] or "").split("\n"):
                found.setdefault(line, []).append(row)
        return found

    def lines(self) -> np.ndarray:
        """Count the lines of each value, int64 [rows]; none in an empty one."""
        breaks = np.flatnonzero(self.data == ord("\n"))
        counts = (self.lengths > 0).astype(np.int64)
        if len(breaks):
            np.add.at(counts, np.searchsorted(self._starts, breaks, side="right") - 1, 1)
        return counts

    @cached_property
    def _starts(self) -> np.ndarray:
        sizes = np.maximum(self.lengths, 0)
        return np.cumsum(sizes, dtype=np.int64) - sizes
