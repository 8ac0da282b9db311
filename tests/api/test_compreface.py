"""CompreFace's interface: subjects, examples and recognition. Errors and keys are in test_compreface_errors.py."""

from __future__ import annotations

import io
from typing import Any, Callable
from urllib.parse import quote

import pytest
from PIL import Image

from storage.live import LiveModel
from tests.api.client import ADMIN_KEY, JENNIFER, KOFI, SERENA, TONY, Client, Form, another, jpeg, person, side_by_side
from tests.api.compreface_client import CompreFace, best, form, in_json, make_client, pair, with_key

PAIR = side_by_side(KOFI, SERENA, 170)
UNKNOWN_ID = "11111111-1111-4111-8111-111111111111"
WAYS: dict[str, Callable[[bytes], Any]] = {"form": form, "json": lambda photo: in_json(file=photo)}


@pytest.fixture(params=WAYS)
def body(request: pytest.FixtureRequest) -> Callable[[bytes], Any]:
    """The body of a request with a photo, as a form and as JSON."""
    return WAYS[request.param]


def check_box(face: dict[str, Any], width: int = 250, height: int = 250) -> None:
    """Check that a box is whole pixels within the photo."""
    box = face["box"]
    assert set(box) == {"probability", "x_min", "y_min", "x_max", "y_max"}
    edges = [box[edge] for edge in ("x_min", "y_min", "x_max", "y_max")]
    assert all(type(edge) is int for edge in edges) and 0.9 < box["probability"] <= 1
    assert 0 <= edges[0] < edges[2] <= width and 0 <= edges[1] < edges[3] <= height


@pytest.mark.parametrize("slash", ["", "/"])
def test_subjects(compreface: CompreFace, slash: str) -> None:
    path = f"/recognition/subjects{slash}"
    assert compreface("GET", path) == (200, {"subjects": []})
    assert compreface("POST", path, {"subject": "Kofi Annan", "more": 1}) == (201, {"subject": "Kofi Annan"})
    assert compreface.error("POST", path, {"subject": "KOFI annan"}) == (400, 43)
    renamed = compreface("PUT", f"/recognition/subjects/kofi%20annan{slash}", {"subject": "Tony", "api_endpoint": "x"})
    assert renamed == (200, {"updated": True})
    assert compreface.error("PUT", f"/recognition/subjects/Kofi{slash}", {"subject": "Tony"}) == (404, 42)
    compreface.ok("POST", path, {"subject": "Serena"})
    assert compreface("GET", path) == (200, {"subjects": ["Tony", "Serena"]})
    assert compreface("DELETE", f"/recognition/subjects/serena{slash}") == (200, {"subject": "Serena"})
    assert compreface.error("DELETE", f"/recognition/subjects/serena{slash}") == (404, 42)
    assert compreface("DELETE", path) == (200, {"deleted": 1})
    assert compreface("DELETE", path) == (200, {"deleted": 0})


def test_renaming_to_another_subject_merges(compreface: CompreFace) -> None:
    first, second = compreface.add("Kofi", KOFI), compreface.add("Annan", another(KOFI))
    assert compreface.ok("PUT", "/recognition/subjects/Annan", {"subject": "kofi"}) == {"updated": True}
    assert compreface.subjects() == ["Kofi"]
    assert compreface.examples() == [(first, "Kofi"), (second, "Kofi")]


@pytest.mark.parametrize("name", ["Kofi Annan", "José Müller", "コフィ・アナン", "100% me?#&+=", "a" * 50, "undefined"])
def test_names(compreface: CompreFace, name: str) -> None:
    face_id = compreface.add(name, KOFI)
    assert compreface.subjects() == [name]
    assert compreface.examples(subject=name.upper()) == [(face_id, name)]
    assert best(compreface.recognize(another(KOFI))) == [(name, True)]
    assert compreface.ok("DELETE", f"/recognition/subjects/{quote(name)}") == {"subject": name}
    assert compreface.subjects() == []


def test_name_in_another_form_of_unicode(compreface: CompreFace) -> None:
    compreface.add("Jose\u0301", KOFI)
    assert compreface.subjects() == ["José"]
    assert compreface.ok("DELETE", "/recognition/faces", subject="JOSE\u0301") == {"deleted": 1}


def test_examples(compreface: CompreFace, body: Callable[[bytes], Any]) -> None:
    status, first = compreface("POST", "/recognition/faces/", body(KOFI), subject="Kofi", det_prob_threshold="0.8")
    assert (status, first["subject"]) == (201, "Kofi")
    assert compreface("POST", "/recognition/faces", body(KOFI), subject="KOFI") == (201, first)  # the same photo
    second = compreface.ok("POST", "/recognition/faces", body(another(KOFI)), subject="kofi")["image_id"]
    third = compreface.ok("POST", "/recognition/faces", body(SERENA), subject="Serena")["image_id"]
    assert compreface.examples(subject="kofi") == [(first["image_id"], "Kofi"), (second, "Kofi")]
    assert compreface.examples(subject="nobody") == []
    assert compreface.ok("DELETE", f"/recognition/faces/{second.upper()}") == {"image_id": second, "subject": "Kofi"}
    assert compreface.error("DELETE", f"/recognition/faces/{second}/") == (404, 44)
    deleted: Any = compreface.ok("POST", "/recognition/faces/delete", [UNKNOWN_ID, third, third])
    assert deleted == [{"image_id": third, "subject": "Serena"}]
    assert compreface.subjects() == ["Kofi", "Serena"]  # without faces, they remain
    assert compreface.examples() == [(first["image_id"], "Kofi")]


def test_deleting_all_examples_deletes_their_subjects(compreface: CompreFace) -> None:
    for subject, photo in {"Kofi": KOFI, "Serena": SERENA, "Tony": TONY}.items():
        compreface.add(subject, photo)
    assert compreface.ok("DELETE", "/recognition/faces", subject="kofi") == {"deleted": 1}
    # Other options would not be set: here, that would delete all.
    for nobody in ("kofi", "undefined", "null", " ", "\u2028", "Serena\0", "\ud800"):
        assert compreface.ok("DELETE", "/recognition/faces", subject=nobody) == {"deleted": 0}
        assert compreface.examples(subject=nobody) == []
    assert compreface.subjects() == ["Serena", "Tony"]
    assert compreface.ok("DELETE", "/recognition/faces/", subject="") == {"deleted": 2}
    assert compreface.ok("DELETE", "/recognition/faces") == {"deleted": 0}
    assert compreface.subjects() == []


def test_pages(compreface: CompreFace) -> None:
    ids = [compreface.add("Kofi", another(KOFI, degrees)) for degrees in range(5)]

    def page(**query: str) -> tuple[Any, ...]:
        found = compreface.ok("GET", "/recognition/faces", **query)
        numbers = [found[name] for name in ("page_number", "page_size", "total_pages", "total_elements")]
        return [ids.index(face["image_id"]) for face in found["faces"]], *numbers

    assert page() == ([0, 1, 2, 3, 4], 0, 20, 1, 5)
    assert page(page="1", size="2") == ([2, 3], 1, 2, 3, 5)
    assert page(page="2", size="2") == ([4], 2, 2, 3, 5)
    assert page(page="9", size="2", subject="KOFI") == ([], 9, 2, 3, 5)
    # As CompreFace does, values that make no sense are replaced.
    assert page(page="-1", size="none") == ([0, 1, 2, 3, 4], 0, 20, 1, 5)
    assert page(page="", size="0") == ([0, 1, 2, 3, 4], 0, 20, 1, 5)
    assert page(size="999999") == ([0, 1, 2, 3, 4], 0, 2000, 1, 5)
    assert page(subject="nobody") == ([], 0, 20, 0, 0)


def test_recognize(compreface: CompreFace, body: Callable[[bytes], Any]) -> None:
    empty = compreface.ok("POST", "/recognition/recognize", body(KOFI))["result"]
    assert [face["subjects"] for face in empty] == [[]]
    compreface.add("Kofi", KOFI)
    compreface.add("Serena", SERENA)
    (face,) = compreface.ok("POST", "/recognition/recognize/", body(another(KOFI)))["result"]
    check_box(face)
    assert set(face) == {"box", "subjects"}
    assert best([face]) == [("Kofi", True)] and face["subjects"][0]["similarity"] < 1
    assert face["subjects"][0]["similarity"] == round(face["subjects"][0]["similarity"], 5)
    # Strangers have candidates too.
    (stranger,) = compreface.ok("POST", "/recognition/recognize", body(JENNIFER))["result"]
    assert stranger["subjects"] and stranger["subjects"][0]["similarity"] < 0.5


def test_options(compreface: CompreFace) -> None:
    compreface.add("Kofi", KOFI)
    compreface.add("Serena", SERENA)
    photo = another(PAIR, 3)
    assert best(compreface.recognize(photo)) == [("Kofi", True), ("Serena", True)]  # largest first
    assert best(compreface.recognize(photo, limit="1")) == [("Kofi", True)]
    assert len(compreface.recognize(photo, limit="0", prediction_count="1000000")[0]["subjects"]) == 2
    (face, _) = compreface.recognize(photo, face_plugins="age, landmarks,gender,mask,pose", detect_faces="false")
    assert set(face) == {"box", "subjects", "landmarks"}
    assert len(face["landmarks"]) == 5
    check_box(face, 420)
    for x, y in face["landmarks"]:
        assert type(x) is type(y) is int
        assert face["box"]["x_min"] < x < face["box"]["x_max"] and face["box"]["y_min"] < y < face["box"]["y_max"]


def test_the_largest_face_may_be_small(compreface: CompreFace) -> None:
    compreface.add("Kofi", KOFI)
    wall = Image.new("RGB", (2000, 1500), (90, 90, 90))
    wall.paste(Image.open(io.BytesIO(KOFI)).resize((100, 100), Image.Resampling.LANCZOS), (300, 300))
    assert [name for name, _ in best(compreface.recognize(jpeg(wall), limit="1"))] == ["Kofi"]


def test_options_of_a_form(compreface: CompreFace) -> None:
    compreface.add("Kofi", KOFI)
    for name, content in {
        "query": form(PAIR, limit="0"),
        "form": form(PAIR, limit="1", face_plugins="landmarks"),
    }.items():
        query = {"limit": "1", "face_plugins": "landmarks"} if name == "query" else {"limit": "undefined"}
        (face,) = compreface.ok("POST", "/recognition/recognize", content, **query)["result"]
        assert "landmarks" in face, name
    added = compreface("POST", "/recognition/faces", form(SERENA, subject="Serena", det_prob_threshold="0.5"))
    assert (added[0], added[1]["subject"]) == (201, "Serena")


@pytest.mark.parametrize("unset", ["", " ", "undefined", "null"])
def test_options_that_are_not_set(compreface: CompreFace, unset: str) -> None:
    names = "limit", "det_prob_threshold", "prediction_count", "face_plugins", "status", "detect_faces", "threshold"
    assert len(compreface.recognize(PAIR, **dict.fromkeys(names, unset))) == 2
    assert (
        len(compreface.ok("POST", "/recognition/recognize", form(PAIR, **dict.fromkeys(names, unset)))["result"]) == 2
    )


def test_faces_below_a_threshold(compreface: CompreFace) -> None:
    scores = sorted(face["box"]["probability"] for face in compreface.recognize(PAIR))
    between = str((scores[0] + scores[1]) / 2)
    assert len(compreface.recognize(PAIR, det_prob_threshold="0.5")) == 2
    (face,) = compreface.recognize(PAIR, det_prob_threshold=between)
    assert face["box"]["probability"] == scores[1]
    assert compreface.error("POST", "/detection/detect", form(PAIR), det_prob_threshold="1.0") == (400, 28)


@pytest.mark.parametrize("status", ["true", "True", "1", "false", "False", "0"])
def test_status(compreface: CompreFace, status: str) -> None:
    asked = status in ("true", "True", "1")
    answers = [
        compreface.ok("POST", path, form(KOFI), status=status)
        for path in ("/recognition/recognize", "/detection/detect")
    ]
    for answer in answers:
        assert ("plugins_versions" in answer) == asked == ("execution_time" in answer["result"][0])
    if asked:
        assert set(answers[0]["plugins_versions"]) == {"detector", "calculator"}
        assert all(answers[0]["result"][0]["execution_time"][name] > 0 for name in ("detector", "calculator"))
        assert set(answers[1]["result"][0]["execution_time"]) == {"detector"}


def test_verify_a_stored_face(compreface: CompreFace, body: Callable[[bytes], Any]) -> None:
    path = f"/recognition/faces/{compreface.add('Kofi', KOFI).upper()}/verify"
    photo = another(PAIR, 3)
    kofi, serena = compreface.ok("POST", path, body(photo), face_plugins="landmarks", status="true")["result"]
    assert kofi["similarity"] > 0.9 > 0.5 > serena["similarity"]
    assert set(kofi) == {"box", "subject", "similarity", "landmarks", "execution_time"}
    assert kofi["subject"] == serena["subject"] == "Kofi"
    check_box(kofi, 420)
    assert len(compreface.ok("POST", f"{path}/", body(photo), limit="1")["result"]) == 1
    assert compreface.error("POST", f"/recognition/faces/{UNKNOWN_ID}/verify", body(KOFI)) == (404, 44)


@pytest.mark.parametrize("way", WAYS)
def test_compare_two_photos(compreface: CompreFace, way: str) -> None:
    content = pair(KOFI, PAIR) if way == "form" else in_json(source_image=KOFI, target_image=PAIR)
    answer = compreface.ok("POST", "/verification/verify", content, face_plugins="landmarks", status="true")
    (result,) = answer["result"]
    assert set(result) == {"source_image_face", "face_matches", "plugins_versions"}
    assert set(result["source_image_face"]) == {"box", "landmarks", "execution_time"}
    check_box(result["source_image_face"])
    kofi, serena = result["face_matches"]
    assert kofi["similarity"] > 0.9 > 0.5 > serena["similarity"] and "landmarks" in serena
    check_box(kofi, 420)
    (limited,) = compreface.ok("POST", "/verification/verify/", content, limit="1")["result"]
    assert [face["similarity"] for face in limited["face_matches"]] == [kofi["similarity"]]
    assert set(limited) == {"source_image_face", "face_matches"} and set(limited["source_image_face"]) == {"box"}


def test_detect(compreface: CompreFace, body: Callable[[bytes], Any]) -> None:
    faces = compreface.ok("POST", "/detection/detect", body(PAIR))["result"]
    assert [set(face) for face in faces] == [{"box"}] * 2
    check_box(faces[0], 420)
    (largest,) = compreface.ok("POST", "/detection/detect/", body(PAIR), limit="1", face_plugins="landmarks")["result"]
    assert largest["box"] == faces[0]["box"] and len(largest["landmarks"]) == 5


def test_embeddings(compreface: CompreFace) -> None:
    face_id = compreface.add("Kofi", KOFI)
    compreface.add("Serena", SERENA)
    calculated = {"face_plugins": "landmarks,calculator"}
    faces = compreface.recognize(another(PAIR, 3), **calculated)
    detected = compreface.ok("POST", "/detection/detect", form(KOFI), **calculated)["result"]
    verified = compreface.ok("POST", f"/recognition/faces/{face_id}/verify", form(KOFI), **calculated)["result"]
    (compared,) = compreface.ok("POST", "/verification/verify", pair(KOFI, KOFI), **calculated)["result"]
    (match,) = compared["face_matches"]
    same = [face["embedding"] for face in (*detected, *verified, compared["source_image_face"], match)]
    assert same == [same[0]] * 4
    given = [face["embedding"] for face in faces]
    answer = compreface.ok("POST", "/recognition/embeddings/recognize/", {"embeddings": given}, prediction_count="2")
    assert [each["embedding"] for each in answer["result"]] == given
    names = [[match["subject"] for match in each["similarities"]] for each in answer["result"]]
    assert names == [["Kofi", "Serena"], ["Serena", "Kofi"]]
    assert all(each["similarities"][0]["similarity"] > 0.9 for each in answer["result"])
    (first, _) = compreface.ok("POST", "/recognition/embeddings/recognize", {"embeddings": given})["result"]
    assert len(first["similarities"]) == 1


def test_readers_get_no_embeddings(compreface: CompreFace) -> None:
    for key, expected in {"the reader's": False, ADMIN_KEY: True}.items():
        (face,) = with_key(compreface, key).recognize(KOFI, face_plugins="calculator,landmarks")
        assert "landmarks" in face and ("embedding" in face) == expected


@pytest.mark.parametrize("keep_crops", [False, True])
def test_images(live: LiveModel, gallery_uri: str, keep_crops: bool) -> None:
    compreface = make_client(live, gallery_uri, keep_crops=keep_crops)
    face_id = compreface.add("Kofi", KOFI)
    found = compreface.download(f"/recognition/faces/{face_id}/img")
    public = with_key(compreface, None).download(f"/static/{quote(compreface.key or '')}/images/{face_id}/")
    assert found == public
    if keep_crops:
        assert found[:2] == (200, "image/jpeg") and Image.open(io.BytesIO(found[2])).size == (160, 160)
    else:
        assert found == (200, "application/octet-stream", b"")
    assert with_key(compreface, "the reader's").error("GET", f"/recognition/faces/{face_id}/img") == (403, 0)
    assert compreface.download(f"/recognition/faces/{UNKNOWN_ID}/img") == (200, "application/octet-stream", b"")


def test_one_person_in_both_interfaces(compreface: CompreFace) -> None:
    compreface.key, native = ADMIN_KEY, Client(compreface.app)
    face_id = compreface.add("Kofi Annan", KOFI)  # creates the default collection
    (kofi,) = native.ok("GET", "/people")["people"]
    assert (kofi["name"], kofi["faces"]) == ("Kofi Annan", 1)
    native.enrol("A" * 51, SERENA)
    native.enrol("Kofi Annan", TONY)  # another one with this name
    assert compreface.subjects() == ["Kofi Annan", "A" * 51, "Kofi Annan"]
    assert best(compreface.recognize(another(SERENA))) == [("A" * 51, True)]
    assert compreface.add("KOFI ANNAN", another(KOFI)) != face_id
    assert native.ok("GET", f"/people/{kofi['id']}/faces")["count"] == 2
    photo = Form({}, form(another(KOFI)).files)
    assert native.ok("POST", "/classify", photo)["predicted_id"] == kofi["id"]
    native.ok("DELETE", f"/people/{kofi['id']}/faces/{face_id}")
    assert compreface.error("DELETE", f"/recognition/faces/{face_id}") == (404, 44)
    assert compreface.ok("DELETE", f"/recognition/subjects/{'A' * 51}") == {"subject": "A" * 51}
    assert native("GET", "/people", collection="cameras")[0] == 404  # the other key's was never used


def test_enrolled_natively_in_the_collection_of_a_key(compreface: CompreFace) -> None:
    native = Client(compreface.app)
    native.ok("PUT", "/collections/cameras")
    native.ok("POST", "/people", person("Kofi", KOFI), collection="cameras")
    assert best(compreface.recognize(another(KOFI))) == [("Kofi", True)]
