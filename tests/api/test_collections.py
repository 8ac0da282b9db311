"""Collections through the API: which one a request is about, and creating, listing and deleting them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from app import create_app
from settings import Settings
from storage.live import LiveModel
from tests.api.client import ADMIN_KEY, KOFI, SERENA, TONY, Client, Form, another, person, photos

UNKNOWN = (404, "unknown_collection")
READ_ONLY = (409, "read_only")


@pytest.fixture()
def published(live: LiveModel) -> Client:
    """The app of a deployment without a place for changes."""
    return Client(create_app(Settings(admin_key=ADMIN_KEY, metrics=False), live))


def collection_of(client: Client, **query: str) -> str:
    return str(client.ok("POST", "/classify", KOFI, **query)["gallery"]["collection"])


def names(client: Client) -> dict[str, bool]:
    """-> name of each collection, and whether it is the default one."""
    body = client.ok("GET", "/collections")
    assert body["count"] == len(body["collections"])
    assert [each["name"] for each in body["collections"]] == sorted(each["name"] for each in body["collections"])
    return {each["name"]: each["default"] for each in body["collections"]}


def test_create_and_delete(client: Client) -> None:
    status, created = client("PUT", "/collections/team")
    assert status == 201
    assert re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", created["created"])
    assert created == {
        **{"name": "team", "people": 0, "faces": 0, "embedding": "generic", "created": created["created"]},
        **{"read_only": False, "default": False},
    }
    assert client("PUT", "/collections/team") == (200, created)
    client.enrol("Kofi Annan", KOFI, another(KOFI), collection="team")
    client.enrol("Serena Williams", SERENA, collection="team")
    assert client.ok("GET", "/collections/team") == {**created, "people": 2, "faces": 3}
    assert names(client) == {"lfw": True, "team": False}
    assert client.ok("DELETE", "/collections/team") == {"deleted_people": 2, "deleted_faces": 3}
    assert names(client) == {"lfw": True}


def test_unknown_collections(client: Client) -> None:
    """Those who were deleted, and those who were never there."""
    client.ok("PUT", "/collections/team")
    client.enrol("Kofi Annan", KOFI, collection="team")
    client.ok("DELETE", "/collections/team")
    for name in ("team", "never", "LFW"):
        for method, path, content in (
            *(("POST", "/classify", KOFI), ("POST", "/search", {"embedding": [1.0] * 704}), ("POST", "/embed", KOFI)),
            *(("GET", "/people", None), ("POST", "/people", {"name": "Ada"}), ("POST", "/people", person("A", KOFI))),
            *(("GET", "/people/0", None), ("PATCH", "/people/0", {"name": "A"}), ("PATCH", "/people/0", {"into": 1})),
            *(("DELETE", "/people/0", None), ("GET", "/people/0/faces", None), ("POST", "/people/0/faces", KOFI)),
            ("DELETE", "/people/0/faces/0f4b6d1e-7a52-4c1b-9c55-2f6f0f3d9a10", None),
        ):
            assert client.error(method, path, content, collection=name) == UNKNOWN
        for method in ("GET", "DELETE"):
            assert client.error(method, f"/collections/{name}") == UNKNOWN


def test_collection_that_is_created_again(client: Client) -> None:
    """It is empty, and no ID is used again."""
    client.ok("PUT", "/collections/team")
    client.enrol("Kofi Annan", KOFI, collection="team")
    revision = client.ok("GET", "/people", collection="team")["gallery"]["revision"]
    client.ok("DELETE", "/collections/team")
    assert client("PUT", "/collections/team")[0] == 201
    found = client.ok("POST", "/classify", KOFI, collection="team")
    assert (found["known"], found["candidates"], found["gallery"]["people"]) == (False, [], 0)
    assert found["gallery"]["revision"] != revision
    assert client.enrol("Kofi Annan", KOFI, collection="team") == 1


@pytest.mark.parametrize("name", ["a", "x" * 255, "A-b_9.c", "..a", "9", "-", "null"])
def test_names(name: str, client: Client) -> None:
    assert client("PUT", f"/collections/{name}")[0] == 201
    assert client.ok("GET", f"/collections/{name}/")["name"] == name
    assert client.enrol("Kofi Annan", collection=name) == 0
    assert client.ok("DELETE", f"/collections/{name}") == {"deleted_people": 1, "deleted_faces": 0}


@pytest.mark.parametrize("name", ["x" * 256, ".", "..", "...", "a b", "é", "a%00", "a:b", "%20", "a\\b"])
def test_names_that_are_not_allowed(name: str, client: Client) -> None:
    for method in ("PUT", "GET", "DELETE"):
        assert client.error(method, f"/collections/{name}") == (400, "bad_parameter")
    for method, path, content in (
        ("POST", "/classify", KOFI),
        ("GET", "/people", None),
        ("POST", "/people", {"name": "Ada"}),
    ):
        assert client.error(method, path, content, collection=name) == (400, "bad_parameter")


def test_default_collection(client: Client) -> None:
    """The published one, until the first person is added."""
    assert (collection_of(client), names(client)) == ("lfw", {"lfw": True})
    client.enrol("Kofi Annan", KOFI)
    assert (collection_of(client), names(client)) == ("people", {"lfw": False, "people": True})
    assert client.ok("GET", "/collections/people")["default"] is True
    assert client.ok("GET", "/collections/lfw")["default"] is False
    assert collection_of(client, collection="lfw") == "lfw"
    client.ok("DELETE", "/collections/people")
    assert (collection_of(client), names(client)) == ("lfw", {"lfw": True})
    assert client.ok("POST", "/people", {"name": "Ada", "collection": "people"})["id"] == 1
    assert collection_of(client) == "people"


def test_default_collection_of_the_deployment(live: LiveModel, gallery_uri: str) -> None:
    app = create_app(Settings(gallery_uri=gallery_uri, admin_key=ADMIN_KEY, collection="team", metrics=False), live)
    client = Client(app)
    assert names(client) == {"lfw": True}
    assert client.error("POST", "/people", {"name": "Ada"}, collection="people") == UNKNOWN
    assert client.ok("POST", "/people", {"name": "Ada"})["collection"] == "team"
    assert (collection_of(client), names(client)) == ("team", {"lfw": False, "team": True})


def test_collection_in_the_query_and_in_the_body(client: Client) -> None:
    """The query counts."""
    for name in ("team", "others"):
        client.ok("PUT", f"/collections/{name}")
    assert client.ok("POST", "/people", person("Ada", KOFI, collection="team"))["collection"] == "team"
    both = client.ok("POST", "/people", person("Ada", KOFI, collection="team"), collection="others")
    assert both["collection"] == "others"
    assert client.ok("POST", "/people", {"name": "A", "collection": "team"}, collection="others")["id"] == 1
    added = client.ok("POST", "/people/0/faces", Form({"collection": "team"}, photos(another(KOFI)).files))
    assert added["collection"] == "team"
    form = Form({"collection": "team"}, photos(KOFI).files)
    assert client.ok("POST", "/classify", form)["gallery"]["faces"] == 2
    assert client.ok("POST", "/classify", form, collection="others")["gallery"]["people"] == 2
    wrong = Form({"collection": "a/b"}, form.files)
    assert client.error("POST", "/classify", wrong) == (400, "bad_parameter")
    # As openapi.yaml says, a field that is not allowed is refused, even if the query decides.
    assert client.error("POST", "/classify", wrong, collection="others") == (400, "bad_parameter")
    event = client.event("GET", "/people")
    event["multiValueQueryStringParameters"] = {"collection": ["team", "team"]}
    assert client.send(event)[1]["error"]["code"] == "bad_parameter"


CHANGES: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/people", {"name": "Ada"}),
    ("POST", "/people", person("Ada", KOFI)),
    ("PATCH", "/people/0", {"name": "Ada"}),
    ("PATCH", "/people/0", {"into": 1}),
    ("DELETE", "/people/0", None),
    ("DELETE", "/people/999", None),
    ("POST", "/people/0/faces", KOFI),
    ("DELETE", "/people/0/faces/0f4b6d1e-7a52-4c1b-9c55-2f6f0f3d9a10", None),
)


@pytest.mark.parametrize(
    ("method", "path", "content"), CHANGES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_published_collection_does_not_change(
    method: str, path: str, content: Any, client: Client, published: Client
) -> None:
    assert client.error(method, path, content, collection="lfw") == READ_ONLY
    assert published.error(method, path, content, collection="lfw") == READ_ONLY
    assert published.error(method, path, content) == READ_ONLY
    if path != "/people":  # which creates the default collection
        assert client.error(method, path, content) == READ_ONLY
    assert client.ok("GET", "/people", collection="lfw")["gallery"]["faces"] == 610


def test_published_collection_is_not_created_or_deleted(client: Client, published: Client) -> None:
    for method in ("PUT", "DELETE"):
        assert client.error(method, "/collections/lfw") == READ_ONLY
        for name in ("lfw", "team"):
            assert published.error(method, f"/collections/{name}") == READ_ONLY
    (only,) = published.ok("GET", "/collections")["collections"]
    assert (only["name"], only["people"], only["read_only"], only["default"]) == ("lfw", 610, True, True)
    assert published.ok("GET", "/collections/lfw") == only == client.ok("GET", "/collections/lfw")
    assert published.error("GET", "/people", collection="people") == UNKNOWN
    (face,) = published.ok("GET", "/people/324/faces")["faces"]
    assert (face["box"], face["confidence"], len(face["added"])) == (None, None, len("2026-11-25T00:00:00+00:00"))


def test_revision_changes_with_every_change(client: Client) -> None:
    seen = [client.ok("GET", "/people")["gallery"]["revision"]]

    def after(method: str, path: str, content: Any = None) -> dict[str, Any]:
        body = client.ok(method, path, content)
        gallery = client.ok("POST", "/classify", TONY)["gallery"]
        assert gallery["collection"] == "people"
        assert gallery == client.ok("GET", "/people")["gallery"]
        assert gallery["revision"] not in seen
        seen.append(gallery["revision"])
        return {**body, "gallery": gallery}

    added = after("POST", "/people", person("Kofi Annan", KOFI))
    after("POST", "/people", {"name": "K. A."})
    assert after("POST", "/people/1/faces", another(KOFI))["gallery"]["faces"] == 2
    after("PATCH", "/people/1", {"name": "Kofi"})
    after("PATCH", "/people/1", {"external_id": "k"})
    merged = after("PATCH", "/people/1", {"into": 0})["gallery"]
    assert (merged["people"], merged["faces"]) == (1, 2)
    after("DELETE", f"/people/0/faces/{added['faces'][0]['id']}")
    deleted = after("DELETE", "/people/0")["gallery"]
    assert (deleted["people"], deleted["faces"]) == (0, 0)


def test_another_process_sees_every_change(client: Client, live: LiveModel, gallery_uri: str) -> None:
    other = Client(create_app(Settings(gallery_uri=gallery_uri, admin_key=ADMIN_KEY, metrics=False), live))
    client.enrol("Kofi Annan", KOFI)
    assert other.ok("POST", "/classify", KOFI)["predicted_name"] == "Kofi Annan"
    other.ok("PATCH", "/people/0", {"name": "K. Annan"})
    assert client.ok("POST", "/classify", KOFI)["predicted_name"] == "K. Annan"
    client.ok("DELETE", "/people/0")
    assert other.ok("POST", "/classify", KOFI)["candidates"] == []
    other.ok("DELETE", "/collections/people")
    assert collection_of(client) == "lfw"
