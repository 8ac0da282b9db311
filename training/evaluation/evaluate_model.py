"""Identify photos with a finished model, as the service does.

evaluate --model: metrics on photos that it was not trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.gallery import Matches
from service.results import Skipped
from storage.networks import Snapshot
from training.data.align import Change, aligned_batches
from training.data.dataset import BATCH, CROPS, LANDMARK_CROPS, RELIABLE, Dataset, read_crops
from training.data.people_photos import PeoplePhotos, read_people
from training.data.prepare import CENTRAL
from training.data.skipped import UNKNOWN_PERSON, Summary, log_each, printable
from training.errors import TrainingError
from training.evaluation import metrics
from training.evaluation.gallery import TOP, probes_of
from training.evaluation.metrics import Probes
from training.records import Run
from training.store import load_model


def evaluate_model(
    uri: str, data: Path, strangers: Path | None, *, level: int | None = None, strict: bool = False
) -> dict[str, Any]:
    """Measure rank-n accuracy, TPIR and FPIR of the model at `uri`.

    data, strangers: folders with one folder of photos per person. People in `data` who are not in the model are left
    out. level: of the people's folders, see `read_people`; strict: a photo that is skipped is an error.

    Raises TrainingError if nobody remains or no photo shows a face.
    """
    snapshot = load_model(uri)
    people = read_people([data], level, data_set=True)
    photos, skipped = _photos_of_known(snapshot, people, data)
    known, accepted = evaluate_probes(
        snapshot, [(str(path), label, CENTRAL) for label, paths in photos.items() for path in paths], skipped=skipped
    )
    if not len(known):
        raise TrainingError(f"No face was found in any photo of {data}.")
    unknown = read_people([strangers], level, data_set=True) if strangers else PeoplePhotos({})
    others, others_accepted = evaluate_probes(
        snapshot, [(str(path), -1, CENTRAL) for paths in unknown.people.values() for path in paths], skipped=skipped
    )
    skipped += unknown.skipped
    ignored = (*people.ignored, *unknown.ignored)
    Summary(len(photos) + len(unknown.people), len(known) + len(others), skipped, ignored).finish(strict)
    images = sum(len(paths) for paths in photos.values())
    result = {"model": snapshot.version, "people": len(photos), "images": images, "faceless": images - len(known)}
    result.update(metrics.measure(known, others, images))
    result["named_at_threshold"] = float((known.correct & accepted).sum() / images)
    if len(others):
        result["strangers"] = len(others)
        result["strangers_accepted_at_threshold"] = float(others_accepted.mean())
    return result


def _photos_of_known(
    snapshot: Snapshot, found: PeoplePhotos, data: Path
) -> tuple[dict[int, list[Path]], list[Skipped]]:
    """Return the photos by person ID, and what is left out. Raises TrainingError if nobody is in the model."""
    ids = {person.name: person.id for person in snapshot.gallery.people}
    photos = {ids[name]: paths for name, paths in found.people.items() if name in ids}
    if not photos:
        raise TrainingError(f"None of the people in {data} is in the model.")
    others = {name: paths for name, paths in found.people.items() if name not in ids}
    unknown = [Skipped(f"{printable(paths[0])} ({name})", UNKNOWN_PERSON) for name, paths in others.items()]
    log_each(unknown)
    return photos, [*found.skipped, *unknown]


def evaluate_probes(
    snapshot: Snapshot,
    photos: Sequence[tuple[str, int, str]],
    desc: str = "align",
    change: Change | None = None,
    skipped: list[Skipped] | None = None,
) -> tuple[Probes, np.ndarray]:
    """Identify the photos in which a face is detected, as the service does.

    photos: path, label, -1 for strangers, and CENTRAL or DOMINANT; desc: label of the progress bar; change: applied to
    each photo first; skipped: list to which photos without a face are added.
    -> probes whose scores are confidences, and which of them are known, bool [N].
    """
    parts, known = [Probes.none()], [np.zeros(0, bool)]
    for batch in aligned_batches(photos, snapshot.network.config.crop, desc, change, skipped=skipped):
        found = snapshot.search(batch.crops, batch.landmark_crops, batch.reliable, TOP)
        parts.append(probes_of(Matches(found.ids, found.confidences), batch.labels))
        known.append(found.known)
    return Probes.joined(parts), np.concatenate(known)


def search_crops(
    snapshot: Snapshot, run: Run, data: Dataset, chosen: np.ndarray
) -> tuple[Probes, np.ndarray, np.ndarray]:
    """Identify photos whose crops a run holds, as the service does.

    data: of the run; chosen: int64 [N], positions in it. -> probes whose scores are confidences, which of them are
    known, and which MobileFaceNet decides alone, bool [N].
    """
    reliable = np.load(run.out / RELIABLE)[data.rows[chosen]]
    parts, known, alone = [Probes.none()], [np.zeros(0, bool)], [np.zeros(0, bool)]
    crops, landmark_crops = (read_crops(run, data.rows[chosen], name) for name in (CROPS, LANDMARK_CROPS))
    for start, both in zip(range(0, len(chosen), BATCH), zip(crops, landmark_crops)):
        rows = slice(start, start + BATCH)
        found = snapshot.search(*both, reliable[rows], TOP)
        parts.append(probes_of(Matches(found.ids, found.confidences), data.labels[chosen[rows]]))
        known.append(found.known)
        alone.append(found.alone)
    return Probes.joined(parts), np.concatenate(known), np.concatenate(alone)
