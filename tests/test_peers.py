"""The comparison with other systems: its metrics, and two of the systems on a photo."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bundled import as_served, bundled, cascade, evaluate_embeddings, log_odds, own_threshold
from benchmarks.peers import __main__ as peers
from benchmarks.peers.__main__ import DRAWS, Worker, accuracy, by_size, cosine_to_means, distance_to_means, systems
from model.calibration import DEFAULT_STRICTNESS, HOPELESS, SURE
from model.gallery import Matches
from testing.paths import SAMPLES
from training.data.align import Aligner
from training.data.prepare import STRANGER, TRAIN, VAL, Example

NO_FACE = np.full(2, np.nan, np.float32)
KNOWN = np.array([[1, 0], [0.6, 0.8], [0, -1]], np.float32)
LABELS = np.array([0, 0, 1])


def test_scores() -> None:
    probe = np.array([[0.6, 0.8]], np.float32)
    assert distance_to_means(KNOWN, LABELS, 2)(probe).scores == pytest.approx(
        np.array([[-np.sqrt(0.2), -np.sqrt(3.6)]])
    )
    assert cosine_to_means(KNOWN, LABELS, 2)(probe).scores == pytest.approx(np.array([[np.sqrt(0.8), -0.8]]))


def test_a_photo_without_a_face_is_wrong_and_not_accepted() -> None:
    def search(embeddings: np.ndarray) -> Matches:
        return Matches(np.array([[1, 0]]), embeddings[:, ::-1])

    found = evaluate_embeddings(search, np.array([NO_FACE, [0.1, 0.9]]), np.array([0, 1]))
    assert found.correct.tolist() == [False, True]
    assert found.rank.tolist() == [5, 0]
    assert found.top_score.tolist() == [-np.inf, pytest.approx(0.9)]


def test_table_cells_of_a_system(monkeypatch: pytest.MonkeyPatch) -> None:
    splits, people = [TRAIN] * 3 + [VAL] * 4 + [STRANGER] * 2, [0, 0, 1, 0, 0, 1, 1, -1, -1]
    rows = [Example("", person, split, str(i)) for i, (split, person) in enumerate(zip(splits, people))]
    # Distances: 0.45 to the own mean; no face; 0 to the own mean; nearer to another person.
    val = [[1, 0], NO_FACE, [0, -1], [0, 1]]
    found = np.array([*KNOWN, *val, [0.6, -0.8], NO_FACE], np.float32)
    monkeypatch.setattr(peers, "embeddings", lambda *_: found)
    dlib = next(system for system in systems(2) if system.name == "dlib")
    # The stranger's distance to the nearest person is 0.63, more than the tolerance of 0.6.
    assert accuracy(dlib, rows, 2) == ["50.00 %", "25.00 %", "50.0 %", "50.0 %", "50.0 %", "50.0 %", "0.0 %"]
    assert accuracy(dlib._replace(threshold=-0.7), rows, 2)[-1] == "50.0 %"
    assert accuracy(dlib._replace(threshold=None), rows, 2)[-2:] == ["none", ""]


def test_embeddings_are_saved_in_a_new_folder(tmp_path: Path) -> None:
    peers.save(tmp_path / "build" / "peers" / "ours.npz", {"a": NO_FACE})
    with np.load(tmp_path / "build" / "peers" / "ours.npz") as file:
        assert file["digests"].tolist() == ["a"] and file["embeddings"].shape == (1, 2)


def test_cells_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten people with four photos each, one of them without a face, and ten strangers who look alike."""
    people = np.repeat(np.arange(20), 4)
    rows = [Example(f"{person}/{i}", person if person < 10 else -1, VAL, "") for i, person in enumerate(people)]
    found = np.eye(20, dtype=np.float32)[people]
    found[0] = np.nan
    monkeypatch.setattr(peers, "embeddings", lambda *_: found)
    _, dlib, facenet = systems(10)
    cells = by_size(dlib, rows)
    assert list(cells) == [(1, 5), (1, 10), (2, 5), (2, 10)] and DRAWS > 1
    assert cells[1, 5] == ["100.0 %", "0.0 %"]
    # All distances are at most 1.42.
    assert by_size(dlib._replace(threshold=-1.5), rows)[2, 10] == ["100.0 %", "100.0 %"]
    assert by_size(facenet, rows)[2, 10] == ["100.0 %"]


def test_ours_gives_the_confidences_of_the_service() -> None:
    photo = SAMPLES / "Kofi_Annan_0006.jpg"
    snapshot = bundled()
    face = Aligner(snapshot.network.config.crop).align(photo)
    expected = snapshot.search(face.crop[None], face.landmark_crop[None], np.array([face.reliable]), 5)
    people = len(snapshot.gallery)
    ours, *_ = systems(people)
    with closing(Worker(ours)) as worker:
        embedding, ms = worker.embed(str(photo))
        usage = worker.finish()
    found = as_served(np.zeros((0, ours.dimensions)), np.zeros(0), people)(embedding[None])
    assert found.ids.tolist() == expected.ids.tolist()
    assert np.abs(1 / (1 + np.exp(-found.scores)) - expected.confidences).max() < 1e-4
    assert embedding.shape == (ours.dimensions,) and embedding[-1] == face.reliable
    assert ours.threshold is not None and expected.known[0] and found.scores[0, 0] >= ours.threshold
    assert worker.version == snapshot.version
    assert ms > 1 and 100 < usage["peak"] < 1000 and 300 < usage["disk"] < 600


def test_own_threshold_accepts_whom_the_service_accepts() -> None:
    """MobileFaceNet accepts alone only above the threshold of both networks, and rejects alone only below it."""
    for people in (10, len(bundled().gallery)):
        served, threshold = cascade(people), own_threshold(people)
        accepted = served.mobile.threshold(people, SURE * DEFAULT_STRICTNESS)
        rejected = min(served.mobile.lowest, served.mobile.threshold(people, HOPELESS * DEFAULT_STRICTNESS))
        low, high = log_odds(served.mobile.confidence(np.array([rejected, accepted]), people))
        assert low < threshold < high


def test_facenet_pytorch_distinguishes_two_people(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(weights))
    *_, facenet = systems(2)
    with closing(Worker(facenet)) as worker:
        one, other = (worker.embed(str(SAMPLES / f"{name}.jpg"))[0] for name in ("Kofi_Annan_0006", "Tony_Blair_0007"))
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-4)
    assert one @ other < 0.5
