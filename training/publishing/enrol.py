"""enrol: folders of photos -> a new version of a model that also knows these people, without training.

The network stays as it is: a person is matched by the mean embedding of their photos. Existing IDs do not change,
and new people get the next IDs.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from model.gallery import EnrolledFace, Gallery, Person
from storage.errors import BlobNotFound
from storage.galleries import now
from storage.networks import PROBES, Pointer, Snapshot, load_current
from training.data.align import align_all
from training.data.dataset import ALIGNED, FACELESS
from training.data.sources import merged_folders
from training.errors import TrainingError, log
from training.evaluation.gallery import Batches
from training.publishing.export import require_serving_torch
from training.publishing.probes import measure_cost, read_probes
from training.publishing.versions import write_version
from training.store import latest, open_store

COLLECTION = "people"  # of the new version
PROBES_BYTES = 1 << 24  # at most


@dataclass
class Enrolment:
    """Result of an enrolment. pointer: None if nothing was new; added: photos by person; look_alikes: new person,
    known person, confidence.
    """

    pointer: Pointer | None = None
    added: dict[str, int] = field(default_factory=dict)
    look_alikes: list[tuple[str, str, float]] = field(default_factory=list)
    duplicates: list[Path] = field(default_factory=list)
    faceless: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)


def enrol(folders: Sequence[Path], model: str, models: Path) -> Enrolment:
    """Add people, one folder of photos per person, to the model at `model`; write the new version below `models`.

    Raises TrainingError.
    """
    require_serving_torch()
    with open_store(str(models)) as target:
        _, etag = latest(target)
        snapshot, probes = _load(model)
        result = Enrolment()
        crops = _new_crops(merged_folders(folders), snapshot, result)
        gallery = snapshot.gallery
        for name, found in crops.items():
            gallery = _add(gallery, snapshot, name, found)
            result.added[name] = len(found)
        if result.added:
            result.look_alikes = _look_alikes(gallery, snapshot)
            if probes:
                _log_cost(read_probes(probes), snapshot, gallery)
            result.pointer = write_version(
                models, lambda path: shutil.copyfile(snapshot.path, path), gallery, COLLECTION, probes, etag
            )
    _log(result, gallery)
    return result


def _load(model: str) -> tuple[Snapshot, bytes | None]:
    """Load the current version, and its published probes, if any. Raises TrainingError."""
    with open_store(model) as blobs:
        snapshot = load_current(blobs)
        try:
            return snapshot, blobs.get(f"{snapshot.version}/{PROBES}", PROBES_BYTES).data
        except BlobNotFound:
            return snapshot, None


def _add(gallery: Gallery, snapshot: Snapshot, name: str, found: Sequence[tuple[np.ndarray, str]]) -> Gallery:
    """Add photos of a new or existing person. found: crop and digest of each photo."""
    embeddings = snapshot.embed(np.stack([crop for crop, _ in found]))
    known = next((person for person in gallery.people if person.name == name), None)
    person = known or Person(gallery.next_id, name)
    added = now()
    faces = [EnrolledFace(str(uuid4()), person.id, (digest,), added) for _, digest in found]
    return gallery.add(person, faces, embeddings)


def _look_alikes(gallery: Gallery, snapshot: Snapshot) -> list[tuple[str, str, float]]:
    """Find new people who would be identified as an existing person, or as one who was added before them."""
    calibration = snapshot.calibration
    first = snapshot.gallery.next_id
    new = sum(person.id >= first for person in gallery.people)
    alike = []
    for row, person in enumerate(gallery.people):
        if person.id < first:
            continue
        mean = gallery.means[row : row + 1]
        probe = mean / np.linalg.norm(mean)
        matches = gallery.search(probe, new + 1, np.array([person.id]))
        for other, confidence in zip(matches.ids[0].tolist(), calibration.confidence(matches.scores[0]).tolist()):
            if other < person.id:
                if confidence >= calibration.threshold:
                    alike.append((person.name, gallery.by_id[other].name, confidence))
                break
    return alike


def _new_crops(
    folders: dict[str, list[Path]], snapshot: Snapshot, result: Enrolment
) -> dict[str, list[tuple[np.ndarray, str]]]:
    """Align the photos. -> crop and digest of each new photo with a face, by person; `result` lists the others."""
    seen = {digest for face in snapshot.gallery.faces for digest in face.photos}
    photos = [(name, path) for name, paths in folders.items() for path in paths]
    crops: dict[str, list[tuple[np.ndarray, str]]] = {}
    aligned = align_all([str(path) for _, path in photos], snapshot.network.config.crop, "enrol")
    for (status, crop, digest), (name, path) in zip(aligned, photos):  # in this order the progress bar reaches its end
        if status == ALIGNED and digest not in seen:
            seen.add(digest)
            crops.setdefault(name, []).append((crop, digest))
        elif status == ALIGNED:
            result.duplicates.append(path)
        else:
            (result.faceless if status == FACELESS else result.unreadable).append(path)
    return crops


def _log_cost(probes: Batches, snapshot: Snapshot, gallery: Gallery) -> None:
    """Log the metrics of the probes before and after the enrolment."""
    calibration = snapshot.calibration
    threshold = calibration.score(calibration.threshold)
    before, after = (measure_cost(probes, each, threshold) for each in (snapshot.gallery, gallery))

    def both(name: str) -> str:
        return f"{before[name]:.1%} before, {after[name]:.1%} now"

    log(f"{before['photos']} val photos of known people: identified correctly {both('tpir')}")
    if before["strangers"]:
        log(f"{before['strangers']} photos of strangers: identified as somebody {both('fpir')}")


def _log(result: Enrolment, gallery: Gallery) -> None:
    ids: dict[str, Any] = {person.name: person.id for person in gallery.people}
    for name, count in result.added.items():
        log(f"{name}: ID {ids[name]}, {count} photo{'s' * (count != 1)} added")
    for name, other, confidence in result.look_alikes:
        log(f"{name} looks like {other} (confidence {confidence:.2f}): if they are the same person, use one name")
    for reason, paths in (
        ("known already, left out", result.duplicates),
        ("no face found, left out", result.faceless),
        ("cannot be read, left out", result.unreadable),
    ):
        for path in paths:
            log(f"{path}: {reason}")
    if result.pointer:
        log(f"model {result.pointer.version} knows {len(gallery.people)} people")
    elif result.duplicates:
        log("nothing new: the model knows all of these photos")
    else:
        raise TrainingError("No face was found in any of the photos: nobody was enrolled.")
