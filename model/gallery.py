"""A gallery: people and their faces as an immutable snapshot that can be searched.

A person is matched by the mean of their faces' embeddings. model/index.py has the score.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Sequence

import numpy as np

from model.clusters import Clusters
from model.cohort import Cohort
from model.contents import Contents, Rows, joined
from model.edit import Edit, next_id_after, split
from model.embedding import MOBILE_WEIGHT, EmbeddingSpec, normalize
from model.index import FlatIndex
from model.records import EnrolledFace, Person
from model.roster import Roster, is_range

if TYPE_CHECKING:
    from model.packed_index import PackedIndex

MANY_ROWS = 256  # of embeddings, which torch converts faster than numpy
FLAT_PEOPLE = 20_000  # above which galleries are searched by a PackedIndex; docs/scale.md has the figures


class Matches(NamedTuple):
    """The k best people for each of N probes, best first. ids: int64 [N, k]; scores: float32 [N, k]."""

    ids: np.ndarray
    scores: np.ndarray


class Gallery(Roster):
    """People and their faces with embeddings. Changes return a new gallery, which shares the parts that stay."""

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
        super().__init__(parts)
        self.spec, self.cohort, self.clusters = spec, cohort, clusters
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
        if nearness is not None:
            return made
        return cls(spec, cohort, [part._replace(nearness=made.nearness_of(np.arange(len(people))))], next_id)

    def whole(self) -> Contents:
        """Return everything as one part, each person once."""
        if len(self.parts) == 1 and len(self.ids) == len(self.parts[0].people.id):
            return self.parts[0]
        everything = joined(self.parts) if self.parts else Contents.none(self.spec.size)
        return everything.take(self._people_at, np.arange(len(self.owners)))

    # Embeddings

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

    @cached_property
    def nearness(self) -> np.ndarray:
        """Nearness of each person to the cohort: by the whole embedding, and by MobileFaceNet's part of it.

        float32 [people, 2].
        """
        whole = np.concatenate([np.zeros((0, 2), np.float32), *(part.nearness for part in self.parts)])
        return whole if len(whole) == len(self.ids) and is_range(self._people_at) else whole[self._people_at]

    def mean_of(self, person_id: int) -> np.ndarray:
        """Return the mean embedding of a person who has a face, float32 [1, size]."""
        return self.means_of(np.searchsorted(self.ids, [person_id]))

    # Search

    @cached_property
    def _mobile_cohort(self) -> Cohort:
        return self.cohort.part(slice(-self.spec.mobile, None))

    def nearness_of(self, rows: np.ndarray) -> np.ndarray:
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
    def is_large(self) -> bool:
        """True for a gallery that is packed."""
        return len(self.ids) > FLAT_PEOPLE

    def prepare(self) -> None:
        """Build what the first search by MobileFaceNet's part would build."""
        _ = self._packed if self.is_large else self._mobile_index

    def pack(self) -> None:
        """Build what `prepare` builds, if that takes long."""
        if self.is_large:
            self.prepare()

    def complete(self) -> None:
        """Build what the first search by both networks would build, if that takes long."""
        if self.is_large:
            self._packed.complete(self)

    def search(self, embeddings: np.ndarray, k: int, exclude: np.ndarray | None = None) -> Matches:
        """Find the k best people for each probe, or all people with a face if there are fewer.

        In a large gallery with clusters, people in clusters that are not near a probe are not found.

        embeddings: float32 of length 1, [N, size], or [N, mobile] to search by MobileFaceNet's part alone; exclude:
        int64 [N], for each probe the id of a person to ignore, as if they were not in the gallery.
        """
        rows = None if exclude is None else np.searchsorted(self.ids, exclude)
        k = min(k, len(self))
        if self.is_large:
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

    def loaded(self) -> Gallery:
        """Return this gallery: it is in memory."""
        return self

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
        kept, added = split(self, edit)
        parts = [part for part in (*kept, added) if part.size]
        return Gallery(self.spec, self.cohort, parts, next_id_after(self, edit), self, self.clusters)


def _as_float32(embeddings: np.ndarray | Rows, rows: np.ndarray, numbers: slice) -> np.ndarray:
    """Select rows and columns of embeddings, float32."""
    if len(rows) == len(embeddings) and is_range(rows):
        found = embeddings[:, numbers]
    elif len(rows) and is_range(rows - rows[0]):
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
