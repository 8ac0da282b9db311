"""base: the parts of the networks that training does not change, made from a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.calibration import Calibration
from model.crop import CropSpec
from model.embedding import GENERIC, MOBILE
from testing.paths import DATA
from training.data.align import align
from training.data.dataset import dataset
from training.data.prepare import STRANGER, prepare
from training.network.base import Base, load_base, outside_cohort, pack_cohort, unpack_cohort
from training.network.embeddings import generic_embedding
from training.publishing.base import make_base
from training.records import Run


@pytest.fixture(scope="module")
def run(lfw_small: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    mobile = DATA / "mobilefacenet" / "mobilefacenet.npz"
    if not mobile.exists():
        pytest.skip(f"MobileFaceNet's weights are not at {mobile}: set DATA_DIR")
    found = Run(tmp_path_factory.mktemp("base"))
    prepare(found, lfw_small, [], 4, 0.3, seed=0)
    align(found, CropSpec())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(weights))
        make_base(found, "fp32", 0, mobile)
    return found


@pytest.fixture(scope="module")
def base(run: Run) -> Base:
    return load_base(run)


def test_cohort_is_half_of_the_strangers(run: Run, base: Base) -> None:
    data, outside = dataset(run), outside_cohort(run, base)
    assert len(base.strangers[MOBILE]) == 30  # of 60
    # 20 of the 60 have two photos: all photos of a stranger are outside the cohort, or none.
    assert 30 <= (~outside).sum() <= 50
    assert (data.splits[~outside] == STRANGER).all()


def test_the_runs_own_base_has_calibrations(base: Base) -> None:
    assert set(base.calibrations) == {GENERIC, MOBILE}
    for calibration in base.calibrations.values():
        assert isinstance(calibration, Calibration)
        assert calibration.threshold(10, 1.0) > calibration.threshold(2, 1.0)
        assert calibration.slope > 0


def test_eight_bits_keep_the_embeddings() -> None:
    random = np.random.RandomState(0)
    features, mobile = random.randn(20, 1792), random.randn(20, 192)
    found = unpack_cohort(pack_cohort(features, mobile, np.array([b"0" * 16] * 20)))
    for array, expected in zip(found, (features, mobile)):
        cosines = (array * expected).sum(axis=1) / np.linalg.norm(array, axis=1) / np.linalg.norm(expected, axis=1)
        assert cosines.min() > 0.9999


def test_cohort_in_an_embedding(base: Base, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(weights))
    cohort = base.cohort(generic_embedding())
    assert cohort.embeddings.shape == (30, 704)
    assert np.abs(np.linalg.norm(cohort.embeddings, axis=1) - 1).max() < 1e-5
