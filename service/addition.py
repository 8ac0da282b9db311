"""A change that adds faces to a new or existing person."""

from __future__ import annotations

from typing import Callable, Iterator, Mapping, Sequence
from uuid import uuid4

import numpy as np

from model.calibration import DEFAULT_STRICTNESS
from model.edit import Edit
from model.embedding import EmbeddingSpec, normalize
from model.records import Person
from model.searchable import SearchableGallery
from service.enrolment import FaceEmbeddings, PreparedFace
from service.errors import CollectionFull, NothingEnrolled
from service.results import DUPLICATE, Enrolment, Match, PersonDetails, Skipped
from storage.galleries import now
from storage.networks import Snapshot

MAX_PEOPLE = 1_000_000  # in a collection; docs/scale.md has the memory that they take
MAX_FACES = 2_000_000  # in a collection
MAX_FACES_OF_ONE = 1_000  # person
LOOK_ALIKES = 5  # in one result
# Figures: docs/training.md, "Open set by size".
ADVICE = "Add a second photo: of 200 people 96 % are identified with one photo each, and 99 % with two."


class Addition:
    """A change that adds faces to a person."""

    def __init__(
        self,
        snapshot: Snapshot,
        person_of: Callable[[SearchableGallery], Person],
        photos: Sequence[PreparedFace | Skipped],
        keep_crops: bool,
    ) -> None:
        """person_of: finds the person in a gallery, or makes a new one; keep_crops: store the crops.

        Raises NothingEnrolled if there are photos and none can be used.
        """
        self._snapshot, self._person_of, self._photos = snapshot, person_of, photos
        self._keep_crops = keep_crops
        self._faces: dict[str, PreparedFace] = {}
        for photo in photos:
            if isinstance(photo, PreparedFace):
                self._faces.setdefault(photo.digest, photo)
        if photos and not self._faces:
            raise NothingEnrolled(tuple(self._skipped(())))
        self._embeddings = FaceEmbeddings(list(self._faces.values()), snapshot)
        self._added = now()

    def prepare(self, spec: EmbeddingSpec) -> None:
        """Compute the embeddings, see storage/engine.py."""
        self._embeddings.of(spec)

    def __call__(self, gallery: SearchableGallery) -> tuple[Edit | None, Enrolment]:
        person = self._person_of(gallery)
        new = [digest for digest in self._faces if not gallery.has_photo(digest)]
        skipped = tuple(self._skipped(new))
        if self._faces and not new:
            return None, self._known(gallery, person, skipped)
        added = (person,) * (gallery.person(person.id) is None)
        check_room(gallery, len(added), len(new))
        check_faces_of_one(gallery, person, len(new))
        # Others at each attempt: a deletion may still remove the crops of an attempt that failed.
        ids = {digest: str(uuid4()) for digest in new}
        faces = tuple(self._faces[digest].enrolled(ids[digest], person.id, self._added) for digest in new)
        rows = {digest: row for row, digest in enumerate(self._faces)}
        embeddings = self._embeddings.of(gallery.spec)[[rows[digest] for digest in new]]
        own = gallery.faces_of(person.id)
        return Edit(added, faces, embeddings, crops=self._crops(ids)), Enrolment(
            PersonDetails(person, "", faces),
            True,
            skipped,
            self._look_alikes(gallery, person, embeddings),
            tuple(other.id for other in gallery.named(person.name) if other.id != person.id),
            ADVICE if len(own) + len(faces) == 1 else None,
        )

    def _skipped(self, new: Sequence[str]) -> Iterator[Skipped]:
        """List the photos that are not used. new: digests of those that are."""
        for photo in self._photos:
            if isinstance(photo, Skipped):
                yield photo
            elif photo.digest not in new or self._faces[photo.digest] is not photo:
                yield Skipped(photo.file, DUPLICATE)

    def _crops(self, ids: Mapping[str, str]) -> dict[str, bytes]:
        """Return the crops to store, by the faces' IDs. ids: of new faces, by the digests of their photos."""
        if not self._keep_crops:
            return {}
        return {face_id: self._faces[digest].packed() for digest, face_id in ids.items()}

    def _known(self, gallery: SearchableGallery, person: Person, skipped: tuple[Skipped, ...]) -> Enrolment:
        """Return the person's faces from these photos. Raises NothingEnrolled if the photos are other people's."""
        faces = tuple(face for face in gallery.faces_of(person.id) if set(face.photos) & set(self._faces))
        if not faces:
            raise NothingEnrolled(skipped)
        return Enrolment(PersonDetails(person, "", faces), False, skipped)

    def _look_alikes(self, gallery: SearchableGallery, person: Person, embeddings: np.ndarray) -> tuple[Match, ...]:
        """Find the people as whom the person would be identified, at the default strictness."""
        own = gallery.face_rows_of(person.id)
        if not len(embeddings) or not len(gallery):
            return ()
        probe = normalize(np.concatenate([gallery.embeddings_of(own), embeddings]).mean(axis=0, keepdims=True))
        exclude = np.array([person.id]) if own else None
        calibration, people = self._snapshot._replace(gallery=gallery).cascade.joined, len(gallery)
        matches = gallery.search(probe, LOOK_ALIKES, exclude)
        threshold = calibration.threshold(people, DEFAULT_STRICTNESS)
        return tuple(
            Match(found.id, found.name, float(calibration.confidence(score, people)))
            for found, score in zip(gallery.found(matches.ids[0]), matches.scores[0])
            if score >= threshold
        )


def check_room(gallery: SearchableGallery, people: int, faces: int) -> None:
    """Check that a gallery can have so many more people and faces. Raises CollectionFull."""
    if people and gallery.people_count + people > MAX_PEOPLE:
        raise CollectionFull(f"The collection has {MAX_PEOPLE:,} people, which is the limit.")
    if gallery.face_count + faces > MAX_FACES:
        raise CollectionFull(f"The collection would have more than {MAX_FACES:,} faces, which is the limit.")


def check_faces_of_one(gallery: SearchableGallery, person: Person, faces: int) -> None:
    """Check that a person can have so many more faces. Raises CollectionFull."""
    if len(gallery.face_rows_of(person.id)) + faces > MAX_FACES_OF_ONE:
        raise CollectionFull(f"The person would have more than {MAX_FACES_OF_ONE:,} faces, which is the limit.")
