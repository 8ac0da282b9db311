"""People and their faces, in parts that galleries share."""

from __future__ import annotations

from functools import cached_property
from typing import Iterable, Sequence

import numpy as np

from model.contents import Contents
from model.records import EnrolledFace, Person
from model.texts import Texts


class Roster:
    """An immutable set of people and their faces, to look them up.

    It consists of parts. A person's faces may be in several parts. A person's row may be too: the last one counts.

    ids: of all people, ascending, int64 [people]; owners: for each face the ID of its person, int64 [faces]. Rows of
    people are in the order of the IDs, rows of faces in that of the parts.
    """

    def __init__(self, parts: Sequence[Contents]) -> None:
        self.parts = tuple(parts)
        people = np.concatenate([np.zeros(0, np.int64), *(part.people.id for part in parts)])
        self._people_starts = _starts([len(part.people.id) for part in parts])
        self._face_starts = _starts([len(part.faces.person) for part in parts])
        self.ids, self._people_at = last_rows(people)
        self.owners = np.concatenate([np.zeros(0, np.int64), *(part.faces.person for part in parts)])

    @property
    def people_count(self) -> int:
        return len(self.ids)

    @property
    def face_count(self) -> int:
        return len(self.owners)

    def __len__(self) -> int:
        """Return the number of people who can be found: those with a face."""
        return int(np.count_nonzero(self.face_counts))

    # People

    @cached_property
    def people(self) -> tuple[Person, ...]:
        """All people, by ID. For a large gallery this takes time and memory: `person` and `people_of` do not."""
        return self.people_of(range(len(self.ids)))

    def people_of(self, rows: Iterable[int]) -> tuple[Person, ...]:
        """Return the people in some rows."""
        return tuple(self._person(row) for row in rows)

    def person(self, person_id: int) -> Person | None:
        """Return a person, None if nobody has this ID."""
        row = self.row_of(person_id)
        return None if row is None else self._person(row)

    def found(self, ids: np.ndarray) -> tuple[Person, ...]:
        """Return the people of matches, int64 [k]."""
        return self.people_of(np.searchsorted(self.ids, ids).tolist())

    def row_of(self, person_id: int) -> int | None:
        """Return the row of a person, None if nobody has this ID."""
        row = int(np.searchsorted(self.ids, person_id))
        return row if row < len(self.ids) and self.ids[row] == person_id else None

    def people_after(self, after: int, limit: int) -> tuple[tuple[Person, int], ...]:
        """Return people with higher IDs than `after`, at most `limit`, by ID, and how many faces each has."""
        start = int(np.searchsorted(self.ids, after, side="right"))
        rows = range(start, min(start + limit, len(self.ids)))
        return tuple(zip(self.people_of(rows), self.face_counts[start : rows.stop].tolist()))

    def named(self, name: str) -> tuple[Person, ...]:
        """Return the people of this name, by ID."""
        return self._with([part.people.name for part in self.parts], name)

    def named_alike(self, name: str) -> tuple[Person, ...]:
        """Return the people of this name, by ID; upper and lower case are the same."""
        return self._with([part.people.name.folded for part in self.parts], name.casefold())

    def with_external_id(self, external_id: str) -> tuple[Person, ...]:
        """Return the people with this external ID, by ID."""
        return self._with([part.people.external_id or Texts.none(0) for part in self.parts], external_id)

    def user(self, user_id: str) -> Person | None:
        """Return the person with this user ID, None if there is none."""
        return next(iter(self._with(self._user_ids(), user_id)), None)

    def users(self) -> tuple[Person, ...]:
        """Return the people with a user ID, by ID."""
        return self._found([np.flatnonzero(column.lengths >= 0) for column in self._user_ids()])

    def _user_ids(self) -> list[Texts]:
        return [part.people.user_id or Texts.none(0) for part in self.parts]

    def _with(self, columns: Sequence[Texts], value: str) -> tuple[Person, ...]:
        """Return the people with a value in a column, by ID. columns: of each part."""
        return self._found([column.find(value) for column in columns])

    def _found(self, rows: Sequence[np.ndarray]) -> tuple[Person, ...]:
        """Return the people in some rows of each part, unless a later part replaces them."""
        people = set()
        for part, start, found in zip(self.parts, self._people_starts, rows):
            for at in found.tolist():
                row = self.row_of(int(part.people.id[at]))
                if row is not None and self._people_at[row] == start + at:
                    people.add(row)
        return self.people_of(sorted(people))

    def _person(self, row: int) -> Person:
        part, at = _locate(self._people_starts, int(self._people_at[row]))
        return self.parts[part].people.row(at)

    # Faces

    @cached_property
    def faces(self) -> tuple[EnrolledFace, ...]:
        """All faces. For a large gallery this takes time and memory: `face` and `faces_of` do not."""
        return tuple(map(self.face, range(len(self.owners))))

    def face(self, row: int) -> EnrolledFace:
        """Return the face in a row."""
        part, at = _locate(self._face_starts, row)
        return self.parts[part].faces.row(at)

    def find_face(self, face_id: str) -> int | None:
        """Return the row of a face, None if there is none with this ID."""
        for part, start in zip(self.parts, self._face_starts):
            rows = part.faces.id.find(face_id)
            if len(rows):
                return int(start + rows[-1])
        return None

    def face_rows(self, face_ids: Iterable[str]) -> list[int]:
        """Return the rows of faces. Raises KeyError if one is not there."""
        rows = []
        for face_id in face_ids:
            row = self.find_face(face_id)
            if row is None:
                raise KeyError(face_id)
            rows.append(row)
        return rows

    def faces_of(self, person_id: int) -> tuple[EnrolledFace, ...]:
        """Return the faces of a person, in the order in which they were added; none if nobody has this ID."""
        return tuple(map(self.face, self.face_rows_of(person_id)))

    def face_rows_of(self, person_id: int) -> list[int]:
        """Return the rows of a person's faces; none if nobody has this ID."""
        row = self.row_of(person_id)
        if row is None:
            return []
        found: list[int] = self._face_order[self._first_faces[row] : self._first_faces[row + 1]].tolist()
        return found

    def photo_faces(self, digest: str) -> list[int]:
        """Return the rows of the faces that are from the photo with this digest."""
        pairs = zip(self.parts, self._face_starts)
        return [int(start + row) for part, start in pairs for row in part.faces.photos.find_line(digest)]

    def has_photo(self, digest: str) -> bool:
        """Tell whether a face is from the photo with this digest."""
        return any(len(part.faces.photos.find_line(digest)) for part in self.parts)

    @cached_property
    def face_counts(self) -> np.ndarray:
        """Number of faces of each person, int64 [people]."""
        return np.diff(self._first_faces)

    @cached_property
    def _rows(self) -> np.ndarray:
        """Row of each face's person, int64 [faces]."""
        if np.array_equal(self.owners, self.ids):
            return np.arange(len(self.ids))
        return np.searchsorted(self.ids, self.owners)

    @cached_property
    def _face_order(self) -> np.ndarray:
        """Rows of faces, by person, int64 [faces]."""
        ascending = bool((self._rows[1:] >= self._rows[:-1]).all())
        return np.arange(len(self._rows)) if ascending else np.argsort(self._rows, kind="stable")

    @cached_property
    def _first_faces(self) -> np.ndarray:
        """Positions of people's first faces in `_face_order`, and its length, int64 [people + 1]."""
        counts = np.bincount(self._rows, minlength=len(self.ids))
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])

    @cached_property
    def _weights(self) -> np.ndarray:
        """Number of photos of each face, at least 1, float32 [faces]."""
        lines = np.concatenate([np.zeros(0, np.int64), *(part.faces.photos.lines() for part in self.parts)])
        return np.maximum(lines, 1).astype(np.float32)

    def has_owners(self) -> bool:
        """Tell whether the people of all faces are there."""
        if not len(self.ids):
            return not len(self.owners)
        rows = np.minimum(self._rows, len(self.ids) - 1)
        return bool((self.ids[rows] == self.owners).all())


def _starts(counts: Sequence[int]) -> np.ndarray:
    """Number of rows before each part, int64 [parts]."""
    return np.cumsum([0, *counts], dtype=np.int64)[:-1]


def _locate(starts: np.ndarray, row: int) -> tuple[int, int]:
    """Row of all parts -> part, and row in it."""
    part = int(np.searchsorted(starts, row, side="right")) - 1
    return part, row - int(starts[part])


def last_rows(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different IDs, ascending, and the last row of each."""
    if (ids[1:] > ids[:-1]).all():
        return ids, np.arange(len(ids))
    order = np.argsort(ids, kind="stable")
    found = ids[order]
    is_last = np.append(found[1:] != found[:-1], True)
    return found[is_last], order[is_last]


def is_range(rows: np.ndarray) -> bool:
    return bool((rows == np.arange(len(rows))).all())
