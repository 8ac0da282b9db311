"""The benchmark of thresholds: it searches as the service does, and its tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import thresholds
from benchmarks.bundled import bundled
from benchmarks.open_set import owners
from benchmarks.thresholds import (
    HEADER,
    PAIRS,
    THRESHOLDS,
    Decisions,
    calibrations,
    cell,
    defaults,
    held_out,
    report,
    search_bundled,
    search_pairs,
)
from model.cohort import NO_COHORT
from model.detection.detector import Detector
from model.embedding import GENERIC, EmbeddingSpec, join, normalize
from model.gallery import Gallery
from service.faces import FaceService
from service.galleries import Galleries
from service.results import IdentifyOptions
from storage.folder import FolderBlobs
from storage.live import LiveModel
from storage.networks import BUNDLED
from testing.paths import SAMPLES
from training.data.prepare import STRANGER, TRAIN, VAL, Example
from training.evaluation.evaluate_people import embed
from training.evaluation.metrics import Probes
from training.evaluation.open_set import Photos, Results

CLOSE = 0.02  # relative: landmarks depend on the number of threads in their last bits


@pytest.fixture(scope="module")
def service() -> FaceService:
    return FaceService(Galleries(LiveModel(lambda: FolderBlobs(Path(BUNDLED)), refresh=False)), Detector())


def test_bundled_collection_is_searched_as_served(service: FaceService) -> None:
    snapshot, paths = bundled(), sorted(SAMPLES.glob("*.jpg"))
    photos = embed(snapshot.emptied(), [(str(path), i) for i, path in enumerate(paths)])
    served = [service.identify(path.read_bytes(), IdentifyOptions(top=1)).faces[0] for path in paths]
    rows = [Example(str(path), face.candidates[0].id, VAL, "") for path, face in zip(paths, served)]
    rows[0] = Example(rows[0].path, -1, STRANGER, "")
    trained = Example(rows[1].path, rows[1].person, TRAIN, "")
    repeated = photos._replace(**{name: getattr(photos, name)[[*range(len(paths)), 1]] for name in Photos._fields[:-1]})
    found = search_bundled(repeated, [*rows, trained], snapshot)
    assert found.confidence == pytest.approx([face.candidates[0].confidence for face in served], rel=CLOSE)
    assert found.known[-1].tolist() == [face.known for face in served]
    assert found.right[-1].tolist() == [False] + [True] * (len(paths) - 1)


def test_pairs_are_compared_as_served(service: FaceService) -> None:
    """Two photos of different people, taken for one person, and a third: the first or the second is the source."""
    paths = sorted(SAMPLES.glob("*.jpg"))[:3]
    snapshot = bundled()
    photos = embed(snapshot.emptied(), [(str(path), i) for i, path in enumerate(paths)])
    one, other, third = (path.read_bytes() for path in paths)
    expected = [
        [service.compare(source, target, IdentifyOptions()).target.faces[0].confidence for target in targets]
        for source, targets in ((one, (other, third)), (other, (one, third)))
    ]
    data = photos._replace(owners=np.array([0, 0, 1]))
    random = np.random.RandomState(0)
    found = [search_pairs(data, np.arange(2), calibrations(snapshot), random) for _ in range(8)]
    assert {tuple(each.whole.labels) for each in found} == {(0, -1)}
    close = [[each.confidence == pytest.approx(row, rel=CLOSE) for row in expected] for each in found]
    assert all(any(row) for row in close)
    assert all(any(column) for column in zip(*close))


def test_decisions() -> None:
    """Known people: identified surely, identified wrongly; strangers: unknown, and identified as somebody at 0.85."""
    labels, confidence = np.array([0, 1, -1, -1]), np.array([0.999, 0.95, 0.1, 0.85])
    right = np.array([True, False, False, False])
    known = np.array([True, True, False, True])
    whole = Probes(labels, np.zeros(4, int), confidence, np.zeros(4, int))
    found = Decisions.of(Results(np.arange(4), known[None], right[None], confidence, known, whole))
    assert found.inside.tolist() == [True, True, False, False]
    assert THRESHOLDS == (0.5, 0.8, 0.9, 0.99)
    expected = [[1, 0, 0, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 0, 0, 0], [1, 0, 0, 0]]
    assert found.hits.astype(int).tolist() == expected


def test_people_are_numbered_by_folder() -> None:
    rows = [Example(path, person, "", "") for path, person in (("b/1", 1), ("x/1", -1), ("a/1", 0), ("c/1", -1))]
    numbers = owners([*rows, rows[1]], 2)
    assert numbers.tolist()[:3:2] == [1, 0]
    assert len(set(numbers.tolist())) == 4 and numbers[4] == numbers[1] >= 2


def test_cells() -> None:
    people = np.repeat(np.arange(100), 2)
    assert cell(people, np.zeros(200, bool), 2) == "0.00 (0.00-3.00)"
    assert cell(people, np.ones(200, bool), 1) == "100.0 (97.0-100.0)"
    share, interval = cell(people, people < 10, 1).split()
    assert share == "10.0"
    low, high = (float(end) for end in interval.strip("()").split("-"))
    assert 3 < low < 8 and 13 < high < 17


def test_default_threshold_by_the_number_of_people() -> None:
    header, _, row = (line.strip("| ").split(" | ") for line in defaults(calibrations(bundled()).joined).splitlines())
    similarity = dict(zip(header, row))
    assert int(similarity["1"]) < int(similarity["10"]) < int(similarity["100"]) < int(similarity["610"]) < 80


def test_tables_of_people_who_are_not_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of 24 people and of 40 strangers calibrate, so ten of the twelve others make a gallery."""
    random, people = np.random.RandomState(0), np.repeat(np.arange(64), [6] * 24 + [3] * 40)
    inception, mobile = (
        normalize(random.randn(64, size)[people] + random.randn(len(people), size) / 2).astype(np.float32)
        for size in (512, 192)
    )
    whole, spec = join(inception, mobile), EmbeddingSpec(GENERIC, "", 704, 192)
    empty = Gallery.of(spec, NO_COHORT, [], [], whole[:0])
    monkeypatch.setattr(thresholds, "HALF_DRAWS", 2)
    text = report(held_out(Photos(people, np.ones(len(people), bool), whole, mobile, whole, empty), 24, 0))
    known, strangers = (
        [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("|")]
        for part in text.split("FPIR and FMR")
    )
    assert known[0] == strangers[0] == ["gallery", "searches", *HEADER]
    names = [PAIRS, "10 people, 1 photo each", "10 people, 2 photos each"]
    assert [row[0] for row in known[2:]] == [row[0] for row in strangers[2:]] == names
    assert known[3][1].startswith("60 of ")
    assert all(row[2].startswith("100.0 ") for row in known[2:])
    assert all(row[-1].startswith("0.00 ") for row in strangers[2:])
