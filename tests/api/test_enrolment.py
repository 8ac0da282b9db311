"""Enrolling photos through the API: which are used, which are skipped and why, and how the person is found then."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from service import addition
from service.results import DUPLICATE, NO_FACE, SEVERAL_FACES, TOO_SMALL, UNREADABLE
from tests.api.client import (
    CUT,
    KOFI,
    SERENA,
    TONY,
    WALL,
    Client,
    Form,
    another,
    numbered,
    person,
    photos,
    side_by_side,
    tiny,
)
from tests.model.test_photo_damage import huge_png

TWO_FACES = side_by_side(KOFI, SERENA)
UNUSABLE = {
    NO_FACE: WALL,
    SEVERAL_FACES: TWO_FACES,
    UNREADABLE: CUT,
    TOO_SMALL: tiny(KOFI),
}
CODES = {UNREADABLE: "unreadable_image"}  # for other reasons it is the reason


def skipped(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [(photo["file"], photo["reason"]) for photo in body["skipped"]]


def test_two_photos_and_a_third_one(client: Client, lfw_small: Path) -> None:
    """A person whom the model does not know is recognized in another photo, and nobody else is."""
    given = [path.read_bytes() for path in sorted((lfw_small / "Abdullah_Gul").iterdir())[:3]]
    ada = client.ok("POST", "/people", person("Ada Lovelace", *given[:2], external_id="staff-1815"))
    assert (ada["id"], ada["name"], ada["external_id"], ada["collection"]) == (
        0,
        "Ada Lovelace",
        "staff-1815",
        "people",
    )
    assert len({face["id"] for face in ada["faces"]}) == 2
    assert (ada["skipped"], ada["look_alikes"], ada["same_name"]) == ([], [], [])
    assert "advice" not in ada
    client.enrol("Zoë", SERENA, another(SERENA))
    found = client.ok("POST", "/classify", given[2])
    assert (found["predicted_id"], found["predicted_name"], found["known"]) == (0, "Ada Lovelace", True)
    assert found["candidates"][1]["name"] == "Zoë"
    assert found["model"]["classes"] == 2
    stranger = client.ok("POST", "/classify", KOFI)
    assert (stranger["predicted_id"], stranger["known"], len(stranger["candidates"])) == (None, False, 2)


def test_why_a_photo_cannot_be_read(client: Client) -> None:
    (cut, text, wall) = client.ok("POST", "/people", person("Ada", KOFI, CUT, b"no photo", WALL))["skipped"]
    assert (cut["reason"], "damaged" in cut["message"]) == (UNREADABLE, True)
    assert (text["reason"], "not an image" in text["message"]) == (UNREADABLE, True)
    assert set(wall) == {"file", "reason"}


def test_box_confidence_and_time_of_a_face(client: Client) -> None:
    (face,) = client.ok("POST", "/people", person("Kofi Annan", KOFI))["faces"]
    detected = client.ok("POST", "/detect", KOFI)["faces"][0]
    assert face["box"] == pytest.approx(detected["box"], abs=0.11)  # width and height are of rounded edges
    assert face["confidence"] == detected["confidence"]
    assert client.ok("GET", "/people/0")["faces"] == [face]
    assert client.ok("GET", "/people/0/faces") == {"faces": [face], "count": 1}


def test_advice_after_a_single_photo(client: Client) -> None:
    body = client.ok("POST", "/people", person("Kofi Annan", KOFI))
    assert "second photo" in body["advice"]
    assert "advice" not in client.ok("POST", "/people/0/faces", another(KOFI))
    assert "advice" not in client.ok("POST", "/people", {"name": "Nobody"})
    assert "advice" in client.ok("POST", "/people/1/faces", SERENA)


def test_look_alikes_and_same_name(client: Client) -> None:
    first = client.enrol("Kofi Annan", KOFI)
    second = client.ok("POST", "/people", person("Kofi Annan", another(KOFI)))
    assert second["same_name"] == [first]
    (alike,) = second["look_alikes"]
    assert (alike["id"], alike["name"]) == (first, "Kofi Annan")
    assert alike["confidence"] > 0.9
    other = client.ok("POST", "/people", person("Serena Williams", SERENA))
    assert (other["same_name"], other["look_alikes"]) == ([], [])
    assert client.ok("POST", "/people", person("kofi annan"))["same_name"] == []


@pytest.mark.parametrize("reason", UNUSABLE)
def test_a_photo_that_cannot_be_used(reason: str, client: Client) -> None:
    """Alone it is an error and nobody is added. Beside a good photo it is skipped."""
    status, body = client("POST", "/people", person("Kofi Annan", UNUSABLE[reason]))
    assert (status, body["error"]["code"]) == (422, CODES.get(reason, reason))
    assert skipped(body) == [("1.jpg", reason)]
    assert client.ok("GET", "/people")["gallery"]["collection"] == "lfw"  # the default one was not created
    body = client.ok("POST", "/people", person("Kofi Annan", UNUSABLE[reason], KOFI))
    assert (body["id"], skipped(body), len(body["faces"])) == (0, [("1.jpg", reason)], 1)
    assert client.error("POST", "/people/0/faces", UNUSABLE[reason]) == (422, CODES.get(reason, reason))


def test_the_first_photo_decides_the_code(client: Client) -> None:
    client.enrol("Kofi Annan", KOFI)
    for first, second, code in ((KOFI, WALL, "duplicate"), (WALL, KOFI, "no_face"), (CUT, KOFI, "unreadable_image")):
        assert client.error("POST", "/people", person("Somebody", first, second)) == (422, code)
    assert client.ok("GET", "/people")["count"] == 1


def test_the_largest_face_is_enrolled_if_it_is_twice_as_large(client: Client) -> None:
    body = client.ok("POST", "/people", person("Kofi Annan", side_by_side(KOFI, SERENA, 150)))
    assert body["faces"][0]["box"]["left"] < 125
    assert client.ok("POST", "/classify", KOFI)["known"] is True
    assert client.ok("POST", "/classify", SERENA)["known"] is False


def test_repeated_photos(client: Client) -> None:
    """A photo is recognized by its pixels, in any format, among those of all people."""
    body = client.ok("POST", "/people", person("Kofi Annan", KOFI, another(KOFI), KOFI))
    assert (len(body["faces"]), skipped(body)) == (2, [("3.jpg", DUPLICATE)])
    status, again = client("POST", "/people/0/faces", photos(another(KOFI), WALL))
    assert (status, again["faces"]) == (200, body["faces"][1:])
    assert skipped(again) == [("1.jpg", DUPLICATE), ("2.jpg", NO_FACE)]
    status, more = client("POST", "/people/0/faces", photos(KOFI, another(KOFI, 8)))
    assert (status, len(more["faces"]), skipped(more)) == (201, 1, [("1.jpg", DUPLICATE)])
    assert client.ok("GET", "/people/0/faces")["count"] == 3
    assert client.error("POST", "/people", person("Somebody", KOFI)) == (422, "duplicate")
    client.enrol("Serena Williams", SERENA)
    assert client.error("POST", "/people/1/faces", KOFI) == (422, "duplicate")
    # Deleted photos can be enrolled again.
    client.ok("DELETE", "/people/0")
    assert client("POST", "/people/1/faces", KOFI)[0] == 201


def test_photos_as_json_and_raw(client: Client) -> None:
    client.enrol("Kofi Annan")
    coded = base64.b64encode(KOFI).decode()
    assert client("POST", "/people/0/faces", {"image": coded})[0] == 201
    assert client("POST", "/people/0/faces", {"image": f"data:image/jpeg;base64,{coded}"})[0] == 200
    assert client("POST", "/people/0/faces", another(KOFI))[0] == 201
    assert client.error("POST", "/people/0/faces", {"image": 7}) == (400, "bad_request")
    assert client.error("POST", "/people/0/faces", {"name": "Kofi"}) == (400, "bad_request")
    assert client.error("POST", "/people/0/faces") == (400, "bad_request")
    assert client.error("POST", "/people/0/faces", Form({})) == (400, "bad_request")
    assert client.error("POST", "/people", KOFI) == (400, "bad_request")


def test_twenty_photos(client: Client) -> None:
    """Bad photos, an image bomb among them, do not count against the others."""
    bad = [huge_png(30_000), b"", b"no image", CUT, WALL, TWO_FACES, tiny(TONY), KOFI]
    reasons = [*[UNREADABLE] * 4, NO_FACE, SEVERAL_FACES, TOO_SMALL, DUPLICATE]
    good = [KOFI, *(another(KOFI, degrees) for degrees in range(-6, 6) if degrees)]
    body = client.ok("POST", "/people", person("Kofi Annan", *good, *bad))
    assert (len(good), len(body["faces"])) == (12, 12)
    assert skipped(body) == [(f"{number}.jpg", reason) for number, reason in enumerate(reasons, 13)]
    assert client.error("POST", "/people", person("Kofi Annan", *good, *bad, WALL)) == (400, "bad_request")
    assert client.error("POST", "/people/0/faces", photos(*good, *bad, WALL)) == (400, "bad_request")
    assert client.ok("GET", "/people")["people"] == [{"id": 0, "name": "Kofi Annan", "faces": 12}]


def test_fields_of_any_name_and_empty_ones(client: Client) -> None:
    """Every file of a form counts. A text field that has the name of a photo is a mistake."""
    files = [file._replace(field=name) for file, name in zip(numbered(KOFI, another(KOFI)), ("photos[]", ""))]
    assert len(client.ok("POST", "/people", Form({"name": "Kofi Annan"}, files))["faces"]) == 2
    assert client.error("POST", "/people", Form({"name": "Kofi Annan", "file": "kofi.jpg"})) == (400, "bad_request")


@pytest.mark.parametrize(
    ("limit", "value", "method", "path", "content"),
    [
        ("MAX_PEOPLE", 2, "POST", "/people", {"name": "Tony Blair"}),
        ("MAX_FACES", 2, "POST", "/people/0/faces", TONY),
        ("MAX_FACES_OF_ONE", 1, "POST", "/people/0/faces", TONY),
        ("MAX_FACES_OF_ONE", 1, "PATCH", "/people/0", {"into": 1}),
    ],
)
def test_limits(
    limit: str, value: int, method: str, path: str, content: Any, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.enrol("Kofi Annan", KOFI)
    client.enrol("Serena Williams", SERENA)
    monkeypatch.setattr(addition, limit, value)
    assert client.error(method, path, content) == (507, "collection_full")
    monkeypatch.undo()
    assert client.ok("GET", "/people")["gallery"]["faces"] == 2
    assert client(method, path, content)[0] < 300
