"""Changes of a collection in a database: the rows that an edit removes and adds, in the caller's transaction."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, Iterable, Mapping, Sequence

import numpy as np

from model.cohort import Cohort
from model.edit import Edit
from model.records import Person
from storage.postgres.database import Cursor
from storage.postgres.gallery import PostgresGallery
from storage.postgres.rows import FACE, FACE_TYPES, PERSON, CollectionRow, embedding_bytes, face_row
from storage.postgres.schema import create_vector_indexes, drop_vector_indexes

BATCH = 5_000  # people whose vectors are computed at a time
REBUILT = 10_000  # people who are added to an empty collection, from which its vector indexes are built after them


class ChangingGallery(PostgresGallery):
    """The gallery that a change meets. It is in the transaction of the change, so nobody else changes it."""

    def __init__(self, cursor: Cursor, row: CollectionRow, cohort: Cohort) -> None:
        super().__init__(lambda _: nullcontext(cursor), row, cohort)
        self.cursor = cursor

    def edited(self, edit: Edit) -> ChangingGallery:
        """Make a change in the transaction."""
        return ChangingGallery(self.cursor, apply_edit(self, edit), self.cohort)


def apply_edit(gallery: ChangingGallery, edit: Edit) -> CollectionRow:
    """Make a change. -> the row of the collection after it, which is not written."""
    cursor, row = gallery.cursor, gallery.row
    tables = row.tables
    removed = list(edit.removed_people)
    touched = {face.person for face in edit.faces}
    crops = _crops_of_moved(cursor, row, edit)
    cursor.execute(f"delete from {tables.entries} where person = any(%s)", [removed])
    searchable = row.searchable - cursor.rowcount
    cursor.execute(f"delete from {tables.faces} where person = any(%s)", [removed])
    faces = row.faces - cursor.rowcount
    if edit.removed_faces:
        query = f"delete from {tables.faces} where id = any(%s) returning person"
        cursor.execute(query, [list(edit.removed_faces)])
        faces -= cursor.rowcount
        touched.update(person for (person,) in cursor)
    cursor.execute(f"delete from {tables.people} where id = any(%s)", [removed])
    people = row.people - cursor.rowcount + _write_people(cursor, row, edit.people)
    _write_faces(cursor, row, edit, crops)
    faces += len(edit.faces)
    if touched:
        searchable += _write_entries(gallery, np.array(sorted(touched), np.int64))
    next_id = max([row.next_id, edit.next_id, *(person.id + 1 for person in edit.people)])
    return row._replace(
        next_id=next_id, people=people, searchable=searchable, faces=faces, crops=row.crops or bool(edit.crops)
    )


def _write_people(cursor: Cursor, row: CollectionRow, people: Sequence[Person]) -> int:
    """Write people, in place of those with the same IDs. -> number of new ones."""
    tables = row.tables
    cursor.execute(f"select id from {tables.people} where id = any(%s)", [[person.id for person in people]])
    known = {person_id for (person_id,) in cursor}
    new = [person for person in people if person.id not in known]
    cursor.executemany(
        f"update {tables.people} set name = %s, folded = %s, external_id = %s, user_id = %s where id = %s",
        [(*_texts(person), person.id) for person in people if person.id in known],
    )
    columns = PERSON.replace("name", "name, folded")
    types = ("int8", "text", "text", "text", "text")
    _copy(cursor, f"{tables.people} ({columns})", types, ((person.id, *_texts(person)) for person in new))
    return len(new)


def _texts(person: Person) -> tuple[str | None, ...]:
    return person.name, person.name.casefold(), person.external_id, person.user_id


def _crops_of_moved(cursor: Cursor, row: CollectionRow, edit: Edit) -> dict[str, bytes]:
    """Read the stored crops of faces that the edit gives to other people."""
    if not row.crops:
        return {}
    query = f"select id, crop from {row.tables.faces} where id = any(%s) and crop is not null"
    cursor.execute(query, [[face.id for face in edit.faces]])
    return dict(cursor)


def _write_faces(cursor: Cursor, row: CollectionRow, edit: Edit, moved: Mapping[str, bytes]) -> None:
    """Add faces. moved: crops of those that were there before, by ID."""
    given = np.zeros((0, row.spec.size), np.float32) if edit.embeddings is None else np.asarray(edit.embeddings)
    rows = (
        (*face_row(face), embedding_bytes(embedding), edit.crops.get(face.id, moved.get(face.id)))
        for face, embedding in zip(edit.faces, given)
    )
    types = (*FACE_TYPES, "bytea", "bytea")
    _copy(cursor, f"{row.tables.faces} ({FACE}, embedding, crop)", types, rows)


def _write_entries(gallery: ChangingGallery, ids: np.ndarray) -> int:
    """Compute the vectors of people whose faces have changed. -> how many more people can be found.

    ids: int64, ascending.
    """
    cursor, row = gallery.cursor, gallery.row
    entries, difference = row.tables.entries, 0
    rebuilt = not row.searchable and len(ids) >= REBUILT
    if rebuilt:
        drop_vector_indexes(cursor, row.id)
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH].tolist()
        cursor.execute(f"delete from {entries} where person = any(%s)", [some])
        difference -= cursor.rowcount
        part = gallery.part(some)
        found = np.flatnonzero(part.face_counts)
        vectors = (part.index_of(found, mobile).vectors for mobile in (False, True))
        rows = zip(part.ids[found].tolist(), *vectors)
        _copy(cursor, f"{entries} (person, whole, mobile)", ("int8", "vector", "vector"), rows)
        difference += len(found)
    if rebuilt:
        create_vector_indexes(cursor, row.id, row.spec)
    return difference


def _copy(cursor: Cursor, table: str, types: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Add rows to a table. table: with the columns in parentheses."""
    with cursor.copy(f"copy {table} from stdin (format binary)") as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)
