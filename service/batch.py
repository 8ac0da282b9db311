"""A change that enrols photos of several people at once, for folders of photos."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from model.edit import Edit
from model.embedding import EmbeddingSpec
from model.records import Person
from model.searchable import EditableGallery, SearchableGallery
from service.addition import Addition
from service.errors import NothingEnrolled
from service.results import Enrolment


class Batch:
    """Additions one after the other, as one change. The result has an entry for each of them."""

    def __init__(self, additions: Sequence[Addition]) -> None:
        self._additions = additions

    def prepare(self, spec: EmbeddingSpec) -> None:
        """Compute all embeddings, see storage/engine.py."""
        for addition in self._additions:
            addition.prepare(spec)

    def __call__(self, gallery: EditableGallery) -> tuple[Edit | None, list[Enrolment | NothingEnrolled]]:
        """Raises CollectionFull."""
        current = gallery
        results: list[Enrolment | NothingEnrolled] = []
        made: list[Edit] = []
        for addition in self._additions:
            try:
                edit, result = addition(current)
            except NothingEnrolled as error:
                results.append(error)
                continue
            results.append(result)
            if edit:
                made.append(edit)
                current = current.edited(edit)
        return (_joined(made) if made else None), results


def named(name: str, gallery: SearchableGallery) -> Person:
    """Return the first person with a name, or a new one."""
    return next(iter(gallery.named(name)), Person(gallery.next_id, name))


def _joined(made: Sequence[Edit]) -> Edit:
    """Join edits that only add people and faces."""
    parts = [np.asarray(edit.embeddings) for edit in made if edit.embeddings is not None]
    return Edit(
        tuple(person for edit in made for person in edit.people),
        tuple(face for edit in made for face in edit.faces),
        np.concatenate(parts) if parts else None,
        crops={face_id: data for edit in made for face_id, data in edit.crops.items()},
    )
