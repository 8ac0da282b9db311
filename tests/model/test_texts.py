"""Columns of texts."""

from __future__ import annotations

import numpy as np
import pytest

from model.texts import Texts

VALUES = ["Ada", None, "", "Zoë", "山田", "Ada", "one\ntwo\nthree", "two", "a" * 300, "one"]


def test_values_come_back() -> None:
    found = Texts.of(VALUES)
    found.check()
    assert list(found) == VALUES and len(found) == len(VALUES)
    assert (found.data.dtype, found.lengths.dtype) == (np.uint8, np.int32)
    assert list(Texts.none(3)) == [None] * 3
    assert list(Texts.of([])) == []


@pytest.mark.parametrize("rows", [[], [0], [9, 4, 4, 1], list(range(len(VALUES)))])
def test_rows_are_selected(rows: list[int]) -> None:
    found = Texts.of(VALUES).take(np.array(rows, np.int64))
    found.check()
    assert list(found) == [VALUES[row] for row in rows]


def test_columns_are_joined() -> None:
    parts = [Texts.of(VALUES[:3]), Texts.none(2), Texts.of([]), Texts.of(VALUES[3:])]
    assert list(Texts.joined(parts)) == [*VALUES[:3], None, None, *VALUES[3:]]
    assert list(Texts.joined([])) == []


@pytest.mark.parametrize("value", ["Ada", "", "Zoë", "ada", "Ad", "Adaa", "two", "a" * 300, "山", "\0"])
def test_a_value_is_found(value: str) -> None:
    assert Texts.of(VALUES).find(value).tolist() == [row for row, other in enumerate(VALUES) if other == value]


def test_a_line_is_found() -> None:
    found = Texts.of(VALUES)
    assert found.lines().tolist() == [1, 0, 0, 1, 1, 1, 3, 1, 1, 1]
    assert found.find_line("one").tolist() == [6, 9]
    assert found.find_line("three").tolist() == [6]
    assert found.find_line("one\ntwo").tolist() == []


def test_values_are_compared_without_case() -> None:
    assert list(Texts.of(["ADA", "Straße", None]).folded) == ["ada", "strasse", None]


@pytest.mark.parametrize(
    ("data", "lengths"),
    [
        (b"abc", [2]),
        (b"abc", [4]),
        (b"abc", [3, -2]),
        (b"abc", [2**31 - 1, 2**31 - 1]),
        (b"\xff", [1]),
        ("ë".encode(), [1, 1]),
        (b"\xc3", [1]),
    ],
)
def test_bytes_that_are_no_column(data: bytes, lengths: list[int]) -> None:
    with pytest.raises(ValueError):
        Texts(np.frombuffer(data, np.uint8), np.array(lengths, np.int32)).check()
