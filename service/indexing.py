"""Use cases of Rekognition's clients: index all faces of a photo, and search for faces like another one.

Faces that are indexed with one external ID form one person. Of a photo with several faces it is the largest one that
joins that person: the others show different people, and each becomes a person of its own.
"""

from __future__ import annotations

from typing import Sequence
from uuid import uuid4

import numpy as np

from model.embedding import normalize
from model.face import Face
from model.gallery import Edit, EnrolledFace, Gallery, Person
from model.photo import Photo
from model.quality import measure
from model.stored_crop import pack
from service.addition import check_faces_of_one, check_room
from service.enrolled_faces import find_face
from service.enrolment import FaceEmbeddings, PreparedFace
from service.external_ids import find_labelled
from service.faces import HIGHEST, FaceService
from service.galleries import Galleries
from service.results import FaceMatch, FaceSearch, IdentifyOptions, IndexedFace, Indexing, ListedFace, PhotoSearch, Size
from storage.galleries import now
from storage.networks import Snapshot

EXCESS = "excess"  # reason why a face is not indexed: the photo has more faces than are wanted
# Reasons of model/quality.py for which a face is not indexed, by how strict a client wants it.
QUALITY_BARS: dict[str, tuple[str, ...]] = {
    "none": (),
    "low": ("small", "blurred", "dark"),
    "medium": ("small", "blurred", "dark", "bright", "cut"),
    "high": ("small", "blurred", "dark", "bright", "cut", "tilted", "turned"),
}


class IndexService:
    """Implements the use cases. Everything that is changed goes through one commit each."""

    def __init__(self, galleries: Galleries, faces: FaceService, keep_crops: bool = False) -> None:
        """keep_crops: store the crops of indexed faces."""
        self._galleries, self._faces, self._keep_crops = galleries, faces, keep_crops

    def index(
        self, collection: str | None, image: bytes, external_id: str | None, max_faces: int | None, quality: str
    ) -> Indexing:
        """Add the faces of a photo, the largest first.

        external_id: of the person, None if each face is somebody else; max_faces: None for all; quality: one of
        QUALITY_BARS. Raises RecognitionError, CollectionFull; errors of `Galleries.commit`.
        """
        snapshot = self._galleries.snapshot()
        photo, faces = self._faces.find(image)
        selected, left_out = _select(photo, faces, max_faces, QUALITY_BARS[quality])
        digest, spec = photo.digest(), snapshot.network.config.crop
        prepared = [PreparedFace.of("", photo, digest, face, spec) for face in selected]
        size = Size(photo.width, photo.height)
        if not prepared:
            self._galleries.open(collection)()  # an unknown collection is an error also without faces
            return Indexing((), left_out, size)
        change = _Index(snapshot, prepared, external_id, self._keep_crops)
        _, listed = self._galleries.commit(snapshot, collection, change)
        indexed = tuple(IndexedFace(face, found) for face, found in zip(selected, listed))
        return Indexing(indexed, left_out, size)

    def search_photo(self, collection: str | None, image: bytes, limit: int, threshold: float) -> PhotoSearch:
        """Find the faces of the people whom the largest face of a photo shows. Raises as `FaceService.identify`.

        limit: number of faces; threshold: the least confidence, in [0, 1].
        """
        options = IdentifyOptions(top=limit, threshold=threshold, collection=collection)
        identified, gallery = self._faces.identify_in(image, options)
        found = identified.faces[0]
        people = [(match.id, match.confidence) for match in found.candidates if match.confidence >= threshold]
        return PhotoSearch(identified, faces_of(gallery, people)[:limit])

    def search_face(self, collection: str | None, face_id: str, limit: int, threshold: float) -> FaceSearch:
        """Find the faces of the people whom a face of the collection shows, but not that face itself.

        Raises UnknownFace, UnknownCollection, ModelUnavailable.
        """
        snapshot = self._galleries.open(collection)().snapshot
        gallery = snapshot.gallery
        listed = find_face(gallery, face_id)
        # The person is compared without this face, which would be compared with itself.
        others = snapshot._replace(gallery=gallery.edited(Edit(removed_faces=frozenset([face_id]))))
        people = similar_people(others, gallery.embeddings[[gallery.face_rows[face_id]]], limit, threshold)
        return FaceSearch(listed, faces_of(others.gallery, people)[:limit])


def similar_people(
    snapshot: Snapshot, embedding: np.ndarray, limit: int, threshold: float, exclude: int | None = None
) -> list[tuple[int, float]]:
    """Search the gallery for an embedding, float32 [1, size]. -> ID and confidence of each person, best first.

    exclude: ID of a person who is not searched.
    """
    gallery = snapshot.gallery
    ignored = None if exclude is None else np.array([exclude])
    matches = gallery.search(normalize(embedding), min(limit + 1, len(gallery)), ignored)
    confidences = snapshot.cascade.joined.confidence(matches.scores[0], len(gallery)).tolist()
    found = [(key, min(value, HIGHEST)) for key, value in zip(matches.ids[0].tolist(), confidences) if key != exclude]
    return [(key, value) for key, value in found if value >= threshold][:limit]


def faces_of(gallery: Gallery, people: Sequence[tuple[int, float]]) -> tuple[FaceMatch, ...]:
    """List the faces of people, each with the person's confidence."""
    return tuple(
        FaceMatch(ListedFace(face, gallery.by_id[key]), confidence)
        for key, confidence in people
        for face in gallery.faces_of(key)
    )


def _select(
    photo: Photo, faces: Sequence[Face], max_faces: int | None, bar: Sequence[str]
) -> tuple[list[Face], tuple[tuple[Face, tuple[str, ...]], ...]]:
    """Select the faces to index. -> these, and the others with the reasons."""
    selected: list[Face] = []
    left_out = []
    for face in faces:
        reasons = tuple(reason for reason in measure(photo, face).reasons if reason in bar) if bar else ()
        if not reasons and max_faces is not None and len(selected) >= max_faces:
            reasons = (EXCESS,)
        if reasons:
            left_out.append((face, reasons))
        else:
            selected.append(face)
    return selected, tuple(left_out)


class _Index:
    """The change that adds faces of one photo. A face that was indexed from the same photo before stays as it is."""

    def __init__(
        self, snapshot: Snapshot, prepared: Sequence[PreparedFace], external_id: str | None, keep_crops: bool
    ) -> None:
        self._prepared, self._external_id, self._keep_crops = prepared, external_id, keep_crops
        self._embeddings = FaceEmbeddings(prepared, snapshot)
        self._ids, self._added = [str(uuid4()) for _ in prepared], now()

    def __call__(self, gallery: Gallery) -> tuple[Edit | None, tuple[ListedFace, ...]]:
        listed: list[ListedFace] = []
        rows: list[int] = []  # of the new faces
        people: list[Person] = []  # new ones
        seen = self._prepared[0].digest in gallery.photos
        for row in range(len(self._prepared)):
            face = self._face(row, -1)
            known = next((other for other in gallery.faces if _same(other, face)), None) if seen else None
            if known:
                listed.append(ListedFace(known, gallery.by_id[known.person]))
                continue
            person = self._person(gallery, row, gallery.next_id + len(people))
            if person.id not in gallery.by_id:
                people.append(person)
            rows.append(row)
            listed.append(ListedFace(face._replace(person=person.id), person))
        if not rows:
            return None, tuple(listed)
        check_room(gallery, len(people), len(rows))
        faces = tuple(listed[row].face for row in rows)
        crops = {self._ids[row]: pack(self._prepared[row].crop, self._prepared[row].landmark_crop) for row in rows}
        embeddings = self._embeddings.of(gallery)[rows]
        return Edit(tuple(people), faces, embeddings, crops=crops if self._keep_crops else {}), tuple(listed)

    def _face(self, row: int, person_id: int) -> EnrolledFace:
        return self._prepared[row].enrolled(self._ids[row], person_id, self._added, self._external_id)

    def _person(self, gallery: Gallery, row: int, new_id: int) -> Person:
        """Find or make the person of a face. Raises CollectionFull."""
        if row or self._external_id is None:
            return Person(new_id, self._ids[row])
        known = find_labelled(gallery.people, self._external_id)
        if known:
            check_faces_of_one(gallery, known, 1)
        return known or Person(new_id, self._external_id, self._external_id)


def _same(one: EnrolledFace, other: EnrolledFace) -> bool:
    """Tell whether two faces are one face of a photo, indexed with the same external ID."""
    return (one.photos, one.box, one.external_id) == (other.photos, other.box, other.external_id)
