"""Use cases of Rekognition's clients: index all faces of a photo, and search for faces like another one.

Faces that are indexed with one external ID form one person. Only the largest face of a photo joins that person: the
others show different people, and each becomes a person of its own.
"""

from __future__ import annotations

from typing import Any, Sequence
from uuid import uuid4

from model.edit import Edit
from model.embedding import EmbeddingSpec
from model.face import Face
from model.photo import Photo
from model.quality import measure
from model.searchable import SearchableGallery
from service.addition import check_faces_of_one, check_room
from service.enrolment import FaceEmbeddings, PreparedFace
from service.external_ids import LabelledPeople
from service.face_results import FaceMatch, FaceSearch, IndexedFace, Indexing, ListedFace, PhotoSearch
from service.faces import FaceService
from service.galleries import Galleries
from service.lookup import find_face, owner
from service.results import IdentifyOptions, Size
from service.similarity import similar_to_face
from storage.galleries import now
from storage.networks import Snapshot

MOST_FACES = 100  # of a photo, as in Rekognition: to embed more, each also mirrored, takes longer than users wait
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

        external_id: of the person, None if each face is somebody else; max_faces: None for MOST_FACES; quality: one of
        QUALITY_BARS. Raises RecognitionError, CollectionFull; errors of `Galleries.commit`.
        """
        snapshot = self._galleries.snapshot()
        most = min(max_faces or MOST_FACES, MOST_FACES)
        photo, faces = self._faces.find(image, all_faces=most > 1)
        selected, left_out = _select(photo, faces, most, QUALITY_BARS[quality])
        digest, spec = photo.digest(), snapshot.network.config.crop
        prepared = [PreparedFace.of("", photo, digest, face, spec) for face in selected]
        size = Size(photo.width, photo.height)
        if not prepared:
            self._galleries.open(collection)()  # an unknown collection is an error also without faces
            return Indexing((), left_out, size)
        joins = selected[0] is faces[0]  # a smaller face shows somebody else
        change = _Index(snapshot, prepared, external_id, joins, self._keep_crops)
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
        people = similar_to_face(snapshot, gallery.face_rows([face_id])[0], limit, threshold)
        matches = [match for match in faces_of(gallery, people) if match.found.face.id != face_id]
        return FaceSearch(listed, tuple(matches[:limit]))


def faces_of(gallery: SearchableGallery, people: Sequence[tuple[int, float]]) -> tuple[FaceMatch, ...]:
    """List the faces of people, each with the person's confidence."""
    return tuple(
        FaceMatch(ListedFace(face, owner(gallery, face)), confidence)
        for key, confidence in people
        for face in gallery.faces_of(key)
    )


def _select(
    photo: Photo, faces: Sequence[Face], most: int, bar: Sequence[str]
) -> tuple[list[Face], tuple[tuple[Face, tuple[str, ...]], ...]]:
    """Select the faces to index. -> these, and the others with the reasons."""
    selected: list[Face] = []
    left_out = []
    for face in faces:
        reasons = tuple(reason for reason in measure(photo, face).reasons if reason in bar) if bar else ()
        if not reasons and len(selected) >= most:
            reasons = (EXCESS,)
        if reasons:
            left_out.append((face, reasons))
        else:
            selected.append(face)
    return selected, tuple(left_out)


class _Index:
    """The change that adds faces of one photo. A face that was indexed from the same photo before stays as it is."""

    def __init__(
        self,
        snapshot: Snapshot,
        prepared: Sequence[PreparedFace],
        external_id: str | None,
        joins: bool,
        keep_crops: bool,
    ) -> None:
        """joins: the first face is that of the person with the external ID."""
        self._prepared, self._external_id, self._joins = prepared, external_id, joins and external_id is not None
        self._keep_crops = keep_crops
        self._embeddings = FaceEmbeddings(prepared, snapshot)
        self._added = now()

    def prepare(self, spec: EmbeddingSpec) -> None:
        """Compute the embeddings, see storage/engine.py."""
        self._embeddings.of(spec)

    def __call__(self, gallery: SearchableGallery) -> tuple[Edit | None, tuple[ListedFace, ...]]:
        """Raises CollectionFull."""
        seen = self._seen(gallery)
        people = LabelledPeople(gallery)
        rows = [row for row, face in enumerate(self._prepared) if face.box not in seen]
        # Other IDs at each attempt, as in service/addition.py.
        added = {row: self._new(row, str(uuid4()), people) for row in rows}
        listed = tuple(added[row] if row in added else seen[face.box] for row, face in enumerate(self._prepared))
        if not rows:
            return None, listed
        check_room(gallery, len(people.new), len(rows))
        for each in added.values():
            check_faces_of_one(gallery, each.person, 1)
        faces, embeddings = tuple(added[row].face for row in rows), self._embeddings.of(gallery.spec)[rows]
        crops = {added[row].face.id: self._prepared[row].packed() for row in rows} if self._keep_crops else {}
        return Edit(tuple(people.new), faces, embeddings, crops=crops), listed

    def _new(self, row: int, face_id: str, people: LabelledPeople) -> ListedFace:
        if self._joins and not row:
            person, own_label = people.find_or_make(str(self._external_id)), None
        else:
            person, own_label = people.make_unnamed(face_id), self._external_id
        return ListedFace(self._prepared[row].enrolled(face_id, person.id, self._added, own_label), person)

    def _seen(self, gallery: SearchableGallery) -> dict[Any, ListedFace]:
        """Return the faces that were indexed from this photo with this external ID, by their boxes."""
        digest = self._prepared[0].digest
        faces = map(gallery.face, gallery.photo_faces(digest))
        found = (ListedFace(face, owner(gallery, face)) for face in faces if face.photos == (digest,))
        return {each.face.box: each for each in found if each.label == self._external_id}
