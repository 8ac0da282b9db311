"""The one table of PostgreSQL's errors: an SQLSTATE, or an exception of the driver -> StorageError."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import Iterator

import psycopg
from psycopg_pool import PoolTimeout

from storage.errors import (
    BlobConflict,
    BlobNotFound,
    Rule,
    StorageError,
    StorageFull,
    StorageRefused,
    StorageUnreachable,
)

# Fields of the sentences: {error}, the server's or the library's own message.

DOWN = Rule(StorageUnreachable, "The database cannot be reached: {error}.", "the database cannot be reached")
BUSY = Rule(StorageUnreachable, "The database has no free connection: {error}.", "the database has no free connection")
SLOW = Rule(StorageUnreachable, "The database took too long: {error}.", "the database took too long")
LOST = Rule(
    StorageUnreachable, "The connection to the database was lost: {error}.", "the connection to the database was lost"
)
WRITER_FIRST = Rule(BlobConflict, "Another writer was first: {error}.", "other writers were first")
GONE = Rule(BlobNotFound, "The collection is not there any more: {error}.", "there is no such collection")
REFUSED = Rule(
    StorageRefused,
    "The database does not let this user in: {error}. Check user, password and database in GALLERY_URI.",
    "the database does not let the service in",
)
NO_TLS = Rule(
    StorageRefused,
    "The connection to the database is not encrypted as GALLERY_URI demands: {error}.",
    "the connection to the database is not encrypted as it has to be",
)
DENIED = Rule(
    StorageRefused,
    "The database user lacks a right: {error}. `python -m training database --role USER` gives all of them.",
    "the database denies access",
)
READ_ONLY = Rule(
    StorageRefused,
    "The database is read-only: {error}. GALLERY_URI has to name the writer of a cluster.",
    "the database is read-only",
)
FULL = Rule(StorageFull, "The database takes no more: {error}.", "the database is full")
NO_KEYS = Rule(
    StorageRefused,
    "There are no AWS credentials to log in to the database with IAM: {error}. GALLERY_URI has no password.",
    "there are no AWS credentials",
)
NO_EXTENSION = Rule(
    StorageRefused,
    "The database has no pgvector: {error}. Install it, then run `python -m training database`.",
    "the database has no pgvector",
)
OTHER = Rule(StorageRefused, "The database reports an error: {error}.", "the database reports an error")

# By SQLSTATE, and then by its first two characters.
RULES = {
    "08": LOST,
    "25006": READ_ONLY,
    "28": REFUSED,
    "3D000": REFUSED,
    "40": WRITER_FIRST,
    "42501": DENIED,
    "42P01": GONE,
    "42704": NO_EXTENSION,
    "53100": FULL,
    "53200": FULL,
    "53300": BUSY,
    "55P03": WRITER_FIRST,
    "57014": SLOW,
    "57P": LOST,
}
# Without an SQLSTATE: the driver has only the text of a failed or lost connection. The first entry that it contains.
TEXTS = {
    "closed": LOST,
    "lost": LOST,
    "eof": LOST,
    "ssl syscall": LOST,  # of a network that fails below an encrypted connection
    "too many": BUSY,
    "remaining connection slots": BUSY,
    "pg_hba": REFUSED,  # also of an encrypted connection, and then with "SSL"
    "ssl": NO_TLS,
    "certificate": NO_TLS,
    "password": REFUSED,
    "authentication": REFUSED,
    "permission denied": REFUSED,
    "role ": REFUSED,
    "does not exist": REFUSED,
}
NAMES = re.compile(r"'[^']*'|\"[^\"]*\"")  # of hosts, users, databases and files, which could contain any of these


@contextmanager
def database_errors() -> Iterator[None]:
    """Convert the driver's errors. Raises StorageError."""
    try:
        yield
    except psycopg.Error as error:
        raise storage_error(error) from error


def storage_error(error: psycopg.Error) -> StorageError:
    """Look up an error of the driver."""
    # The rest of a server's message may quote what is stored.
    state, text = error.sqlstate or "", " ".join((error.diag.message_primary or str(error)).split()).rstrip(".")
    return _rule(error, state, text.lower()).error(state, error=text)


def _rule(error: psycopg.Error, state: str, text: str) -> Rule:
    for length in (5, 3, 2):
        if state[:length] in RULES:
            return RULES[state[:length]]
    if state or not isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return OTHER
    if isinstance(error, PoolTimeout):
        return BUSY
    said = NAMES.sub("", text)
    return next((rule for part, rule in TEXTS.items() if part in said), DOWN)
