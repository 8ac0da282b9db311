"""Connections to PostgreSQL: addresses, encryption, logins, the schema, rights, the table of errors, and the pool."""

from __future__ import annotations

import re
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, Iterator

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from model.edit import Edit
from storage.errors import BlobConflict, Rule, StorageError, StorageRefused, StorageUnreachable
from storage.postgres import database, errors
from storage.postgres.collections import PostgresCollections
from storage.postgres.database import CONNECTIONS, Database, connect, connection_parameters
from storage.postgres.errors import (
    BUSY,
    DENIED,
    DOWN,
    FULL,
    GONE,
    LOST,
    NO_EXTENSION,
    NO_TLS,
    OTHER,
    READ_ONLY,
    REFUSED,
    RULES,
    SLOW,
    TEXTS,
    WRITER_FIRST,
    storage_error,
)
from storage.postgres.schema import create_schema
from testing.changes import COLLECTION, SPEC, adding, cohorts
from testing.postgres import PostgresServer
from testing.servers import free_port
from tests.postgres_proxy import certified, proxied

AMAZON = "people.abc.eu-central-1.rds.amazonaws.com"
HOST = "127.0.0.1"  # of the proxy


@pytest.fixture()
def uri(postgres: PostgresServer) -> Iterator[str]:
    with postgres.database() as found:
        yield found


@pytest.fixture()
def tls(tmp_path: Path) -> ssl.SSLContext:
    """Of a server with the certificate own.pem."""
    return certified(tmp_path / "own.pem", HOST)


@pytest.fixture()
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less for a connection."""
    monkeypatch.setattr(database, "CONNECT_SECONDS", 1)


@pytest.fixture()
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of nobody, with which tokens of IAM are made."""
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANOBODY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")


def opened(uri: str) -> PostgresCollections:
    return PostgresCollections(Database(uri))


def refused(attempt: Callable[[], object], rule: Rule, code: str = "") -> str:
    """Check that an attempt fails by a rule of the table. -> the message. code: that the reason has."""
    with pytest.raises(rule.kind) as caught:
        attempt()
    assert caught.value.reason == (f"{rule.reason} ({code})" if code else rule.reason)
    start, end = rule.sentence.split("{error}")
    message = str(caught.value)
    assert message.startswith(start) and message.endswith(end)
    return message


def names(collections: PostgresCollections) -> list[str]:
    return [person.name for person in collections.read(COLLECTION, cohorts).gallery.people]


# Encryption


@pytest.mark.parametrize("options", ["sslmode=require", "sslmode=verify-full&sslrootcert={folder}/own.pem"])
def test_an_encrypted_connection(options: str, uri: str, tls: ssl.SSLContext, tmp_path: Path) -> None:
    with proxied(uri, tls) as (proxy, address):
        collections = opened(f"{address}?{options.format(folder=tmp_path)}")
        collections.create(COLLECTION, SPEC)
        collections.commit(COLLECTION, cohorts, adding("Ada", "1"))
        assert names(collections) == ["Ada"]
        assert set(proxy.encrypted) == {"TLSv1.3"}


def test_a_local_server_that_can_encrypt(uri: str, tls: ssl.SSLContext) -> None:
    with proxied(uri, tls) as (proxy, address), connect(address) as connection:
        assert connection.pgconn.ssl_in_use
        assert proxy.encrypted == ["TLSv1.3"]


def test_a_certificate_of_somebody_else(uri: str, tls: ssl.SSLContext, tmp_path: Path) -> None:
    certified(tmp_path / "other.pem", HOST)
    for name, reason in (("other.pem", "certificate verify failed"), ("none.pem", "does not exist")):
        with proxied(uri, tls) as (proxy, address):
            options = f"?sslmode=verify-full&sslrootcert={tmp_path / name}"
            assert reason in refused(opened(address + options).manifests, NO_TLS)
            assert not proxy.encrypted


def test_a_certificate_for_another_host(uri: str, tmp_path: Path) -> None:
    other = certified(tmp_path / "other.pem", "127.0.0.2")
    with proxied(uri, other) as (_, address):
        options = f"?sslmode=verify-full&sslrootcert={tmp_path / 'other.pem'}"
        assert "does not match host name" in refused(opened(address + options).manifests, NO_TLS)


def test_a_server_that_does_not_encrypt(uri: str) -> None:
    with proxied(uri) as (_, address):
        message = refused(opened(f"{address}?sslmode=require").manifests, NO_TLS)
        assert "server does not support SSL, but SSL was required" in message


def test_an_encrypted_connection_that_is_lost(uri: str, tls: ssl.SSLContext) -> None:
    with proxied(uri, tls) as (proxy, address):
        collections = PostgresCollections(Database(f"{address}?sslmode=require", seconds=0.5))
        collections.create(COLLECTION, SPEC)
        gallery = collections.read(COLLECTION, cohorts).gallery
        proxy.cut_after = b"face_recognition.people_1"
        refused(lambda: gallery.people, LOST)
        proxy.cut_after = b"COMMIT"
        assert collections.commit(COLLECTION, cohorts, adding("Ada", "1"))[1] == 0
        proxy.silent_after = b"face_recognition.people_1"
        refused(lambda: gallery.people, LOST)
        proxy.silent, proxy.silent_after = False, b""
        assert names(collections) == ["Ada"]


# Addresses


@pytest.mark.parametrize(
    ("uri", "sslmode"),
    [
        ("postgresql://service@db.example.com/faces", "require"),
        ("postgres://service@10.0.0.5:6432/faces", "require"),
        ("postgresql://service@/faces?hostaddr=10.0.0.5", "require"),
        ("postgresql://service@db.example.com/faces?sslmode=verify-full", "verify-full"),
        ("postgresql://service@db.example.com/faces?sslmode=disable", "disable"),
        ("postgresql://service@localhost/faces", "prefer"),
        ("postgresql://service@127.0.0.1:5433/faces", "prefer"),
        ("postgresql://service@[::1]/faces", "prefer"),
        ("postgresql:///faces", "prefer"),
        ("postgresql:///faces?host=/var/run/postgresql", "prefer"),
        ("postgresql://service@localhost/faces?sslmode=require", "require"),
    ],
)
def test_other_machines_are_asked_for_encryption(uri: str, sslmode: str) -> None:
    assert connection_parameters(uri)["sslmode"] == sslmode


def test_the_address_decides() -> None:
    uri = "postgresql://service:secret@db.example.com:6432/faces"
    found = connection_parameters(uri)
    assert {key: found[key] for key in ("user", "password", "host", "port", "dbname")} == {
        "user": "service",
        "password": "secret",
        "host": "db.example.com",
        "port": "6432",
        "dbname": "faces",
    }
    assert (found["application_name"], found["prepare_threshold"]) == ("face-recognition", None)
    found = connection_parameters(f"{uri}?application_name=other&connect_timeout=2")
    assert (found["application_name"], found["connect_timeout"]) == ("other", "2")


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://service:se%zzcret@db.example.com/faces",
        "postgresql://service:secret@[::1/faces",
        "postgresql://service:secret@db.example.com/faces?unknown=1",
        "postgresql://service:se@cret@db.example.com/faces",
    ],
)
def test_an_address_that_cannot_be_read(uri: str) -> None:
    with pytest.raises(StorageRefused) as caught:
        opened(uri).manifests()
    assert caught.value.reason == "the address of the database cannot be read"
    assert str(caught.value).startswith("GALLERY_URI is not of the form postgresql://user:password@host:port/database.")
    assert "cret" not in str(caught.value)


def test_a_server_that_is_not_there() -> None:
    for place in (f"127.0.0.1:{free_port()}", "nowhere.invalid", "localhost:99999"):
        started = time.monotonic()
        message = refused(opened(f"postgresql://service:secret@{place}/faces").manifests, DOWN)
        assert time.monotonic() - started < 4
        assert "secret" not in message
    refused(opened("postgresql:///faces?host=/nowhere").manifests, DOWN)


# Logins


def test_a_wrong_user_or_database(uri: str) -> None:
    nobody = uri.replace("//postgres:@", "//nobody:secret@")
    for wrong in (nobody, uri.replace("/test_", "/secret_test_")):
        message = refused(opened(wrong).manifests, REFUSED)
        assert "does not exist" in message
    assert "secret" not in refused(opened(nobody).manifests, REFUSED)


def test_a_wrong_password(postgres: PostgresServer, uri: str) -> None:
    role = postgres.role("the right one")
    with connect(uri) as connection:
        create_schema(connection, role)
    assert opened(uri.replace("//postgres:@", f"//{role}:the%20right%20one@")).manifests() == []
    for password, found in (("secret", "password authentication failed"), ("", "no password supplied")):
        message = refused(opened(uri.replace("//postgres:@", f"//{role}:{password}@")).manifests, REFUSED)
        assert found in message
        assert "secret" not in message


def test_a_role_that_may_not_connect(postgres: PostgresServer, uri: str) -> None:
    name = uri.split("?")[0].rpartition("/")[2]
    postgres.run(f"revoke connect on database {name} from public")
    message = refused(opened(as_role(uri, postgres.role())).manifests, REFUSED)
    assert "permission denied for database" in message


def test_a_role_with_too_many_connections(postgres: PostgresServer, uri: str) -> None:
    role = postgres.role()
    postgres.run(f"alter role {role} connection limit 0")
    assert "too many connections for role" in refused(opened(as_role(uri, role)).manifests, BUSY)


def test_a_token_of_iam(keys: None) -> None:
    token = connection_parameters(f"postgresql://service@{AMAZON}/faces")["password"]
    assert token.startswith(f"{AMAZON}:5432/?Action=connect&DBUser=service&")
    assert re.search(r"X-Amz-Credential=AKIANOBODY%2F\d{8}%2Feu-central-1%2Frds-db%2Faws4_request", token)
    assert re.search(r"X-Amz-Expires=900&.*X-Amz-Signature=[0-9a-f]{64}$", token)
    assert connection_parameters(f"postgresql://service@{AMAZON}:6432/faces")["password"].startswith(f"{AMAZON}:6432/")


@pytest.mark.parametrize(
    ("uri", "password"),
    [
        (f"postgresql://service:secret@{AMAZON}/faces", "secret"),
        (f"postgresql://service@{AMAZON}/faces?password=secret", "secret"),
        (f"postgresql://service@{AMAZON}.example.com/faces", None),
        ("postgresql://service@rds.amazonaws.com/faces", None),
        ("postgresql://service@db.example.com/faces", None),
        ("postgresql://service@localhost/faces", None),
    ],
)
def test_no_token(keys: None, uri: str, password: str | None) -> None:
    assert connection_parameters(uri).get("password") == password


def test_a_token_for_each_connection(keys: None, postgres: PostgresServer, uri: str, tls: ssl.SSLContext) -> None:
    """The server refuses it, because it cannot check the signature."""
    role = postgres.role("another one")
    with proxied(uri, tls) as (proxy, address):
        name = address.rpartition("/")[2]
        found = Database(f"postgresql://{role}@{AMAZON}:{proxy.port}/{name}?hostaddr={HOST}")
        deadline = time.monotonic() + 5
        while len(set(proxy.passwords)) < 2 and time.monotonic() < deadline:  # a signature is the same for a second
            message = refused(PostgresCollections(found).manifests, REFUSED)
            assert "X-Amz" not in message
            time.sleep(0.2)
        assert len(set(proxy.passwords)) == 2
        assert all(f"{AMAZON}:{proxy.port}/?Action=connect&DBUser={role}&" in each for each in proxy.passwords)
        assert len(proxy.encrypted) == len(proxy.passwords)


def test_no_keys_for_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    message = refused(opened(f"postgresql://service@{AMAZON}/faces").manifests, errors.NO_KEYS)
    assert "Unable to locate credentials" in message


# The schema


@pytest.mark.parametrize(
    ("statement", "message", "reason"),
    [
        (
            "drop schema face_recognition cascade",
            "The database has no tables for collections: run `python -m training database`.",
            "the database has no tables for collections",
        ),
        (
            "update face_recognition.version set number = 2",
            "The schema of the database has version 2, and this release uses 1: use the release that created it, or "
            "another database.",
            "the schema of the database is of another release",
        ),
        (
            "insert into face_recognition.version values (2)",
            "The schema of the database has version 1 and 2, and this release uses 1: use the release that created "
            "it, or another database.",
            "the schema of the database is of another release",
        ),
        (
            "delete from face_recognition.version",
            "The schema of the database has version none, and this release uses 1: use the release that created it, "
            "or another database.",
            "the schema of the database is of another release",
        ),
        (
            "drop extension vector cascade",
            "The database has no pgvector: install it, then run `python -m training database`.",
            "the database has no pgvector",
        ),
        (
            "update pg_extension set extversion = '0.5.1' where extname = 'vector'",
            "The database has pgvector 0.5.1, and 0.7 or later is needed: `alter extension vector update`.",
            "the database has a pgvector that is too old",
        ),
    ],
)
def test_another_schema(statement: str, message: str, reason: str, uri: str) -> None:
    with connect(uri) as connection:
        connection.execute(statement)
    collections = opened(uri)
    for attempt in (collections.manifests, lambda: collections.create(COLLECTION, SPEC)):
        with pytest.raises(StorageRefused) as caught:
            attempt()
        assert (str(caught.value), caught.value.reason) == (message, reason)


def test_the_schema_is_created_once(postgres: PostgresServer) -> None:
    with postgres.database(schema=False) as uri:
        with pytest.raises(StorageRefused) as caught:
            opened(uri).manifests()
        assert caught.value.reason == "the database has no pgvector"
        with connect(uri) as connection:
            assert create_schema(connection)
        collections = opened(uri)
        collections.create(COLLECTION, SPEC)
        collections.commit(COLLECTION, cohorts, adding("Ada", "1"))
        with connect(uri) as connection:
            assert not create_schema(connection)
        assert names(collections) == ["Ada"]


@pytest.mark.parametrize(
    "statement",
    [
        "update face_recognition.version set number = 2",
        "update pg_extension set extversion = '0.5.1' where extname = 'vector'",
    ],
)
def test_a_schema_of_another_release_is_left_as_it_is(statement: str, uri: str) -> None:
    with connect(uri) as connection:
        connection.execute(statement)
        before = connection.execute("select number, extversion from face_recognition.version, pg_extension").fetchall()
    with pytest.raises(StorageRefused), connect(uri) as connection:
        create_schema(connection)
    with connect(uri) as connection:
        query = "select number, extversion from face_recognition.version, pg_extension"
        assert connection.execute(query).fetchall() == before


def test_tables_that_are_dropped_while_the_service_runs(uri: str) -> None:
    """A missing table of collections is not one missing collection, in place of which another one would be served."""
    collections = opened(uri)
    collections.create(COLLECTION, SPEC)
    with connect(uri) as connection:
        connection.execute("drop schema face_recognition cascade")
    attempts: list[Callable[[], object]] = [
        lambda: collections.read(COLLECTION, cohorts),
        lambda: collections.commit(COLLECTION, cohorts, adding("Ada", "1")),
        lambda: collections.delete(COLLECTION),
        lambda: collections.manifest(COLLECTION),
        collections.manifests,
    ]
    for attempt in attempts:
        with pytest.raises(StorageRefused) as caught:
            attempt()
        assert caught.value.reason == "the database has no tables for collections"


# Rights


def as_role(uri: str, role: str) -> str:
    return uri.replace("//postgres:@", f"//{role}@")


@pytest.fixture()
def service(postgres: PostgresServer, uri: str) -> str:
    """The address of the database for a role that has the rights of the service."""
    role = postgres.role()
    with connect(uri) as connection:
        create_schema(connection, role)
        create_schema(connection, role)
    return as_role(uri, role)


def test_the_role_of_the_service_can_do_its_work(service: str) -> None:
    collections = opened(service)
    assert collections.create(COLLECTION, SPEC)
    for name in ("Ada", "Zoë"):
        collections.commit(COLLECTION, cohorts, adding(name, name))
    revision = collections.read(COLLECTION, cohorts)
    rows = revision.gallery.face_rows_of(1)
    assert revision.gallery.search(revision.gallery.embeddings_of(rows), 1).ids.tolist() == [[1]]
    collections.commit(COLLECTION, cohorts, lambda _: (Edit(removed_people=frozenset([0])), None), erase=True)
    assert names(collections) == ["Zoë"]
    loaded = collections.read(COLLECTION, cohorts)
    assert collections.replace(loaded, loaded.gallery.loaded()).manifest.people == 1
    assert [manifest.people for manifest in collections.manifests()] == [1]
    assert collections.delete(COLLECTION).people == 1
    assert collections.create(COLLECTION, SPEC)
    assert collections.crop(COLLECTION, "1") is None


@pytest.mark.parametrize(
    "statement",
    [
        "drop extension vector",
        "alter extension vector update",
        "create schema another",
        "drop schema face_recognition cascade",
        "update face_recognition.version set number = 2",
        "delete from face_recognition.collections",
        "truncate face_recognition.collections",
        "alter table face_recognition.collections add column another text",
        "drop table face_recognition.collections",
        "create table public.another (number integer)",
        "select * from pg_authid",
        "create role another",
        "copy face_recognition.version to '/tmp/version'",
        "copy face_recognition.version to program 'cat'",
    ],
)
def test_the_role_of_the_service_can_do_nothing_else(statement: str, service: str) -> None:
    with connect(service) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


def test_the_role_of_the_service_cannot_install_pgvector(uri: str, service: str) -> None:
    with connect(uri) as connection:
        connection.execute("drop extension vector cascade")
    with connect(service) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("create extension vector")


def test_a_role_without_rights(postgres: PostgresServer, uri: str) -> None:
    message = refused(opened(as_role(uri, postgres.role())).manifests, DENIED, "42501")
    assert "permission denied for schema face_recognition" in message


def test_a_role_that_lacks_one_right(postgres: PostgresServer, uri: str, service: str) -> None:
    collections = opened(service)
    collections.create(COLLECTION, SPEC)
    with connect(uri) as connection:
        connection.execute(f"revoke update on face_recognition.collections from {service.split('//')[1].split('@')[0]}")
    assert names(collections) == []
    refused(lambda: collections.commit(COLLECTION, cohorts, adding("Ada", "1")), DENIED, "42501")


def test_rights_for_a_role_that_is_not_there(postgres: PostgresServer) -> None:
    with postgres.database(schema=False) as uri:
        with pytest.raises(StorageRefused) as caught, connect(uri) as connection:
            create_schema(connection, "nobody")
        assert str(caught.value) == (
            "The database has no role nobody: create it first, with `create role nobody login`."
        )
        with connect(uri) as connection:
            assert create_schema(connection)  # nothing was created before


# The table of errors

STATES = {
    "08001": LOST,
    "08006": LOST,
    "25006": READ_ONLY,
    "28000": REFUSED,
    "28P01": REFUSED,
    "3D000": REFUSED,
    "40001": WRITER_FIRST,
    "40P01": WRITER_FIRST,
    "42501": DENIED,
    "42P01": GONE,
    "42704": NO_EXTENSION,
    "53100": FULL,
    "53200": FULL,
    "53300": BUSY,
    "55P03": WRITER_FIRST,
    "57014": SLOW,
    "57P01": LOST,
    "57P03": LOST,
    "22012": OTHER,
    "42601": OTHER,
    "XX000": OTHER,
}
AT = 'connection failed: connection to server at "ssl.role.example.com" (10.0.0.5), port 5432 failed: '
SPOKEN = {
    "the connection is closed": LOST,
    "the connection is lost": LOST,
    f"{AT}server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally": LOST,
    "consuming input failed: SSL SYSCALL error: EOF detected": LOST,
    "consuming input failed: SSL SYSCALL error: Connection timed out": LOST,
    "consuming input failed: SSL error: unexpected eof while reading": LOST,
    "consuming input failed: SSL connection has been closed unexpectedly": LOST,
    f'{AT}FATAL:  too many connections for role "password"': BUSY,
    f"{AT}FATAL:  sorry, too many clients already": BUSY,
    f"{AT}FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute": BUSY,
    f'{AT}FATAL:  no pg_hba.conf entry for host "10.0.0.6", user "a", database "b", SSL encryption': REFUSED,
    f"{AT}server does not support SSL, but SSL was required": NO_TLS,
    f"{AT}SSL error: certificate verify failed": NO_TLS,
    f'{AT}server certificate for "a" does not match host name "b"': NO_TLS,
    f'{AT}FATAL:  password authentication failed for user "lost"': REFUSED,
    f'{AT}FATAL:  PAM authentication failed for user "lost"': REFUSED,
    f"{AT}fe_sendauth: no password supplied": REFUSED,
    f'{AT}FATAL:  role "closed" is not permitted to log in': REFUSED,
    f'{AT}FATAL:  database "closed" does not exist': REFUSED,
    f'{AT}FATAL:  permission denied for database "ssl"': REFUSED,
    f"{AT}Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?": DOWN,
    f"{AT}FATAL:  the database system is starting up": DOWN,
    "failed to resolve host 'ssl.example.com': [Errno -2] Name or service not known": DOWN,
    "connection timeout expired": DOWN,
}


def assert_rule(error: psycopg.Error, rule: Rule, code: str = "") -> None:
    found = storage_error(error)
    assert (type(found), found.reason) == (rule.kind, f"{rule.reason} ({code})" if code else rule.reason)
    assert str(found) == rule.sentence.format(error=" ".join(str(error).split()).rstrip("."))


@pytest.mark.parametrize("state", STATES)
def test_an_error_with_a_state(state: str) -> None:
    assert_rule(psycopg.errors.lookup(state)('the role "Ada" of "people" is\n  wrong.'), STATES[state], state)


@pytest.mark.parametrize("text", SPOKEN)
def test_an_error_that_only_has_a_text(text: str) -> None:
    assert_rule(psycopg.OperationalError(text), SPOKEN[text])


def test_the_whole_table_is_tested() -> None:
    assert all(any(state.startswith(key) for state in STATES) for key in RULES)
    assert set(map(id, TEXTS.values())) <= set(map(id, SPOKEN.values()))
    assert all(any(key in text.lower() for text in SPOKEN) for key in TEXTS)


def test_other_errors_of_the_driver() -> None:
    assert_rule(PoolTimeout("couldn't get a connection after 5.00 sec"), BUSY)
    assert_rule(psycopg.InterfaceError("the connection is closed"), LOST)
    assert_rule(psycopg.ProgrammingError("can't adapt type 'closed'"), OTHER)


def test_a_reason_names_nothing() -> None:
    rules = {id(rule): rule for rule in vars(errors).values() if isinstance(rule, Rule)}.values()
    assert len(rules) > 10
    for rule in rules:
        assert "{" not in rule.reason and "\n" not in rule.reason
        assert "{error}" in rule.sentence


# The pool


def failing_query(cursor: psycopg.Cursor[Any]) -> None:
    cursor.execute("select 1 / 0")


def failing_caller(_: psycopg.Cursor[Any]) -> None:
    raise KeyError("a bug")


def lost_connection(cursor: psycopg.Cursor[Any]) -> None:
    cursor.execute("select pg_terminate_backend(pg_backend_pid())")


def slow_query(cursor: psycopg.Cursor[Any]) -> None:
    cursor.execute("select pg_sleep(5)")


@pytest.mark.parametrize("work", [failing_query, failing_caller, lost_connection, slow_query])
def test_connections_come_back_after_failures(work: Callable[[psycopg.Cursor[Any]], None], uri: str) -> None:
    opened = Database(uri, seconds=0.1)
    for _ in range(2 * CONNECTIONS):
        with pytest.raises((StorageError, KeyError)), opened.transaction() as cursor:
            cursor.execute("create table face_recognition.unfinished (number integer)")
            work(cursor)
    with opened.transaction() as cursor:
        assert cursor.execute("select to_regclass('face_recognition.unfinished')").fetchone() == (None,)


def test_more_threads_than_connections(uri: str) -> None:
    opened = Database(uri)

    def work(number: int) -> int:
        with opened.transaction() as cursor:
            (found,) = cursor.execute("select %s + 0 * length(pg_sleep(0.02)::text)", [number]).fetchone() or (0,)
            return int(found)

    with ThreadPoolExecutor(3 * CONNECTIONS) as threads:
        assert list(threads.map(work, range(40))) == list(range(40))
    query = "select count(*) from pg_stat_activity where datname = current_database() and application_name = %s"
    with opened.transaction() as cursor:
        (count,) = cursor.execute(query, [database.APPLICATION]).fetchone() or (0,)
    assert 1 < count <= CONNECTIONS


def test_all_connections_are_taken(uri: str, impatient: None) -> None:
    opened = Database(uri)
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(opened.transaction())
        refused(PostgresCollections(opened).manifests, BUSY)
    assert PostgresCollections(opened).manifests() == []


def test_a_database_can_be_closed_and_used_again(uri: str) -> None:
    opened = Database(uri)
    opened.close()
    for _ in range(2):
        with opened.transaction() as cursor:
            assert cursor.execute("select 1").fetchone() == (1,)
        opened.close()
        opened.close()
    assert_all_closed(uri)


@pytest.mark.parametrize("thread", ["main", "another"])
def test_a_database_that_nobody_uses_any_more_is_closed(uri: str, thread: str) -> None:
    opened = [Database(uri)]
    with opened[0].transaction() as cursor:
        assert cursor.execute("select 1").fetchone() == (1,)
    del cursor
    if thread == "main":
        opened.clear()
    else:
        other = threading.Thread(target=opened.clear)
        other.start()
        other.join()
    assert_all_closed(uri)


def assert_all_closed(uri: str) -> None:
    query = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    with connect(uri) as connection:
        connection.autocommit = True
        deadline = time.monotonic() + 5
        while connection.execute(query).fetchone() != (0,):  # the server ends its processes a moment later
            assert time.monotonic() < deadline


def test_a_snapshot_neither_writes_nor_sees_changes(uri: str) -> None:
    opened = Database(uri)
    PostgresCollections(opened).create(COLLECTION, SPEC)
    with opened.transaction(snapshot=True) as cursor:
        query = "select changes from face_recognition.collections"
        assert cursor.execute(query).fetchone() == (0,)
        PostgresCollections(opened).commit(COLLECTION, cohorts, adding("Ada", "1"))
        assert cursor.execute(query).fetchone() == (0,)
    with pytest.raises(StorageRefused), opened.transaction(snapshot=True) as cursor:
        cursor.execute("delete from face_recognition.collections")
    assert names(PostgresCollections(opened)) == ["Ada"]


def test_a_lock_that_the_server_gives_up(uri: str) -> None:
    PostgresCollections(Database(uri)).create(COLLECTION, SPEC)
    collections = PostgresCollections(Database(f"{uri}&options=-c%20lock_timeout%3D50"), patience=0.2)
    with connect(uri) as connection:
        connection.execute("select 1 from face_recognition.collections for update")
        with pytest.raises(BlobConflict) as caught:
            collections.commit(COLLECTION, cohorts, adding("Ada", "1"))
    assert caught.value.reason == "other writers were first (55P03)"
    collections.commit(COLLECTION, cohorts, adding("Ada", "1"))


def test_an_outage_ends_with_the_first_request_after_it(uri: str, impatient: None) -> None:
    """However long it was: the pauses between the pool's attempts do not grow with it."""
    port = free_port()
    with proxied(uri, port=port) as (_, address):
        collections = opened(address)
        assert collections.manifests() == []
    for _ in range(4):
        refused(collections.manifests, DOWN)
    with proxied(uri, port=port):
        assert collections.manifests() == []


def test_lost_connections_are_replaced_at_once(uri: str) -> None:
    """Also where all of them are lost, as after a restart of the server."""
    with proxied(uri) as (proxy, address):
        opened = Database(address)
        with ExitStack() as stack:
            for _ in range(CONNECTIONS):
                stack.enter_context(opened.transaction())
        proxy.hang_up()
        started = time.monotonic()
        assert PostgresCollections(opened).manifests() == []
        assert time.monotonic() - started < 3


@pytest.mark.parametrize("moment", [b"extversion", b"COMMIT"])
def test_a_server_that_is_silent_after_the_login(moment: bytes, uri: str, impatient: None) -> None:
    with proxied(uri) as (proxy, address):
        proxy.silent_after = moment
        collections = opened(address)
        started = time.monotonic()
        with pytest.raises(StorageUnreachable):
            collections.manifests()
        assert time.monotonic() - started < 10
        proxy.silent, proxy.silent_after = False, b""
        assert collections.manifests() == []


@pytest.mark.parametrize("moment", [b"BEGIN", b"COMMIT"])
def test_a_server_that_is_silent_at_the_ends_of_a_transaction(moment: bytes, uri: str) -> None:
    with proxied(uri) as (proxy, address):
        opened = Database(address, seconds=1)
        with opened.transaction():
            pass
        proxy.silent_after = moment
        with pytest.raises(StorageUnreachable), opened.transaction() as cursor:
            cursor.execute("select 1")


def test_threads_that_begin_at_once_open_one_pool(uri: str) -> None:
    collections, gate = opened(uri), threading.Barrier(6)

    def work(_: int) -> object:
        gate.wait(10)
        return collections.manifests()

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(work, range(6))) == [[]] * 6
