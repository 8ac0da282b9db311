"""Crops in, people out: a published model, loaded.

`model.pt` is one TorchScript file that torch 1.5.0 loads with nothing else. It maps uint8 crops [N, 3, 160, 160] RGB to
logits [N, people] and embeddings [N, 512]. A person's logit is the log odds that the crop shows them: the cosine
between the crop's embedding and the mean embedding of the person's photos, less a part of what the runners-up have,
scaled so that its sigmoid is a confidence.
Who the people are and how crops are cut lies in the same file, as extra files.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.crop import CropSpec
from model.errors import ModelUnavailable
from model.store import fetch

FORMAT = 1
CONFIG, PEOPLE = "config.json", "people.json"


@dataclass(frozen=True)
class Person:
    """id: the index of the person's logit. photos: digests of the photos that the model knows them by."""

    id: int
    name: str
    photos: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """What a model says about itself. threshold: confidence from which a face counts as known."""

    crop: CropSpec
    threshold: float
    precision: str
    metrics: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def parse(cls, text: str) -> Config:
        """Raises ModelUnavailable for a missing field or a newer format."""
        try:
            found = json.loads(text)
            if found["format"] > FORMAT:
                raise ModelUnavailable(
                    f"The model has format {found['format']} and this service reads up to {FORMAT}: update the service."
                )
            return cls(**{**found, "crop": CropSpec(**found["crop"])})
        except (ValueError, TypeError, KeyError) as error:
            raise ModelUnavailable(f"The model's {CONFIG} cannot be read: {error!r}.") from error

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def people_to_json(people: list[Person]) -> str:
    return json.dumps([asdict(person) for person in people])


def parse_people(text: str) -> list[Person]:
    """Raises ModelUnavailable."""
    try:
        people = [Person(entry["id"], entry["name"], tuple(entry["photos"])) for entry in json.loads(text)]
    except (ValueError, TypeError, KeyError) as error:
        raise ModelUnavailable(f"The model's {PEOPLE} cannot be read: {error!r}.") from error
    if [person.id for person in people] != list(range(len(people))):
        raise ModelUnavailable(f"The model's {PEOPLE} does not number people from 0 on.")
    return people


def load_script(path: Path) -> tuple[torch.jit.ScriptModule, Config, list[Person]]:
    """The file as it lies on disk, not yet ready to run. Raises ModelUnavailable."""
    # torch 1.5 fills in the values of the names that are asked for; one that is missing in the file stays empty.
    extra = torch._C.ExtraFilesMap()
    extra[CONFIG] = extra[PEOPLE] = ""
    try:
        script = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
    except (RuntimeError, OSError) as error:
        raise ModelUnavailable("The model file is not one that this version of torch can load.") from error
    return script, Config.parse(extra[CONFIG]), parse_people(extra[PEOPLE])


class Recognizer:
    """A model that is ready to name faces."""

    def __init__(self, path: Path, version: str) -> None:
        """Raises ModelUnavailable."""
        self._script, self.config, self.people = load_script(path)
        self.version = version
        try:
            self._script.prepare()
        except (RuntimeError, AttributeError) as error:
            raise ModelUnavailable("The model file is not one of ours: it has no `prepare`.") from error

    @classmethod
    def load(cls, uri: str) -> Recognizer:
        """The current model of a folder or an S3 prefix. Raises ModelUnavailable."""
        path, pointer = fetch(uri)
        return cls(path, pointer.version)

    def classify(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 crops [N, size, size, 3] RGB -> confidences float32 [N, people], embeddings float32 [N, 512].

        A confidence is for one person against everybody else in the world; they do not add up to 1.
        """
        with torch.no_grad():
            logits, embeddings = self._script(to_tensor(crops))
        return torch.sigmoid(logits).numpy(), embeddings.numpy()


def to_tensor(crops: np.ndarray) -> torch.Tensor:
    """What every network here is fed: uint8 [N, size, size, 3] -> uint8 [N, 3, size, size].

    Not normalised: that happens inside the graph, so training and serving cannot differ in it.
    """
    return torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))
