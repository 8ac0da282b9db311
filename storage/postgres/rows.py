"""People, faces and collections as rows of tables, and back."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Sequence

import numpy as np

from model.embedding import EmbeddingSpec
from model.records import EnrolledFace, Person
from storage.fields import pick
from storage.galleries import Manifest
from storage.postgres.schema import COLLECTIONS, Tables

COLLECTION = "id, name, embedding, created, next_id, people, searchable, faces, changes, commits, crops, deleted"
PERSON = "id, name, external_id, user_id"
FACE = "id, person, photos, added, box, confidence, width, height, external_id, origin"
FACE_TYPES = ("text", "int8", "text[]", "text", "float8[]", "float8", "int4", "int4", "text", "text")

SELECT_COLLECTIONS = f"select {COLLECTION} from {COLLECTIONS}"


class CollectionRow(NamedTuple):
    """A row of the table of collections. searchable: number of people with a face; commits: IDs of the last ones."""

    id: int
    name: str
    spec: EmbeddingSpec
    created: str
    next_id: int
    people: int
    searchable: int
    faces: int
    changes: int
    commits: tuple[str, ...]
    crops: bool
    deleted: bool

    @classmethod
    def of(cls, row: Sequence[Any]) -> CollectionRow:
        found = dict(zip(cls._fields, row))
        found["spec"] = EmbeddingSpec(**pick(EmbeddingSpec, found["spec"]))
        return cls(**{**found, "commits": tuple(found["commits"])})

    @property
    def tables(self) -> Tables:
        return Tables.of(self.id)

    @property
    def etag(self) -> str:
        """Of the revision."""
        return f"{self.id:x}-{self.changes:x}"

    @property
    def manifest(self) -> Manifest:
        """The same as the manifest of a collection in files, without segments."""
        return Manifest(
            self.name,
            self.spec,
            self.created,
            self.next_id,
            self.people,
            self.faces,
            segments=(),
            changes=self.changes,
            commits=self.commits,
            deleted=self.deleted,
            crops=self.crops,
        )


def person_of(row: Sequence[Any]) -> Person:
    """row: of the columns PERSON."""
    return Person(*row)


def face_of(row: Sequence[Any]) -> EnrolledFace:
    """row: of the columns FACE."""
    face_id, person, photos, added, box, confidence, width, height, external_id, origin = row
    return EnrolledFace(
        face_id,
        person,
        tuple(photos),
        added,
        None if box is None else tuple(box),
        confidence,
        None if width is None else (width, height),
        external_id,
        None if origin is None else json.loads(origin),
    )


def face_row(face: EnrolledFace) -> tuple[Any, ...]:
    """Return the values of the columns FACE."""
    width, height = face.photo_size or (None, None)
    box = None if face.box is None else list(face.box)
    origin = None if face.origin is None else json.dumps(face.origin, ensure_ascii=False)
    facts = face.id, face.person, list(face.photos), face.added
    return (*facts, box, face.confidence, width, height, face.external_id, origin)


def embedding_bytes(embedding: np.ndarray) -> bytes:
    """Round an embedding as segments do. -> float16, little-endian."""
    return embedding.astype("<f2").tobytes()


def embeddings_of(stored: Sequence[bytes], size: int) -> np.ndarray:
    """Return embeddings, float32 [rows, size]."""
    return np.frombuffer(b"".join(stored), "<f2").reshape(len(stored), size).astype(np.float32)
