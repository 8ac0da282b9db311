"""CompreFace's clients for Python and JavaScript, as they are published."""

from __future__ import annotations

from typing import Any

from tests.clients.service import Service

SIDES = {"x_min", "y_min", "x_max", "y_max"}
UNKNOWN_FACE = "11111111-1111-4111-8111-111111111111"


def best(response: dict[str, Any]) -> list[tuple[str, bool]]:
    """Name of the nearest subject of each face, from left to right, and whether it is the same person."""
    faces = sorted(response["result"], key=lambda face: face["box"]["x_min"])
    return [(face["subjects"][0]["subject"], face["subjects"][0]["similarity"] >= 0.5) for face in faces]


def check_box(face: dict[str, Any]) -> None:
    """Check the box: edges in pixels as integers, and a probability."""
    box = face["box"]
    assert set(box) == {"probability", *SIDES}
    assert all(isinstance(box[side], int) for side in SIDES)
    assert box["x_min"] < box["x_max"] and box["y_min"] < box["y_max"] and 0.8 < box["probability"] <= 1


def listed(response: dict[str, Any]) -> list[str]:
    return sorted(face["subject"] for face in response["faces"])


def pair() -> list[tuple[str, bool]]:
    return [("Kofi Annan", True), ("Serena Williams", True)]


def test_sdk_subjects(emulated: Service) -> None:
    found = emulated.run("compreface_sdk", "subjects")
    assert found["empty"] == found["left"] == {"subjects": []}
    assert found["added"] == {"subject": "Kofi Annan"}
    assert (found["again"]["code"], found["too_long"]["code"]) == (43, 26)
    assert found["listed"] == {"subjects": ["Kofi Annan"]}
    assert found["renamed"] == {"updated": True} and found["renamed_nobody"]["code"] == 42
    assert found["listed_later"] == {"subjects": ["K. A. Annan"]}
    assert found["deleted"] == {"subject": "K. A. Annan"} and found["deleted_again"]["code"] == 42
    assert found["deleted_all"] == {"deleted": 2}


def test_sdk_faces(emulated: Service) -> None:
    found = emulated.run("compreface_sdk", "faces")
    assert found["first"]["subject"] == found["bytes"]["subject"] == "Kofi Annan"
    assert found["subjects"] == {"subjects": ["Kofi Annan", "Serena Williams"]}
    assert listed(found["listed"]) == ["Kofi Annan", "Kofi Annan", "Serena Williams"]
    assert {name: found["listed"][name] for name in ("page_number", "page_size", "total_pages", "total_elements")} == {
        "page_number": 0,
        "page_size": 20,
        "total_pages": 1,
        "total_elements": 3,
    }
    assert (found["no_face"]["code"], found["two_faces"]["code"]) == (28, 31)
    (face,), (other,) = found["verified"]["result"], found["verified_other"]["result"]
    assert face["similarity"] >= 0.5 > other["similarity"] and len(face["landmarks"]) == 5
    check_box(face)
    assert found["verified_unknown"]["code"] == found["deleted_again"]["code"] == 44
    assert found["deleted"] == found["first"]
    assert found["deleted_of_subject"] == {"deleted": 1} == found["deleted_all"]
    assert listed(found["left"]) == ["Serena Williams"]


def test_sdk_recognizes(emulated: Service) -> None:
    found = emulated.run("compreface_sdk", "recognize")
    (nobody,) = found["empty"]["result"]
    assert nobody["subjects"] == []
    assert best(found["known"]) == [("Kofi Annan", True)]
    assert best(found["pair"]) == pair()
    for face in found["pair"]["result"]:
        check_box(face)
        assert len(face["landmarks"]) == 5 and len(face["embedding"]) > 100 and "age" not in face
        assert all(isinstance(side, int) for point in face["landmarks"] for side in point)
    assert {"detector", "calculator"} <= set(found["pair"]["plugins_versions"])
    assert "execution_time" in found["pair"]["result"][0]
    (largest,) = found["largest"]["result"]
    assert [each["subject"] for each in largest["subjects"]] == ["Kofi Annan", "Serena Williams"]
    assert "landmarks" not in largest and "embedding" not in largest and "plugins_versions" not in found["largest"]
    (stranger,) = best(found["stranger"])
    assert not stranger[1]
    assert found["no_face"]["code"] == 28 and found["no_face"]["message"]


def test_sdk_verifies_and_detects(emulated: Service) -> None:
    found = emulated.run("compreface_sdk", "verify_and_detect")
    (compared,) = found["verified"]["result"]
    check_box(compared["source_image_face"])
    assert len(compared["source_image_face"]["landmarks"]) == 5
    same, other = compared["face_matches"]
    assert same["similarity"] >= 0.5 > other["similarity"] and same["box"]["x_min"] < other["box"]["x_min"]
    assert (found["no_source_face"]["code"], found["two_source_faces"]["code"]) == (28, 31)
    assert len(found["detected"]["result"]) == 2 and len(found["detected"]["result"][0]["landmarks"]) == 5
    (largest,) = found["largest"]["result"]
    check_box(largest)
    assert found["no_face"]["code"] == 28 and found["wrong_key"]["code"] == 10


def test_sdk(service: Service) -> None:
    found = service.run("compreface_sdk", "short")
    assert found["added"]["subject"] == "Kofi Annan" and best(found["known"]) == [("Kofi Annan", True)]
    assert found["deleted"] == {"subject": "Kofi Annan"} and found["left"] == {"subjects": []}


def test_sdk_python(emulated: Service) -> None:
    found = emulated.run("compreface_sdk_python", "run")
    assert found["added_subject"] == {"subject": "Kofi"} and found["renamed"] == {"updated": True}
    assert found["serena"]["subject"] == "Serena Williams"
    assert (len(found["listed"]["faces"]), found["listed"]["total_pages"], found["listed"]["total_elements"]) == (
        1,
        2,
        3,
    )
    assert listed(found["listed_of_subject"]) == ["Kofi Annan"] * 2
    assert best(found["recognized"]) == pair() and "plugins_versions" in found["recognized"]
    (face,) = found["recognized_base64"]["result"]
    assert [each["subject"] for each in face["subjects"]] == ["Kofi Annan", "Serena Williams"]
    assert found["verified"]["result"][0]["similarity"] >= 0.5 > found["verified_base64"]["result"][0]["similarity"]
    assert found["downloaded"] == [0, 0]  # without KEEP_CROPS nothing is stored
    assert [face["subject"] for face in found["deleted_several"]] == ["Kofi Annan"]
    assert found["deleted"]["subject"] == "Kofi Annan" and found["deleted_of_subject"] == {"deleted": 1}
    assert found["subjects"] == {"subjects": ["Kofi Annan"]}  # deleted by name, the other is no subject any more
    assert found["deleted_subject"] == {"subject": "Kofi Annan"} and found["deleted_all"] == {"deleted": 1}
    assert len(found["detected"]["result"]) == 2 and len(found["detected_base64"]["result"]) == 1
    assert [face["similarity"] >= 0.5 for face in found["compared"]["result"][0]["face_matches"]] == [True, False]
    assert [face["similarity"] >= 0.5 for face in found["compared_base64"]["result"][0]["face_matches"]] == [False]
    assert found["not_base64"]["code"] == 21


def test_sdk_python_with_asyncio(emulated: Service) -> None:
    found = emulated.run("compreface_sdk_python", "run_async")
    assert best(found["recognized"]) == best(found["recognized_base64"]) == [("Kofi Annan", True)]
    assert found["verified"]["result"][0]["similarity"] >= 0.5
    assert listed(found["listed"]) == ["Kofi Annan"] * 2 and len(found["deleted_several"]) == 2
    assert found["subjects"] == {"subjects": ["Kofi Annan"]} and found["deleted_all"] == {"deleted": 1}
    assert len(found["detected"]["result"]) == 1
    assert found["compared"]["result"][0]["face_matches"][0]["similarity"] >= 0.5


def test_sdk_python_short(service: Service) -> None:
    found = service.run("compreface_sdk_python", "short")
    assert found["added"]["subject"] == "Kofi Annan"
    assert best(found["known"]) == best(found["known_base64"]) == [("Kofi Annan", True)]
    assert found["deleted"] == {"subject": "Kofi Annan"} and found["left"] == {"subjects": []}


def test_javascript_sdk(service: Service) -> None:
    found = service.run_node("compreface.mjs")
    assert found["addedSubject"] == {"subject": "Kofi"} and found["renamed"] == {"updated": True}
    assert (found["addedAgain"]["status"], found["addedAgain"]["code"]) == (400, 43)
    assert found["first"]["subject"] == "Kofi Annan" and found["thirdSubject"] == "Serena Williams"
    assert found["subjects"] == {"subjects": ["Kofi Annan", "Serena Williams"]}
    assert listed(found["listed"]) == ["Kofi Annan", "Kofi Annan", "Serena Williams"]
    assert best(found["recognized"]) == pair() and best(found["recognizedBase64"]) == [("Kofi Annan", True)]
    assert (found["noFace"]["status"], found["noFace"]["code"]) == (400, 28)
    assert found["verifiedFace"]["result"][0]["similarity"] >= 0.5
    assert len(found["detected"]["result"]) == 1 and len(found["detected"]["result"][0]["landmarks"]) == 5
    assert [face["similarity"] >= 0.5 for face in found["verified"]["result"][0]["face_matches"]] == [True, False]
    assert found["verifiedBase64"]["result"][0]["face_matches"][0]["similarity"] < 0.5
    assert [face["subject"] for face in found["deletedSeveral"]] == ["Kofi Annan"]
    assert found["deletedFace"]["subject"] == "Kofi Annan" and found["deletedOfSubject"] == {"deleted": 1}
    assert found["left"]["faces"] == [] and found["deletedAllFaces"] == {"deleted": 0}
    assert found["deletedSubject"] == {"subject": "Kofi Annan"}
    assert (found["deletedSubjectAgain"]["status"], found["deletedSubjectAgain"]["code"]) == (404, 42)
    assert found["deletedAll"] == {"deleted": 0}
