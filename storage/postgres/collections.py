"""Collections of people that change at runtime, in a PostgreSQL database with pgvector (docs/database.md).

A change is one transaction, which locks the row of its collection: no change is lost, and a writer that dies leaves
nothing. Nothing is kept in memory, so every request sees all changes that have been answered.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import Future, TimeoutError
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Callable, NamedTuple

import psycopg

from model.edit import Edit
from model.embedding import EmbeddingSpec
from model.gallery import Gallery
from storage.background import Task, in_background
from storage.collection_files import COMMITS, conflict, new_id
from storage.engine import Change, Current, Result, Revision
from storage.errors import BlobConflict, BlobNotFound, StorageUnreachable
from storage.galleries import Manifest, today
from storage.postgres.changes import ChangingGallery, apply_edit
from storage.postgres.database import Cursor, Database
from storage.postgres.gallery import PostgresGallery
from storage.postgres.rows import SELECT_COLLECTIONS, CollectionRow
from storage.postgres.schema import COLLECTIONS, create_tables, drop_tables, no_tables
from storage.revisions import Cohorts, missing

FIRST = 12.0  # seconds that a request waits for the database's first answer
PAUSE = 0.1  # seconds between two attempts
PATIENCE = 5.0  # seconds, after which a change that fails because of others or of the connection is given up


class PostgresRevision(NamedTuple):
    """A collection as it is at one time, see storage/engine.py."""

    name: str
    manifest: Manifest
    etag: str
    gallery: PostgresGallery


class PostgresCollections:
    """The collections of a database, see storage/engine.py. Safe for several threads and processes."""

    def __init__(
        self,
        database: Database,
        start: Callable[[Task], None] = in_background,
        first: float = FIRST,
        patience: float = PATIENCE,
    ) -> None:
        """start: runs a task beside the requests; first, patience: see above."""
        self._database, self._start, self._first, self._patience = database, start, first, patience

    def check(self, name: str, cohorts: Cohorts) -> PostgresCheck:
        check = PostgresCheck(lambda: self.read(name, cohorts), self._first)
        self._start(check.run)
        return check

    def read(self, name: str, cohorts: Cohorts) -> PostgresRevision:
        with self._database.transaction() as cursor:
            row = _existing(cursor, name)
        return self._revision(row, cohorts)

    def commit(
        self, name: str, cohorts: Cohorts, change: Change[Result], erase: bool = False
    ) -> tuple[PostgresRevision, Result]:
        prepare = getattr(change, "prepare", None)
        if prepare:  # while the collection is not locked
            prepare(self.read(name, cohorts).gallery.spec)
        commit, results, deadline = new_id(), [], time.monotonic() + self._patience
        while True:
            try:
                with self._database.transaction() as cursor:
                    row = _existing(cursor, name, lock=True)
                    if commit not in row.commits:  # as after a connection that was lost during a commit
                        row, result = _changed(cursor, row, cohorts, change, commit)
                        results.append(result)
                return self._revision(row, cohorts), results[-1]
            except (BlobConflict, StorageUnreachable):
                if time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE)

    def replace(self, known: Revision, gallery: Gallery) -> PostgresRevision:
        people, faces = gallery.people, gallery.faces
        with self._database.transaction() as cursor:
            row = _existing(cursor, known.name, lock=True)
            if row.etag != known.etag:
                raise conflict(known.name)
            query = f"select id, crop from {row.tables.faces} where crop is not null"
            crops = dict(cursor.execute(query)) if row.crops else {}
            drop_tables(cursor, row.id)
            create_tables(cursor, row.id, gallery.spec)
            emptied = row._replace(spec=gallery.spec, people=0, searchable=0, faces=0)
            edit = Edit(people, faces, gallery.embeddings, next_id=gallery.next_id, crops=crops)
            after = apply_edit(ChangingGallery(cursor, emptied, gallery.cohort), edit)
            row = _write(cursor, after, new_id())
        return self._revision(row, lambda _: gallery.cohort)

    def sweep(self, name: str, cohorts: Cohorts) -> None:
        """Do nothing: a transaction that is not committed leaves nothing."""

    def create(self, name: str, spec: EmbeddingSpec) -> bool:
        with self._database.transaction() as cursor:
            values = {"name": name, "embedding": json.dumps(asdict(spec)), "created": today()}
            # Also in place of a deleted collection, whose IDs are not assigned again.
            cursor.execute(
                f"insert into {COLLECTIONS} as c (name, embedding, created) "
                "values (%(name)s, %(embedding)s, %(created)s) on conflict (name) do update "
                "set embedding = excluded.embedding, created = excluded.created, deleted = false, "
                "changes = c.changes + 1 where c.deleted returning id",
                values,
            )
            created = cursor.fetchone()
            if created:
                create_tables(cursor, created[0], spec)
        return bool(created)

    def delete(self, name: str) -> Manifest:
        with self._database.transaction() as cursor:
            row = _existing(cursor, name, lock=True)
            drop_tables(cursor, row.id)
            emptied = row._replace(people=0, searchable=0, faces=0, deleted=True, crops=False)
            _write(cursor, emptied, new_id())
        return row.manifest

    def manifest(self, name: str) -> Manifest:
        with self._database.transaction() as cursor:
            return _existing(cursor, name).manifest

    def manifests(self) -> list[Manifest]:
        with self._database.transaction() as cursor:
            return [row.manifest for row in _rows(cursor, "order by name")]

    def crop(self, name: str, face_id: str) -> bytes | None:
        with suppress(BlobNotFound), self._database.transaction() as cursor:
            row = _existing(cursor, name)
            found = cursor.execute(f"select crop from {row.tables.faces} where id = %s", [face_id]).fetchone()
            return found[0] if found else None
        return None

    def _revision(self, row: CollectionRow, cohorts: Cohorts) -> PostgresRevision:
        gallery = PostgresGallery(self._database.transaction, row, cohorts(row.spec))
        return PostgresRevision(row.name, row.manifest, row.etag, gallery)


class PostgresCheck:
    """A collection that is being read in another thread."""

    def __init__(self, read: Callable[[], PostgresRevision], first: float) -> None:
        self._read, self._deadline = read, time.monotonic() + first
        self._revision: Future[PostgresRevision] = Future()

    def run(self) -> None:
        """Read the current revision."""
        try:
            self._revision.set_result(self._read())
        except Exception as error:  # noqa: BLE001 it is raised in the thread that waits
            self._revision.set_exception(error)

    def result(self, seconds: float | None = None) -> Current:
        left = self._deadline - time.monotonic() if seconds is None else seconds
        try:
            return Current(self._revision.result(max(0, left)), stale=False)
        except TimeoutError as error:
            raise StorageUnreachable("The database has not answered yet.", "the database took too long") from error


def _existing(cursor: Cursor, name: str, lock: bool = False) -> CollectionRow:
    """Read the row of a collection. lock: until the end of the transaction. Raises BlobNotFound."""
    found = _rows(cursor, f"and name = %s {'for update' if lock else ''}", name)
    if not found:
        raise missing(name)
    return found[0]


def _rows(cursor: Cursor, condition: str, *values: Any) -> list[CollectionRow]:
    """Read the rows of collections. condition: the rest of the SQL, with the values."""
    try:
        cursor.execute(f"{SELECT_COLLECTIONS} where not deleted {condition}", values)
    except psycopg.errors.UndefinedTable as error:  # not one collection is missing, but all of them
        raise no_tables() from error
    return [CollectionRow.of(row) for row in cursor]


def _changed(
    cursor: Cursor, row: CollectionRow, cohorts: Cohorts, change: Change[Result], commit: str
) -> tuple[CollectionRow, Result]:
    """Make a change in the transaction. -> the row of the collection after it, and the result."""
    gallery = ChangingGallery(cursor, row, cohorts(row.spec))
    # What the change has tried is undone, and all of it is made as one edit.
    with cursor.connection.transaction(force_rollback=True):
        edit, result = change(gallery)
    return (row if edit is None else _write(cursor, apply_edit(gallery, edit), commit)), result


def _write(cursor: Cursor, row: CollectionRow, commit: str) -> CollectionRow:
    """Write the row of a collection after a change."""
    row = row._replace(changes=row.changes + 1, commits=(*row.commits, commit)[-COMMITS:])
    values = {**row._asdict(), "commits": list(row.commits), "spec": json.dumps(asdict(row.spec))}
    cursor.execute(
        f"update {COLLECTIONS} set embedding = %(spec)s, next_id = %(next_id)s, people = %(people)s, "
        "searchable = %(searchable)s, faces = %(faces)s, changes = %(changes)s, commits = %(commits)s, "
        "crops = %(crops)s, deleted = %(deleted)s where id = %(id)s",
        values,
    )
    return row
