"""Errors of the storage layer.

StorageError
├── BlobNotFound         no object with that key, or no bucket
├── BlobConflict         a conditional write lost against another writer
├── StorageRefused       no right, no credentials, a wrong setting: trying again does not help
├── StorageUnreachable   down, slow or in trouble: trying again may help
├── StorageFull          the disk or the temp folder takes no more
├── CorruptData          bytes that differ from what was written, or of an unknown format
└── NothingLoaded        no version is loaded that can be served
"""

from __future__ import annotations

from typing import NamedTuple


class StorageError(Exception):
    """The message is a sentence for the operator and may name a bucket, a key or a path.

    reason: the same without any name, a clause that may be shown to callers of the API.
    """

    def __init__(self, message: str, reason: str = "the storage refuses") -> None:
        super().__init__(message)
        self.reason = reason


class BlobNotFound(StorageError):
    pass


class BlobConflict(StorageError):
    pass


class StorageRefused(StorageError):
    pass


class StorageUnreachable(StorageError):
    pass


class StorageFull(StorageError):
    pass


class CorruptData(StorageError):
    pass


class NothingLoaded(StorageError):
    pass


class Rule(NamedTuple):
    """An entry of a table of errors. sentence: for the operator, with fields in braces; reason: as of StorageError."""

    kind: type[StorageError]
    sentence: str
    reason: str

    def error(self, code: str = "", **fields: object) -> StorageError:
        """code: of S3, or the name of a library's exception; it is added to the reason."""
        return self.kind(self.sentence.format(**fields), f"{self.reason} ({code})" if code else self.reason)
