"""Segments in temp files: what is read, and what happens where there is no room."""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import synthetic
from benchmarks.bundled import bundled
from model.contents import Contents
from storage import segments
from storage.mapped import MappedRows, map_bytes
from storage.segments import decode, describe_segment, encode, stored

PEOPLE = 300


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every segment counts as large."""
    monkeypatch.setattr(segments, "MAPPED_BYTES", 0)


def both() -> tuple[Contents, Contents]:
    """The same contents in memory and in a file."""
    (piece,) = synthetic.pieces(bundled().gallery.loaded(), PEOPLE)
    data = encode(piece)
    segment = describe_segment("", data, piece)
    decoded = decode(data, segment, piece.embeddings.shape[1])
    return decoded, stored(decoded, data, segment)


def test_contents_in_a_file_are_the_same(temp: Path) -> None:
    memory, file = both()
    assert isinstance(file.embeddings, MappedRows) and not isinstance(memory.embeddings, MappedRows)
    assert list(temp.iterdir()) == []  # nobody can open the file
    assert (file.embeddings.shape, file.embeddings.dtype) == (memory.embeddings.shape, memory.embeddings.dtype)
    for selected in (
        slice(None),
        slice(3, 9),
        np.array([5, 1, 200]),
        7,
        (slice(2, 4), slice(-192, None)),
        (7, slice(9)),
    ):
        found = file.embeddings[selected]
        assert (found == memory.embeddings[selected]).all() and found.flags.writeable
    rows = np.arange(PEOPLE)
    taken, expected = (each.take(rows[::7], rows[::5]) for each in (file, memory))
    assert encode(taken) == encode(expected)
    assert file.people.row(9) == memory.people.row(9) and file.faces.row(9) == memory.faces.row(9)


@pytest.mark.parametrize("problem", [errno.ENOSPC, errno.EROFS])
def test_without_room_a_segment_stays_in_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, problem: int
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(problem, os.strerror(problem))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    memory, file = both()
    assert file.embeddings is not None and not isinstance(file.embeddings, MappedRows)
    assert (file.embeddings[:] == memory.embeddings[:]).all()
    reason = os.strerror(problem)
    logged = [record.getMessage() for record in caplog.records if record.name == "storage.mapped"]
    assert logged == [f"A part of a collection is kept in memory: the temp folder cannot be used ({reason})."]


def test_a_full_disk_while_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full has no room for a single byte."""
    monkeypatch.setattr("tempfile.TemporaryFile", partial(open, "/dev/full", "r+b"))
    assert map_bytes(b"some bytes") is None
