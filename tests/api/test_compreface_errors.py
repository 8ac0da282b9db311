"""CompreFace's interface: keys, collections by key, and errors."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest

from api.dialects.compreface_results import encode_problem
from api.problems import Problem
from app import create_app
from settings import Settings
from storage.live import LiveModel
from tests.api.client import ADMIN_KEY, CUT, KOFI, SERENA, WALL, File, Form, another, person, side_by_side, tiny
from tests.api.compreface_client import (
    CAMERAS,
    DOORS,
    READER_KEY,
    CompreFace,
    best,
    form,
    in_json,
    make_client,
    pair,
    with_key,
)

PAIR = side_by_side(KOFI, SERENA)
RECOGNIZE, FACES, SUBJECTS = "/recognition/recognize", "/recognition/faces", "/recognition/subjects"
VERIFY, DETECT, SEARCH = "/verification/verify", "/detection/detect", "/recognition/embeddings/recognize"
FACE = f"{FACES}/11111111-1111-4111-8111-111111111111"


@pytest.mark.parametrize("key", [None, ""])
@pytest.mark.parametrize("path", [SUBJECTS, "/nothing"])
def test_without_a_key(compreface: CompreFace, key: str | None, path: str) -> None:
    assert with_key(compreface, key).error("GET", path) == (400, 20)


def test_unknown_key(compreface: CompreFace) -> None:
    stranger = with_key(compreface, "key of nobody")
    for method, path in [("GET", SUBJECTS), ("DELETE", SUBJECTS), ("GET", "/nothing"), ("POST", RECOGNIZE)]:
        status, body = stranger(method, path)
        assert (status, body["code"]) == (404, 10)
        assert "nobody" not in body["message"]
    assert stranger.error("GET", "/static/key/images/11111111-1111-4111-8111-111111111111") == (404, 10)


def test_readers(compreface: CompreFace) -> None:
    reader = with_key(compreface, READER_KEY)
    assert "Kofi Annan" in reader.subjects()  # the collection that was published with the model
    assert best(reader.recognize(KOFI)) == [("Kofi Annan", True)]
    for method, path in [("POST", SUBJECTS), ("POST", FACES), ("DELETE", FACES), ("DELETE", f"{SUBJECTS}/Kofi")]:
        assert reader.error(method, path, {"subject": "Kofi"}) == (403, 0)


def test_collections_by_key(compreface: CompreFace) -> None:
    doors, admin = with_key(compreface, DOORS), with_key(compreface, ADMIN_KEY)
    face_id = compreface.add("Kofi", KOFI)
    doors.add("Serena", SERENA)
    admin.add("Somebody", another(KOFI, 8))
    assert [each.subjects() for each in (compreface, doors, admin)] == [["Kofi"], ["Serena"], ["Somebody"]]
    assert with_key(compreface, READER_KEY).subjects() == ["Somebody"]
    assert doors.error("DELETE", f"{FACES}/{face_id}") == (404, 44)
    assert [best(each.recognize(KOFI))[0][0] for each in (compreface, doors, admin)] == ["Kofi", "Serena", "Somebody"]
    assert doors.ok("DELETE", SUBJECTS) == {"deleted": 1}
    assert compreface.examples() == [(face_id, "Kofi")]


@pytest.mark.parametrize(
    ("method", "path", "content", "expected"),
    [
        ("GET", SUBJECTS, None, {"subjects": []}),
        ("POST", SUBJECTS, {"subject": "Kofi"}, {"subject": "Kofi"}),
        ("DELETE", SUBJECTS, None, {"deleted": 0}),
        ("DELETE", FACES, None, {"deleted": 0}),
        ("POST", f"{FACES}/delete", [], []),
        ("PUT", f"{SUBJECTS}/Kofi", {"subject": "Serena"}, 42),
        ("DELETE", f"{SUBJECTS}/Kofi", None, 42),
        ("DELETE", FACE, None, 44),
        ("POST", f"{FACE}/verify", form(KOFI), 44),
    ],
)
def test_first_request_of_a_key(
    compreface: CompreFace, method: str, path: str, content: Any, expected: dict[str, Any] | int
) -> None:
    _, body = compreface(method, path, content)
    assert (body["code"] if isinstance(expected, int) else body) == expected
    assert compreface.app.services.galleries.find("cameras").faces == 0


def test_open_for_readers(live: LiveModel, gallery_uri: str) -> None:
    anybody = make_client(live, gallery_uri, "any key", api_key="", admin_key="", compreface_keys={})
    assert "Kofi Annan" in anybody.subjects()
    assert anybody.error("POST", SUBJECTS, {"subject": "Kofi"}) == (403, 0)
    assert with_key(anybody, None).error("GET", SUBJECTS) == (400, 20)


def test_a_mistyped_key_does_not_lead_to_another_collection(live: LiveModel, gallery_uri: str) -> None:
    compreface = make_client(live, gallery_uri, api_key="", admin_key="")
    assert compreface.ok("POST", SUBJECTS, {"subject": "Kofi"}) == {"subject": "Kofi"}
    assert with_key(compreface, f"{CAMERAS}x").error("GET", SUBJECTS) == (404, 10)


def test_without_a_place_for_changes(live: LiveModel) -> None:
    compreface = make_client(live, "")
    assert compreface.error("GET", SUBJECTS) == (400, 0)
    assert with_key(compreface, ADMIN_KEY).error("POST", SUBJECTS, {"subject": "Kofi"}) == (400, 0)
    assert "Kofi Annan" in with_key(compreface, ADMIN_KEY).subjects()


def test_changes_to_the_published_collection(compreface: CompreFace) -> None:
    admin = with_key(compreface, ADMIN_KEY)
    assert admin.error("DELETE", SUBJECTS) == (400, 0)
    assert admin.error("DELETE", FACES, subject="Kofi Annan") == (400, 0)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", SUBJECTS),
        ("GET", RECOGNIZE),
        ("PUT", FACES),
        ("GET", ""),
        ("GET", "/nothing"),
        ("GET", f"{SUBJECTS}/a/b"),
        ("POST", "/verification/embeddings/verify"),
    ],
)
def test_unknown_routes(compreface: CompreFace, method: str, path: str) -> None:
    assert compreface.error(method, path) == (404, 0)


LIMITED: list[tuple[dict[str, str], int]] = [
    ({"limit": "-1"}, 26),
    ({"limit": "one"}, 26),
    ({"limit": "1.5"}, 26),
    ({"prediction_count": "0"}, 26),
    ({"prediction_count": "-1"}, 26),
    ({"det_prob_threshold": "1.01"}, 26),
    ({"det_prob_threshold": "-0.1"}, 26),
    ({"det_prob_threshold": "high"}, 26),
    ({"det_prob_threshold": "nan"}, 26),
    ({"status": "maybe"}, 26),
]


@pytest.mark.parametrize(("options", "code"), LIMITED, ids=str)
def test_options(compreface: CompreFace, options: dict[str, str], code: int) -> None:
    assert compreface.error("POST", RECOGNIZE, form(KOFI), **options) == (400, code)
    assert compreface.error("POST", RECOGNIZE, form(KOFI, **options)) == (400, code)


PHOTOS: dict[str, tuple[Any, int]] = {
    "form without a face": (form(WALL), 28),
    "JSON without a face": (in_json(file=WALL), 28),
    "form with a cut image": (form(CUT), 21),
    "JSON with a cut image": (in_json(file=CUT), 21),
    "form without an image": (form(b"none"), 21),
    "JSON without an image": (in_json(file=b"none"), 21),
    "empty image": (in_json(file=b""), 21),
    "not base64": ({"file": "no image!"}, 21),
    "number": ({"file": 1}, 21),
    "null": ({"file": None}, 5),
    "empty object": ({}, 5),
    "list": ([], 0),
    "neither a form nor JSON": (KOFI, 34),
    "no body": (None, 34),
    "file of another name": (Form({}, [File("photo.jpg", KOFI, "photo")]), 34),
    "text": (Form({"file": "text"}), 34),
    "no file chosen": (Form({"limit": "1"}, [File("", b"")]), 34),
    "too large": (form(bytes(4_600_000)), 0),
}


@pytest.mark.parametrize("name", PHOTOS)
def test_photos(compreface: CompreFace, name: str) -> None:
    content, code = PHOTOS[name]
    for path in (RECOGNIZE, DETECT, FACES):
        assert compreface.error("POST", path, content, subject="Kofi") == (400, code)


def test_data_url(compreface: CompreFace) -> None:
    content = {"file": f"data:image/jpeg;base64,{in_json(file=KOFI)['file']}"}
    assert len(compreface.ok("POST", DETECT, content)["result"]) == 1


PAIRS: dict[str, tuple[Any, int]] = {
    "several faces in the source": (pair(PAIR, KOFI), 31),
    "no face in the source": (pair(WALL, KOFI), 28),
    "no face in the target": (pair(KOFI, WALL), 28),
    "cut target": (pair(KOFI, CUT), 21),
    "form without a target": (Form({}, [File("1.jpg", KOFI, "source_image")]), 34),
    "JSON without a target": (in_json(source_image=KOFI), 5),
    "not base64": ({"source_image": "no image!", "target_image": ""}, 21),
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs(compreface: CompreFace, name: str) -> None:
    content, code = PAIRS[name]
    assert compreface.error("POST", VERIFY, content) == (400, code)


def test_text_without_faces(compreface: CompreFace) -> None:
    """Clients compare it."""
    assert compreface("POST", RECOGNIZE, form(WALL))[1]["message"] == "No face is found in the given image"


@pytest.mark.parametrize("subject", ["", "  ", "K" * 51, "a;b", "a/b", "a\\b", "a\nb", "\u202ea", None, 1, [], True])
def test_subjects(compreface: CompreFace, subject: Any) -> None:
    assert compreface.error("POST", SUBJECTS, {"subject": subject}) == (400, 26)
    assert compreface.error("PUT", f"{SUBJECTS}/Kofi", {"subject": subject}) == (400, 26)
    if isinstance(subject, str) and subject:
        assert compreface.error("POST", FACES, form(KOFI), subject=subject) == (400, 26)


def test_bodies_of_subjects(compreface: CompreFace) -> None:
    assert compreface.error("POST", SUBJECTS, {}) == (400, 26)
    assert compreface.error("POST", SUBJECTS) == (400, 0)
    assert compreface.error("POST", SUBJECTS, ["Kofi"]) == (400, 0)
    assert compreface.error("DELETE", f"{SUBJECTS}/{'K' * 2000}") == (404, 42)


def test_photos_that_cannot_be_enrolled(compreface: CompreFace) -> None:
    def refused(photo: bytes, subject: str = "Kofi") -> tuple[int, Any]:
        return compreface.error("POST", FACES, form(photo), subject=subject)

    assert refused(PAIR) == (400, 31)
    assert refused(tiny(KOFI)) == (400, 28)
    assert compreface.error("POST", FACES, form(KOFI)) == compreface.error("POST", FACES, form(KOFI), subject="")
    assert compreface.error("POST", FACES, form(KOFI)) == (400, 33)
    assert compreface.error("POST", FACES, form(KOFI), subject="Kofi", det_prob_threshold="2") == (400, 26)
    assert compreface.subjects() == []
    compreface.add("Kofi", KOFI)
    assert refused(KOFI, "Serena") == (400, 0)  # another subject's photo
    assert compreface.subjects() == ["Kofi"]


@pytest.mark.parametrize("path", [f"{FACES}/none", f"{FACES}/11111111-1111-4111-8111-11111111111x"])
def test_ids_that_are_none(compreface: CompreFace, path: str) -> None:
    assert compreface.error("DELETE", path) == (400, 0)
    assert compreface.error("GET", f"{path}/img") == (400, 0)
    assert compreface.error("POST", f"{path}/verify", form(KOFI)) == (400, 0)


@pytest.mark.parametrize("content", [None, {}, "id", ["none"], [1], [None]])
def test_lists_of_ids(compreface: CompreFace, content: Any) -> None:
    assert compreface.error("POST", f"{FACES}/delete", content) == (400, 0)


@pytest.mark.parametrize(
    ("embeddings", "code"),
    [
        (None, 5),
        ([], 5),
        ("text", 26),
        ([1, 2], 26),
        ([["1"]], 26),
        ([[1, 2]], 26),
        ([[0] * 704], 26),
        ([[1e200] * 703 + [10**400]], 26),
        ([[float("nan")] * 704], 26),
        ([[1] * 704] * 101, 37),
    ],
)
def test_embeddings(compreface: CompreFace, embeddings: Any, code: int) -> None:
    assert compreface.error("POST", SEARCH, {"embeddings": embeddings}) == (400, code)


def test_number_of_candidates_for_embeddings(compreface: CompreFace) -> None:
    assert compreface.error("POST", SEARCH, {"embeddings": [[1] * 704]}, prediction_count="0") == (400, 26)
    (found,) = compreface.ok("POST", SEARCH, {"embeddings": [[1] * 704]})["result"]
    assert found == {"embedding": [1] * 704, "similarities": []}


def test_when_no_model_can_be_loaded(tmp_path: Path) -> None:
    settings = Settings(
        model_uri=str(tmp_path), gallery_uri=str(tmp_path / "galleries"), compreface_keys={CAMERAS: "c"}
    )
    compreface = CompreFace(create_app(settings), CAMERAS)
    assert compreface.error("GET", SUBJECTS) == (503, 41)
    assert int(compreface.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("conflict", (409, 0)),
        ("collection_full", (507, 0)),
        ("internal", (500, 41)),
        ("duplicate", (400, 0)),
        ("bad_request", (400, 0)),
        ("unauthorized", (403, 0)),
    ],
)
def test_problems(code: str, expected: tuple[int, int]) -> None:
    response = encode_problem(Problem(400, code, "A sentence."), "request-1")
    assert (response.status, json.loads(response.body)) == (
        expected[0],
        {"message": "A sentence.", "code": expected[1]},
    )


def test_metrics(live: LiveModel, gallery_uri: str, lines: Callable[[], list[dict[str, Any]]]) -> None:
    compreface = make_client(live, gallery_uri, metrics=True)

    def counted(content: Form, **query: str) -> set[str]:
        compreface("POST", RECOGNIZE, content, **query)
        (line,) = (line for line in lines() if "_aws" in line)
        return {"Known", "Unknown", "NoFace", "Errors", "Faces"} & set(line)

    compreface.add("Kofi", KOFI)
    lines()
    assert counted(form(another(KOFI))) == {"Known", "Faces"}
    assert counted(form(SERENA)) == {"Unknown", "Faces"}
    assert counted(form(WALL)) == counted(form(KOFI), det_prob_threshold="1") == {"NoFace"}
    assert counted(form(CUT)) == {"Errors"}


def test_pages_of_other_origins(compreface: CompreFace) -> None:
    event = compreface.event("OPTIONS", f"/api/v1{FACES}")
    event["headers"]["Origin"] = "https://example.org"
    answer = compreface.app.handle(event, SimpleNamespace(aws_request_id="request-1"))
    headers = {name: values[0] for name, values in answer["multiValueHeaders"].items()}
    assert answer["statusCode"] == 204
    assert {"GET", "POST", "PUT", "DELETE"} <= set(headers["Access-Control-Allow-Methods"].split(","))
    assert "X-Api-Key" in headers["Access-Control-Allow-Headers"]


def test_native_errors_stay_native(compreface: CompreFace) -> None:
    status, body = compreface.send(compreface.event("POST", "/people", person("Kofi")))
    assert status == 401 and body["error"]["code"] == "unauthorized"
