"""Names and external IDs of people: scripts, lengths, Unicode's forms, and characters that are not allowed."""

from __future__ import annotations

import pytest

from tests.api.client import Client, Form

KEPT = (
    *("Ada Lovelace", "Зоя Космодемьянская", "山田 太郎", "محمد علي", "שרה לוי", "प्रिया", "\uae40\uc5f0\uc544", "x"),
    *("O'Brien-Ñuñez, Jr.", "x" * 255, "\U00020bb7" * 255, "👩\u200d👩\u200d👧", '"\\/<script>', "null"),
)
CHANGED = {
    "  Ada  Lovelace ": "Ada  Lovelace",
    "\u00a0\u3000Ada\u2003": "Ada",
    "Zoe\u0308": "Zo\u00eb",  # NFD is stored as NFC
    "e\u0301" * 255: "\u00e9" * 255,
    "\u1100\u1161\u11a8": "\uac01",
}
REFUSED = (
    *("", " ", "\t\n", "\u3000", "x" * 256, "e\u0301" * 256, "a" + "\u0301\u0323" * 500_000),
    *("a\x00b", "a\nb", "a\x7f", "a\x9fb", "a\u2028b", "a\u2029b", "\ud800"),
    *("a\u202eb", "a\u2066b", "a\u200eb", "a\u200fb", "a\u061cb"),
)


@pytest.mark.parametrize("as_form", [False, True])
@pytest.mark.parametrize(("name", "expected"), [*zip(KEPT, KEPT), *CHANGED.items()], ids=lambda text: ascii(text)[:20])
def test_names(name: str, expected: str, as_form: bool, client: Client) -> None:
    fields = {"name": name, "external_id": name}
    body = client.ok("POST", "/people", Form(fields) if as_form else fields)
    assert (body["name"], body["external_id"]) == (expected, expected)
    assert client.ok("PATCH", "/people/0", {"name": name})["name"] == expected
    assert client.ok("GET", "/people")["people"] == [{"id": 0, "name": expected, "external_id": expected, "faces": 0}]


@pytest.mark.parametrize("field", ["name", "external_id"])
@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text)[:20])
def test_names_that_are_not_allowed(text: str, field: str, client: Client) -> None:
    client.enrol("Ada Lovelace")
    fields = {"name": "Ada", field: text}
    assert client.error("POST", "/people", fields) == (400, "bad_parameter")
    assert client.error("PATCH", "/people/0", {field: text}) == (400, "bad_parameter")
    if text != "\ud800":  # which no form can have
        assert client.error("POST", "/people", Form(fields)) == (400, "bad_parameter")
    assert client.ok("GET", "/people")["people"] == [{"id": 0, "name": "Ada Lovelace", "faces": 0}]
