"""Responses while the database of collections fails, and after it has recovered: a real server behind a proxy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple

import pytest

from api.bucket_photos import TRANSIENT, PhotoIdentifier
from app import App, compose, create_app
from model.detection.detector import Detector
from service.errors import ModelUnavailable
from service.faces import FaceService
from service.galleries import Galleries
from service.people import PeopleService
from service.results import Identification
from service.services import Services
from settings import Settings
from storage.folder import FolderBlobs
from storage.live import LiveModel
from storage.networks import BUNDLED
from storage.postgres import database
from storage.postgres.collections import PostgresCollections
from storage.postgres.database import Database, connect
from testing.postgres import PostgresServer
from testing.servers import free_port
from tests.api.client import ADMIN_KEY, KOFI, TONY, Client, person, photos
from tests.postgres_proxy import PostgresProxy, proxied

NAME = "Kofi Annan"
READING: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/classify", KOFI),
    ("GET", "/people", None),
    ("GET", "/people/0", None),
    ("GET", "/collections", None),
    ("GET", "/collections/people", None),
)
CHANGES: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/people", person("Tony Blair", TONY)),
    ("POST", "/people", {"name": "Tony Blair"}),
    ("POST", "/people/0/faces", photos(TONY)),
    ("PATCH", "/people/0", {"name": "Tony Blair"}),
    ("DELETE", "/people/0", None),
    ("PUT", "/collections/team", None),
    ("DELETE", "/collections/people", None),
)
MODEL = LiveModel(lambda: FolderBlobs(Path(BUNDLED)), refresh=False)  # loaded once


class Place(NamedTuple):
    """A database behind a proxy. uri: of the database itself; address: through the proxy."""

    server: PostgresServer
    uri: str
    proxy: PostgresProxy
    address: str

    def run(self, statement: str) -> None:
        with connect(self.uri) as connection:
            connection.execute(statement)

    def alter(self, setting: str) -> None:
        """Change a setting of the database, for new connections."""
        self.server.run(f"alter database {self.name} {setting}")

    @property
    def name(self) -> str:
        return self.address.rpartition("/")[2]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less for a connection."""
    monkeypatch.setattr(database, "CONNECT_SECONDS", 1)


@pytest.fixture()
def uri(postgres: PostgresServer) -> Iterator[str]:
    with postgres.database() as found:
        yield found


@pytest.fixture()
def place(postgres: PostgresServer, uri: str) -> Iterator[Place]:
    with proxied(uri) as (proxy, address):
        yield Place(postgres, uri, proxy, address)


def app(address: str, patience: float = 0.3) -> App:
    """Return an app that waits less for the database than others do."""
    collections = PostgresCollections(Database(address, seconds=1), patience=patience)
    galleries, detector = Galleries(MODEL, collections), Detector()
    services = Services(FaceService(galleries, detector), PeopleService(galleries, detector), galleries)
    return compose(Settings(admin_key=ADMIN_KEY, metrics=False), services)


def enrolled(address: str) -> Client:
    """Enrol a person. -> a client of the app."""
    client = Client(app(address))
    assert client.enrol(NAME, KOFI) == 0
    return client


def refused(client: Client, request: tuple[str, str, Any], code: str = "model_unavailable") -> str:
    """Check that a request is refused for now, and without a name. -> the message."""
    status, body = client(*request)
    expected = {"model_unavailable": (503, "5"), "conflict": (409, "1")}[code]
    assert (status, client.headers["Retry-After"], body["error"]["code"]) == (*expected, code), (request, body)
    message = str(body["error"]["message"])
    for name in ("postgres", "test_", "127.0.0.1", "face_recognition", "select", NAME):
        assert name not in message
    return message


def unavailable(client: Client, request: tuple[str, str, Any]) -> str:
    """-> the reason that the response gives."""
    message = refused(client, request)
    start = "The collection cannot be used: "
    assert message.startswith(start) and message.endswith(".")
    return message[len(start) : -1]


def assert_as_before(client: Client, people: int = 1) -> None:
    found = client.ok("POST", "/classify", KOFI)
    assert (found["predicted_name"], found["gallery"]["people"]) == (NAME, people)
    assert "stale" not in found["gallery"]
    assert len(client.ok("GET", "/people/0")["faces"]) == 1


# A database that cannot be reached


def test_a_database_that_is_down(uri: str) -> None:
    """Nobody is served from another collection instead."""
    port = free_port()
    with proxied(uri, port=port) as (_, address):
        client = enrolled(address)
    for request in (READING[0], CHANGES[0]):
        assert unavailable(client, request) == "the database cannot be reached"
    another = Client(app(address))
    for request in (*READING, *CHANGES):
        assert unavailable(another, request) == "the database cannot be reached"
    assert client.ok("GET", "/health")["status"] == "ok"
    with proxied(uri, port=port):
        for each in (client, another):
            assert_as_before(each)
        assert client.enrol("Tony Blair", TONY) == 1


def test_a_database_that_is_silent(place: Place) -> None:
    client = enrolled(place.address)
    place.proxy.silent = True
    for request in (READING[0], CHANGES[0]):
        started = time.monotonic()
        assert unavailable(client, request) in (
            *("the database cannot be reached", "the connection to the database was lost"),
            "the database has no free connection",
        )
        assert time.monotonic() - started < 12
    assert client.ok("GET", "/health")["status"] == "ok"
    place.proxy.silent = False
    started = time.monotonic()
    while client("GET", "/people")[0] == 503:  # the pool still waits for a connection that it asked for before
        assert time.monotonic() - started < 6
    assert_as_before(client)
    assert client.enrol("Tony Blair", TONY) == 1


def test_a_database_that_restarts(place: Place) -> None:
    """Connections that were lost between requests are replaced, and no request notices."""
    client = enrolled(place.address)
    for request in (*READING, CHANGES[0]):
        place.proxy.hang_up()
        assert client(*request)[0] in (200, 201)
    assert_as_before(client, people=2)


@pytest.mark.parametrize("moment", [b"with candidates", b"from face_recognition.collections", b"set local"])
def test_a_connection_that_is_cut_in_a_lookup(moment: bytes, place: Place) -> None:
    client = enrolled(place.address)
    place.proxy.cut_after = moment
    assert unavailable(client, READING[0]) == "the connection to the database was lost"
    assert not place.proxy.cut_after
    assert_as_before(client)


@pytest.mark.parametrize("lookup", [request for request in READING if request[0] == "GET"], ids=lambda each: each[1])
def test_a_connection_that_is_cut_while_people_are_listed(lookup: tuple[str, str, Any], place: Place) -> None:
    client = enrolled(place.address)
    before = client.ok(*lookup)
    place.proxy.cut_after = b"select "
    unavailable(client, lookup)
    assert not place.proxy.cut_after
    assert client.ok(*lookup) == before


@pytest.mark.parametrize(
    ("moment", "change", "names"),
    [
        (b"for update", CHANGES[0], [NAME, "Tony Blair"]),
        (b"delete from face_recognition.entries_1", CHANGES[2], [NAME]),
        (b"update face_recognition.collections", CHANGES[3], ["Tony Blair"]),
        (b"COMMIT", CHANGES[3], ["Tony Blair"]),
        (b"COMMIT", CHANGES[4], []),
    ],
    ids=lambda value: value.decode() if isinstance(value, bytes) else "",
)
def test_a_connection_that_is_cut_in_a_change(
    moment: bytes, change: tuple[str, str, Any], names: list[str], place: Place
) -> None:
    """The change is made, and once."""
    enrolled(place.address)
    client = Client(app(place.address, patience=5))
    place.proxy.cut_after = moment
    client.ok(*change)
    assert not place.proxy.cut_after
    assert [each["name"] for each in client.ok("GET", "/people")["people"]] == names
    assert client.ok("GET", "/people")["gallery"]["revision"] == "1-2"  # the enrolment and the change


# A database that refuses


@pytest.mark.parametrize(
    ("fault", "repair", "reason"),
    [
        (
            "update face_recognition.version set number = 2",
            "update face_recognition.version set number = 1",
            "the schema of the database is of another release",
        ),
        (
            "alter schema face_recognition rename to away",
            "alter schema away rename to face_recognition",
            "the database has no tables for collections",
        ),
        (
            "update pg_extension set extversion = '0.5.1' where extname = 'vector'",
            "update pg_extension set extversion = '0.8.0' where extname = 'vector'",
            "the database has a pgvector that is too old",
        ),
    ],
)
def test_a_database_with_another_schema(fault: str, repair: str, reason: str, place: Place) -> None:
    enrolled(place.address)
    place.run(fault)
    client = Client(app(place.address))
    for request in (*READING, *CHANGES):
        assert unavailable(client, request) == reason
    place.run(repair)
    assert_as_before(client)


def test_tables_that_are_away_for_a_moment(place: Place) -> None:
    """As while a backup is restored: the published collection is not served instead, and nothing is created."""
    client = enrolled(place.address)
    place.run("alter schema face_recognition rename to away")
    for request in (*READING, *CHANGES):
        assert unavailable(client, request) == "the database has no tables for collections"
    place.run("alter schema away rename to face_recognition")
    assert_as_before(client)


def test_a_read_only_database_identifies_people(place: Place) -> None:
    enrolled(place.address)
    place.alter("set default_transaction_read_only = on")
    client = Client(app(place.address))
    assert_as_before(client)
    for request in CHANGES:
        assert unavailable(client, request) == "the database is read-only (25006)"
    assert_as_before(client)
    place.alter("reset default_transaction_read_only")
    place.proxy.hang_up()  # a failover ends all connections
    assert client.enrol("Tony Blair", TONY) == 1
    assert_as_before(client, people=2)


def test_a_database_without_a_free_connection(place: Place) -> None:
    role = place.server.role()
    with connect(place.uri) as connection:
        connection.execute(f"grant all on schema face_recognition to {role}")
        connection.execute(f"grant all on all tables in schema face_recognition to {role}")
    client = enrolled(place.address.replace("//postgres:@", f"//{role}@"))
    place.server.run(f"alter role {role} connection limit 0")
    place.proxy.hang_up()
    for request in (READING[0], CHANGES[0]):
        assert unavailable(client, request) == "the database has no free connection"
    place.server.run(f"alter role {role} connection limit -1")
    assert_as_before(client)


def test_a_collection_that_another_writer_holds(place: Place) -> None:
    client = enrolled(place.address)
    with connect(place.uri) as connection:
        connection.execute("select 1 from face_recognition.collections for update")
        assert unavailable(client, CHANGES[0]) == "the database took too long (57014)"
        assert_as_before(client)
    assert client.enrol("Tony Blair", TONY) == 1


def test_a_writer_that_is_always_second(place: Place) -> None:
    enrolled(place.address)
    place.alter("set lock_timeout = 50")
    client = Client(app(place.address))
    with connect(place.uri) as connection:
        connection.execute("select 1 from face_recognition.collections for update")
        for request in (CHANGES[0], ("PATCH", "/people/0", {"name": "Ada"}), CHANGES[-1]):
            message = refused(client, request, "conflict")
            assert message == "Others change this collection at the same time: try again."
        assert_as_before(client)
    assert client.enrol("Tony Blair", TONY) == 1


# The start


def down(place: Place) -> str:
    return place.address.replace(str(place.proxy.port), str(free_port()))


def silent(place: Place) -> str:
    place.proxy.silent = True
    return place.address


@pytest.mark.parametrize("fault", [down, silent])
def test_a_start_without_the_database(fault: Callable[[Place], str], place: Place) -> None:
    started = time.monotonic()
    client = Client(create_app(Settings(gallery_uri=fault(place), admin_key=ADMIN_KEY, metrics=False), MODEL))
    assert time.monotonic() - started < 15
    assert client.ok("GET", "/health")["status"] == "ok"
    assert unavailable(client, READING[0]) == "the database cannot be reached"


# Photos in a bucket


def test_a_photo_in_a_bucket_is_not_blamed_for_the_database(place: Place) -> None:
    """The error is a transient one, so the photo is tried again."""
    service = enrolled(place.address).app
    identifier = PhotoIdentifier(service.services.faces, service.telemetry)

    def assert_found() -> None:
        outcome = identifier.identify(KOFI, "request-1")
        assert isinstance(outcome, Identification)
        assert outcome.faces[0].candidates[0].name == NAME

    assert_found()
    for moment in (b"with candidates", b"from face_recognition.collections"):
        place.proxy.cut_after = moment
        with pytest.raises(TRANSIENT, match="connection to the database was lost"):
            identifier.identify(KOFI, "request-1")
        assert not place.proxy.cut_after
        assert_found()
    place.run("alter schema face_recognition rename to away")
    with pytest.raises(ModelUnavailable, match="the database has no tables for collections"):
        identifier.identify(KOFI, "request-1")
    place.run("alter schema away rename to face_recognition")
    assert_found()
