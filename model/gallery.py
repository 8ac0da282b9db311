"""A gallery: people and their faces as an immutable snapshot that can be searched.

A person is matched by the mean of their faces' embeddings. model/index.py has the score.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Iterable, NamedTuple, Sequence

import numpy as np

from model.clusters import Clusters
from model.cohort import Cohort
from model.contents import Contents, Rows, joined
from model.edit import Edit
from model.embedding import MOBILE_WEIGHT, EmbeddingSpec, normalize
from model.index import FlatIndex
from model.records import EnrolledFace, Person
from model.texts import Texts

if TYPE_CHECKING:
    from model.packed_index import PackedIndex

MANY_ROWS = 256  # of embeddings, which torch converts faster than numpy
FLAT_PEOPLE = 20_000  # above which galleries are searched by a PackedIndex; docs/scale.md has the figures


class Matches(NamedTuple):
    """The k best people for each of N probes, best first. ids: int64 [N, k]; scores: float32 [N, k]."""

    ids: np.ndarray
    scores: np.ndarray


class Gallery:
    """An immutable set of people and their faces. Changes return a new gallery.

    It consists of parts that it shares with the galleries before and after it. A person's faces may be in several
    parts. A person's row may be too: the last one counts.

    ids: of all people, ascending, int64 [people]. Rows of people are in this order, rows of faces in that of the parts.
    """

    def __init__(
        self,
        spec: EmbeddingSpec,
        cohort: Cohort,
        parts: Sequence[Contents],
        next_id: int | None = None,
        before: Gallery | None = None,
        clusters: Clusters | None = None,
    ) -> None:
        """cohort: in the same embedding; next_id: of the next person, by default the highest ID plus 1; before: a
        gallery whose index is used again, as far as its parts are the same; clusters: of the people of a large gallery.
        """
        self.spec, self.cohort, self.parts, self.clusters = spec, cohort, tuple(parts), clusters
        people = np.concatenate([np.zeros(0, np.int64), *(part.people.id for part in parts)])
        self._people_starts = _starts([len(part.people.id) for part in parts])
        self._face_starts = _starts([len(part.faces.person) for part in parts])
        self.ids, self._people_at = _last(people)
        self.owners = np.concatenate([np.zeros(0, np.int64), *(part.faces.person for part in parts)])
        self.next_id = int(self.ids[-1] + 1 if len(self.ids) else 0) if next_id is None else next_id
        if before is not None and "_packed" in before.__dict__ and before.clusters is clusters:
            self.__dict__["_packed"] = before._packed.updated(self, _changed_people(before.parts, self.parts))

    @classmethod
    def of(
        cls,
        spec: EmbeddingSpec,
        cohort: Cohort,
        people: Sequence[Person],
        faces: Sequence[EnrolledFace],
        embeddings: np.ndarray,
        next_id: int | None = None,
        nearness: np.ndarray | None = None,
    ) -> Gallery:
        """Make a gallery of people in the order of their IDs, and for each face an embedding of any length.

        embeddings: float [faces, size]; nearness: float32 [people, 2], the value of `nearness` if it is known already.
        """
        embeddings = np.ascontiguousarray(embeddings, np.float32).reshape(len(faces), spec.size)
        unknown = np.zeros((len(people), 2), np.float32)
        part = Contents.of(people, faces, embeddings, unknown if nearness is None else np.asarray(nearness, np.float32))
        made = cls(spec, cohort, [part], next_id)
        if nearness is None:
            part = part._replace(nearness=made._nearness_of(np.arange(len(people))))
        return cls(spec, cohort, [part], next_id)

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
        return self._found([part.people.name.find(name) for part in self.parts])

    def named_alike(self, name: str) -> tuple[Person, ...]:
        """Return the people of this name, by ID; upper and lower case are the same."""
        folded = name.casefold()
        return self._found([part.people.name.folded.find(folded) for part in self.parts])

    def with_external_id(self, external_id: str) -> tuple[Person, ...]:
        """Return the people with this external ID, by ID."""
        columns = [part.people.external_id or Texts.none(0) for part in self.parts]
        return self._found([column.find(external_id) for column in columns])

    def user(self, user_id: str) -> Person | None:
        """Return the person with this user ID, None if there is none."""
        columns = [part.people.user_id or Texts.none(0) for part in self.parts]
        return next(iter(self._found([column.find(user_id) for column in columns])), None)

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

    @cached_property
    def nearness(self) -> np.ndarray:
        """Nearness of each person to the cohort: by the whole embedding, and by MobileFaceNet's part of it.

        float32 [people, 2].
        """
        whole = np.concatenate([np.zeros((0, 2), np.float32), *(part.nearness for part in self.parts)])
        return whole if len(whole) == len(self.ids) and _is_range(self._people_at) else whole[self._people_at]

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
    def embeddings(self) -> np.ndarray:
        """All embeddings, float32 [faces, size]. For a large gallery this takes memory: `embeddings_of` does not."""
        return self.embeddings_of(np.arange(len(self.owners)))

    def embeddings_of(self, rows: Sequence[int] | np.ndarray, mobile: bool = False) -> np.ndarray:
        """Return the embeddings of some faces, float32 [rows, size]; mobile: only MobileFaceNet's part of them."""
        rows = np.asarray(rows, np.int64)
        numbers = slice(-self.spec.mobile if mobile else 0, None)
        if len(self.parts) == 1:
            return _as_float32(self.parts[0].embeddings, rows, numbers)
        found = np.zeros((len(rows), self.spec.mobile if mobile else self.spec.size), np.float32)
        parts = np.searchsorted(self._face_starts, rows, side="right") - 1
        if len(rows) < MANY_ROWS:  # they are in many parts
            for i, (part, row) in enumerate(zip(parts.tolist(), (rows - self._face_starts[parts]).tolist())):
                found[i] = self.parts[part].embeddings[row, numbers]
            return found
        for part in np.unique(parts):
            chosen = np.flatnonzero(parts == part)
            own = rows[chosen] - self._face_starts[part]
            found[chosen] = _as_float32(self.parts[part].embeddings, own, numbers)
        return found

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

    @cached_property
    def means(self) -> np.ndarray:
        """Mean embedding of each person over their photos, float32 [people, size], not normalized."""
        return self.means_of(np.arange(len(self.ids)))

    def means_of(self, rows: np.ndarray, mobile: bool = False) -> np.ndarray:
        """Return the mean embeddings of some people, float32 [rows, size]; zeros of a person without a face.

        mobile: only MobileFaceNet's part, float32 [rows, mobile], scaled so that that of a face has the length 1.
        """
        starts, counts = self._first_faces[rows], self.face_counts[rows]
        ends = np.cumsum(counts)
        faces = self._face_order[np.repeat(starts - (ends - counts), counts) + np.arange(int(counts.sum()))]
        if (counts == 1).all():
            means = self.embeddings_of(faces, mobile)
        else:
            means = np.zeros((len(rows), self.spec.mobile if mobile else self.spec.size), np.float32)
            found = np.flatnonzero(counts)
            if len(found):
                first, weights = (ends - counts)[found], self._weights[faces]
                sums = np.add.reduceat(self.embeddings_of(faces, mobile) * weights[:, None], first)
                means[found] = sums / np.add.reduceat(weights, first)[:, None]
        return means / np.float32(math.sqrt(MOBILE_WEIGHT)) if mobile else means

    def has_owners(self) -> bool:
        """Tell whether the people of all faces are there."""
        return bool(np.isin(self.owners, self.ids).all())

    def whole(self) -> Contents:
        """Return everything as one part, each person once."""
        if len(self.parts) == 1 and len(self.ids) == len(self.parts[0].people.id):
            return self.parts[0]
        everything = joined(self.parts) if self.parts else Contents.none(self.spec.size)
        return everything.take(self._people_at, np.arange(len(self.owners)))

    # Search

    @cached_property
    def _mobile_cohort(self) -> Cohort:
        return self.cohort.part(slice(-self.spec.mobile, None))

    def _nearness_of(self, rows: np.ndarray) -> np.ndarray:
        """Compute the nearness of some people, float32 [rows, 2]."""
        cohorts = self.cohort, self._mobile_cohort
        means = (self.means_of(rows), self.means_of(rows, mobile=True))
        return np.stack([cohort.nearness(normalize(each)) for cohort, each in zip(cohorts, means)], axis=1)

    # Built when they are first needed: MobileFaceNet's part alone decides most faces.
    @cached_property
    def _whole_index(self) -> FlatIndex:
        return self.index_of(np.arange(len(self.ids)), mobile=False)

    @cached_property
    def _mobile_index(self) -> FlatIndex:
        return self.index_of(np.arange(len(self.ids)), mobile=True)

    @cached_property
    def _packed(self) -> PackedIndex:
        from model.packed_index import PackedIndex  # only large galleries need it

        return PackedIndex.of(self)

    def index_of(self, rows: np.ndarray, mobile: bool) -> FlatIndex:
        """Build an index of some people. Nobody without a face is found. mobile: by MobileFaceNet's part alone."""
        nearness = np.where(self.face_counts[rows] > 0, self.nearness[rows, int(mobile)], np.inf)
        return FlatIndex(self.means_of(rows, mobile), self._mobile_cohort if mobile else self.cohort, nearness)

    def cohort_of(self, probes: np.ndarray) -> Cohort:
        """Return the cohort for probes, see `search`."""
        return self.cohort if probes.shape[1] == self.spec.size else self._mobile_cohort

    @property
    def _is_large(self) -> bool:
        return len(self.ids) > FLAT_PEOPLE

    def prepare(self) -> None:
        """Build what the first search by MobileFaceNet's part would build."""
        _ = self._packed if self._is_large else self._mobile_index

    def pack(self) -> None:
        """Build what `prepare` builds, if that takes long."""
        if self._is_large:
            self.prepare()

    def complete(self) -> None:
        """Build what the first search by both networks would build, if that takes long."""
        if self._is_large:
            self._packed.complete(self)

    def search(self, embeddings: np.ndarray, k: int, exclude: np.ndarray | None = None) -> Matches:
        """Find the k best people for each probe, or all people with a face if there are fewer.

        In a large gallery with clusters, people in clusters that are not near a probe are not found.

        embeddings: float32 of length 1, [N, size], or [N, mobile] to search by MobileFaceNet's part alone; exclude:
        int64 [N], for each probe the id of a person to ignore, as if they were not in the gallery.
        """
        rows = None if exclude is None else np.searchsorted(self.ids, exclude)
        k = min(k, len(self))
        if self._is_large:
            hits = self._packed.search(self, embeddings, k, rows)
        else:
            hits = self._index(embeddings).search(embeddings, k, rows)
        return Matches(self.ids[hits.rows], hits.scores)

    def scores(self, embeddings: np.ndarray, nearness: np.ndarray | None = None) -> np.ndarray:
        """Score probes, see `search`, with all people. -> float32 [N, people].

        nearness: of the probes to the cohort, float32 [N], if it is known.
        """
        return self._index(embeddings).scores(embeddings, nearness)

    def _index(self, embeddings: np.ndarray) -> FlatIndex:
        return self._whole_index if embeddings.shape[1] == self.spec.size else self._mobile_index

    # Changes

    def add(self, person: Person, faces: Sequence[EnrolledFace], embeddings: np.ndarray) -> Gallery:
        """Add a person, or add faces to an existing person. `person` replaces a person with the same id.

        embeddings: float [faces, size].
        """
        return self.edited(Edit((person,), tuple(faces), embeddings))

    def remove(self, person_id: int) -> Gallery:
        """Remove a person with all their faces. The id is not reused."""
        return self.edited(Edit(removed_people=frozenset([person_id])))

    def edited(self, edit: Edit) -> Gallery:
        """Return the gallery after a change."""
        kept, added = self.split(edit)
        parts = [part for part in (*kept, added) if part.size]
        return Gallery(self.spec, self.cohort, parts, self.next_id_after(edit), self, self.clusters)

    def next_id_after(self, edit: Edit) -> int:
        """Return the next ID after a change."""
        return max([self.next_id, edit.next_id, *(person.id + 1 for person in edit.people)])

    def split(self, edit: Edit) -> tuple[list[Contents], Contents]:
        """Return the parts without what a change removes, and a new part with what it adds.

        An unchanged part is the same object, a part may become empty. The new part also has the rows of people whose
        faces change, because their nearness does.
        """
        removed = np.array(sorted(edit.removed_people), np.int64)
        replaced = np.union1d(removed, np.array([person.id for person in edit.people], np.int64))
        kept = [part.without(replaced, removed, edit.removed_faces) for part in self.parts]
        people = {person.id: person for person in edit.people}
        for person_id in self._touched(edit) - set(people):
            person = self.person(person_id)
            if person and person_id not in edit.removed_people:
                people[person_id] = person
        ids = np.array(sorted(people), np.int64)
        given = np.zeros((0, self.spec.size), np.float32) if edit.embeddings is None else np.asarray(edit.embeddings)
        rows, nearness = [people[person_id] for person_id in ids.tolist()], np.zeros((len(ids), 2), np.float32)
        added = Contents.of(rows, edit.faces, given.reshape(len(edit.faces), self.spec.size), nearness)
        after = Gallery(self.spec, self.cohort, [*kept, added])
        return kept, added._replace(nearness=after._nearness_of(np.searchsorted(after.ids, ids)))

    def _touched(self, edit: Edit) -> set[int]:
        """Return the IDs of the people whose faces change."""
        rows = [self.find_face(face_id) for face_id in edit.removed_faces]
        return {int(self.owners[row]) for row in rows if row is not None} | {face.person for face in edit.faces}

    def removed_by(self, edit: Edit) -> set[str]:
        """Return the IDs of the faces that are removed and not added again."""
        gone = {face.id for person_id in edit.removed_people for face in self.faces_of(person_id)}
        return (gone | edit.removed_faces) - {face.id for face in edit.faces}


def _starts(counts: Sequence[int]) -> np.ndarray:
    """Number of rows before each part, int64 [parts]."""
    return np.cumsum([0, *counts], dtype=np.int64)[:-1]


def _locate(starts: np.ndarray, row: int) -> tuple[int, int]:
    """Row of all parts -> part, and row in it."""
    part = int(np.searchsorted(starts, row, side="right")) - 1
    return part, row - int(starts[part])


def _last(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different IDs, ascending, and the last row of each."""
    if (ids[1:] > ids[:-1]).all():
        return ids, np.arange(len(ids))
    order = np.argsort(ids, kind="stable")
    found = ids[order]
    is_last = np.append(found[1:] != found[:-1], True)
    return found[is_last], order[is_last]


def _is_range(rows: np.ndarray) -> bool:
    return bool((rows == np.arange(len(rows))).all())


def _as_float32(embeddings: np.ndarray | Rows, rows: np.ndarray, numbers: slice) -> np.ndarray:
    """Select rows and columns of embeddings, float32."""
    if len(rows) == len(embeddings) and _is_range(rows):
        found = embeddings[:, numbers]
    elif len(rows) and _is_range(rows - rows[0]):
        found = embeddings[int(rows[0]) : int(rows[-1]) + 1, numbers]
    else:
        found = embeddings[rows, numbers]
    if found.dtype != np.float16 or len(rows) < MANY_ROWS:
        return found.astype(np.float32, copy=False)
    import torch  # not by modules that only need the class

    # torch takes a quarter of numpy's time; it does not take read-only arrays.
    writeable = found if found.flags.writeable else found.copy()
    converted: np.ndarray = torch.from_numpy(writeable).float().numpy()
    return converted


def _changed_people(before: Sequence[Contents], after: Sequence[Contents]) -> np.ndarray:
    """IDs of the people who are in parts that are not in both, int64, ascending."""
    old, new = ({id(part): part for part in parts} for parts in (before, after))
    changed = [part for key, part in (*old.items(), *new.items()) if (key in old) != (key in new)]
    return np.unique(np.concatenate([np.zeros(0, np.int64), *(_people_in(part) for part in changed)]))


def _people_in(part: Contents) -> np.ndarray:
    return np.union1d(part.people.id, part.faces.person)
