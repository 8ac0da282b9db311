"""Segments: immutable files with people, faces and embeddings (docs/format.md).

A segment is a safetensors file with the arrays `embeddings`, float16 [faces, size], `nearness`, float32 [people, 2],
and `records`, uint8: JSON with people and faces, in columns.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Iterator, NamedTuple, Sequence

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from model.gallery import EnrolledFace, Person
from storage.errors import CorruptData
from storage.fields import describe

SEGMENT_ROWS = 4096  # people, and faces, in a segment: about 7 MB
# Columns that are left out where no row has a value.
OPTIONAL = {"people": ("user_id",), "faces": ("box", "confidence", "photo_size", "external_id", "origin")}


@dataclass(frozen=True)
class Segment:
    """An entry of a manifest. file: key below the collection; people, faces: how many it holds."""

    file: str
    sha256: str
    bytes: int
    people: int
    faces: int


class Contents(NamedTuple):
    """The content of a segment. embeddings: float16 [faces, size]; nearness: float32 [people, 2]."""

    people: Sequence[Person]
    faces: Sequence[EnrolledFace]
    embeddings: np.ndarray
    nearness: np.ndarray

    def rows(self, people: Sequence[int], faces: Sequence[int]) -> Contents:
        """Select rows of people and of faces."""
        return Contents(
            [self.people[row] for row in people],
            [self.faces[row] for row in faces],
            self.embeddings[list(faces)],
            self.nearness[list(people)],
        )

    def pieces(self) -> Iterator[Contents]:
        """Split into contents that fit into a segment each."""
        for start in range(0, max(len(self.people), len(self.faces)), SEGMENT_ROWS):
            rows = slice(start, start + SEGMENT_ROWS)
            yield Contents(self.people[rows], self.faces[rows], self.embeddings[rows], self.nearness[rows])


def rounded(embeddings: np.ndarray) -> np.ndarray:
    """Round embeddings as segments hold them, so that a writer sees what others read. -> float32."""
    return embeddings.astype(np.float16).astype(np.float32)


def joined(parts: Sequence[Contents], size: int) -> Contents:
    """Join contents one after the other. size: numbers in an embedding."""
    return Contents(
        [person for part in parts for person in part.people],
        [face for part in parts for face in part.faces],
        np.concatenate([np.zeros((0, size), np.float16), *(part.embeddings for part in parts)]),
        np.concatenate([np.zeros((0, 2), np.float32), *(part.nearness for part in parts)]),
    )


def encode(contents: Contents) -> bytes:
    """Return the bytes of a segment."""
    records = {"people": _columns(Person, contents.people), "faces": _columns(EnrolledFace, contents.faces)}
    for table, names in OPTIONAL.items():
        for name in names:
            if all(value is None for value in records[table][name]):
                del records[table][name]
    arrays: dict[str, np.ndarray] = {
        "embeddings": contents.embeddings.astype(np.float16),
        "nearness": contents.nearness.astype(np.float32),
        "records": np.frombuffer(json.dumps(records, ensure_ascii=False).encode(), np.uint8),
    }
    data: bytes = safetensors.numpy.save(arrays)
    return data


def describe_segment(file: str, data: bytes, contents: Contents) -> Segment:
    """Return the entry of a manifest for a segment with these bytes."""
    return Segment(file, hashlib.sha256(data).hexdigest(), len(data), len(contents.people), len(contents.faces))


def decode(data: bytes, segment: Segment, size: int) -> Contents:
    """Read verified bytes of a segment. size: numbers in an embedding. Raises CorruptData."""
    try:
        found = _decode(data)
        shapes = {"embeddings": found.embeddings.shape, "nearness": found.nearness.shape}
        counted = {"embeddings": (len(found.faces), size), "nearness": (len(found.people), 2)}
        if shapes != counted or (len(found.people), len(found.faces)) != (segment.people, segment.faces):
            raise ValueError("arrays, records and manifest do not fit together")
        return found
    except (SafetensorError, ValueError, TypeError, KeyError, RecursionError) as error:
        message = f"The segment {segment.file} cannot be read: {describe(error)}."
        raise CorruptData(message, "a segment cannot be read") from error


def _decode(data: bytes) -> Contents:
    """Raises SafetensorError, ValueError, TypeError, KeyError, RecursionError."""
    arrays = safetensors.numpy.load(data)
    records = json.loads(arrays["records"].tobytes())
    columns, people = records["faces"], records["people"]
    if not {*map(type, people["id"]), *map(type, columns["person"])} <= {int}:
        raise TypeError("an ID is not an integer")
    for table, names in OPTIONAL.items():
        for name in names:
            records[table].setdefault(name, [None] * len(records[table]["id"]))
    columns["photos"] = map(tuple, columns["photos"])
    for name in ("box", "photo_size"):
        columns[name] = [value and tuple(value) for value in columns[name]]
    return Contents(
        list(map(Person._make, zip(*(people[name] for name in Person._fields)))),
        list(map(EnrolledFace._make, zip(*(columns[name] for name in EnrolledFace._fields)))),
        arrays["embeddings"],
        arrays["nearness"],
    )


def _columns(kind: type, rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Rows of a named tuple -> its columns by name."""
    return {name: [getattr(row, name) for row in rows] for name in kind._fields}  # type: ignore[attr-defined]
