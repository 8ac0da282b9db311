"""Search a collection for people who resemble a face that it holds already."""

from __future__ import annotations

from typing import List, Sequence, Tuple

import numpy as np

from model.embedding import normalize
from model.gallery import Gallery
from model.records import Person
from model.searchable import SearchableGallery
from service.faces import HIGHEST
from storage.networks import Snapshot

Similar = List[Tuple[int, float]]  # ID of a person, and the confidence in [0, 1] that the face shows them


def similar_people(
    snapshot: Snapshot, embedding: np.ndarray, limit: int, threshold: float, exclude: int | None = None
) -> Similar:
    """Search the gallery for an embedding, float32 [1, size]. -> people, best first.

    threshold: the least confidence, in [0, 1]; exclude: ID of a person who is not searched.
    """
    gallery = snapshot.gallery
    ignored = None if exclude is None else np.array([exclude])
    matches = gallery.search(normalize(embedding), min(limit + 1, len(gallery)), ignored)
    confidences = snapshot.cascade.joined.confidence(matches.scores[0], len(gallery)).tolist()
    found = [(key, min(value, HIGHEST)) for key, value in zip(matches.ids[0].tolist(), confidences) if key != exclude]
    return [(key, value) for key, value in found if value >= threshold][:limit]


def similar_to_face(snapshot: Snapshot, row: int, limit: int, threshold: float) -> Similar:
    """Search the gallery for one of its faces. -> people, best first. row: of the face.

    The person whose face it is is compared by the other faces: the face itself is the same in any case.
    """
    gallery = snapshot.gallery
    owner, embedding = gallery.face(row).person, gallery.embeddings_of([row])
    found = similar_people(snapshot, embedding, limit, threshold, exclude=owner)
    others = [other for other in gallery.face_rows_of(owner) if other != row]
    if others:
        found.append((owner, confidence_of_rows(snapshot, others, row, len(gallery))))
    found.sort(key=lambda each: each[1], reverse=True)
    return [(key, value) for key, value in found if value >= threshold][:limit]


def confidence_of_rows(snapshot: Snapshot, own: Sequence[int], row: int, people: int = 1) -> float:
    """Return the confidence in [0, 1] that a face shows the person of other faces.

    own, row: rows of the gallery's faces; people: among whom the person was found.
    """
    gallery = snapshot.gallery
    score = one_person(gallery, own).search(normalize(gallery.embeddings_of([row])), 1).scores[0, 0]
    return min(float(snapshot.cascade.joined.confidence(score, people)), HIGHEST)


def one_person(gallery: SearchableGallery, rows: Sequence[int]) -> Gallery:
    """Return a gallery with one person, who has these faces. rows: of the gallery's faces."""
    faces = [gallery.face(row)._replace(person=0) for row in rows]
    return Gallery.of(gallery.spec, gallery.cohort, [Person(0, "")], faces, gallery.embeddings_of(rows))
