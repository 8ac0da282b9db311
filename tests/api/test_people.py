"""People through the API: listing, changes, merges and deletions. tests/api/test_names.py has their names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.client import JENNIFER, KOFI, SERENA, TONY, Client, another, person

UNKNOWN = (404, "unknown_person")
NOBODY: tuple[Any, ...] = (
    0,
    -1,
    0.5,
    True,
    "1",
    None,
    [],
    float("inf"),
    float("nan"),
)  # for person 0 to be merged into
UUID = "0f4b6d1e-7a52-4c1b-9c55-2f6f0f3d9a10"


def listed(client: Client, **query: str) -> list[int]:
    return [entry["id"] for entry in client.ok("GET", "/people", **query)["people"]]


def test_without_photos(client: Client) -> None:
    body = client.ok("POST", "/people", {"name": "Ada Lovelace", "external_id": "staff-1815", "other": [1]})
    assert body == {
        **{"id": 0, "name": "Ada Lovelace", "external_id": "staff-1815", "collection": "people"},
        **{"faces": [], "skipped": [], "look_alikes": [], "same_name": []},
    }
    assert client.ok("POST", "/people", person("Grace Hopper"))["id"] == 1
    found = client.ok("GET", "/people")
    assert found["people"] == [
        {"id": 0, "name": "Ada Lovelace", "external_id": "staff-1815", "faces": 0},
        {"id": 1, "name": "Grace Hopper", "faces": 0},
    ]
    assert client.ok("GET", "/people/1") == {"id": 1, "name": "Grace Hopper", "collection": "people", "faces": []}
    assert client.ok("POST", "/classify", KOFI)["candidates"] == []


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({}, "bad_parameter"),
        ({"name": None}, "bad_parameter"),
        ({"name": 7}, "bad_parameter"),
        ({"name": ["Ada"]}, "bad_parameter"),
        ({"name": "Ada", "external_id": None}, "bad_parameter"),
        ({"name": "Ada", "external_id": 1815}, "bad_parameter"),
        ({"name": "Ada", "collection": 1}, "bad_parameter"),
        ({"name": "Ada", "collection": "a/b"}, "bad_parameter"),
        ([], "bad_request"),
        ("Ada", "bad_request"),
        (person("Ada")._replace(fields={}), "bad_parameter"),
        (None, "bad_request"),
    ],
    ids=str,
)
def test_people_that_are_not_allowed(content: Any, code: str, client: Client) -> None:
    assert client.error("POST", "/people", content) == (400, code)


def test_paging(client: Client) -> None:
    for number in range(5):
        client.enrol(f"Number {number}")
    client.ok("DELETE", "/people/1")
    first = client.ok("GET", "/people", limit="2")
    assert ([entry["id"] for entry in first["people"]], first["count"], first["next"]) == ([0, 2], 4, 2)
    second = client.ok("GET", "/people", limit="2", after="2")
    assert ([entry["id"] for entry in second["people"]], second["count"]) == ([3, 4], 4)
    assert "next" not in second
    assert "next" not in client.ok("GET", "/people", limit="4")
    assert listed(client, after="0", limit="1000") == [2, 3, 4]
    assert listed(client, after="1") == [2, 3, 4]  # of a deleted person
    assert listed(client, after="4") == listed(client, after="9" * 18) == []


@pytest.mark.parametrize(
    "query",
    [*({"limit": text} for text in ("0", "1001", "-1", "x", "", "1.0", "٣")), {"after": "-1"}, {"after": "x"}],
    ids=str,
)
def test_pages_that_are_not_allowed(query: dict[str, str], client: Client) -> None:
    assert client.error("GET", "/people", **query) == (400, "bad_parameter")


def test_rename_and_external_id(client: Client) -> None:
    client.enrol("Kofi Annan", KOFI)
    before = client.ok("GET", "/people/0")
    assert client.ok("PATCH", "/people/0", {"name": "K. Annan"}) == {**before, "name": "K. Annan"}
    changed = client.ok("PATCH", "/people/0", {"external_id": "un-7"})
    assert (changed["name"], changed["external_id"], changed["faces"]) == ("K. Annan", "un-7", before["faces"])
    assert client.ok("PATCH", "/people/0", {"name": "Kofi"})["external_id"] == "un-7"
    assert client.ok("POST", "/classify", KOFI)["predicted_name"] == "Kofi"
    assert client.ok("PATCH", "/people/0", {"name": "Kofi Annan", "external_id": None}) == before
    assert client.ok("GET", "/people/0") == before


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({}, "bad_request"),
        ({"nome": "Ada"}, "bad_request"),
        ({"into": 1, "name": "Ada"}, "bad_request"),
        ([], "bad_request"),
        (None, "bad_request"),
        ({"name": None}, "bad_parameter"),
        ({"external_id": 7}, "bad_parameter"),
        *(({"into": value}, "bad_parameter") for value in NOBODY),
    ],
    ids=str,
)
def test_changes_that_are_not_allowed(content: Any, code: str, client: Client) -> None:
    client.enrol("Ada Lovelace")
    assert client.error("PATCH", "/people/0", content) == (400, code)


def test_merge(client: Client) -> None:
    client.ok("POST", "/people", person("Kofi Annan", KOFI, external_id="un-7"))
    client.ok("POST", "/people", person("K. A.", another(KOFI), external_id="k"))
    faces = [client.ok("GET", f"/people/{key}")["faces"][0] for key in (0, 1)]
    merged = client.ok("PATCH", "/people/1", {"into": 0.0, "other": "ignored"})
    assert merged == {
        **{"id": 0, "name": "Kofi Annan", "external_id": "un-7", "collection": "people"},
        "faces": faces,
    }
    assert client.error("GET", "/people/1") == UNKNOWN
    assert client.ok("GET", "/people")["gallery"]["people"] == 1
    assert client.ok("POST", "/classify", KOFI)["candidates"][0]["id"] == 0
    assert client.error("PATCH", "/people/0", {"into": 1}) == UNKNOWN
    assert client.error("PATCH", "/people/1", {"into": 0}) == UNKNOWN
    assert client.error("PATCH", "/people/0", {"into": 10**30}) == UNKNOWN
    assert client.enrol("Somebody") == 2


def test_deleted_people_and_faces(client: Client) -> None:
    body = client.ok("POST", "/people", person("Kofi Annan", KOFI, another(KOFI)))
    client.enrol("Serena Williams", SERENA)
    first, second = (face["id"] for face in body["faces"])
    assert client.ok("DELETE", f"/people/0/faces/{first.upper()}") == {"deleted_faces": 1}
    assert [face["id"] for face in client.ok("GET", "/people/0/faces")["faces"]] == [second]
    for missing in (first, UUID, "1", "é", "..."):
        assert client.error("DELETE", f"/people/0/faces/{missing}") == (404, "unknown_face")
    assert client.error("DELETE", f"/people/1/faces/{second}") == (404, "unknown_face")  # somebody else's
    assert client.ok("DELETE", f"/people/0/faces/{second}") == {"deleted_faces": 1}
    found = client.ok("POST", "/classify", KOFI)
    assert ([match["id"] for match in found["candidates"]], found["model"]["classes"]) == ([1], 1)
    client.ok("POST", "/people/0/faces", TONY)
    assert client.ok("DELETE", "/people/0") == {"deleted_faces": 1}
    assert listed(client) == [1]
    assert client.ok("POST", "/classify", TONY)["known"] is False


def test_ids_are_never_used_again(client: Client) -> None:
    assert [client.enrol(f"Number {number}") for number in range(3)] == [0, 1, 2]
    for deleted in (2, 1):
        client.ok("DELETE", f"/people/{deleted}")
    assert client.enrol("Number 3") == 3
    for deleted in (0, 3):
        client.ok("DELETE", f"/people/{deleted}")
    assert (listed(client), client.enrol("Number 4")) == ([], 4)


@pytest.mark.parametrize("key", ["9", "0", "-1", "1.0", "x", "٣", "9" * 18, "9" * 19, "0x1", "true", "é", "a b", "%00"])
def test_unknown_people(key: str, client: Client) -> None:
    """Those who were deleted, and IDs that nobody can have."""
    client.enrol("Ada Lovelace")
    client.ok("DELETE", "/people/0")
    path = f"/people/{key}"
    for method, content in (("GET", None), ("PATCH", {"name": "Ada"}), ("PATCH", {"into": 0}), ("DELETE", None)):
        if (key, content) != ("0", {"into": 0}):
            assert client.error(method, path, content) == UNKNOWN
    assert client.error("GET", f"{path}/faces") == UNKNOWN
    assert client.error("POST", f"{path}/faces", JENNIFER) == UNKNOWN
    assert client.error("DELETE", f"{path}/faces/{UUID}") == UNKNOWN


def test_body_that_is_not_json(client: Client) -> None:
    client.enrol("Ada Lovelace")
    for body in (b"", b"{", b"\xff", b"[" * 100_000, b'{"into": ' + b"9" * 5000 + b"}", json.dumps("x").encode()):
        assert client.error("PATCH", "/people/0", body) == (400, "bad_request")
