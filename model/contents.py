"""People, their faces and embeddings: all of a gallery, or a part of it as a segment holds it."""

from __future__ import annotations

from typing import Any, Iterator, NamedTuple, Protocol, Sequence

import numpy as np

from model.records import EnrolledFace, FaceTable, PeopleTable, Person, join, take


class Rows(Protocol):
    """Rows of an array that is somewhere else, such as in a file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __len__(self) -> int: ...

    def __getitem__(self, selected: Any) -> np.ndarray: ...


class Contents(NamedTuple):
    """People and faces.

    embeddings: float16 or float32 [faces, size]; nearness: float32 [people, 2], see `Gallery.nearness`.
    """

    people: PeopleTable
    faces: FaceTable
    embeddings: np.ndarray | Rows
    nearness: np.ndarray

    @classmethod
    def of(
        cls, people: Sequence[Person], faces: Sequence[EnrolledFace], embeddings: np.ndarray, nearness: np.ndarray
    ) -> Contents:
        return cls(PeopleTable.of(people), FaceTable.of(faces), embeddings, nearness)

    @classmethod
    def none(cls, size: int) -> Contents:
        """Return contents without people. size: numbers in an embedding."""
        return cls.of([], [], np.zeros((0, size), np.float16), np.zeros((0, 2), np.float32))

    @property
    def size(self) -> int:
        """The larger number of people and of faces."""
        return max(len(self.people.id), len(self.faces.person))

    def take(self, people: np.ndarray, faces: np.ndarray) -> Contents:
        """Select rows of people and of faces, int each."""
        return Contents(
            take(self.people, people), take(self.faces, faces), self.embeddings[faces], self.nearness[people]
        )

    def without(self, people: np.ndarray, owners: np.ndarray, faces: frozenset[str]) -> Contents:
        """Remove rows. -> self if there are none to remove.

        people: IDs of people whose rows are removed, owners: IDs of those whose faces are, int64; faces: IDs.
        """
        kept_people = ~np.isin(self.people.id, people)
        kept_faces = ~np.isin(self.faces.person, owners)
        for face in faces:
            kept_faces[self.faces.id.find(face)] = False
        if kept_people.all() and kept_faces.all():
            return self
        return self.take(np.flatnonzero(kept_people), np.flatnonzero(kept_faces))

    def pieces(self, rows: int) -> Iterator[Contents]:
        """Split into contents with at most so many people, and faces, each."""
        for start in range(0, self.size, rows):
            people = np.arange(start, min(start + rows, len(self.people.id)))
            faces = np.arange(start, min(start + rows, len(self.faces.person)))
            yield self.take(people, faces)


def joined(parts: Sequence[Contents]) -> Contents:
    """Join contents, at least one, one after the other."""
    return Contents(
        join([part.people for part in parts]),
        join([part.faces for part in parts]),
        np.concatenate([part.embeddings[:] for part in parts]),
        np.concatenate([part.nearness for part in parts]),
    )
