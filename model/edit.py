"""Changes of galleries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Mapping

import numpy as np

from model.records import EnrolledFace, Person

if TYPE_CHECKING:
    pass


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
