"""Pooled connections to one PostgreSQL database, and transactions on them."""

from __future__ import annotations

import os
import re
import socket
import threading
import weakref
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Iterator

import psycopg
from pgvector.psycopg import register_vector
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolTimeout

from storage.errors import StorageRefused
from storage.postgres.errors import database_errors
from storage.postgres.schema import check_version

CONNECTIONS = 4  # at most, for each process: a runtime of Lambda serves one request at a time
CONNECT_SECONDS = 5
SECONDS = 10.0  # for a transaction
APPLICATION = "face-recognition"

AMAZON = re.compile(r"\.([a-z0-9-]+)\.rds\.amazonaws\.com$")  # end of the host names of RDS and Aurora

Cursor = psycopg.Cursor[Any]


class Database:
    """A database with the schema of this release. Safe for several threads. Connections are opened at the first use."""

    def __init__(self, uri: str, seconds: float | None = SECONDS) -> None:
        """uri: postgresql://user@host/database; seconds: that a transaction may take, None for any time."""
        self._uri, self._seconds = uri, seconds
        self._lock = threading.Lock()
        self._pool: ConnectionPool[Any] | None = None

    @contextmanager
    def transaction(self, snapshot: bool = False) -> Iterator[Cursor]:
        """Begin a transaction, which is committed at the end. Raises StorageError.

        snapshot: all queries in it see the same state, and it cannot write.
        """
        with ExitStack() as stack:
            stack.enter_context(database_errors())
            connection = stack.enter_context(self._connection())
            stack.enter_context(connection.transaction())
            stack.enter_context(_limited(connection, self._seconds))
            cursor = stack.enter_context(connection.cursor())
            if snapshot:
                cursor.execute("set transaction isolation level repeatable read, read only")
            if self._seconds:
                # Local to the transaction: a proxy that shares connections stays able to share this one. The second
                # one ends the locks of clients that are gone, if the server has not noticed.
                limit = int(self._seconds * 1000)
                cursor.execute(
                    f"set local statement_timeout = {limit}; set local idle_in_transaction_session_timeout = {limit}"
                )
            yield cursor

    def close(self) -> None:
        """Close all connections. They are opened again at the next use."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool:
            pool.close()

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        """Take a connection from the pool. Raises psycopg.Error, StorageError."""
        pool = self._opened()
        try:
            connection = pool.getconn()
        except PoolTimeout:
            # The pool does not tell why it has no connection. This one does.
            connect(self._uri).close()
            raise
        try:
            yield connection
        finally:
            pool.putconn(connection)

    def _opened(self) -> ConnectionPool[Any]:
        """Open the pool at the first use. Raises psycopg.Error, StorageError."""
        with self._lock:
            if self._pool is None:
                with connect(self._uri) as connection:
                    check_version(connection)
                self._pool = ConnectionPool(
                    self._uri,
                    connection_class=_Connection,
                    min_size=0,
                    max_size=CONNECTIONS,
                    timeout=CONNECT_SECONDS,
                    configure=_configure,
                    check=_check,  # Lambda freezes a runtime for minutes
                    open=True,
                )
                # With this object, or at the end of the process, which its threads would hold up.
                weakref.finalize(self, self._pool.close)
            return self._pool


class _Connection(psycopg.Connection[Any]):
    """A connection of the pool. Its parameters are determined when it is opened, because a password of IAM expires."""

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> _Connection:
        return super().connect(**connection_parameters(conninfo), **kwargs)


def connect(uri: str) -> psycopg.Connection[Any]:
    """Open a connection of its own. Raises psycopg.Error, StorageRefused."""
    return _Connection.connect(uri)


def connection_parameters(uri: str) -> dict[str, Any]:
    """Return what to connect with. Raises StorageRefused for an address that cannot be read.

    Without `sslmode`, a connection to another machine is encrypted or fails. Without a password, a user of Amazon RDS
    and Aurora logs in with IAM.
    """
    try:
        given = conninfo_to_dict(uri)
    except psycopg.Error as error:
        # The message of the library may quote the password.
        message = "GALLERY_URI is not of the form postgresql://user:password@host:port/database."
        raise StorageRefused(message, "the address of the database cannot be read") from error
    host = str(given.get("host") or "")
    local = not host or host.startswith("/") or host in ("localhost", "127.0.0.1", "::1")
    defaults = {
        "sslmode": "prefer" if local else "require",
        "connect_timeout": CONNECT_SECONDS,
        "application_name": APPLICATION,
    }
    region = AMAZON.search(host)
    if region and not given.get("password"):
        port, user = int(given.get("port") or 5432), str(given.get("user") or "")
        defaults["password"] = _token(host, port, user, region[1])
    # A proxy that shares connections between clients cannot share prepared statements.
    return {**defaults, **given, "prepare_threshold": None}


def _token(host: str, port: int, user: str, region: str) -> str:
    """Make a password for a login with IAM. It is valid for 15 minutes."""
    import boto3  # only these deployments need it

    token: str = boto3.client("rds", region_name=region).generate_db_auth_token(host, port, user, region)
    return token


def _configure(connection: psycopg.Connection[Any]) -> None:
    connection.autocommit = True
    with _limited(connection, CONNECT_SECONDS):
        register_vector(connection)


def _check(connection: psycopg.Connection[Any]) -> None:
    """Raises psycopg.Error if a connection of the pool has been lost."""
    with _limited(connection, CONNECT_SECONDS):
        ConnectionPool.check_connection(connection)


@contextmanager
def _limited(connection: psycopg.Connection[Any], seconds: float | None) -> Iterator[None]:
    """Lose the connection to a server that does not answer: libpq would wait for ever. seconds: None for any time."""
    if seconds is None:
        yield
        return
    # The server itself should be the first to give up.
    timer = threading.Timer(seconds + 1, _hang_up, (connection,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(connection: psycopg.Connection[Any]) -> None:
    """End the conversation below the library, which then reports a lost connection."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
