"""Large collections of synthetic people: embeddings that are drawn around real ones, and written as segments."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator

import numpy as np

from model.contents import Contents
from model.embedding import MOBILE_WEIGHT, join, normalize
from model.gallery import Gallery
from model.records import EnrolledFace, Person
from storage.blobs import BlobStore
from storage.galleries import MANIFEST, SEGMENTS, SUFFIX, Manifest, now, today
from storage.segments import SEGMENT_ROWS, describe_segment, encode

# Chosen so that strangers and people have about the cosines of LFW: see `drawn`.
OWN, SHARE = 0.75, (0.3, 0.7)


def drawn(real: Gallery, count: int, random: np.random.RandomState) -> np.ndarray:
    """Embeddings of people who do not exist, float32 [count, size].

    Each is between two real people, with noise of its own, in the parts of both networks. So they crowd where faces do,
    and resemble each other as faces do.
    """
    first, second = (random.randint(len(real.ids), size=count) for _ in range(2))
    share = random.uniform(*SHARE, (count, 1))
    mixed = share * real.means[first] + (1 - share) * real.means[second]
    parts = []
    for part in np.split(mixed / np.sqrt(MOBILE_WEIGHT), [-real.spec.mobile], axis=1):
        noise = normalize(random.randn(*part.shape))
        parts.append(normalize(normalize(part) + OWN * noise))
    return join(*parts)


def photographed(embeddings: np.ndarray, mobile: int, random: np.random.RandomState) -> np.ndarray:
    """Embeddings of other photos of the same people, float32: at cosines of about 0.75, as in LFW."""
    parts = np.split(embeddings / np.sqrt(MOBILE_WEIGHT), [-mobile], axis=1)
    return join(*(normalize(part + 0.88 * normalize(random.randn(*part.shape))) for part in parts))


def pieces(real: Gallery, count: int, seed: int = 0) -> Iterator[Contents]:
    """Yield segments' contents of so many people with one face each."""
    random = np.random.RandomState(seed)
    for start in range(0, count, SEGMENT_ROWS):
        ids = range(start, min(start + SEGMENT_ROWS, count))
        people = [Person(i, f"Somebody {i}") for i in ids]
        faces = [EnrolledFace(f"{i:08x}-0000-4000-8000-000000000000", i, (f"{i:016x}",), now()) for i in ids]
        piece = Gallery.of(real.spec, real.cohort, people, faces, drawn(real, len(ids), random)).whole()
        yield piece._replace(embeddings=piece.embeddings[:].astype(np.float16))


def write(blobs: BlobStore, name: str, real: Gallery, count: int) -> int:
    """Write a collection of so many people. -> its bytes."""
    segments = []
    for piece in pieces(real, count):
        data = encode(piece)
        segment = describe_segment("", data, piece)
        segment = replace(segment, file=f"{SEGMENTS}{segment.sha256[:32]}{SUFFIX}")
        blobs.put(f"{name}/{segment.file}", data)
        segments.append(segment)
    manifest = Manifest(name, real.spec, today(), count, count, count, tuple(segments))
    blobs.put(f"{name}/{MANIFEST}", manifest.to_json(), if_absent=True)
    return sum(segment.bytes for segment in segments)
