"""Segments in temp files: a large collection takes disk instead of memory."""

from __future__ import annotations

import logging
import mmap
import tempfile
from typing import Any

import numpy as np

MAPPED_BYTES = 1 << 22  # of a segment, from which it is kept in a file

log = logging.getLogger(__name__)


def map_bytes(data: bytes) -> mmap.mmap | None:
    """Write bytes to a temp file and map it. None if it has no room.

    The file has no name, so that it goes with the process, and nobody else can open it.
    """
    try:
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            return mmap.mmap(file.fileno(), len(data), access=mmap.ACCESS_READ)
    except OSError as error:
        log.warning("A part of a collection is kept in memory: the temp folder cannot be used (%s).", error.strerror)
        return None


class MappedRows:
    """Rows of an array in a mapped file, as `numpy` selects them. Reading rows does not keep them in memory."""

    def __init__(self, mapped: mmap.mmap, rows: np.ndarray) -> None:
        self._mapped, self._rows = mapped, rows
        self.shape, self.dtype = rows.shape, rows.dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, selected: Any) -> np.ndarray:
        found: np.ndarray = self._rows[selected].copy()
        self._mapped.madvise(mmap.MADV_DONTNEED)
        return found
