"""Writers to a database as processes of their own. Each prints the ID of each person that it has added."""

from __future__ import annotations

import sys

from storage.postgres.collections import PostgresCollections
from storage.postgres.database import Database
from testing.changes import COLLECTION, adding, cohorts


def add(uri: str, name: str, count: str) -> None:
    """Add people, one after the other."""
    collections = PostgresCollections(Database(uri))
    for number in range(int(count)):
        _, key = collections.commit(COLLECTION, cohorts, adding(f"{name} {number}", f"{name}-{number}"))
        sys.stdout.write(f"{key}\n")
        sys.stdout.flush()
