"""A gallery that is rows of a database: each lookup is a query, and the database searches."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Callable, Iterable, Mapping, Sequence

import numpy as np

from model.cohort import PROBE_WEIGHT, Cohort
from model.embedding import normalize
from model.gallery import Gallery, Matches
from model.index import extended
from model.records import EnrolledFace, Person
from storage.errors import BlobConflict
from storage.postgres.database import Cursor
from storage.postgres.rows import FACE, PERSON, CollectionRow, embeddings_of, face_of, person_of

# Up to so many people all are compared, which is exact and as fast. Above, HNSW finds candidates.
EXACT_PEOPLE = 2_000
SEARCH_WIDTH = 800  # `hnsw.ef_search`: more takes longer and misses fewer; docs/scale.md has the figures
MAX_WIDTH = 1_000  # pgvector's limit
SPARE = 50  # candidates, besides twice as many as are wanted: the index has vectors in 16 bits and ranks nearly right

# Begins a transaction. The argument: all queries in it see the same state.
Transactions = Callable[[bool], "AbstractContextManager[Cursor]"]


class PostgresGallery:
    """A collection in a database, see model/searchable.py. A row of a face is its number in the table.

    It is for one request. Every method raises StorageError: BlobConflict where somebody else removes what the request
    has found.
    """

    def __init__(self, transactions: Transactions, row: CollectionRow, cohort: Cohort) -> None:
        self._transactions, self.row, self.cohort = transactions, row, cohort
        self.spec, self.next_id = row.spec, row.next_id
        self._people: dict[int, Person] = {}  # found so far
        self._faces: dict[int, EnrolledFace] = {}

    @property
    def people_count(self) -> int:
        return self.row.people

    @property
    def face_count(self) -> int:
        return self.row.faces

    def __len__(self) -> int:
        return self.row.searchable

    # People

    @property
    def ids(self) -> np.ndarray:
        rows = self._select(f"select id from {self.row.tables.people} order by id")
        return np.array([person_id for (person_id,) in rows], np.int64)

    @property
    def people(self) -> tuple[Person, ...]:
        return self._select_people("true")

    def person(self, person_id: int) -> Person | None:
        if person_id not in self._people:
            self._select_people("id = %s", person_id)
        return self._people.get(person_id)

    def found(self, ids: np.ndarray) -> tuple[Person, ...]:
        wanted = ids.tolist()
        unknown = [person_id for person_id in wanted if person_id not in self._people]
        if unknown:
            self._select_people("id = any(%s)", unknown)
        try:
            return tuple(self._people[person_id] for person_id in wanted)
        except KeyError:
            raise _changed() from None

    def people_after(self, after: int, limit: int) -> tuple[tuple[Person, int], ...]:
        tables = self.row.tables
        rows = self._select(
            f"select {PERSON}, (select count(*) from {tables.faces} where person = p.id) "
            f"from {tables.people} p where id > %s order by id limit %s",
            after,
            limit,
        )
        return tuple((person_of(row[:-1]), row[-1]) for row in rows)

    def named(self, name: str) -> tuple[Person, ...]:
        return self._select_people("name = %s", name)

    def named_alike(self, name: str) -> tuple[Person, ...]:
        return self._select_people("folded = %s", name.casefold())

    def with_external_id(self, external_id: str) -> tuple[Person, ...]:
        return self._select_people("external_id = %s", external_id)

    def user(self, user_id: str) -> Person | None:
        return next(iter(self._select_people("user_id = %s", user_id)), None)

    def users(self) -> tuple[Person, ...]:
        return self._select_people("user_id is not null")

    def _select_people(self, condition: str, *values: object) -> tuple[Person, ...]:
        """Return people by ID, and remember them."""
        query = f"select {PERSON} from {self.row.tables.people} where {condition} order by id"
        people = tuple(person_of(row) for row in self._select(query, *values))
        self._people.update((person.id, person) for person in people)
        return people

    # Faces

    @property
    def faces(self) -> tuple[EnrolledFace, ...]:
        return tuple(face for _, face in self._select_faces("true"))

    def face(self, row: int) -> EnrolledFace:
        if row not in self._faces:
            self._select_faces('"row" = %s', row)
        if row not in self._faces:
            raise _changed()
        return self._faces[row]

    def find_face(self, face_id: str) -> int | None:
        return next((row for row, _ in self._select_faces("id = %s", face_id)), None)

    def face_rows(self, face_ids: Iterable[str]) -> list[int]:
        wanted = list(face_ids)
        rows = {face.id: row for row, face in self._select_faces("id = any(%s)", wanted)}
        try:
            return [rows[face_id] for face_id in wanted]
        except KeyError:
            raise _changed() from None

    def faces_of(self, person_id: int) -> tuple[EnrolledFace, ...]:
        return tuple(face for _, face in self._select_faces("person = %s", person_id))

    def face_rows_of(self, person_id: int) -> list[int]:
        return [row for row, _ in self._select_faces("person = %s", person_id)]

    def photo_faces(self, digest: str) -> list[int]:
        return [row for row, _ in self._select_faces("photos @> %s", [digest])]

    def has_photo(self, digest: str) -> bool:
        (row,) = self._select(f"select exists (select from {self.row.tables.faces} where photos @> %s)", [digest])
        return bool(row[0])

    def _select_faces(self, condition: str, *values: object) -> list[tuple[int, EnrolledFace]]:
        """Return faces and their rows, in the order in which they were added, and remember them."""
        query = f'select "row", {FACE} from {self.row.tables.faces} where {condition} order by "row"'
        found = [(row[0], face_of(row[1:])) for row in self._select(query, *values)]
        self._faces.update(found)
        return found

    # Embeddings

    def embeddings_of(self, rows: Sequence[int]) -> np.ndarray:
        query = f'select "row", embedding from {self.row.tables.faces} where "row" = any(%s)'
        found = dict(self._select(query, list(rows)))
        try:
            return embeddings_of([found[row] for row in rows], self.spec.size)
        except KeyError:
            raise _changed() from None

    def mean_of(self, person_id: int) -> np.ndarray:
        return self.part([person_id]).mean_of(person_id)

    def part(self, ids: Sequence[int]) -> Gallery:
        """Return some people with their faces in memory. ids: of people who are there, ascending."""
        return self._loaded("id = any(%s)", "person = any(%s)", list(ids))

    def loaded(self) -> Gallery:
        return self._loaded("true", "true")

    def _loaded(self, people: str, faces: str, *values: object) -> Gallery:
        """people, faces: conditions of SQL, with the same values."""
        tables = self.row.tables
        with self._transactions(True) as cursor:
            cursor.execute(f"select {PERSON} from {tables.people} where {people} order by id", values)
            found = [person_of(row) for row in cursor]
            cursor.execute(f'select {FACE}, embedding from {tables.faces} where {faces} order by "row"', values)
            rows = cursor.fetchall()
        embeddings = embeddings_of([row[-1] for row in rows], self.spec.size)
        return Gallery.of(self.spec, self.cohort, found, [face_of(row[:-1]) for row in rows], embeddings, self.next_id)

    # Search

    def prepare(self) -> None:
        """Open a connection and read the upper levels of the index."""
        probe = np.zeros((1, self.spec.mobile), np.float32)
        probe[0, 0] = 1
        self.search(probe, 1)

    def search(self, embeddings: np.ndarray, k: int, exclude: np.ndarray | None = None) -> Matches:
        """Find the best people, see Gallery.search. Scores are exact. In a large gallery a person may be missed."""
        k, part = min(k, len(self)), slice(-self.spec.mobile, None)
        probes = {"mobile": extended(normalize(embeddings[:, part]))}
        cohort = self.cohort.part(part)
        if embeddings.shape[1] == self.spec.size:
            probes, cohort = {"whole": extended(embeddings), **probes}, self.cohort
        ignored = [None] * len(embeddings) if exclude is None else exclude.tolist()
        found: list[list[tuple[int, float]]] = [[] for _ in embeddings]
        if k:
            with self._transactions(False) as cursor:
                for i, person_id in enumerate(ignored):
                    vectors = {column: rows[i] for column, rows in probes.items()}
                    found[i] = self._search(cursor, vectors, k, person_id)
        k = min(k, *map(len, found)) if found else k  # fewer where somebody has just been removed
        table = np.array([rows[:k] for rows in found], np.float64).reshape(len(found), k, 2)
        scores = table[:, :, 1] - PROBE_WEIGHT * cohort.nearness(embeddings)[:, None]
        return Matches(table[:, :, 0].astype(np.int64), scores.astype(np.float32))

    def _search(
        self, cursor: Cursor, vectors: Mapping[str, np.ndarray], k: int, ignored: int | None
    ) -> list[tuple[int, float]]:
        """Search one probe. -> the k best people's IDs and inner products, those of equal ones by ID.

        vectors: by column, float32 [size + 1]; the first one ranks, and each finds candidates: whom one index misses,
        the other one may find. ignored: ID of a person who comes last.
        """
        tables, column = self.row.tables, next(iter(vectors))
        wanted = k if ignored is None else k + 1
        candidates = 2 * wanted + SPARE
        selected = f"select person from {tables.entries}"
        if len(self) > EXACT_PEOPLE and candidates <= MAX_WIDTH:
            cursor.execute(f"set local hnsw.ef_search = {max(SEARCH_WIDTH, candidates)}")
            selected = " union ".join(
                f"({selected} order by {name}::halfvec({len(vector)}) <#> %({name})s::halfvec({len(vector)}) "
                f"limit {candidates})"
                for name, vector in vectors.items()
            )
        cursor.execute(
            f"with candidates as materialized ({selected}), "
            f"best as (select person, -({column} <#> %({column})s) as score from candidates "
            f"join {tables.entries} using (person) order by score desc, person limit {wanted}) "
            f"select score, {PERSON} from best join {tables.people} on id = person order by score desc, id",
            vectors,
        )
        rows = cursor.fetchall()
        self._people.update((row[1], person_of(row[1:])) for row in rows)
        found = [(row[1], row[0]) for row in rows if row[1] != ignored]
        return [*found, *([] if ignored is None else [(ignored, -np.inf)])][:k]

    def _select(self, query: str, *values: object) -> list[Any]:
        with self._transactions(False) as cursor:
            cursor.execute(query, values)
            return cursor.fetchall()


def _changed() -> BlobConflict:
    return BlobConflict("What the request has found was removed by another one.", "it was changed at the same time")
