"""enrol: folders of photos -> a new version of a model that also knows these people, without training.

The networks stay as they are: a person is matched by the mean embedding of their photos. People are added to the
collection `people`, with the embedding `generic`. If the model has another collection, such as the bundled `lfw`, a new
one begins, either without people or with a copy of that collection and its embedding. Existing IDs do not change, and
new people get the next IDs.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from model.calibration import DEFAULT_STRICTNESS
from model.embedding import normalize
from model.gallery import EnrolledFace, Gallery, Person
from storage.galleries import now
from storage.networks import Pointer, Snapshot
from training.data.align import Aligned, align_all, stacked
from training.data.dataset import ALIGNED, FACELESS
from training.data.sources import merged_folders
from training.errors import TrainingError, log
from training.publishing.export import require_serving_torch
from training.publishing.versions import write_version
from training.store import latest, load_model, open_store

COLLECTION = "people"  # of the new version
# Figures: docs/training.md, "Open set by size".
ADVICE = "add a second one. Of 200 people 96 % are identified with one photo each, and 99 % with two"


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


def enrol(folders: Sequence[Path], model: str, models: Path, copy: str | None = None) -> Enrolment:
    """Add people, one folder of photos per person, to the model at `model`; write the new version below `models`.

    copy: name of the model's collection, whose people the new collection begins with. Raises TrainingError.
    """
    require_serving_torch()
    with open_store(str(models)) as target:
        _, etag = latest(target)
        snapshot = _start(load_model(model), copy)
        result = Enrolment()
        crops = _new_crops(merged_folders(folders), snapshot, result)
        gallery = snapshot.gallery
        for name, found in crops.items():
            gallery = _add(gallery, snapshot, name, found)
            result.added[name] = len(found)
        if result.added:
            result.look_alikes = _look_alikes(gallery, snapshot)
            result.pointer = write_version(
                models, lambda path: shutil.copyfile(snapshot.path, path), gallery, COLLECTION, etag
            )
    _log(result, gallery)
    return result


def _start(snapshot: Snapshot, copy: str | None) -> Snapshot:
    """Return the version with the collection to which people are added. Raises TrainingError."""
    collection = snapshot.pointer.collection
    if collection == COLLECTION or copy == collection:
        return snapshot
    if copy:
        raise TrainingError(f"The model has no collection {copy}: its collection is {collection}.")
    log(f"a new collection `{COLLECTION}` begins without the people of `{collection}`; --from {collection} keeps them")
    return snapshot.emptied()


def _add(gallery: Gallery, snapshot: Snapshot, name: str, found: Sequence[Aligned]) -> Gallery:
    """Add photos of a new or existing person."""
    crops, landmark_crops, _ = stacked(found)
    _, embeddings = snapshot.embed_to_enrol(crops, landmark_crops)
    known = next((person for person in gallery.people if person.name == name), None)
    person = known or Person(gallery.next_id, name)
    added = now()
    faces = [EnrolledFace(str(uuid4()), person.id, (face.digest,), added) for face in found]
    return gallery.add(person, faces, embeddings)


def _look_alikes(gallery: Gallery, snapshot: Snapshot) -> list[tuple[str, str, float]]:
    """Find new people who would be identified as an existing person, or as one who was added before them."""
    calibration = snapshot.cascade.joined
    first, people = snapshot.gallery.next_id, len(gallery)
    new = sum(person.id >= first for person in gallery.people)
    threshold = calibration.threshold(people, DEFAULT_STRICTNESS)
    alike = []
    for row, person in enumerate(gallery.people):
        if person.id < first:
            continue
        matches = gallery.search(normalize(gallery.means[row : row + 1]), new + 1, np.array([person.id]))
        for other, score in zip(matches.ids[0].tolist(), matches.scores[0]):
            if other < person.id:
                if score >= threshold:
                    alike.append((person.name, gallery.by_id[other].name, float(calibration.confidence(score, people))))
                break
    return alike


def _new_crops(folders: dict[str, list[Path]], snapshot: Snapshot, result: Enrolment) -> dict[str, list[Aligned]]:
    """Align the photos. -> each new photo with a face, by person; `result` lists the others."""
    seen = {digest for face in snapshot.gallery.faces for digest in face.photos}
    photos = [(name, path) for name, paths in folders.items() for path in paths]
    crops: dict[str, list[Aligned]] = {}
    aligned = align_all([str(path) for _, path in photos], snapshot.network.config.crop, "enrol")
    for face, (name, path) in zip(aligned, photos):  # in this order the progress bar reaches its end
        if face.status == ALIGNED and face.digest not in seen:
            seen.add(face.digest)
            crops.setdefault(name, []).append(face)
        elif face.status == ALIGNED:
            result.duplicates.append(path)
        else:
            (result.faceless if face.status == FACELESS else result.unreadable).append(path)
    return crops


def _log(result: Enrolment, gallery: Gallery) -> None:
    ids: dict[str, Any] = {person.name: person.id for person in gallery.people}
    for name, count in result.added.items():
        log(f"{name}: ID {ids[name]}, {count} photo{'s' * (count != 1)} added")
    single = [name for name in result.added if sum(face.person == ids[name] for face in gallery.faces) == 1]
    if single:
        log(f"only one photo of {', '.join(single)}: {ADVICE}")
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
