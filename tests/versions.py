"""Small versions for tests: networks that compute in milliseconds and recognize nobody, and a few people."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Sequence, Tuple

import numpy as np
import safetensors.numpy
import torch
from torch import nn

from model.calibration import Calibration, Tail
from model.cohort import Cohort
from model.crop import CropSpec
from model.embedding import GENERIC, MOBILE, TUNED, EmbeddingSpec, join, normalize
from model.gallery import Gallery
from model.mobilefacenet import EMBEDDING, STRIDES
from model.networks import COHORT, CONFIG, MOBILE_WEIGHTS, NetworkConfig
from model.records import EnrolledFace, Person
from storage.folder import FolderBlobs
from storage.galleries import MANIFEST
from storage.networks import FILE, OWN_POINTER, POINTER, Pointer
from training.publishing.versions import write_version
from training.store import latest

INCEPTION = 8  # numbers of the first part of an embedding
SIZE = INCEPTION + EMBEDDING  # numbers in an embedding
SPECS = {name: EmbeddingSpec(name, digest * 16, SIZE, EMBEDDING) for name, digest in ((GENERIC, "0"), (TUNED, "1"))}
# No score is below `lowest`: MobileFaceNet alone rejects nobody, so both networks are run.
CALIBRATION = Calibration(Tail(start=0.4, scale=0.1, shape=-0.1, smallest_fmr=1e-5), 10.0, -5.0, lowest=-2.0)
STRANGERS = 12  # in the cohort
CHANNELS = 2  # of each layer of MobileFaceNet
NAMES = ("Ada Lovelace", "Zoë Müller", "山田 太郎")
COLLECTION = "people"


class Network(nn.Module):
    """(uint8 crops [N, 3, size, size]) -> (generic, tuned), each float32 [N, INCEPTION] of length 1."""

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


def mobile_weights() -> dict[str, np.ndarray]:
    """Random weights of a MobileFaceNet with CHANNELS channels."""
    random, full, depthwise = np.random.RandomState(0), (CHANNELS, CHANNELS, 1, 1), (CHANNELS, 1, 3, 3)
    shapes = [(CHANNELS, 3, 3, 3), depthwise, full, *(full, depthwise, full) * len(STRIDES)]
    shapes += [full, (CHANNELS, 1, 7, 7), full, (EMBEDDING, CHANNELS, 1, 1)]
    arrays = {f"weight_{i}": random.randn(*shape) / np.sqrt(np.prod(shape[1:])) for i, shape in enumerate(shapes)}
    arrays.update({f"bias_{i}": random.randn(shape[0]) for i, shape in enumerate(shapes)})
    arrays.update({f"prelu_{i}": random.rand(CHANNELS) for i in range(len(shapes) - 1)})
    return {name: array.astype(np.float16) for name, array in arrays.items()}


def strangers() -> dict[str, np.ndarray]:
    """The cohort as a network's file has it: int8 [STRANGERS, size] for each part of an embedding."""
    random = np.random.RandomState(0)
    sizes = {GENERIC: INCEPTION, TUNED: INCEPTION, MOBILE: EMBEDDING}
    return {name: random.randint(-127, 128, (STRANGERS, size)).astype(np.int8) for name, size in sizes.items()}


def cohort(name: str = TUNED) -> Cohort:
    """The cohort that the network gives to a gallery with this embedding."""
    return Cohort(join(*(normalize(strangers()[part].astype(np.float32)) for part in (name, MOBILE))))


@lru_cache(maxsize=None)
def network(ballast: int = 0, **config: Any) -> bytes:
    """A model.pt. ballast: bytes that it has in addition; config: fields of its configuration."""
    return pack({CONFIG: json.dumps({**json.loads(network_config().to_json()), **config})}, ballast)


def network_config() -> NetworkConfig:
    return NetworkConfig(CropSpec(), SPECS, dict.fromkeys((*SPECS, MOBILE), CALIBRATION), "fp32")


def pack(changed: Mapping[str, bytes | str | None], ballast: int = 0) -> bytes:
    """A model.pt. changed: extra files by name that differ, None for one that is missing."""
    files: dict[str, bytes | str | None] = {
        CONFIG: network_config().to_json(),
        MOBILE_WEIGHTS: safetensors.numpy.save(mobile_weights()),
        COHORT: safetensors.numpy.save(strangers()),
    }
    extra = torch._C.ExtraFilesMap()
    for name, data in {**files, **changed}.items():
        if data is not None:
            extra[name] = data
    return torch.jit.script(Network(ballast)).save_to_buffer(_extra_files=extra)


def gallery(names: Sequence[str] = NAMES, faces: int = 2, seed: int = 0, spec: EmbeddingSpec = SPECS[TUNED]) -> Gallery:
    """faces: of each person."""
    people = [Person(2 * i, name, f"external-{i}" if i % 2 else None) for i, name in enumerate(names)]  # ids with gaps
    ids = [person.id for person in people for _ in range(faces)]
    enrolled = [EnrolledFace(f"face-{i}", key, (f"{i:016x}",), "2026-01-01") for i, key in enumerate(ids)]
    embeddings = np.random.RandomState(seed).randn(len(ids), spec.size).astype(np.float16)
    return Gallery.of(spec, cohort(spec.name), people, enrolled, embeddings, next_id=2 * len(people) + 5)


def write(folder: Path, people: Gallery | None = None, model: bytes | None = None) -> Pointer:
    """Write a version, which becomes the current one of the folder."""
    _, etag = latest(FolderBlobs(folder))
    model = network() if model is None else model
    people = gallery() if people is None else people
    return write_version(folder, lambda path: path.write_bytes(model), people, COLLECTION, etag)


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
