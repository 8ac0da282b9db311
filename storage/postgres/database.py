"""Pooled connections to one PostgreSQL database, and transactions on them."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
import weakref
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Iterator

import psycopg
from pgvector.psycopg import register_vector
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolTimeout

from storage.errors import StorageRefused
from storage.postgres.errors import NO_KEYS, database_errors
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
            stack.enter_context(_limited(connection, self._seconds))
            stack.enter_context(connection.transaction())
            cursor = stack.enter_context(connection.cursor())
            if snapshot:
                cursor.execute("set transaction isolation level repeatable read, read only")
            if self._seconds:
                # Local to the transaction: a proxy that shares connections stays able to share this one.
                cursor.execute("; ".join(f"set local {each}" for each in _limits(self._seconds)))
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
            connection = _checked(pool)
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
                with connect(self._uri) as connection, _limited(connection, CONNECT_SECONDS), connection.transaction():
                    check_version(connection)
                self._pool = ConnectionPool(
                    self._uri,
                    connection_class=_Connection,
                    min_size=0,
                    max_size=CONNECTIONS,
                    # The pauses between attempts double. Without this, they last as long as the database was down.
                    reconnect_timeout=CONNECT_SECONDS,
                    configure=_configure,
                    open=True,
                )
                # With this object, or at the end of the process, which its threads would hold up.
                weakref.finalize(self, _end, self._pool)
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
    message = "GALLERY_URI is not of the form postgresql://user:password@host:port/database."
    reason = "the address of the database cannot be read"
    try:
        given = conninfo_to_dict(uri)
    except psycopg.Error as error:
        # The message of the library may quote the password.
        raise StorageRefused(message, reason) from error
    host = str(given.get("host") or given.get("hostaddr") or "")
    if "@" in host:  # the end of a password with this sign, which messages would show
        raise StorageRefused(f"{message} In a password, @ is written as %40.", reason)
    local = not host or host.startswith("/") or host in ("localhost", "127.0.0.1", "::1")
    defaults = {
        "sslmode": "prefer" if local else "require",
        "connect_timeout": CONNECT_SECONDS,
        "application_name": APPLICATION,
    }
    region = AMAZON.search(host)
    if region and not given.get("password"):
        port, user = str(given.get("port") or 5432), str(given.get("user") or "")
        defaults["password"] = _token(host, port, user, region[1])
    # A proxy that shares connections between clients cannot share prepared statements.
    return {**defaults, **given, "prepare_threshold": None}


def _token(host: str, port: str, user: str, region: str) -> str:
    """Make a password for a login with IAM. It is valid for 15 minutes. Raises StorageRefused."""
    import boto3  # only these deployments need it
    from botocore.exceptions import BotoCoreError

    try:
        token: str = boto3.client("rds", region_name=region).generate_db_auth_token(host, port, user, region)
    except BotoCoreError as error:
        raise NO_KEYS.error(error=str(error).rstrip(".")) from error
    return token


def _end(pool: ConnectionPool[Any]) -> None:
    """Close a pool. Python may call this in any thread, also in one of the pool's, which cannot wait for itself."""
    closing = threading.Thread(target=pool.close, daemon=True)
    closing.start()
    if threading.current_thread() is threading.main_thread():
        closing.join()


def _limits(seconds: float) -> Iterator[str]:
    """Settings of a transaction. They also end the locks of a client that is gone, if the server has not noticed."""
    milliseconds = int(seconds * 1000)
    yield f"statement_timeout = {milliseconds}"
    yield f"idle_in_transaction_session_timeout = {milliseconds}"
    # The only ones that work while rows are copied.
    yield f"tcp_keepalives_idle = {max(1, int(seconds))}"
    yield "tcp_keepalives_interval = 1"
    yield "tcp_keepalives_count = 3"


def _configure(connection: psycopg.Connection[Any]) -> None:
    connection.autocommit = True
    with _limited(connection, CONNECT_SECONDS):
        register_vector(connection)


def _checked(pool: ConnectionPool[Any]) -> psycopg.Connection[Any]:
    """Take a connection that is not lost: Lambda freezes a runtime for minutes. Raises PoolTimeout.

    The pool's own check pauses for seconds where several have been lost, as after a restart of the server.
    """
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        connection = pool.getconn(max(0.0, deadline - time.monotonic()))
        try:
            with _limited(connection, CONNECT_SECONDS):
                ConnectionPool.check_connection(connection)
        except psycopg.Error:
            pool.putconn(connection)  # and another one is opened in its place
        else:
            return connection


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
