"""A PostgreSQL server with pgvector, for tests and benchmarks."""

from __future__ import annotations

import subprocess
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Iterator, Mapping

import psycopg

from storage.postgres.database import connect
from storage.postgres.schema import create_schema
from testing.paths import ROOT

PYTHON = ROOT / ".venv-notebook" / "bin" / "python"
TEMPLATE = "face_recognition_template"


class PostgresServer:
    """A server that runs. uri: of its first database."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.create(TEMPLATE)
        with connect(self._address(TEMPLATE)) as connection:
            create_schema(connection)

    @contextmanager
    def database(self, schema: bool = True) -> Iterator[str]:
        """Create a database, and drop it at the end. -> its address. schema: with the tables of this release."""
        name = f"test_{uuid.uuid4().hex}"
        yield self.create(name, TEMPLATE if schema else "template1")
        self.run(f"drop database {name} with (force)")

    def create(self, name: str, template: str = "template1") -> str:
        """Create a database. -> its address."""
        self.run(f"create database {name} template {template}")
        return self._address(name)

    def role(self, password: str = "") -> str:
        """Create a role that may log in. -> its name. password: that it has to give, empty if it needs none."""
        name = f"role_{uuid.uuid4().hex}"
        self.run(f"create role {name} login password '{password or name}'")
        if password:
            with psycopg.connect(self.uri, autocommit=True) as connection:
                (path,) = connection.execute("show hba_file").fetchone() or ("",)
                Path(path).write_text(f"local all {name} password\n{Path(path).read_text()}")
                connection.execute("select pg_reload_conf()")
            with suppress(psycopg.OperationalError):  # until the server has read the file
                while True:
                    psycopg.connect(self.uri.replace("//postgres:", f"//{name}:")).close()
        return name

    def run(self, statement: str) -> None:
        """Run a statement as the server's administrator."""
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(statement)

    def _address(self, name: str) -> str:
        return self.uri.replace("/postgres?", f"/{name}?")


@contextmanager
def running_postgres(folder: Path, settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[PostgresServer]:
    """Run a server until the end of the context. folder: for its data; settings: of PostgreSQL, by name."""
    if settings:
        with _process(folder) as uri, psycopg.connect(uri, autocommit=True) as connection:
            for name, value in settings.items():
                connection.execute(f"alter system set {name} = '{value}'")
    with _process(folder) as uri:
        yield PostgresServer(uri)


@contextmanager
def _process(folder: Path) -> Iterator[str]:
    """Run a server until the end of the context. -> the address of its first database."""
    command = [str(PYTHON), "-W", "ignore", str(ROOT / "testing" / "postgres_server.py"), str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    try:
        uri = process.stdout.readline().strip()
        assert uri, "the server did not start"
        yield uri
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(60)
