"""people index: the clusters of a large collection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import synthetic
from benchmarks.bundled import bundled
from model import gallery as galleries
from model.gallery import Gallery
from storage.folder import FolderBlobs
from storage.networks import BUNDLED
from tests.commands import documented
from training.__main__ import main
from training.publishing import index
from training.publishing.collections import Access

PEOPLE = 600


@pytest.fixture()
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options of a collection whose people count as many."""
    monkeypatch.setattr(galleries, "FLAT_PEOPLE", 100)
    monkeypatch.setattr(index, "FLAT_PEOPLE", 100)
    monkeypatch.setattr(index, "PEOPLE", 20)
    synthetic.write(FolderBlobs(tmp_path), "people", bundled().gallery.loaded(), PEOPLE)
    return ["--galleries", str(tmp_path)]


def gallery_of(place: str) -> Gallery:
    return Access(place, BUNDLED).galleries.open(None)().snapshot.gallery.loaded()


def test_people_are_clustered(places: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command = documented(".venv/bin/python -m training people index --galleries s3://my-bucket/galleries")
    arguments = command.replace("s3://my-bucket/galleries", places[1]).split()
    assert main(arguments[arguments.index("training") + 1 :]) == 0
    found = gallery_of(places[1])
    assert found.clusters is not None and f"{PEOPLE} people in {len(found.clusters.centroids)} clusters" in (
        capsys.readouterr().err
    )
    assert found.clusters.ids.tolist() == list(range(PEOPLE))
    counts = np.bincount(found.clusters.numbers)
    assert len(counts) > 10 and counts.min() >= index.MIN_PEOPLE
    random = np.random.RandomState(1)
    probes = synthetic.photographed(found.embeddings, found.spec.mobile, random)
    matches = found.search(probes, 1)
    assert np.mean(matches.ids[:, 0] == found.ids) > 0.99
    assert main(["people", "index", *places]) == 0  # anew


def test_a_small_collection_needs_no_index(
    places: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(index, "FLAT_PEOPLE", 1000)
    assert main(["people", "index", *places]) == 1
    assert "The collection people has 600 people: up to 1,000 need no index." in capsys.readouterr().err


def test_a_collection_that_is_not_there(places: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["people", "index", *places, "--collection", "lfw"]) == 1
    assert "There is no collection lfw that can change." in capsys.readouterr().err
    assert main(["people", "index", "--url", "http://localhost:1"]) == 1
    assert "use --galleries instead" in capsys.readouterr().err
