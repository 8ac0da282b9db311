"""Segments: immutable files with people, faces and embeddings (docs/format.md).

A segment is a safetensors file. A column of people or faces is an array, a column of texts is two: bytes, and lengths.
So a large collection can stay in its files, and a row is read where it is.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from dataclasses import dataclass
from typing import Any, Mapping, Sequence, Union

import numpy as np
import safetensors.numpy

from model.contents import Contents
from model.records import EMPTY, EnrolledFace, FaceTable, PeopleTable, Person
from model.texts import Texts
from storage.errors import CorruptData
from storage.fields import describe
from storage.mapped import MAPPED_BYTES, MappedRows, map_bytes

SEGMENT_ROWS = 4096  # people, and faces, in a segment: about 7 MB
LENGTHS = ".lengths"
RECORDS = "records"  # array of segments of format 1: people and faces as JSON
KINDS = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "|u1"}  # safetensors: numpy

Buffer = Union[bytes, mmap.mmap]


@dataclass(frozen=True)
class Segment:
    """An entry of a manifest. file: key below the collection; people, faces: how many it holds."""

    file: str
    sha256: str
    bytes: int
    people: int
    faces: int


def rounded(embeddings: np.ndarray) -> np.ndarray:
    """Round embeddings as segments hold them, so that a writer sees what others read. -> float16."""
    return embeddings.astype(np.float16)


def encode(contents: Contents) -> bytes:
    """Return the bytes of a segment."""
    arrays = {"embeddings": rounded(contents.embeddings[:]), "nearness": contents.nearness.astype(np.float32)}
    for prefix, table in (("people", contents.people), ("faces", contents.faces)):
        columns: Sequence[Any] = table
        for name, column in zip(table._fields, columns):
            if isinstance(column, Texts):
                arrays[f"{prefix}.{name}"] = column.data
                arrays[f"{prefix}.{name}{LENGTHS}"] = column.lengths
            elif column is not None:
                arrays[f"{prefix}.{name}"] = column
    data: bytes = safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    return data


def stored(contents: Contents, data: bytes, segment: Segment) -> Contents:
    """Return the contents of a segment from a temp file if it is large. data: its bytes."""
    mapped = map_bytes(data) if len(data) >= MAPPED_BYTES else None
    return decode(mapped, segment, contents.embeddings.shape[1]) if mapped else contents


def describe_segment(file: str, data: bytes, contents: Contents) -> Segment:
    """Return the entry of a manifest for a segment with these bytes."""
    counts = len(contents.people.id), len(contents.faces.person)
    return Segment(file, hashlib.sha256(data).hexdigest(), len(data), *counts)


def decode(data: Buffer, segment: Segment, size: int) -> Contents:
    """Read verified bytes of a segment, which stay where they are. Raises CorruptData.

    data: in memory, or mapped from a file after they were decoded in memory, so that texts are not checked again; size:
    numbers in an embedding.
    """
    try:
        arrays = _arrays(memoryview(data))
        found = _of_records(arrays) if RECORDS in arrays else _of_columns(arrays, checked=isinstance(data, bytes))
        people, faces = len(found.people.id), len(found.faces.person)
        if (people, faces) != (segment.people, segment.faces):
            raise ValueError("its people and faces are not as many as the manifest says")
        if found.embeddings.shape != (faces, size) or found.nearness.shape != (people, 2):
            raise ValueError("its arrays have other sizes than the manifest says")
        return _in_file(found, data) if isinstance(data, mmap.mmap) else found
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        message = f"The segment {segment.file} cannot be read: {describe(error)}."
        raise CorruptData(message, "a segment cannot be read") from error


def _in_file(found: Contents, mapped: mmap.mmap) -> Contents:
    """Keep in memory what each search and each change reads, and leave texts and embeddings in the file."""
    assert isinstance(found.embeddings, np.ndarray)
    contents = Contents(
        found.people._replace(id=found.people.id.copy()),
        found.faces._replace(person=found.faces.person.copy()),
        MappedRows(mapped, found.embeddings),
        found.nearness.copy(),
    )
    mapped.madvise(mmap.MADV_DONTNEED)  # what decoding has read
    return contents


def _arrays(data: memoryview) -> dict[str, np.ndarray]:
    """Read a safetensors file without copying it. Raises ValueError, TypeError, KeyError, RecursionError."""
    # The library copies each array, and a large collection does not fit into memory twice.
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(bytes(data[8:begin]))
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            kind, shape, (start, end) = KINDS[entry["dtype"]], entry["shape"], entry["data_offsets"]
            if not 0 <= start <= end <= len(data) - begin:
                raise ValueError("an array ends outside the file")
            found[name] = np.frombuffer(data[begin + start : begin + end], kind).reshape(shape)
    return found


def _of_columns(arrays: Mapping[str, np.ndarray], checked: bool) -> Contents:
    """Raises ValueError, TypeError, KeyError."""
    people = PeopleTable(**{name: _column(arrays, "people", name) for name in PeopleTable._fields})
    faces = FaceTable(**{name: _column(arrays, "faces", name) for name in FaceTable._fields})
    for table in (people, faces):
        columns: Sequence[Any] = table
        for name, column in zip(table._fields, columns):
            if column is not None and len(column) != len(columns[0]):
                raise ValueError("its columns have different lengths")
            if checked and isinstance(column, Texts):
                column.check()
                if name not in EMPTY and (column.lengths < 0).any():
                    raise ValueError("a text is missing")
    return Contents(people, faces, arrays["embeddings"], arrays["nearness"])


def _column(arrays: Mapping[str, np.ndarray], table: str, name: str) -> Any:
    key = f"{table}.{name}"
    if name in EMPTY and key not in arrays:
        return None
    if key + LENGTHS in arrays:
        return Texts(arrays[key], arrays[key + LENGTHS])
    column = arrays[key]
    if column.dtype.kind != ("f" if name in ("box", "confidence") else "i"):
        raise TypeError("a column is of another type")
    return column


def _of_records(arrays: Mapping[str, np.ndarray]) -> Contents:
    """Read a segment of format 1. Raises ValueError, TypeError, KeyError, RecursionError."""
    records = json.loads(arrays[RECORDS].tobytes())
    people, faces = records["people"], records["faces"]
    if not {*map(type, people["id"]), *map(type, faces["person"])} <= {int}:
        raise TypeError("an ID is not an integer")
    for table in (people, faces):
        for name in EMPTY:
            table.setdefault(name, [None] * len(table["id"]))
    return Contents.of(
        list(map(Person._make, zip(*(people[name] for name in Person._fields)))),
        list(map(EnrolledFace._make, zip(*(faces[name] for name in EnrolledFace._fields)))),
        arrays["embeddings"],
        arrays["nearness"],
    )
