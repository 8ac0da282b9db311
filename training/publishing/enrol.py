"""enrol: folders of photos -> a new version of a finished model that also knows these people. No training.

The trunk and the embedding stay as they are; a person is the mean embedding of their photos. IDs already given out keep
their meaning, and new people get the next ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.errors import ModelUnavailable
from model.recognizer import Config, Person, Recognizer, load_script
from model.store import Pointer, fetch
from training.data.align import align_all
from training.data.dataset import ALIGNED, FACELESS
from training.data.sources import merged_folders
from training.errors import TrainingError, log
from training.evaluation.gallery import Gallery
from training.evaluation.metrics import confidence_of
from training.evaluation.probes import cost, read_probes
from training.publishing.export import require_serving_torch
from training.publishing.store import save_version


@dataclass
class Enrolment:
    """What became of the photos. pointer is None where nothing was new."""

    pointer: Pointer | None = None
    added: dict[str, int] = field(default_factory=dict)  # photos by person
    look_alikes: list[tuple[str, str, float]] = field(default_factory=list)  # new person, known one, confidence
    duplicates: list[Path] = field(default_factory=list)
    faceless: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)


def enrol(folders: Sequence[Path], model: str, models: Path) -> Enrolment:
    """Add the people in `folders`, a folder a person, to the model at `model`; write the new version below `models`.

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
    crops = _new_crops(merged_folders(folders), known, recognizer, result)
    roll = _People(script, config, known)
    before = Gallery.published(script)
    for name, found in crops.items():
        embeddings = recognizer.classify(np.stack([crop for crop, _ in found]))[1]
        roll.add(name, embeddings, [digest for _, digest in found])
        result.added[name] = len(found)
    if result.added:
        gallery = Gallery(roll.means, before.normalisation)
        result.look_alikes = roll.look_alikes(gallery, len(before.means))
        text, probes = read_probes(path)
        if text:
            _tell_cost(cost(probes, before, roll.threshold), cost(probes, gallery, roll.threshold))
        script.means = torch.from_numpy(np.ascontiguousarray(gallery.means, np.float32))
        script.hubness = torch.from_numpy(gallery.hubness)
        result.pointer = save_version(script, config, roll.people, models, text)
    _tell(result, roll)
    return result


class _People:
    """The people of a model. means: [people, 512]; threshold: the score from which a face counts as known."""

    def __init__(self, script: torch.jit.ScriptModule, config: Config, people: list[Person]) -> None:
        self.people = people
        self.ids = {person.name: person.id for person in people}
        self.means: np.ndarray = script.means.numpy()
        self._slope, self._intercept = script.slope, script.intercept
        self.threshold = (math.log(config.threshold / (1 - config.threshold)) - self._intercept) / self._slope

    def look_alikes(self, gallery: Gallery, first: int) -> list[tuple[str, str, float]]:
        """Of the people from ID `first` on, whom of those before them they would be taken for, and how surely."""
        alike = []
        for person in self.people[first:]:
            mean = self.means[person.id : person.id + 1]
            found = gallery.scores(mean / np.linalg.norm(mean), np.array([person.id]))[0, : person.id]
            best = int(found.argmax())
            if found[best] >= self.threshold:
                confidence = confidence_of(float(found[best]), self._slope, self._intercept)
                alike.append((person.name, self.people[best].name, confidence))
        return alike

    def add(self, name: str, embeddings: np.ndarray, digests: list[str]) -> None:
        """More photos, [N, 512], of a person who is there or not."""
        if name not in self.ids:
            self.ids[name] = len(self.people)
            self.people.append(Person(self.ids[name], name))
            self.means = np.concatenate([self.means, np.zeros((1, self.means.shape[1]), np.float32)])
        person = self.people[self.ids[name]]
        weights = [len(person.photos)] + [1] * len(embeddings)
        means = self.means.copy()
        means[person.id] = np.average(np.stack([means[person.id], *embeddings]), axis=0, weights=weights)
        self.means = means
        self.people[person.id] = replace(person, photos=(*person.photos, *digests))


def _new_crops(
    folders: dict[str, list[Path]], known: list[Person], recognizer: Recognizer, result: Enrolment
) -> dict[str, list[tuple[np.ndarray, str]]]:
    """Crop and digest of each photo that is new and shows a face, by person; the others are noted in `result`."""
    seen = {digest for person in known for digest in person.photos}
    photos = [(name, path) for name, paths in folders.items() for path in paths]
    crops: dict[str, list[tuple[np.ndarray, str]]] = {}
    aligned = align_all([str(path) for _, path in photos], recognizer.config.crop, "enrol")
    for (status, crop, digest), (name, path) in zip(aligned, photos):  # in this order the progress bar gets to its end
        if status == ALIGNED and digest not in seen:
            seen.add(digest)
            crops.setdefault(name, []).append((crop, digest))
        elif status == ALIGNED:
            result.duplicates.append(path)
        else:
            (result.faceless if status == FACELESS else result.unreadable).append(path)
    return crops


def _tell_cost(before: dict[str, Any], after: dict[str, Any]) -> None:
    def both(name: str) -> str:
        return f"{before[name]:.1%} before, {after[name]:.1%} now"

    log(f"known people's {before['photos']} val photos: named rightly and known {both('right_and_known')}")
    if before["strangers"]:
        log(f"{before['strangers']} photos of strangers: taken for somebody {both('strangers_accepted')}")


def _tell(result: Enrolment, roll: _People) -> None:
    for name, count in result.added.items():
        log(f"{name}: ID {roll.ids[name]}, {count} photo{'s' * (count != 1)} added")
    for name, other, confidence in result.look_alikes:
        log(f"{name} looks like {other} (confidence {confidence:.2f}): if that is one person, use one name")
    for what, paths in (
        ("known already, left out", result.duplicates),
        ("no face found, left out", result.faceless),
        ("cannot be read, left out", result.unreadable),
    ):
        for path in paths:
            log(f"{path}: {what}")
    if result.pointer:
        log(f"model {result.pointer.version} knows {len(roll.people)} people")
    elif result.duplicates:
        log("nothing new: the model knows all of these photos")
    else:
        raise TrainingError("No face was found in any of the photos: nobody was enrolled.")
