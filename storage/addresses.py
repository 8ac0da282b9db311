"""Addresses of places: a folder, s3://bucket/prefix, or postgresql://user@host/database for collections."""

from __future__ import annotations

import re

S3 = "s3://"
DATABASE = ("postgresql://", "postgres://")
# Addresses of other kinds, and misspelt ones. `C:/photos` is a folder on Windows.
_OTHER = re.compile(r"(s3|arn|[a-z][a-z0-9+.-]+(?=:/)):", re.IGNORECASE)


def is_database(uri: str) -> bool:
    """Tell whether an address is one of a database, and not a folder or an S3 prefix."""
    return uri.startswith(DATABASE)


def is_s3(uri: str) -> bool:
    """Tell whether an address is one of an S3 prefix."""
    return uri.startswith(S3)


def check_address(uri: str, name: str = "The address") -> None:
    """Check that an address is a folder's path or s3://bucket/prefix.

    name: of the address, for the error. Raises ValueError, which does not quote it: it may hold a password.
    """
    found = _OTHER.match(uri)
    if found and not is_s3(uri):
        forms = "the path of a folder, or s3://bucket/prefix, or, for collections, postgresql://user@host/database"
        raise ValueError(f"{name} begins with {found[1]}:, which is not a place for files: give {forms}.")
