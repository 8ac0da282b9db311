"""Programs around cameras that send CompreFace's requests, and one person through all three interfaces."""

from __future__ import annotations

from tests.clients.service import Service


def test_double_take(service: Service) -> None:
    found = service.run("integrations", "double_take")
    assert (found["trained"]["status"], found["trained"]["subject"]) == (201, "kofi annan")
    assert (found["trained_threshold"]["status"], found["trained_threshold"]["subject"]) == (201, "serena")
    assert (found["trained_no_face"]["status"], found["trained_no_face"]["code"]) == (400, 28)
    ((name, matches, box),) = found["known"]
    assert (name, matches) == ("kofi annan", True) and box["x_max"] > box["x_min"]
    assert {name: matches for name, matches, _ in found["pair"]} == {"kofi annan": True, "serena": True}
    ((_, matches, _),) = found["stranger"]
    assert not matches
    assert found["no_face"] == 28 and found["empty_plugins"] == 200
    assert {"box", "subjects"} <= set(found["plugins"]) and not {"age", "gender", "mask"} & set(found["plugins"])
    assert found["not_an_image"]["status"] == 400 and isinstance(found["not_an_image"]["message"], str)
    assert (found["removed"]["deleted"], found["removed_all"]["deleted"]) == (1, 1)


def test_viseron(service: Service) -> None:
    found = service.run("integrations", "viseron")
    assert found["known"] == [["Kofi", True]]
    assert found["stranger"] == [["Kofi", False]]
    assert found["deleted"] == {"status": 200, "subject": "Kofi"}


def test_double_take_go(service: Service) -> None:
    found = service.run("integrations", "double_take_go")
    assert found["ping"]["status"] == 200 and found["ping"]["subjects"] == []
    assert (found["trained"]["status"], found["trained"]["subject"]) == (201, "Kofi Annan")
    for answer in (found["known"], found["trailing_slash"]):
        (face,) = answer["result"]
        assert face["subjects"][0]["subject"] == "Kofi Annan" and len(face["landmarks"]) == 5
    assert found["deleted"] == {"status": 200, "deleted": 1}


def test_errors_of_compreface(emulated: Service) -> None:
    found = emulated.run("integrations", "errors")
    assert "another" not in found.pop("unknown_key_text")
    assert found.pop("reader_changes") in (401, 403)
    assert found == {
        "no_key": [400, 20],
        "unknown_key": [404, 10],
        "no_file": [400, 34],
        "no_subject": [400, 33],
        "wrong_limit": [400, 26],
        "unknown_subject": [404, 42],
        "wrong_subject": [400, 26],
        "not_base64": [400, 21],
        "wrong_method": [404, 0],
    }


def test_enrolled_with_boto3(service: Service) -> None:
    """Found through every interface, and gone from all of them once it is deleted natively."""
    found = service.run("one_core", "enrolled_with_boto3")
    name = "Kofi_Annan"
    assert found["found"] == {"boto3": [name], "boto3_matches": 2, "compreface": [name], "native": name}
    assert found["listed"] == {"boto3": 2, "compreface": [name], "native": [name]}
    assert (found["person"]["name"], found["person"]["external_id"], found["person"]["faces"]) == (name, name, 2)
    assert found["deleted"]["deleted_faces"] == 2
    assert found["listed_later"] == {"boto3": 0, "compreface": [], "native": []}
    assert found["found_later"] == {"boto3": [], "boto3_matches": 0, "compreface": [], "native": None}


def test_enrolled_natively(service: Service) -> None:
    """Found through every interface, and gone from all of them once a client of CompreFace deletes it."""
    found = service.run("one_core", "enrolled_natively")
    name = "Serena Williams"
    assert (found["enrolled"]["name"], len(found["enrolled"]["faces"])) == (name, 1)
    # An ExternalImageId cannot have the space.
    assert found["found"] == {"boto3": ["Serena_Williams"], "boto3_matches": 1, "compreface": [name], "native": name}
    assert found["listed"] == {"boto3": 1, "compreface": [name], "native": [name]}
    assert found["deleted"]["subject"] == name
    assert found["listed_later"] == {"boto3": 0, "compreface": [], "native": []}
