"""The measurements of collections that change, with small numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.changes import Place, kills, runtimes, size_of_a_change, times, writers


@pytest.fixture()
def place(s3_environment: dict[str, str]) -> Place:
    return Place(s3_environment["AWS_ENDPOINT_URL"])


def test_writers(place: Place) -> None:
    assert writers(place, processes=2, count=2)[1].startswith("4 made, 0 lost, 0 doubled;")


def test_kills(place: Place, tmp_path: Path) -> None:
    for uri in (str(tmp_path / "galleries"), place.uri):
        assert kills(uri, place, count=1)[1].startswith("1 revisions read, all ")


def test_runtimes(place: Place) -> None:
    assert runtimes(place, count=2, changes=3)[1] == "0 requests with an older revision"


def test_cost_of_a_change(place: Place) -> None:
    _, result = size_of_a_change(place, 300)
    assert result.startswith("at most 4 requests, ")


def test_times(place: Place) -> None:
    assert all(result.split()[1].startswith("ms") for _, result in times(place, repeats=4))
