"""The tables of a database that keeps collections.

One table lists the collections. Each collection has three tables of its own: `people`, `faces` and `entries`, with the
vectors that are searched. So each has indexes for its own embedding, and deleting it drops them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from model.embedding import EmbeddingSpec
from storage.errors import StorageRefused

VERSION = 1
SCHEMA = "face_recognition"
PGVECTOR = (0, 7)  # the first with `halfvec`
COMMAND = "python -m training database"

COLLECTIONS = f"{SCHEMA}.collections"
CREATE = f"""
create schema if not exists {SCHEMA};
create table if not exists {SCHEMA}.version (number integer not null);
create table if not exists {COLLECTIONS} (
    id integer generated always as identity primary key,
    name text not null unique,
    embedding jsonb not null,
    created text not null,
    next_id bigint not null default 0,
    people bigint not null default 0,
    searchable bigint not null default 0,
    faces bigint not null default 0,
    changes bigint not null default 0,
    commits text[] not null default '{{}}',
    crops boolean not null default false,
    deleted boolean not null default false
);
"""


class Tables(NamedTuple):
    """Names of the tables of a collection, for SQL."""

    people: str
    faces: str
    entries: str

    @classmethod
    def of(cls, collection: int) -> Tables:
        """collection: its ID."""
        return cls(*(f"{SCHEMA}.{kind}_{collection:d}" for kind in cls._fields))


def create_schema(connection: psycopg.Connection[Any], role: str | None = None) -> bool:
    """Create the schema if it is not there. -> False if it was. Raises psycopg.Error, StorageRefused.

    role: of the service, which gets the rights that it needs, None for the one of this connection.
    """
    with connection.transaction():
        connection.execute("create extension if not exists vector")
        _check_extension(connection)
        connection.execute(CREATE)
        numbers = _numbers(connection)
        if not numbers:
            connection.execute(f"insert into {SCHEMA}.version values (%s)", [VERSION])
        if role:
            if not connection.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone():
                message = f"The database has no role {role}: create it first, with `create role {role} login`."
                raise StorageRefused(message, "the database has no such role")
            grant = (
                f"grant usage, create on schema {SCHEMA} to {{role}};"
                f"grant select on {SCHEMA}.version to {{role}};"
                f"grant select, insert, update on {COLLECTIONS} to {{role}}"
            )
            connection.execute(sql.SQL(grant).format(role=sql.Identifier(role)))
    check_version(connection)
    return not numbers


def check_version(connection: psycopg.Connection[Any]) -> None:
    """Check that the schema is the one of this release. Raises StorageRefused, psycopg.Error."""
    _check_extension(connection)
    found = connection.execute("select to_regclass(%s)", [f"{SCHEMA}.version"]).fetchone()
    if found is None or found[0] is None:
        raise no_tables()
    numbers = _numbers(connection)
    if numbers != [VERSION]:
        listed = " and ".join(map(str, numbers)) or "none"
        raise StorageRefused(
            f"The schema of the database has version {listed}, and this release uses {VERSION}: use the release that "
            "created it, or another database.",
            "the schema of the database is of another release",
        )


def no_tables() -> StorageRefused:
    return StorageRefused(
        f"The database has no tables for collections: run `{COMMAND}`.", "the database has no tables for collections"
    )


def create_tables(cursor: psycopg.Cursor[Any], collection: int, spec: EmbeddingSpec) -> None:
    """Create the tables of a collection without anybody."""
    tables = Tables.of(collection)
    cursor.execute(
        f"""
        create table {tables.people} (
            id bigint primary key,
            name text not null,
            folded text not null,
            external_id text,
            user_id text
        );
        create index on {tables.people} (name);
        create index on {tables.people} (folded);
        create index on {tables.people} (external_id) where external_id is not null;
        create index on {tables.people} (user_id) where user_id is not null;
        create table {tables.faces} (
            "row" bigint generated always as identity primary key,
            id text not null unique,
            person bigint not null references {tables.people},
            photos text[] not null,
            added text not null,
            box float8[],
            confidence float8,
            width integer,
            height integer,
            external_id text,
            origin text,
            embedding bytea not null,
            crop bytea
        );
        create index on {tables.faces} (person);
        create index on {tables.faces} using gin (photos);
        create table {tables.entries} (
            person bigint primary key references {tables.people},
            whole vector({spec.size + 1}) not null,
            mobile vector({spec.mobile + 1}) not null
        );
        alter table {tables.entries} alter column whole set storage plain, alter column mobile set storage plain;
        """
    )
    create_vector_indexes(cursor, collection, spec)


def create_vector_indexes(cursor: psycopg.Cursor[Any], collection: int, spec: EmbeddingSpec) -> None:
    """Create the indexes of a collection's vectors, as 16-bit numbers. Scores are computed from the vectors again."""
    entries = Tables.of(collection).entries
    for column, size in (("whole", spec.size + 1), ("mobile", spec.mobile + 1)):
        cursor.execute(
            f"create index {_index(collection, column)} on {entries} "
            f"using hnsw (({column}::halfvec({size})) halfvec_ip_ops)"
        )


def drop_vector_indexes(cursor: psycopg.Cursor[Any], collection: int) -> None:
    """Drop these indexes, to build them anew after many additions."""
    for column in ("whole", "mobile"):
        cursor.execute(f"drop index {SCHEMA}.{_index(collection, column)}")


def drop_tables(cursor: psycopg.Cursor[Any], collection: int) -> None:
    """Drop the tables of a collection, with everybody in them."""
    tables = Tables.of(collection)
    # Locked in the order in which readers use them.
    cursor.execute(f"drop table {tables.entries}, {tables.people}, {tables.faces}")


def _index(collection: int, column: str) -> str:
    return f"entries_{collection:d}_{column}"


def _numbers(connection: psycopg.Connection[Any]) -> list[int]:
    return [number for (number,) in connection.execute(f"select number from {SCHEMA}.version")]


def _check_extension(connection: psycopg.Connection[Any]) -> None:
    found = connection.execute("select extversion from pg_extension where extname = 'vector'").fetchone()
    if found is None:
        raise StorageRefused(
            f"The database has no pgvector: install it, then run `{COMMAND}`.", "the database has no pgvector"
        )
    if tuple(map(int, found[0].split(".")[:2])) < PGVECTOR:
        raise StorageRefused(
            f"The database has pgvector {found[0]}, and 0.7 or later is needed: `alter extension vector update`.",
            "the database has a pgvector that is too old",
        )
