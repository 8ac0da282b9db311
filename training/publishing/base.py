"""base: make the base of a training run from a data set, instead of taking that of the bundled model.

It is needed once for each release that changes the networks, the crops or the score. Strangers (people with few photos)
are split: one half is the cohort, the other half and the known people calibrate. docs/training.md has the command.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import safetensors.numpy

from model.calibration import Calibration
from model.cohort import Cohort
from model.embedding import GENERIC, MOBILE, EmbeddingSpec
from model.networks import COHORT, MOBILE_WEIGHTS
from training.data.dataset import DIGESTS, Dataset, dataset
from training.data.prepare import STRANGER, examples
from training.evaluation.calibrate import Comparisons, calibrate
from training.evaluation.gallery import draw_photos, mean_embeddings, mean_gallery
from training.network.base import Base, outside_cohort, pack_cohort, write_base
from training.network.embeddings import generic_embedding
from training.network.features import features, load_features, load_mobile, mobile_embeddings
from training.records import Run

PHOTOS = (1, 2, 4)  # of each person in the galleries that calibrate
PROBES = 3  # other photos of each person that calibrate, at most


def make_base(run: Run, precision: str, seed: int, weights: Path) -> None:
    """Write the folder `base` of a run whose photos are aligned.

    weights: .npz file with MobileFaceNet's arrays, see `MobileFaceNet`.
    """
    arrays = _mobile_weights(weights)
    features(run, precision, seed)
    mobile_embeddings(run, arrays)
    data, inception, mobile = dataset(run), load_features(run, precision), load_mobile(run)
    rows = _cohort_rows(run, data, seed)
    strangers = pack_cohort(inception[rows], mobile[rows], np.load(run.out / DIGESTS)[data.rows[rows]])
    files = {MOBILE_WEIGHTS: safetensors.numpy.save(arrays), COHORT: safetensors.numpy.save(strangers)}
    base, generic = Base(files, {}), generic_embedding()
    cohort, probes = base.cohort(generic), outside_cohort(run, base)
    part = cohort.part(slice(-mobile.shape[1], None))
    calibrations = {
        GENERIC: _calibrate(generic.embed(inception, mobile), cohort, data, probes, seed),
        MOBILE: _calibrate(np.asarray(mobile), part, data, probes, seed),
    }
    write_base(run, replace(base, calibrations=calibrations))


def _mobile_weights(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        kinds = ("weight_", "bias_", "prelu_")
        return {
            name: file[name].astype(np.float16) for name in file.files if name.startswith(kinds) and file[name].size
        }


def _cohort_rows(run: Run, data: Dataset, seed: int) -> np.ndarray:
    """Select one photo of every second stranger, int64 [M]."""
    _, listed = examples(run)
    first: dict[Path, int] = {}
    for i in np.flatnonzero(data.splits == STRANGER):
        first.setdefault(Path(listed[data.rows[i]].path).parent, int(i))
    people = np.random.RandomState(seed).permutation(len(first))[: len(first) // 2]
    return np.array(list(first.values()), np.int64)[np.sort(people)]


def _calibrate(embeddings: np.ndarray, cohort: Cohort, data: Dataset, probes: np.ndarray, seed: int) -> Calibration:
    """Calibrate with galleries of all known people. Nobody of them is known to the embedding.

    embeddings: float32 [N, size] of length 1; probes: bool [N], see `outside_cohort`.
    """
    random = np.random.RandomState(seed)
    parts = []
    for photos in PHOTOS:
        drawn = draw_photos(data.labels, range(len(data.names)), photos, PROBES, random)
        entries = ((np.full(len(rows), i), embeddings[rows]) for i, rows in enumerate(drawn.enrolled))
        means = mean_embeddings(entries, len(drawn.enrolled), embeddings.shape[1])
        spec = EmbeddingSpec(GENERIC, "", embeddings.shape[1], embeddings.shape[1])
        gallery = mean_gallery(spec, cohort, [str(i) for i in range(len(drawn.enrolled))], means)
        strangers = np.flatnonzero((data.splits == STRANGER) & probes)
        scores = gallery.scores(embeddings[drawn.probes]), gallery.scores(embeddings[strangers])
        parts.append(Comparisons(scores[0], drawn.labels, scores[1], others_are_strangers=True))
    return calibrate(parts, seed)
