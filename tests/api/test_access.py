"""Requests with the reader's key, the administrator's, and none."""

from __future__ import annotations

from typing import Any

import pytest

from api.keys import Access
from app import App, create_app
from settings import Settings
from storage.live import LiveModel
from tests.api.client import ADMIN_KEY, KOFI, SERENA, WALL, Client, another, person

READER_KEY = "the reader's"
UNAUTHORIZED = (401, "unauthorized")
PRIVATE = ("Ada", "Lovelace", "King", "Zo", "staff-1815", "secret", "77777", "1.jpg")  # sent in requests
OFF = (403, "management_off")


@pytest.fixture()
def app(live: LiveModel, gallery_uri: str) -> App:
    """The app of a deployment with both keys."""
    return create_app(Settings(gallery_uri=gallery_uri, api_key=READER_KEY, admin_key=ADMIN_KEY, metrics=False), live)


def requests(access: Access, app: App) -> list[tuple[str, str]]:
    """Methods and paths that need this access."""
    return [
        (route.method, route.path.format(id=0, face="f", collection="team"))
        for route in app.router.routes
        if route.access is access
    ]


def test_changes_and_embeddings_need_the_administrator(app: App) -> None:
    assert [method for method, _ in requests(Access.READER, app)].count(
        "POST"
    ) == 4  # classify, detect, compare, search
    assert {method for method, _ in requests(Access.READER, app)} == {"GET", "POST"}
    assert {"PUT", "PATCH", "DELETE"} < {method for method, _ in requests(Access.ADMIN, app)}
    assert ("POST", "/embed") in requests(Access.ADMIN, app)


@pytest.mark.parametrize("key", [None, "", READER_KEY, ADMIN_KEY[:-1], f"{ADMIN_KEY} ", ADMIN_KEY.upper(), "é\ud800"])
def test_without_the_administrators_key(key: str | None, app: App) -> None:
    for method, path in requests(Access.ADMIN, app):
        assert Client(app, key).error(method, path, KOFI) == UNAUTHORIZED
    assert Client(app).ok("GET", "/collections")["count"] == 1


@pytest.mark.parametrize("key", [None, "", READER_KEY[:-1], "é\ud800"])
def test_without_any_key(key: str | None, app: App) -> None:
    for method, path in requests(Access.READER, app):
        assert Client(app, key).error(method, path, KOFI) == UNAUTHORIZED
    for method, path in requests(Access.PUBLIC, app):
        assert Client(app, key)(method, path)[0] == 200


@pytest.mark.parametrize("key", [READER_KEY, ADMIN_KEY])
def test_both_keys_allow_reading(key: str, app: App) -> None:
    Client(app).enrol("Kofi Annan", KOFI)
    client = Client(app, key)
    assert client.ok("POST", "/classify", KOFI)["predicted_name"] == "Kofi Annan"
    for path in ("/people", "/people/0", "/people/0/faces", "/collections", "/collections/people"):
        assert client("GET", path)[0] == 200
    assert client.ok("POST", "/detect", WALL)["faces"] == []


@pytest.mark.parametrize("name", ["Authorization", "X-Api_Key", "Api-Key", "Cookie"])
def test_key_in_another_header_or_in_the_query(name: str, app: App) -> None:
    client = Client(app, None)
    event = client.event("POST", "/people", {"name": "Ada"})
    event["multiValueHeaders"][name] = event["headers"][name] = ADMIN_KEY
    assert client.send(event)[0] == 401
    assert client.error("POST", "/people", {"name": "Ada"}, **{"x-api-key": ADMIN_KEY}) == UNAUTHORIZED


@pytest.mark.parametrize("reader", ["", READER_KEY])
@pytest.mark.parametrize("key", [None, "", READER_KEY, ADMIN_KEY])
def test_deployment_without_an_administrator(key: str | None, reader: str, live: LiveModel, gallery_uri: str) -> None:
    app = create_app(Settings(gallery_uri=gallery_uri, api_key=reader, metrics=False), live)
    client = Client(app, key)
    for method, path in requests(Access.ADMIN, app):
        assert client.error(method, path) == OFF
    assert client("GET", "/people")[0] == (200 if key == reader or not reader else 401)


def test_log_and_metrics_contain_nothing_about_people(live: LiveModel, gallery_uri: str, lines: Any) -> None:
    client = Client(create_app(Settings(gallery_uri=gallery_uri, admin_key=ADMIN_KEY), live))
    faces = client.ok("POST", "/people", person("Ada Lovelace", KOFI, external_id="staff-1815"))["faces"]
    client.ok("PATCH", "/people/0", {"name": "Ada King"})
    client.ok("PUT", "/collections/secret-team")
    client.ok("POST", "/people/0/faces", another(KOFI))
    client.enrol("Zoë", SERENA)
    client.ok("PATCH", "/people/1", {"into": 0})
    client.ok("POST", "/classify", KOFI)
    embedding = client.ok("POST", "/embed", KOFI)["faces"][0]["embedding"]
    client.ok("POST", "/search", {"embedding": embedding})
    client.ok("GET", "/people")
    client.error("GET", "/people/77777")
    client.error("POST", "/people", person("Ada Lovelace", WALL))
    client.error("GET", "/people", collection="secret-team-2")
    client.ok("DELETE", f"/people/0/faces/{faces[0]['id']}")
    client.ok("DELETE", "/people/0")
    client.ok("DELETE", "/collections/secret-team")
    written = "".join(map(str, lines()))
    assert written.count("'answered'") == written.count("'_aws'") == 16
    for private in (*PRIVATE, ADMIN_KEY, faces[0]["id"], str(embedding[0])[:8]):
        assert private not in written
