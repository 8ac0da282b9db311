"""Open-set accuracy by size: draws, decisions, and the table."""

from __future__ import annotations

import numpy as np
import pytest

from model.calibration import DEFAULT_STRICTNESS, Calibration, Tail
from model.cascade import Cascade
from model.cohort import NO_COHORT, Cohort
from model.embedding import GENERIC, EmbeddingSpec, join, normalize
from model.gallery import Gallery
from training.evaluation.gallery import mean_gallery
from training.evaluation.metrics import Probes
from training.evaluation.open_set import (
    HEADER,
    PROBES,
    PROMISES,
    Compared,
    Photos,
    Results,
    bootstrap,
    compare,
    galleries,
    row,
    search,
)

CALIBRATION = Calibration(Tail(0.0, 0.05, -0.1, 1e-6), 40.0, -6.0, 0.1)
SPEC = EmbeddingSpec(GENERIC, "", 704, 192)


def photos_of(counts: list[int]) -> Photos:
    """Return random photos: counts[i] of person i."""
    random, owners = np.random.RandomState(0), np.repeat(np.arange(len(counts)), counts)
    inception, mobile = (normalize(random.randn(len(owners), size)).astype(np.float32) for size in (512, 192))
    whole = join(inception, mobile)
    return Photos(
        owners, np.ones(len(owners), bool), whole, mobile, whole, Gallery.of(SPEC, NO_COHORT, [], [], whole[:0])
    )


def test_open_set_decides_as_the_cascade() -> None:
    random = np.random.RandomState(0)
    inception, mobile = (normalize(random.randn(60, size)).astype(np.float32) for size in (512, 192))
    probes = normalize(mobile + random.uniform(0, 0.2, (60, 1)) * random.randn(60, 192)).astype(np.float32)
    cohort = Cohort(join(inception[40:], mobile[40:]))
    gallery = mean_gallery(SPEC, cohort, [str(i) for i in range(20)], join(inception, mobile)[:20])
    cascade = Cascade(gallery, CALIBRATION, CALIBRATION)
    labels, reliable = np.where(np.arange(60) < 20, np.arange(60), -1), random.rand(60) < 0.8
    scores = Compared(np.arange(60), labels, reliable, gallery.scores(join(inception, probes)), gallery.scores(probes))
    found = search(scores, CALIBRATION, CALIBRATION)
    for i, strictness in enumerate(PROMISES):
        expected = cascade.search(probes, reliable, lambda rows: inception[rows], 1, strictness)
        assert (found.known[i] == expected.known).all()
        assert (found.right[i] == (expected.ids[:, 0] == labels)).all()
        if strictness == DEFAULT_STRICTNESS:
            assert 0 < expected.alone.sum() < reliable.sum()
            assert (found.alone == expected.alone).all()
            assert found.confidence == pytest.approx(expected.confidences[:, 0], abs=1e-5)


def test_enrolled_photos_are_not_searched() -> None:
    """People with too few photos are not enrolled, but their photos are searched if they are among the strangers."""
    data = photos_of([2, 6, 3, 1, 9])
    found = compare(data, np.array([0, 1, 2]), np.array([0, 3, 4]), 2, np.random.RandomState(0))
    assert found.owners.tolist() == [1] * PROBES + [2] + [0, 0, 3] + [4] * PROBES
    assert found.labels.tolist() == [0, 0, 0, 1] + [-1] * 6
    assert found.whole.shape == found.mobile.shape == (10, 2)
    # Random photos have nothing in common, an enrolled one is in its person's mean.
    assert found.whole.max() < 0.3


def test_nobody_has_photos_enough() -> None:
    data = photos_of([1, 1])
    found = compare(data, np.array([0, 1]), np.array([], np.int64), 1, np.random.RandomState(0))
    assert found.whole.shape == (0, 0)
    assert list(galleries(found, [1, 2], np.random.RandomState(0))) == []


def test_people_who_are_left_out_of_a_gallery_are_strangers() -> None:
    scores = np.arange(12, dtype=np.float32).reshape(4, 3)
    whole = Compared(np.array([7, 8, 9, 5]), np.array([0, 1, 2, -1]), np.ones(4, bool), scores, scores)
    part = whole.part(np.array([0, 2]))
    assert part.owners.tolist() == [7, 8, 9, 5]
    assert part.labels.tolist() == [0, -1, 1, -1]
    assert part.whole.tolist() == [[0, 2], [3, 5], [6, 8], [9, 11]]
    sizes = [(size, found.whole.shape[1]) for size, found in galleries(whole, [1, 3, 5], np.random.RandomState(0))]
    assert sizes == [(1, 1), (3, 3)]


def test_bootstrap_resamples_people_and_not_photos() -> None:
    random = np.random.RandomState(0)
    owners, hits = np.arange(400), random.rand(400) < 0.1
    share, low, high = bootstrap(owners, hits)
    assert share == hits.mean()
    error = np.sqrt(share * (1 - share) / 400)  # of the normal approximation
    assert (low, high) == pytest.approx((share - 1.96 * error, share + 1.96 * error), abs=error / 3)
    # Each photo ten times is no more information.
    assert bootstrap(np.tile(owners, 10), np.tile(hits, 10)) == pytest.approx((share, low, high))


def results(strangers: int) -> Results:
    """Return 20 photos of known people, all right, and one photo of each stranger, of whom the first is accepted."""
    labels = np.append(np.arange(20), np.full(strangers, -1))
    known = np.tile(np.arange(20 + strangers) <= 20, (len(PROMISES), 1))
    scores = np.where(labels >= 0, 1.0, 0.0)
    whole = Probes(labels, np.abs(labels), scores, np.zeros_like(labels))
    right = np.tile(labels >= 0, (len(PROMISES), 1))
    return Results(np.arange(len(labels)), known, right, scores, labels >= 0, whole)


def test_row() -> None:
    cells = dict(zip(HEADER, row(20, [results(100)] * 2)))
    assert cells["people"] == "20"
    assert cells["FPIR, promise 1 %"].startswith("1.00 (0.00-")
    assert cells["TPIR at 1 %"] == "100.0 (100.0-100.0) %"
    assert cells["with the best threshold"] == "100.0 %"
    assert (cells["error"], cells["alone"]) == ("0.0 %", "100 / 0 %")


def test_row_says_nothing_about_too_few_strangers() -> None:
    cells = dict(zip(HEADER, row(20, [results(4)])))
    assert cells["TPIR at 1 %"] == "100.0 (100.0-100.0) %"
    assert [cells[name] for name in ("FPIR, promise 1 %", "with the best threshold", "error")] == ["", "", ""]
    assert cells["alone"] == "100 %"
