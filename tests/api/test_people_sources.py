"""Requests about people through every event source, as their gateways would send them."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from testing.events import recorded
from testing.paths import EVENTS
from tests.api.client import ADMIN_KEY, KOFI, Answer, Client, Form, another, numbered

SOURCES = sorted(path.stem for path in EVENTS.glob("*-known-person.json"))


class Source:
    """Sends requests through one event source. as_text: a body that is text stays text; slash: end paths with one."""

    def __init__(self, client: Client, name: str, as_text: bool, slash: bool) -> None:
        self._client, self._name, self._as_text, self._slash = client, name, as_text, slash

    def __call__(self, method: str, path: str, content: Any = None, **query: str) -> Answer:
        rest = self._client.event(method, path, content, **query)
        event = json.loads(json.dumps(recorded(self._name)).replace("classify", path[1:] + "/" * self._slash))
        context = event["requestContext"].get("http", event)
        context[next(name for name in ("method", "httpMethod") if name in context)] = method
        coded = not self._as_text or isinstance(content, (bytes, Form))
        event["isBase64Encoded"] = coded
        event["body"] = rest["body"] if coded or not rest["body"] else base64.b64decode(rest["body"]).decode()
        escaped = {name: quote(value, safe="") if "alb" in self._name else value for name, value in query.items()}
        tables = {"headers": rest["headers"], "queryStringParameters": escaped}
        for name, table in tables.items():
            several = f"multiValue{name[0].upper()}{name[1:]}"
            if name in event:
                event[name] = table
            if several in event:
                event[several] = {key: [value] for key, value in table.items()}
        return self._client.send(event)


@pytest.mark.parametrize(("as_text", "slash"), [(False, False), (True, True)])
@pytest.mark.parametrize("name", SOURCES)
def test_people_through_every_source(name: str, as_text: bool, slash: bool, client: Client) -> None:
    ask = Source(client, name, as_text, slash)
    assert ask("PUT", "/collections/team.1")[0] == 201
    status, added = ask(
        "POST", "/people", Form({"name": "Zoë", "external_id": "a/b"}, numbered(KOFI)), collection="team.1"
    )
    assert (status, added["name"], len(added["faces"])) == (201, "Zoë", 1)
    assert ask("POST", "/people", {"name": "山田 太郎"}, collection="team.1")[0] == 201
    path = f"/people/{added['id']}"
    assert ask("POST", f"{path}/faces", another(KOFI), collection="team.1")[0] == 201
    assert ask("PATCH", path, {"name": "Zoë Müller"}, collection="team.1")[1]["name"] == "Zoë Müller"
    status, found = ask("POST", "/classify", KOFI, collection="team.1", top="1")
    assert (status, found["predicted_name"], len(found["candidates"])) == (200, "Zoë Müller", 1)
    status, listed = ask("GET", "/people", collection="team.1", limit="1", after="0")
    assert (status, [entry["name"] for entry in listed["people"]]) == (200, ["山田 太郎"])
    face = added["faces"][0]["id"]
    assert ask("DELETE", f"{path}/faces/{face}", collection="team.1") == (200, {"deleted_faces": 1})
    assert ask("DELETE", f"{path}/faces/{face}", collection="team.1")[0] == 404
    assert ask("DELETE", path, collection="team.1") == (200, {"deleted_faces": 1})
    assert ask("GET", path, collection="team.1")[1]["error"]["code"] == "unknown_person"
    assert ask("DELETE", "/collections/team.1")[1] == {"deleted_people": 1, "deleted_faces": 0}
    assert ask("GET", "/people", collection="a/b")[1]["error"]["code"] == "bad_parameter"
    assert ask("DELETE", "/people")[1]["error"]["code"] == "method_not_allowed"
    client.key = f"not {ADMIN_KEY}"
    assert ask("PUT", "/collections/team.1")[1]["error"]["code"] == "unauthorized"
