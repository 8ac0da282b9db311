"""Writers to a collection as processes of their own: `python -m testing.changes URI ENDPOINT NAME COUNT`.

Each adds COUNT people, one after the other, and prints the ID of each once it is added.
"""

from __future__ import annotations

import sys
import uuid
import zlib
from typing import Callable

import numpy as np

from model.cohort import Cohort
from model.edit import Edit
from model.embedding import EmbeddingSpec, normalize
from model.records import EnrolledFace, Person
from model.searchable import SearchableGallery
from storage.blobs import open_blobs
from storage.collections import Collections
from storage.errors import BlobConflict
from storage.revisions import Revision
from storage.s3_settings import S3Settings

COLLECTION = "people"
SPEC = EmbeddingSpec("generic", "0" * 16, 704, 192)  # of the size of real ones
STRANGERS = Cohort(normalize(np.random.RandomState(0).randn(450, SPEC.size)).astype(np.float32))


def cohorts(_: EmbeddingSpec) -> Cohort:
    return STRANGERS


def adding(name: str, photo: str) -> Callable[[SearchableGallery], tuple[Edit, int]]:
    """Return a change that adds a person with one face. photo: digest of the photo."""
    face_id = str(uuid.uuid4())
    embedding = normalize(np.random.RandomState(zlib.crc32(photo.encode())).randn(1, SPEC.size))

    def change(gallery: SearchableGallery) -> tuple[Edit, int]:
        person = Person(gallery.next_id, name)
        face = EnrolledFace(face_id, person.id, (photo,), "2026-01-01")
        return Edit((person,), (face,), embedding), person.id

    return change


def add(collections: Collections, name: str, count: int) -> None:
    """Add people, with as many attempts as that takes."""
    known: Revision | None = None
    for number in range(count):
        change = adding(f"{name} {number}", f"{name}-{number}")
        while True:
            try:
                known, key = collections.commit(COLLECTION, cohorts, change, known)
                break
            except BlobConflict:
                continue
        sys.stdout.write(f"{key}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uri, endpoint, writer, times = sys.argv[1:]
    with open_blobs(uri, S3Settings("us-east-1", "test", "test", endpoint=endpoint)) as opened:
        add(Collections(opened), writer, int(times))
