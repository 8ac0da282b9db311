"""Small versions for tests: a network that computes in a millisecond and recognizes nobody, and a few people."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from torch import nn

from model.calibration import Calibration, ScoreNormalization
from model.crop import CropSpec
from model.embedding import GENERIC, TUNED, EmbeddingSpec
from model.gallery import EnrolledFace, Gallery, Person
from model.networks import CONFIG, NetworkConfig
from storage.folder import FolderBlobs
from storage.galleries import MANIFEST
from storage.networks import FILE, OWN_POINTER, POINTER, Pointer
from training.publishing.versions import write_version
from training.store import latest

SIZE = 8  # numbers in an embedding
SPECS = {name: EmbeddingSpec(name, digest * 16, SIZE) for name, digest in ((GENERIC, "0"), (TUNED, "1"))}
NAMES = ("Ada Lovelace", "Zoë Müller", "山田 太郎")
COLLECTION = "people"


class Network(nn.Module):
    """(uint8 crops [N, 3, size, size]) -> (generic, tuned), each float32 [N, SIZE] of length 1."""

    def __init__(self, ballast: int) -> None:
        super().__init__()
        self.register_buffer("ballast", torch.zeros(ballast, dtype=torch.uint8))

    @torch.jit.export
    def prepare(self) -> None:
        pass

    def forward(self, crops: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:  # noqa: UP006 for TorchScript
        found = nn.functional.adaptive_avg_pool2d(crops.float(), [2, 4])[:, 0].reshape(-1, 8) + 1.0
        found = nn.functional.normalize(found, p=2.0, dim=1)
        return found, found


@lru_cache(maxsize=None)
def network(ballast: int = 0, **config: Any) -> bytes:
    """A model.pt. ballast: bytes that it has in addition; config: fields of its configuration."""
    calibration = Calibration(ScoreNormalization(), 10.0, -5.0, 0.5)
    made = NetworkConfig(CropSpec(), SPECS, dict.fromkeys(SPECS, calibration), "fp32")
    extra = torch._C.ExtraFilesMap()
    extra[CONFIG] = json.dumps({**json.loads(made.to_json()), **config})
    return torch.jit.script(Network(ballast)).save_to_buffer(_extra_files=extra)


def gallery(names: Sequence[str] = NAMES, faces: int = 2, seed: int = 0, spec: EmbeddingSpec = SPECS[TUNED]) -> Gallery:
    """faces: of each person."""
    people = [Person(2 * i, name, f"external-{i}" if i % 2 else None) for i, name in enumerate(names)]  # ids with gaps
    ids = [person.id for person in people for _ in range(faces)]
    enrolled = [EnrolledFace(f"face-{i}", key, (f"{i:016x}",), "2026-01-01") for i, key in enumerate(ids)]
    embeddings = np.random.RandomState(seed).randn(len(ids), spec.size).astype(np.float16)
    return Gallery(spec, ScoreNormalization(), people, enrolled, embeddings, next_id=2 * len(people) + 5)


def write(folder: Path, people: Gallery | None = None, model: bytes | None = None) -> Pointer:
    """Write a version, which becomes the current one of the folder."""
    _, etag = latest(FolderBlobs(folder))
    model = network() if model is None else model
    people = gallery() if people is None else people
    return write_version(folder, lambda path: path.write_bytes(model), people, COLLECTION, None, etag)


class Files(NamedTuple):
    """Files of a version that consists of one segment."""

    folder: Path
    pointer: Path
    model: Path
    manifest: Path
    segment: Path


def files(folder: Path) -> Files:
    """The files of the current version."""
    version = folder / current(folder).version
    people = version / "galleries" / COLLECTION
    (segment,) = (people / "segments").iterdir()
    return Files(version, version / OWN_POINTER, version / FILE, people / MANIFEST, segment)


def current(folder: Path) -> Pointer:
    return Pointer.parse((folder / POINTER).read_bytes())


def seal_segment(found: Files, **counts: int) -> None:
    """Have the manifest name the segment as it is now. counts: of people or faces."""
    data = found.segment.read_bytes()
    manifest = json.loads(found.manifest.read_bytes())
    manifest["segments"][0].update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), **counts)
    found.manifest.write_text(json.dumps(manifest))


def seal(folder: Path, found: Files) -> None:
    """Have the pointer name network and manifest as they are now: what was damaged before it was published."""
    model, manifest = found.model.read_bytes(), found.manifest.read_bytes()
    sha256, manifest_sha256 = (hashlib.sha256(data).hexdigest() for data in (model, manifest))
    pointer = replace(current(folder), sha256=sha256, bytes=len(model), manifest_sha256=manifest_sha256)
    for path in (found.pointer, folder / POINTER):
        path.write_text(pointer.to_json())
