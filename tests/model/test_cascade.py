from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.calibration import HOPELESS, STRICTNESS, SURE, Calibration, Tail
from model.cascade import Cascade, Found
from model.cohort import NO_COHORT
from model.embedding import EmbeddingSpec, join, normalize
from model.gallery import Gallery
from model.records import EnrolledFace, Person

IDS = (10, 20, 30)
MOBILE = Calibration(Tail(0.5, 0.05, -0.1, 1e-5), slope=20.0, intercept=-9.0, lowest=0.4)
JOINED = Calibration(Tail(0.4, 0.05, -0.1, 1e-5), slope=30.0, intercept=-8.0, lowest=0.35)
STRICT = 1.0


def cascade(people: int = 3) -> Cascade:
    """People whose embeddings are the axes of both networks' parts, 4 numbers each, in the order of IDS."""
    spec = EmbeddingSpec("tuned", "0" * 16, 8, 4)
    axes = np.eye(4, dtype=np.float32)[:people]
    faces = [EnrolledFace(f"{key}", key, ("1",), "") for key in IDS[:people]]
    found = Gallery.of(spec, NO_COHORT, [Person(key, "") for key in IDS[:people]], faces, join(axes, axes))
    return Cascade(found, MOBILE, JOINED)


def towards(person: int, cosine: float) -> np.ndarray:
    """An embedding of length 1 with this cosine with a person's axis, and the rest on the axis of nobody."""
    found = np.zeros(4, np.float32)
    found[person], found[3] = cosine, np.sqrt(1 - cosine**2)
    return found


class Inception:
    """Embeds the rows that it is asked for, and records them."""

    def __init__(self, embeddings: np.ndarray) -> None:
        self._embeddings = embeddings
        self.calls: list[list[int]] = []

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        self.calls.append(rows.tolist())
        return self._embeddings[rows]


def search(
    mobile: np.ndarray, inception: Inception, reliable: list[bool] | None = None, k: int = 3, strictness: float = STRICT
) -> Found:
    flags = np.ones(len(mobile), bool) if reliable is None else np.array(reliable)
    return cascade().search(mobile, flags, inception, k, strictness)


ACCEPT = MOBILE.threshold(3, SURE * STRICT)
REJECT = min(MOBILE.lowest, MOBILE.threshold(3, HOPELESS * STRICT))
# Scores with person 1, of which MobileFaceNet decides the first, third and last alone.
SCORES = (ACCEPT + 0.01, ACCEPT - 0.01, REJECT - 0.01, REJECT + 0.01, REJECT - 0.05)
FACES = np.stack([towards(1, score) for score in SCORES])


def test_decided_faces_do_not_need_the_second_network() -> None:
    inception = Inception(np.zeros((2, 4), np.float32))
    found = search(FACES[[0, 2]], inception)
    assert inception.calls == []
    assert found.alone.tolist() == [True, True]
    assert found.known.tolist() == [True, False]
    assert found.ids[:, 0].tolist() == [20, 20]
    # The confidences follow from MobileFaceNet's own calibration.
    expected = MOBILE.confidence(np.array([SCORES[0], SCORES[2]]), 3)
    assert np.abs(found.confidences[:, 0] - expected).max() < 1e-5


def test_undecided_faces_are_decided_by_both_networks() -> None:
    second = np.stack([towards(2, 0.9)] * 5)
    inception = Inception(second)
    found = search(FACES, inception)
    assert inception.calls == [[1, 3]]
    assert found.alone.tolist() == [True, False, True, False, True]
    both = join(second, FACES)
    expected = cascade().gallery.search(both[[1, 3]], 3)
    assert found.ids[[1, 3]].tolist() == expected.ids.tolist()
    assert found.ids[3, 0] == 30  # the second network changed who is best
    assert np.abs(found.confidences[[1, 3]] - JOINED.confidence(expected.scores, 3)).max() < 1e-6
    assert found.known[[1, 3]].tolist() == (expected.scores[:, 0] >= JOINED.threshold(3, STRICT)).tolist()
    alone = search(FACES[[0, 2, 4]], Inception(second))
    assert found.ids[[0, 2, 4]].tolist() == alone.ids.tolist()
    assert np.abs(found.confidences[[0, 2, 4]] - alone.confidences).max() < 1e-6


def test_unreliable_faces_are_decided_by_both_networks() -> None:
    """However high or low their score is."""
    inception = Inception(np.stack([towards(2, 1.0)] * 5))
    found = search(FACES, inception, [False, True, True, True, False])
    assert inception.calls == [[0, 1, 3, 4]]
    assert found.alone.tolist() == [False, False, True, False, False]
    assert found.ids[4, 0] == 30
    assert found.known[4]


@pytest.mark.parametrize("k", [0, 1, 2, 3, 9])
def test_k_people_are_found(k: int) -> None:
    found = search(FACES, Inception(np.stack([towards(2, 0.9)] * 5)), k=k)
    assert found.ids.shape == found.confidences.shape == (5, min(k, 3))
    assert (np.diff(found.confidences, axis=1) <= 0).all()
    assert found.known.shape == found.alone.shape == (5,)


def test_an_empty_gallery() -> None:
    inception = Inception(np.zeros((5, 4), np.float32))
    found = cascade(people=0).search(FACES, np.zeros(5, bool), inception, 3, STRICT)
    assert inception.calls == []
    assert found.ids.shape == found.confidences.shape == (5, 0)
    assert found.known.tolist() == [False] * 5


def test_no_faces() -> None:
    inception = Inception(np.zeros((0, 4), np.float32))
    found = search(np.zeros((0, 4), np.float32), inception)
    assert inception.calls == []
    assert (found.ids.shape, found.known.shape) == ((0, 3), (0,))


@pytest.mark.parametrize("strictness", STRICTNESS)
def test_known_follows_the_strictness(strictness: float) -> None:
    """Faces on both sides of each threshold of both networks together."""
    scores = [JOINED.threshold(3, each) + side for each in STRICTNESS for side in (-0.002, 0.002)]
    faces = np.stack([towards(0, score) for score in scores])
    found = search(faces, Inception(faces), [False] * len(faces), strictness=strictness)
    threshold = JOINED.threshold(3, strictness)
    assert found.known.tolist() == [score >= threshold for score in scores]
    assert not found.alone.any()


def test_a_stricter_threshold_knows_fewer_faces() -> None:
    faces = normalize(np.random.RandomState(0).randn(400, 4) + np.array([2, 0, 0, 0])).astype(np.float32)
    counts = [int(search(faces, Inception(faces), strictness=each).known.sum()) for each in sorted(STRICTNESS)]
    assert counts == sorted(set(counts))


@pytest.mark.parametrize("start", [-2.0, 2.0])
def test_faces_decided_alone_do_not_depend_on_the_calibration_of_both_networks(start: float) -> None:
    odd = replace(cascade(), joined=replace(JOINED, tail=replace(JOINED.tail, start=start)))
    found = odd.search(FACES[[0, 2]], np.ones(2, bool), Inception(np.zeros((2, 4), np.float32)), 3, STRICT)
    assert found.alone.tolist() == [True, True]
    assert found.known.tolist() == [True, False]


@pytest.mark.parametrize("strictness", STRICTNESS)
def test_whoever_mobilefacenet_accepts_alone_is_known(strictness: float) -> None:
    accept = MOBILE.threshold(3, SURE * strictness)
    reject = min(MOBILE.lowest, MOBILE.threshold(3, HOPELESS * strictness))
    faces = np.stack([towards(0, score) for score in (accept + 1e-4, reject - 1e-4)])
    found = search(faces, Inception(np.zeros((2, 4), np.float32)), strictness=strictness)
    assert found.alone.tolist() == [True, True]
    assert found.known.tolist() == [True, False]
