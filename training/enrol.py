"""enrol: folders of photos -> a new version of a finished model that also knows these people. No training.

The trunk and the embedding stay as they are; a person is the mean embedding of their photos. IDs already given out keep
their meaning, and new people get the next ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from model.errors import ModelUnavailable
from model.recognizer import Person, Recognizer, load_script
from model.store import Pointer, fetch
from training.align import ALIGNED, FACELESS, align_all
from training.export import require_serving_torch, save_version
from training.prepare import people_folders
from training.steps import TrainingError, say


@dataclass
class Enrolment:
    """What became of the photos. pointer is None where nothing was new."""

    pointer: Pointer | None = None
    added: dict[str, int] = field(default_factory=dict)  # photos by person
    duplicates: list[Path] = field(default_factory=list)
    faceless: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)


def enrol(people: Path, model: str, models: Path) -> Enrolment:
    """Add the people in `people`, a folder a person, to the model at `model`; write the new version below `models`.

    Raises TrainingError.
    """
    require_serving_torch()
    try:
        path, pointer = fetch(model)
        recognizer = Recognizer(path, pointer.version)
        script, config, known = load_script(path)
    except ModelUnavailable as error:
        raise TrainingError(str(error)) from error
    result = Enrolment()
    crops = _new_crops(people_folders(people), known, recognizer, result)
    ids = {person.name: person.id for person in known}
    means = script.means.numpy()
    for name, found in crops.items():
        embeddings = recognizer.classify(np.stack([crop for crop, _ in found]))[1]
        if name not in ids:
            ids[name] = len(known)
            known.append(Person(ids[name], name))
            means = np.concatenate([means, np.zeros((1, means.shape[1]), np.float32)])
        person = known[ids[name]]
        weights = [len(person.photos)] + [1] * len(found)
        means[person.id] = np.average(np.stack([means[person.id], *embeddings]), axis=0, weights=weights)
        known[person.id] = replace(person, photos=(*person.photos, *(digest for _, digest in found)))
        result.added[name] = len(found)
    if result.added:
        script.means = torch.from_numpy(np.ascontiguousarray(means, np.float32))
        result.pointer = save_version(script, config, known, models)
    _tell(result, known)
    return result


def _new_crops(
    folders: dict[str, list[Path]], known: list[Person], recognizer: Recognizer, result: Enrolment
) -> dict[str, list[tuple[np.ndarray, str]]]:
    """Crop and digest of each photo that is new and shows a face, by person; the others are noted in `result`."""
    seen = {digest for person in known for digest in person.photos}
    photos = [(name, path) for name, paths in folders.items() for path in paths]
    crops: dict[str, list[tuple[np.ndarray, str]]] = {}
    aligned = align_all([str(path) for _, path in photos], recognizer.config.crop, "enrol")
    for (name, path), (status, crop, digest) in zip(photos, aligned):
        if status == ALIGNED and digest not in seen:
            seen.add(digest)
            crops.setdefault(name, []).append((crop, digest))
        elif status == ALIGNED:
            result.duplicates.append(path)
        else:
            (result.faceless if status == FACELESS else result.unreadable).append(path)
    return crops


def _tell(result: Enrolment, known: list[Person]) -> None:
    ids = {person.name: person.id for person in known}
    for name, count in result.added.items():
        say(f"{name}: ID {ids[name]}, {count} photo{'s' * (count != 1)} added")
    for what, paths in (
        ("known already, left out", result.duplicates),
        ("no face found, left out", result.faceless),
        ("cannot be read, left out", result.unreadable),
    ):
        for path in paths:
            say(f"{path}: {what}")
    if result.pointer:
        say(f"model {result.pointer.version} knows {len(known)} people")
    elif result.duplicates:
        say("nothing new: the model knows all of these photos")
    else:
        raise TrainingError("No face was found in any of the photos: nobody was enrolled.")
