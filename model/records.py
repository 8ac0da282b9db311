"""People and their faces as rows, and as the tables that galleries hold: a million rows take little memory.

In a table, a column that has no value at all is None.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Mapping, NamedTuple, Sequence, TypeVar, Union

import numpy as np

from model.texts import Texts


class Person(NamedTuple):
    """A person in a gallery.

    id: assigned once and never reused; external_id: of another system; user_id: UserId of a client of Rekognition.
    """

    id: int
    name: str
    external_id: str | None = None
    user_id: str | None = None


class EnrolledFace(NamedTuple):
    """One embedding of a person.

    id: UUID; person: the person's id; photos: digests of the photos whose embeddings it is the mean of; added: time or
    day, ISO 8601 in UTC; box: XYXY in pixels of the upright photo, confidence: of the detector in [0, 1], photo_size:
    width and height of the upright photo in pixels, all three None for the mean over several photos; external_id:
    ExternalImageId that a client of Rekognition gave the photo, if it is not that of the person; origin: of a face of a
    user, from whom it was taken: ID of a person, external ID of one who was indexed, None for a person of its own.
    """

    id: str
    person: int
    photos: tuple[str, ...]
    added: str
    box: tuple[float, float, float, float] | None = None
    confidence: float | None = None
    photo_size: tuple[int, int] | None = None
    external_id: str | None = None
    origin: int | str | None = None


Column = Union[np.ndarray, Texts]


class PeopleTable(NamedTuple):
    """People. id: int64 [people]."""

    id: np.ndarray
    name: Texts
    external_id: Texts | None
    user_id: Texts | None

    @classmethod
    def of(cls, people: Sequence[Person]) -> PeopleTable:
        ids, names, external_ids, user_ids = _columns(people, Person)
        return cls(np.array(ids, np.int64), Texts.of(names), _texts(external_ids), _texts(user_ids))

    def row(self, row: int) -> Person:
        name = self.name[row]
        assert name is not None, "everybody has a name"
        return Person(int(self.id[row]), name, _text(self.external_id, row), _text(self.user_id, row))


class FaceTable(NamedTuple):
    """Faces.

    person: int64 [faces]; photos: the digests, a line each; box: float64 [faces, 4]; confidence: float64 [faces], both
    NaN for None; photo_size: int64 [faces, 2], 0 for None; origin: as JSON.
    """

    id: Texts
    person: np.ndarray
    photos: Texts
    added: Texts
    box: np.ndarray | None
    confidence: np.ndarray | None
    photo_size: np.ndarray | None
    external_id: Texts | None
    origin: Texts | None

    @classmethod
    def of(cls, faces: Sequence[EnrolledFace]) -> FaceTable:
        ids, people, photos, added, boxes, confidences, sizes, external_ids, origins = _columns(faces, EnrolledFace)
        return cls(
            Texts.of(ids),
            np.array(people, np.int64),
            Texts.of(["\n".join(digests) for digests in photos]),
            Texts.of(added),
            _numbers(boxes, (np.nan,) * 4, np.float64),
            _numbers(confidences, np.nan, np.float64),
            _numbers(sizes, (0, 0), np.int64),
            _texts(external_ids),
            _texts([None if origin is None else json.dumps(origin, ensure_ascii=False) for origin in origins]),
        )

    def row(self, row: int) -> EnrolledFace:
        face_id, added, origin = self.id[row], self.added[row], _text(self.origin, row)
        assert face_id is not None and added is not None, "every face has them"
        return EnrolledFace(
            face_id,
            int(self.person[row]),
            tuple(filter(None, (self.photos[row] or "").split("\n"))),
            added,
            None if self.box is None or np.isnan(self.box[row, 0]) else tuple(self.box[row].tolist()),
            None if self.confidence is None or np.isnan(self.confidence[row]) else float(self.confidence[row]),
            None if self.photo_size is None or not self.photo_size[row, 0] else tuple(self.photo_size[row].tolist()),
            _text(self.external_id, row),
            None if origin is None else json.loads(origin),
        )


Table = TypeVar("Table", PeopleTable, FaceTable)

# Columns of those that may be missing: rows -> a column without values.
EMPTY: Mapping[str, Callable[[int], Column]] = {
    "external_id": Texts.none,
    "user_id": Texts.none,
    "origin": Texts.none,
    "box": lambda rows: np.full((rows, 4), np.nan),
    "confidence": lambda rows: np.full(rows, np.nan),
    "photo_size": lambda rows: np.zeros((rows, 2), np.int64),
}


def take(table: Table, rows: np.ndarray) -> Table:
    """Select rows of a table, int [rows]."""
    columns: Any = (_taken(column, rows) for column in table)
    return type(table)(*columns)


def join(tables: Sequence[Table]) -> Table:
    """Join tables of one kind, at least one, one after the other."""
    counts = [len(table[0]) for table in tables]
    columns: list[Any] = []
    for name, parts in zip(tables[0]._fields, zip(*tables)):
        if all(part is None for part in parts):
            columns.append(None)
            continue
        filled: list[Any] = [EMPTY[name](count) if part is None else part for part, count in zip(parts, counts)]
        columns.append(Texts.joined(filled) if isinstance(filled[0], Texts) else np.concatenate(filled))
    return type(tables[0])(*columns)


def _text(column: Texts | None, row: int) -> str | None:
    return None if column is None else column[row]


def _taken(column: Column | None, rows: np.ndarray) -> Column | None:
    return column.take(rows) if isinstance(column, Texts) else None if column is None else column[rows]


def _columns(rows: Sequence[Any], kind: Any) -> Sequence[Sequence[Any]]:
    return list(zip(*rows)) if rows else [()] * len(kind._fields)


def _texts(values: Sequence[str | None]) -> Texts | None:
    return Texts.of(values) if any(value is not None for value in values) else None


def _numbers(values: Sequence[Any], missing: Any, kind: Any) -> np.ndarray | None:
    if all(value is None for value in values):
        return None
    return np.array([missing if value is None else value for value in values], kind)
