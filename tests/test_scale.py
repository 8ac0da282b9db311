"""make bench-scale with a few people."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from benchmarks import scale, scale_engines, synthetic
from benchmarks.bundled import bundled
from testing.paths import ROOT


def test_tables_of_a_small_collection() -> None:
    """The networks, the function and the engines are real."""
    command = [sys.executable, "-m", "benchmarks.scale", "--people", "300"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| numpy float32 | MobileFaceNet |" in done.stdout and "| packed, exact | both networks |" in done.stdout
    recall = done.stdout.split("### Recall")[1]
    assert recall.count("| pgvector, HNSW |") == recall.count(" 100.0% |") == 4  # so few people are all compared
    for kind, columns in scale.COLUMNS.items():
        cells = done.stdout.split(f"### The {kind}")[1].strip().splitlines()[2].split(" | ")
        assert cells[0] == "| 300" and len(cells) == 1 + len(columns)


def test_engines_with_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale_engines, "CLUSTERED_PEOPLE", 100)
    monkeypatch.setattr("model.gallery.FLAT_PEOPLE", 0)
    found = scale_engines.measure(400)
    assert set(found["memory"]) == set(scale_engines.ENGINES) and len(found["ms"]) == 8
    assert min(found["recall"].values()) == 1  # few people are in few clusters, all of which are looked at
    others = {kind: dict.fromkeys(columns, 1.0) for kind, columns in scale.COLUMNS.items()}
    figures = {400: {**found, **others}}
    assert scale.plot(figures).startswith(b"\x89PNG")
    assert len(scale.tables(figures)) == 6


def test_synthetic_people_resemble_real_ones() -> None:
    """Cosines of two photos, and of two people, are about those of LFW."""
    random = np.random.RandomState(0)
    people = synthetic.drawn(bundled().gallery.loaded(), 200, random)
    assert np.abs(np.linalg.norm(people, axis=1) - 1).max() < 1e-5
    photos = synthetic.photographed(people, bundled().gallery.loaded().spec.mobile, random)
    assert 0.7 < np.median((people * photos).sum(axis=1)) < 0.8
    others = (people @ people.T)[~np.eye(len(people), dtype=bool)]
    assert abs(np.median(others)) < 0.1 and others.std() < 0.15
