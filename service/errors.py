"""Errors of the use cases.

ServiceError
├── NoFace              the photo shows no face
├── ModelUnavailable    no network or collection can be served or changed now
├── UnknownCollection   there is no such collection
├── UnknownPerson       nobody in the collection has this ID or name
│   └── UnknownUser     nobody in the collection has this user ID
├── UnknownFace         the person or the collection has no such face
├── Exists              the collection has such a person already
├── ReadOnly            the collection was published with the model, or there is no place for changes
├── Conflict            other writers changed the collection at the same time, again and again
├── CollectionFull      the collection or the person has as many faces as are allowed
├── InvalidRequest      values that make no sense, such as a person who is merged into themselves
└── NothingEnrolled     none of the photos could be used
"""

from __future__ import annotations

from service.results import DUPLICATE, NO_FACE, SEVERAL_FACES, TOO_SMALL, UNREADABLE, Skipped
from storage.errors import BlobConflict, BlobNotFound, StorageError


class ServiceError(Exception):
    """Base class. The message is a sentence for the caller and names no person, bucket or path."""


class NoFace(ServiceError):
    pass


class ModelUnavailable(ServiceError):
    retry_after = 5  # seconds until the next attempt to load


class UnknownCollection(ServiceError):
    pass


class UnknownPerson(ServiceError):
    pass


class UnknownUser(UnknownPerson):
    pass


class UnknownFace(ServiceError):
    pass


class Exists(ServiceError):
    pass


class ReadOnly(ServiceError):
    pass


class Conflict(ServiceError):
    retry_after = 1  # seconds


class CollectionFull(ServiceError):
    pass


class InvalidRequest(ServiceError):
    pass


def of_storage(error: StorageError) -> ServiceError:
    """Return the error that a caller gets for one of the storage."""
    if isinstance(error, BlobNotFound):
        return UnknownCollection("The collection was deleted at the same time.")
    if isinstance(error, BlobConflict):
        return Conflict("Others change this collection at the same time: try again.")
    return ModelUnavailable(f"The collection cannot be used: {error.reason}.")


class NothingEnrolled(ServiceError):
    def __init__(self, skipped: tuple[Skipped, ...]) -> None:
        """skipped: the photos, at least one, with reasons. The reason of the first one decides the error's code."""
        super().__init__(f"No photo could be used. The first one: {SENTENCES[skipped[0].reason]}.")
        self.skipped = skipped


SENTENCES = {
    NO_FACE: "no face was found",
    SEVERAL_FACES: "it shows several faces, and none is at least twice as large as the next one",
    UNREADABLE: "it is not an image that can be read",
    TOO_SMALL: "the face has too few pixels",
    DUPLICATE: "it is enrolled already",
}
