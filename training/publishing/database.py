"""database: create the tables for collections in a PostgreSQL database."""

from __future__ import annotations

from storage.addresses import is_database
from storage.postgres.database import connect
from storage.postgres.errors import database_errors
from storage.postgres.schema import VERSION, create_schema
from training.errors import TrainingError, log


def create_database(uri: str, role: str | None) -> None:
    """Create the tables unless they are there, and give a role the rights that the service needs.

    Raises TrainingError, StorageError.
    """
    if not is_database(uri):
        raise TrainingError(
            "database needs --galleries or GALLERY_URI of the form postgresql://user:password@host:port/database."
        )
    with database_errors(), connect(uri) as connection:
        created = create_schema(connection, role)
    log(f"the tables of version {VERSION} {'are created' if created else 'were there already'}")
