"""Changes of galleries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Mapping

import numpy as np

from model.contents import Contents
from model.records import EnrolledFace, Person

if TYPE_CHECKING:
    from model.gallery import Gallery


@dataclass(frozen=True)
class Edit:
    """A change of a gallery: what is removed, and then what is added.

    removed_people: IDs; their faces are removed too. removed_faces: IDs. people: added, or in place of those with the
    same IDs. faces: added, with embeddings, float [faces, size]. next_id: IDs below it are not assigned any more.
    crops: of added faces, by their IDs, see model/stored_crop.py; they are stored and not part of a gallery.
    """

    people: tuple[Person, ...] = ()
    faces: tuple[EnrolledFace, ...] = ()
    embeddings: np.ndarray | None = None
    removed_people: frozenset[int] = frozenset()
    removed_faces: frozenset[str] = frozenset()
    next_id: int = 0
    crops: Mapping[str, bytes] = field(default_factory=dict)


def next_id_after(gallery: Gallery, edit: Edit) -> int:
    """Return the next ID after a change."""
    return max([gallery.next_id, edit.next_id, *(person.id + 1 for person in edit.people)])


def split(gallery: Gallery, edit: Edit) -> tuple[list[Contents], Contents]:
    """Return the parts without what a change removes, and a new part with what it adds.

    An unchanged part is the same object, a part may become empty. The new part also has the rows of people whose
    faces change, because their nearness does.
    """
    removed = np.array(sorted(edit.removed_people), np.int64)
    replaced = np.union1d(removed, np.array([person.id for person in edit.people], np.int64))
    kept = [part.without(replaced, removed, edit.removed_faces) for part in gallery.parts]
    people = {person.id: person for person in edit.people}
    for person_id in _touched(gallery, edit) - set(people):
        person = gallery.person(person_id)
        if person and person_id not in edit.removed_people:
            people[person_id] = person
    ids = np.array(sorted(people), np.int64)
    given = np.zeros((0, gallery.spec.size), np.float32) if edit.embeddings is None else np.asarray(edit.embeddings)
    rows, nearness = [people[person_id] for person_id in ids.tolist()], np.zeros((len(ids), 2), np.float32)
    added = Contents.of(rows, edit.faces, given.reshape(len(edit.faces), gallery.spec.size), nearness)
    after = type(gallery)(gallery.spec, gallery.cohort, [*kept, added])
    return kept, added._replace(nearness=after.nearness_of(np.searchsorted(after.ids, ids)))


def _touched(gallery: Gallery, edit: Edit) -> set[int]:
    """Return the IDs of the people whose faces change."""
    rows = [gallery.find_face(face_id) for face_id in edit.removed_faces]
    return {int(gallery.owners[row]) for row in rows if row is not None} | {face.person for face in edit.faces}


def removed_by(gallery: Gallery, edit: Edit) -> set[str]:
    """Return the IDs of the faces that are removed and not added again."""
    gone = {face.id for person_id in edit.removed_people for face in gallery.faces_of(person_id)}
    return (gone | edit.removed_faces) - {face.id for face in edit.faces}
