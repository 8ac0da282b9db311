"""boto3, the AWS CLI and AWS's JavaScript SDK, none of which knows that it does not talk to Amazon Rekognition."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.clients.service import Service

NO_FACE = ["InvalidParameterException", "There are no faces in the image. Should be at least 1."]
UNKNOWN_FACE = "00000000-0000-0000-0000-000000000001"
LANDMARKS = {"eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight"}


def names(faces: list[dict[str, Any]]) -> list[str]:
    return [face.get("ExternalImageId", "") for face in faces]


def ids(faces: list[dict[str, Any]]) -> set[str]:
    return {face["FaceId"] for face in faces}


def matched(response: dict[str, Any]) -> list[str]:
    """Names of the faces found. Their similarities must fall."""
    similarities = [match["Similarity"] for match in response["FaceMatches"]]
    assert similarities == sorted(similarities, reverse=True)
    return names([match["Face"] for match in response["FaceMatches"]])


def users(response: dict[str, Any]) -> list[str]:
    return [match["User"]["UserId"] for match in response["UserMatches"]]


def test_collections(emulated: Service) -> None:
    found = emulated.run("rekognition_faces", "collections")
    assert [made["StatusCode"] for made in found["made"]] == [200, 200]
    arn = found["made"][0]["CollectionArn"]
    assert re.fullmatch(r"arn:(?!aws)[a-z-]+:rekognition:\S*:collection/life-cycle", arn)
    assert found["again"] == "ResourceAlreadyExistsException"
    described = found["described"]
    assert (described["FaceCount"], described["UserCount"], described["CollectionARN"]) == (0, 0, arn)
    pages = found["pages"]
    assert all(len(page["CollectionIds"]) == len(page["FaceModelVersions"]) == 1 for page in pages)
    assert [name for page in pages for name in page["CollectionIds"]] == found["listed"]["CollectionIds"]
    assert {"life-cycle", "life_cycle.2"} <= set(found["listed"]["CollectionIds"])
    assert [deleted["StatusCode"] for deleted in found["deleted"]] == [200, 200]
    assert found["deleted_again"] == found["described_again"] == "ResourceNotFoundException"
    assert not {"life-cycle", "life_cycle.2"} & set(found["listed_again"])


def test_index_list_and_delete(emulated: Service) -> None:
    found = emulated.run("rekognition_faces", "index")
    first, second, largest = (found[name]["FaceRecords"][0] for name in ("first", "second", "largest"))
    assert first["Face"]["ExternalImageId"] == second["Face"]["ExternalImageId"] == "Kofi_Annan"
    assert first["Face"]["ImageId"] != second["Face"]["ImageId"]
    # Stored boxes have fewer digits.
    assert first["Face"]["BoundingBox"] == pytest.approx(first["FaceDetail"]["BoundingBox"], abs=1e-3)
    assert {each["Type"] for each in first["FaceDetail"]["Landmarks"]} == LANDMARKS
    assert first["FaceDetail"]["Confidence"] > 90
    assert largest["Face"]["BoundingBox"]["Left"] < 0.5
    (unindexed,) = found["largest"]["UnindexedFaces"]
    assert unindexed["Reasons"] == ["EXCEEDS_MAX_FACES"] and unindexed["FaceDetail"]["BoundingBox"]["Left"] > 0.5
    assert len(found["both"]["FaceRecords"]) == 2 and found["both"]["UnindexedFaces"] == []
    assert found["none"]["FaceRecords"] == found["none"]["UnindexedFaces"] == []
    assert len(found["png"]["FaceRecords"]) == len(found["from_bucket"]["FaceRecords"]) == 1
    assert (found["described"]["FaceCount"], len(found["pages"])) == (7, 4)
    faces = [face for page in found["pages"] for face in page["Faces"]]
    assert sorted(names(faces)) == ["", "", "", "Kofi_Annan", "Kofi_Annan", "Tony_Blair", "largest:1"]
    assert first["Face"] in faces
    assert ids(found["two"]["Faces"]) == ids(faces[:2])
    assert found["deleted"]["DeletedFaces"] == [faces[0]["FaceId"]]
    assert found["deleted"]["UnsuccessfulFaceDeletions"] == [{"FaceId": UNKNOWN_FACE, "Reasons": ["FACE_NOT_FOUND"]}]
    assert found["deleted_again"].get("DeletedFaces", []) == []
    assert set(found["left"]) == ids(faces[1:])


def test_search(emulated: Service) -> None:
    found = emulated.run("rekognition_faces", "search")
    assert matched(found["known"]) == ["Kofi", "Kofi"] and matched(found["first"]) == ["Kofi"]
    assert found["known"]["SearchedFaceConfidence"] > 90
    assert {"Left", "Top", "Width", "Height"} == set(found["known"]["SearchedFaceBoundingBox"])
    assert matched(found["everybody"])[:2] == ["Kofi", "Kofi"] and len(found["everybody"]["FaceMatches"]) == 4
    assert matched(found["stranger"]) == []
    assert found["no_face"] == NO_FACE
    assert found["by_face"]["SearchedFaceId"] == found["ids"]["kofi"]
    assert ids([match["Face"] for match in found["by_face"]["FaceMatches"]]) == {found["ids"]["kofi-turned"]}
    assert matched(found["by_face_everybody"]) == ["Kofi"]
    assert found["by_no_face"] in ("InvalidParameterException", "ResourceNotFoundException")
    assert found["nowhere"] == "ResourceNotFoundException"


def test_compare(emulated: Service) -> None:
    found = emulated.run("rekognition_faces", "compare")
    (match,), (other,) = found["same"]["FaceMatches"], found["same"]["UnmatchedFaces"]
    assert match["Similarity"] > 80 and match["Face"]["BoundingBox"]["Left"] < other["BoundingBox"]["Left"]
    assert found["same"]["SourceImageFace"]["Confidence"] > 90
    assert found["other"]["FaceMatches"] == [] and len(found["other"]["UnmatchedFaces"]) == 2
    assert len(found["all"]["FaceMatches"]) == 2 and found["all"]["UnmatchedFaces"] == []
    assert found["no_source"] == found["no_target"] == NO_FACE
    assert len(found["from_bucket"]["FaceMatches"]) == 1


def test_detect(emulated: Service) -> None:
    found = emulated.run("rekognition_faces", "detect")
    assert len(found["two"]["FaceDetails"]) == 2 and len(found["default"]["FaceDetails"]) == 1
    for detail in found["two"]["FaceDetails"]:
        assert {each["Type"] for each in detail["Landmarks"]} == LANDMARKS
    assert found["none"]["FaceDetails"] == []


@pytest.fixture(scope="module")
def of_users(emulated: Service) -> dict[str, Any]:
    """Result of the scenario with faces of users."""
    return emulated.run("rekognition_users", "faces")


def test_users(emulated: Service) -> None:
    found = emulated.run("rekognition_users", "life_cycle")
    assert found["made"] == [[], [], []]
    assert found["again"] == "ConflictException"
    assert [len(page["Users"]) for page in found["pages"]] == [1, 1, 1]
    listed = {user["UserId"]: user["UserStatus"] for page in found["pages"] for user in page["Users"]}
    assert listed == dict.fromkeys(["kofi", "serena:1", "tony"], "CREATED")
    assert found["described"]["UserCount"] == 3
    assert found["deleted_again"] == found["nowhere"] == "ResourceNotFoundException"
    assert {user["UserId"] for user in found["left"]} == {"kofi", "serena:1"}


def test_faces_of_users(of_users: dict[str, Any]) -> None:
    found = of_users
    known = found["ids"]
    assert [face["FaceId"] for face in found["first"]["AssociatedFaces"]] == [known["kofi"]]
    assert found["first"]["UserStatus"] == "ACTIVE"
    assert len(found["more"]["AssociatedFaces"]) == 1 and len(found["serena"]["AssociatedFaces"]) == 2
    refused = {name: found[name]["UnsuccessfulFaceAssociations"][0] for name in ("unlike", "taken", "unknown")}
    assert refused["unlike"]["Reasons"] == ["LOW_MATCH_CONFIDENCE"] and refused["unlike"]["Confidence"] < 75
    assert refused["taken"]["Reasons"] == ["ASSOCIATED_TO_A_DIFFERENT_USER"]
    assert refused["taken"]["UserId"] == "user-kofi"
    assert refused["unknown"]["Reasons"] == ["FACE_NOT_FOUND"]
    assert found["to_nobody"] == found["by_nobody"] == "ResourceNotFoundException"
    assert ids(found["faces"]) == {known["kofi"], known["kofi-turned"]}
    assert {face["UserId"] for face in found["faces"]} == {"user-kofi"}
    assert (found["described"]["FaceCount"], found["described"]["UserCount"]) == (4, 2)


def test_search_for_users(of_users: dict[str, Any]) -> None:
    found = of_users
    assert users(found["by_image"]) == users(found["by_largest_face"]) == ["user-kofi"]
    assert found["by_image"]["UserMatches"][0]["Similarity"] > 80
    assert users(found["by_image_everybody"]) == ["user-kofi", "user-serena"]
    assert [each["Reasons"] for each in found["by_largest_face"]["UnsearchedFaces"]] == [["FACE_NOT_LARGEST"]]
    assert users(found["by_stranger"]) == users(found["by_no_face"]) == []
    assert users(found["by_face"]) == ["user-kofi"]
    assert found["by_face"]["SearchedFace"]["FaceId"] == found["ids"]["kofi"]
    assert users(found["by_user"]) == ["user-serena"]
    assert found["by_user"]["SearchedUser"]["UserId"] == "user-kofi"
    assert found["by_unknown_face"] in ("InvalidParameterException", "ResourceNotFoundException")


def test_faces_leave_users(of_users: dict[str, Any]) -> None:
    found = of_users
    kofi, turned = found["ids"]["kofi"], found["ids"]["kofi-turned"]
    (kept,) = found["deleted_face"]["UnsuccessfulFaceDeletions"]
    assert (kept["FaceId"], kept["UserId"]) == (kofi, "user-kofi")
    assert kept["Reasons"] == ["ASSOCIATED_TO_AN_EXISTING_USER"]
    assert ids(found["disassociated"]["DisassociatedFaces"]) == {turned}
    (unknown,) = found["disassociated"]["UnsuccessfulFaceDisassociations"]
    assert (unknown["FaceId"], unknown["Reasons"]) == (UNKNOWN_FACE, ["FACE_NOT_FOUND"])
    assert ids(found["faces_left"]) == {kofi}
    assert found["deleted_face_later"]["DeletedFaces"] == [turned]
    assert [user["UserId"] for user in found["users_left"]] == ["user-serena"]
    assert ids(found["faces_of_nobody"]) == {kofi, found["ids"]["serena"], found["ids"]["serena-turned"]}


def test_public_example(service: Service) -> None:
    found = service.run("rekognition_example", "run")
    assert found["created"] == found["deleted"] == 200 and found["listed"]
    assert (len(found["indexed"]), found["faces"], found["removed"]) == (4, 4, 1)
    for face in found["indexed"]:
        assert face["confidence"] > 90 and 0 < face["box"]["Width"] < 1 and "Landmarks" in face["attributes"]
        assert not {"AgeRange", "Gender", "Smile", "Emotions"} & set(face["attributes"])
    assert set(found["searched"]) >= {"kofi.jpg"} and found["searched_confidence"] > 90
    assert found["similar"] and min(found["similar"]) >= 80
    assert found["associated"] == 1
    assert found["by_face"] == found["by_image"] == found["users"] == ["user-1"] and found["users_left"] == []


def test_aws_cli(service: Service) -> None:
    place = ("--collection-id", "cli")
    assert service.aws("create-collection", *place)["StatusCode"] == 200
    assert "cli" in service.aws("list-collections", "--page-size", "1")["CollectionIds"]
    photo = ("--image-bytes", f"fileb://{service.photos}/kofi.jpg")
    indexed = service.aws("index-faces", *place, *photo, "--external-image-id", "Kofi", "--detection-attributes", "ALL")
    (record,) = indexed["FaceRecords"]
    photo = ("--image-bytes", f"fileb://{service.photos}/kofi-turned.jpg")
    assert matched(service.aws("search-faces-by-image", *place, *photo)) == ["Kofi"]
    assert names(service.aws("list-faces", *place)["Faces"]) == ["Kofi"]
    face = record["Face"]["FaceId"]
    assert service.aws("delete-faces", *place, "--face-ids", face)["DeletedFaces"] == [face]
    assert service.aws("delete-collection", *place)["StatusCode"] == 200


def test_javascript_sdk(service: Service) -> None:
    found = service.run_node("rekognition.mjs")
    assert found["created"] == found["deleted"] == 200
    assert found["createdAgain"]["name"] == "ResourceAlreadyExistsException"
    assert found["createdAgain"]["status"] == 400 and found["createdAgain"]["message"]
    assert found["described"]["FaceCount"] == 3
    assert (found["listed"]["pages"], sorted(found["listed"]["ids"])) == (3, ["Kofi", "Kofi", "Serena"])
    assert names([match["Face"] for match in found["found"]]) == ["Kofi", "Kofi"]
    assert names([match["Face"] for match in found["similar"]]) == ["Kofi"]
    assert [found["noFace"]["name"], found["noFace"]["message"]] == NO_FACE
    assert len(found["compared"]["FaceMatches"]) == len(found["compared"]["UnmatchedFaces"]) == 1
    assert len(found["detected"]) == 2
    assert found["unknownOperation"]["name"] == "UnknownOperationException"
    assert found["wrongSecret"]["name"] == "InvalidSignatureException"
    assert found["deletedFaces"] == [found["firstId"]]
    assert found["deletedAgain"]["name"] == "ResourceNotFoundException"
