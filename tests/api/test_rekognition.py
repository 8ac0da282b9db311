"""Rekognition's dialect, as boto3 uses it. Further clients are in tests/clients."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Iterator

import pytest
from PIL import Image, ImageFilter

from api.dialects.rekognition import ADMIN_ID, READER_ID
from api.dialects.rekognition_operations import operations
from api.keys import Access
from app import App, create_app
from service.enrolled_faces import EnrolledFaces
from service.indexing import IndexService
from service.users import UserService
from settings import Settings
from storage.live import LiveModel
from testing.events import request
from tests.api.client import (
    ADMIN_KEY,
    CUT,
    JENNIFER,
    KOFI,
    SERENA,
    TONY,
    WALL,
    Client,
    another,
    jpeg,
    person,
    side_by_side,
    tiny,
)
from tests.api.rekognition import Rekognition, served

READER_KEY = "the reader's"
NOBODY = "00000000-0000-0000-0000-000000000000"
NO_FACE = ("InvalidParameterException", "There are no faces in the image. Should be at least 1.")


@pytest.fixture()
def app(live: LiveModel, gallery_uri: str) -> App:
    return create_app(Settings(gallery_uri=gallery_uri, api_key=READER_KEY, admin_key=ADMIN_KEY, metrics=False), live)


@pytest.fixture()
def url(app: App) -> Iterator[str]:
    with served(app) as address:
        yield address


@pytest.fixture()
def team(url: str) -> Rekognition:
    """The administrator's client of an app with the collection `team`."""
    client = Rekognition(url, ADMIN_ID, ADMIN_KEY)
    client.create_collection(CollectionId="team")
    return client


def image(photo: bytes) -> dict[str, bytes]:
    return {"Bytes": photo}


def test_collections(team: Rekognition) -> None:
    assert team.error("create_collection", CollectionId="team")[0] == "ResourceAlreadyExistsException"
    found = team.describe_collection(CollectionId="team")
    assert (found["FaceCount"], found["UserCount"]) == (0, 0)
    assert found["CollectionARN"] == "arn:face-recognition:rekognition:::collection/team"
    for name in ("b" * 255, "b" * 254 + "a", "a.b"):
        team.create_collection(CollectionId=name, Tags={"purpose": "tests"})
    pages = list(team.client.get_paginator("list_collections").paginate(PaginationConfig={"PageSize": 1}))
    listed = [name for page in pages for name in page["CollectionIds"]]
    assert sorted(listed) == ["a.b", "b" * 254 + "a", "b" * 255, "lfw", "team"]
    assert len(pages) == 5
    team.delete_collection(CollectionId="team")
    for operation in ("delete_collection", "describe_collection", "list_faces", "list_users"):
        assert team.error(operation, CollectionId="team")[0] == "ResourceNotFoundException"
    assert team.error("delete_collection", CollectionId="lfw")[0] == "AccessDeniedException"


def test_faces_of_one_external_id_are_one_person(team: Rekognition, app: App) -> None:
    first, second = team.index("team", KOFI, "kofi"), team.index("team", another(KOFI), "kofi")
    team.index("team", SERENA, "serena")
    people = Client(app).ok("GET", "/people", collection="team")["people"]
    assert [(each["name"], each["external_id"], each["faces"]) for each in people] == [
        ("kofi", "kofi", 2),
        ("serena", "serena", 1),
    ]
    found = team.labels("team", another(KOFI, -4))
    assert [label for label, _ in found] == ["kofi", "kofi"]
    assert len({similarity for _, similarity in found}) == 1 and found[0][1] > 99
    assert team.labels("team", another(KOFI, -4), MaxFaces=1) == found[:1]
    assert team.labels("team", TONY) == []
    assert {label for label, _ in team.labels("team", TONY, FaceMatchThreshold=0)} == {"kofi", "serena"}
    searched = team.search_faces(CollectionId="team", FaceId=first[0])
    assert [match["Face"]["FaceId"] for match in searched["FaceMatches"]] == second
    assert searched["SearchedFaceId"] == first[0]


def test_same_photo_is_indexed_once(team: Rekognition) -> None:
    ids = team.index("team", side_by_side(KOFI, SERENA), "pair")
    assert len(ids) == 2 and team.index("team", side_by_side(KOFI, SERENA), "pair") == ids
    assert not set(team.index("team", side_by_side(KOFI, SERENA))) & set(ids)
    assert team.describe_collection(CollectionId="team")["FaceCount"] == 4


def test_faces_of_one_photo_are_different_people(team: Rekognition, app: App) -> None:
    team.index("team", side_by_side(KOFI, SERENA, 170), "pair")
    assert [label for label, _ in team.labels("team", SERENA)] == ["pair"]
    assert Client(app).ok("GET", "/people", collection="team")["count"] == 2
    team.index("team", another(KOFI), "pair")
    assert [label for label, _ in team.labels("team", KOFI)] == ["pair", "pair"]
    assert [label for label, _ in team.labels("team", SERENA)] == ["pair"]


def test_faces_without_external_id_are_people_of_their_own(team: Rekognition, app: App) -> None:
    (one,), (other,) = team.index("team", KOFI), team.index("team", another(KOFI))
    assert [each["name"] for each in Client(app).ok("GET", "/people", collection="team")["people"]] == [one, other]
    assert {label for label, _ in team.labels("team", KOFI)} == {None}
    found = team.search_faces(CollectionId="team", FaceId=one)["FaceMatches"]
    assert [match["Face"]["FaceId"] for match in found] == [other]


def test_faces_that_are_not_indexed(team: Rekognition) -> None:
    pair = side_by_side(KOFI, SERENA, 170)
    found = team.index_faces(CollectionId="team", Image=image(pair), MaxFaces=1, DetectionAttributes=["ALL"])
    assert len(found["FaceRecords"]) == 1
    assert [face["Reasons"] for face in found["UnindexedFaces"]] == [["EXCEEDS_MAX_FACES"]]
    small = team.index_faces(CollectionId="team", Image=image(tiny(KOFI)))
    assert small["FaceRecords"] == []
    assert "SMALL_BOUNDING_BOX" in small["UnindexedFaces"][0]["Reasons"]
    assert len(team.index("team", tiny(KOFI), QualityFilter="NONE")) == 1
    empty = team.index_faces(CollectionId="team", Image=image(WALL))
    assert empty["FaceRecords"] == empty["UnindexedFaces"] == []
    assert team.error("index_faces", CollectionId="other", Image=image(WALL))[0] == "ResourceNotFoundException"


def test_boxes_are_shares_of_the_photo(team: Rekognition) -> None:
    (record,) = team.index_faces(CollectionId="team", Image=image(KOFI))["FaceRecords"]
    (detected,) = team.detect_faces(Image=image(KOFI), Attributes=["ALL"])["FaceDetails"]
    (listed,) = team.list_faces(CollectionId="team")["Faces"]
    assert record["FaceDetail"] == detected
    for box in (record["Face"]["BoundingBox"], detected["BoundingBox"], listed["BoundingBox"]):
        assert box["Left"] == pytest.approx(76.8 / 250, abs=0.001)
        assert box["Height"] == pytest.approx(121.9 / 250, abs=0.001)
    assert {mark["Type"] for mark in detected["Landmarks"]} == {
        *("eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight")
    }
    assert set(detected) == {"BoundingBox", "Confidence", "Landmarks"}


def test_list_faces(team: Rekognition) -> None:
    ids = [*team.index("team", side_by_side(KOFI, SERENA)), *team.index("team", TONY, "tony")]
    paginator = team.client.get_paginator("list_faces")
    pages = list(paginator.paginate(CollectionId="team", PaginationConfig={"PageSize": 2}))
    assert [len(page["Faces"]) for page in pages] == [2, 1]
    assert {face["FaceId"] for page in pages for face in page["Faces"]} == set(ids)
    selected = team.list_faces(CollectionId="team", FaceIds=[ids[2], NOBODY])["Faces"]
    assert [face["FaceId"] for face in selected] == ids[2:]
    token = team.list_faces(CollectionId="team", MaxResults=1)["NextToken"]
    team.delete_faces(CollectionId="team", FaceIds=ids)
    assert team.list_faces(CollectionId="team", NextToken=token)["Faces"] == []
    for wrong in ("x", "garbage", token[:-2], "%"):
        code, _ = team.error("list_faces", CollectionId="team", NextToken=wrong)
        assert code == "InvalidPaginationTokenException"


def test_delete_faces(team: Rekognition, app: App) -> None:
    one, other = team.index("team", KOFI, "kofi"), team.index("team", another(KOFI), "kofi")
    found = team.delete_faces(CollectionId="team", FaceIds=[*one, NOBODY])
    assert found["DeletedFaces"] == one
    assert found["UnsuccessfulFaceDeletions"] == [{"FaceId": NOBODY, "Reasons": ["FACE_NOT_FOUND"]}]
    assert Client(app).ok("GET", "/people", collection="team")["count"] == 1
    team.delete_faces(CollectionId="team", FaceIds=other)
    assert Client(app).ok("GET", "/people", collection="team")["count"] == 0
    assert "DeletedFaces" not in team.delete_faces(CollectionId="team", FaceIds=other)


def test_people_of_the_other_dialects(team: Rekognition, app: App) -> None:
    native = Client(app)
    key = native.enrol("Zoë Łukasz", KOFI, collection="team")
    native.enrol("王小明", SERENA, collection="team")
    native.ok("POST", "/people", person("Tony", TONY, external_id="staff-1"), collection="team")
    assert [label for label, _ in team.labels("team", another(KOFI))] == ["Zoe__ukasz"]
    assert [label for label, _ in team.labels("team", another(SERENA))] == ["person:1"]
    assert [label for label, _ in team.labels("team", another(TONY))] == ["staff-1"]
    team.index("team", another(TONY), "staff-1")
    team.index("team", another(KOFI), "Zoe__ukasz")  # resembles the name, but may be somebody else
    counts = [each["faces"] for each in native.ok("GET", "/people", collection="team")["people"]]
    assert (key, counts) == (0, [1, 1, 2, 1])


def test_bundled_people_can_be_searched(url: str) -> None:
    reader = Rekognition(url, READER_ID, READER_KEY)
    assert [label for label, _ in reader.labels("lfw", KOFI)] == ["Kofi_Annan"]
    first, second = reader.list_faces(CollectionId="lfw", MaxResults=2)["Faces"]
    assert set(first) == {"FaceId", "ExternalImageId", "IndexFacesModelVersion"}
    assert reader.search_faces(CollectionId="lfw", FaceId=second["FaceId"])["FaceMatches"] == []


def test_compare_faces(team: Rekognition) -> None:
    pair = side_by_side(another(KOFI), SERENA)
    found = team.compare_faces(SourceImage=image(KOFI), TargetImage=image(pair))
    assert len(found["FaceMatches"]) == len(found["UnmatchedFaces"]) == 1
    assert found["FaceMatches"][0]["Similarity"] > 99
    assert (
        found["FaceMatches"][0]["Face"]["BoundingBox"]["Left"] < 0.5 < found["UnmatchedFaces"][0]["BoundingBox"]["Left"]
    )
    everything = team.compare_faces(SourceImage=image(KOFI), TargetImage=image(pair), SimilarityThreshold=0)
    assert len(everything["FaceMatches"]) == 2 and everything["UnmatchedFaces"] == []
    for source, target in ((KOFI, WALL), (WALL, KOFI)):
        assert team.error("compare_faces", SourceImage=image(source), TargetImage=image(target)) == NO_FACE


def test_photos_without_a_face(team: Rekognition) -> None:
    assert team.error("search_faces_by_image", CollectionId="team", Image=image(WALL)) == NO_FACE
    assert team.detect_faces(Image=image(WALL)) == {"FaceDetails": []}
    found = team.search_users_by_image(CollectionId="team", Image=image(WALL))
    assert found["UserMatches"] == found["UnsearchedFaces"] == []


@pytest.mark.parametrize(
    ("photo", "code"),
    [
        (CUT, "InvalidImageFormatException"),
        (b"GIF89a", "InvalidImageFormatException"),
        (b"\0" * 5_242_881, "ImageTooLargeException"),
    ],
    ids=["cut", "header", "too large"],
)
def test_files_that_are_no_photos(photo: bytes, code: str, team: Rekognition) -> None:
    assert team.error("detect_faces", Image=image(photo))[0] == code
    assert team.error("index_faces", CollectionId="team", Image=image(photo))[0] == code


def test_users(team: Rekognition, app: App) -> None:
    kofi, again = team.index("team", KOFI, "kofi")[0], team.index("team", another(KOFI))[0]
    serena = team.index("team", SERENA)[0]
    for user in ("u1", "u2", "u3"):
        team.create_user(CollectionId="team", UserId=user)
    assert team.error("create_user", CollectionId="team", UserId="u1")[0] == "ConflictException"
    found = team.associate_faces(CollectionId="team", UserId="u1", FaceIds=[kofi, again, serena, NOBODY])
    assert [face["FaceId"] for face in found["AssociatedFaces"]] == [kofi, again]
    assert {face["FaceId"]: face["Reasons"] for face in found["UnsuccessfulFaceAssociations"]} == {
        serena: ["LOW_MATCH_CONFIDENCE"],
        NOBODY: ["FACE_NOT_FOUND"],
    }
    assert found["UserStatus"] == "ACTIVE"
    repeated = team.associate_faces(CollectionId="team", UserId="u1", FaceIds=[kofi])
    assert (repeated["AssociatedFaces"], repeated["UnsuccessfulFaceAssociations"]) == ([], [])
    other = team.associate_faces(CollectionId="team", UserId="u2", FaceIds=[kofi])["UnsuccessfulFaceAssociations"]
    assert other == [{"FaceId": kofi, "UserId": "u1", "Reasons": ["ASSOCIATED_TO_A_DIFFERENT_USER"]}]
    pages = team.client.get_paginator("list_users").paginate(CollectionId="team", PaginationConfig={"PageSize": 2})
    assert {user["UserId"]: user["UserStatus"] for page in pages for user in page["Users"]} == {
        **{"u1": "ACTIVE", "u2": "CREATED", "u3": "CREATED"}
    }
    listed = team.list_faces(CollectionId="team", UserId="u1")["Faces"]
    assert {face["FaceId"]: face.get("ExternalImageId") for face in listed} == {kofi: "kofi", again: None}
    refused = team.delete_faces(CollectionId="team", FaceIds=[kofi])["UnsuccessfulFaceDeletions"]
    assert refused == [{"FaceId": kofi, "UserId": "u1", "Reasons": ["ASSOCIATED_TO_AN_EXISTING_USER"]}]
    assert team.describe_collection(CollectionId="team")["UserCount"] == 3
    names = {each["name"] for each in Client(app).ok("GET", "/people", collection="team")["people"]}
    assert names == {"u1", "u2", "u3", serena}


def test_faces_return_from_a_user(team: Rekognition, app: App) -> None:
    kofi, again = team.index("team", KOFI, "kofi")[0], team.index("team", another(KOFI))[0]
    team.create_user(CollectionId="team", UserId="u1")
    team.associate_faces(CollectionId="team", UserId="u1", FaceIds=[kofi, again])
    found = team.disassociate_faces(CollectionId="team", UserId="u1", FaceIds=[again, NOBODY])
    assert found["DisassociatedFaces"] == [{"FaceId": again}]
    assert found["UnsuccessfulFaceDisassociations"] == [{"FaceId": NOBODY, "Reasons": ["FACE_NOT_FOUND"]}]
    assert found["UserStatus"] == "ACTIVE"
    assert team.disassociate_faces(CollectionId="team", UserId="u1", FaceIds=[again])["UnsuccessfulFaceDisassociations"]
    team.delete_user(CollectionId="team", UserId="u1")
    assert team.error("delete_user", CollectionId="team", UserId="u1")[0] == "ResourceNotFoundException"
    people = Client(app).ok("GET", "/people", collection="team")["people"]
    assert {each["name"]: each["faces"] for each in people} == {"kofi": 1, again: 1}
    assert team.list_users(CollectionId="team")["Users"] == []


def test_a_bystander_stays_somebody_else(team: Rekognition, app: App) -> None:
    pair = side_by_side(KOFI, SERENA, 170)
    _, serena = team.index("team", pair, "pair")
    team.create_user(CollectionId="team", UserId="u1")
    team.associate_faces(CollectionId="team", UserId="u1", FaceIds=[serena])
    team.delete_user(CollectionId="team", UserId="u1")
    people = Client(app).ok("GET", "/people", collection="team")["people"]
    assert {each["name"]: each["faces"] for each in people} == {"pair": 1, serena: 1}
    (found,) = team.search_faces_by_image(CollectionId="team", Image=image(SERENA))["FaceMatches"]
    assert (found["Face"]["FaceId"], found["Face"]["ExternalImageId"]) == (serena, "pair")


def test_only_the_largest_face_joins_a_person(team: Rekognition, app: App) -> None:
    blurred = Image.open(io.BytesIO(KOFI)).filter(ImageFilter.GaussianBlur(6))
    found = team.index_faces(
        CollectionId="team", Image=image(side_by_side(jpeg(blurred), SERENA, 150)), ExternalImageId="kofi"
    )
    assert "LOW_SHARPNESS" in found["UnindexedFaces"][0]["Reasons"]
    (record,) = found["FaceRecords"]
    assert record["Face"]["ExternalImageId"] == "kofi"
    (person_listed,) = Client(app).ok("GET", "/people", collection="team")["people"]
    assert person_listed["name"] == record["Face"]["FaceId"]


def test_people_who_were_added_otherwise_remain(team: Rekognition, app: App) -> None:
    native = Client(app)
    key = native.ok("POST", "/people", person("Kofi Annan", KOFI, external_id="hr 17"), collection="team")["id"]
    (face,) = team.list_faces(CollectionId="team")["Faces"]
    team.create_user(CollectionId="team", UserId="u1")
    team.associate_faces(CollectionId="team", UserId="u1", FaceIds=[face["FaceId"]])
    assert native.ok("GET", f"/people/{key}", collection="team")["faces"] == []
    (moved,) = team.list_faces(CollectionId="team", UserId="u1")["Faces"]
    assert moved["ExternalImageId"] == face["ExternalImageId"] == "Kofi_Annan"
    team.disassociate_faces(CollectionId="team", UserId="u1", FaceIds=[face["FaceId"]])
    assert len(native.ok("GET", f"/people/{key}", collection="team")["faces"]) == 1


@pytest.mark.parametrize("gallery_uri", ["folder"], indirect=True)  # a database keeps deleted rows until it needs room
def test_a_label_that_is_removed_is_nowhere(team: Rekognition, app: App, gallery_uri: str) -> None:
    team.index("team", KOFI, "SECRET-LABEL")
    native = Client(app)
    native.ok("PATCH", "/people/0", {"name": "Somebody", "external_id": None}, collection="team")
    assert [label for label, _ in team.labels("team", KOFI)] == ["Somebody"]
    contents = b"".join(path.read_bytes() for path in Path(gallery_uri).rglob("*") if path.is_file())
    assert b"Somebody" in contents and b"SECRET" not in contents


def test_search_users(team: Rekognition) -> None:
    team.index("team", JENNIFER, "jennifer")
    for user, photo in (("u1", KOFI), ("u2", SERENA), ("u3", another(KOFI))):
        team.create_user(CollectionId="team", UserId=user)
        team.associate_faces(CollectionId="team", UserId=user, FaceIds=team.index("team", photo))
    found = team.search_users_by_image(CollectionId="team", Image=image(side_by_side(another(KOFI, -4), SERENA, 170)))
    assert {match["User"]["UserId"] for match in found["UserMatches"]} == {"u1", "u3"}
    assert [face["Reasons"] for face in found["UnsearchedFaces"]] == [["FACE_NOT_LARGEST"]]
    assert team.search_users_by_image(CollectionId="team", Image=image(JENNIFER))["UserMatches"] == []
    by_user = team.search_users(CollectionId="team", UserId="u1")
    assert [match["User"]["UserId"] for match in by_user["UserMatches"]] == ["u3"]
    assert by_user["SearchedUser"] == {"UserId": "u1"}
    face = team.list_faces(CollectionId="team", UserId="u2")["Faces"][0]["FaceId"]
    by_face = team.search_users(CollectionId="team", FaceId=face, MaxUsers=1)
    assert [match["User"]["UserId"] for match in by_face["UserMatches"]] == ["u2"]
    for wrong in ({}, {"UserId": "u1", "FaceId": face}):
        assert team.error("search_users", CollectionId="team", **wrong)[0] == "InvalidParameterException"
    assert team.error("search_users", CollectionId="team", UserId="u9")[0] == "ResourceNotFoundException"
    assert team.error("search_faces", CollectionId="team", FaceId=NOBODY)[0] == "ResourceNotFoundException"


def test_reader_changes_nothing(team: Rekognition, url: str, app: App) -> None:
    reader = Rekognition(url, READER_ID, READER_KEY)
    (face,) = team.index("team", KOFI, "kofi")
    assert [label for label, _ in reader.labels("team", KOFI)] == ["kofi"]
    given = {"CollectionId": "team", "UserId": "u1", "FaceIds": [face], "Image": image(KOFI)}
    services = app.services
    enrolled = EnrolledFaces(services.galleries, services.faces)
    index = IndexService(services.galleries, services.faces)
    users = UserService(services.galleries, services.faces)
    for name, operation in operations(services, enrolled, index, users).items():
        if operation.access is Access.ADMIN:
            model = reader.client.meta.service_model.operation_model(name)
            wanted = {key: given[key] for key in model.input_shape.required_members}
            method = next(key for key, value in reader.client.meta.method_to_api_mapping.items() if value == name)
            assert reader.error(method, **wanted)[0] == "AccessDeniedException"
    assert team.describe_collection(CollectionId="team")["FaceCount"] == 1


@pytest.mark.parametrize(
    ("key_id", "secret", "code"),
    [
        (ADMIN_ID, READER_KEY, "InvalidSignatureException"),
        (READER_ID, ADMIN_KEY, "InvalidSignatureException"),
        ("AKIAIOSFODNN7EXAMPLE", ADMIN_KEY, "UnrecognizedClientException"),
    ],
)
def test_wrong_access_keys(key_id: str, secret: str, code: str, url: str) -> None:
    client = Rekognition(url, key_id, secret)
    assert client.error("list_collections")[0] == code
    assert client.error("create_collection", CollectionId="team")[0] == code


def test_open_for_readers(live: LiveModel, gallery_uri: str) -> None:
    ours = create_app(Settings(gallery_uri=gallery_uri, metrics=False), live)
    with served(ours) as url:
        client = Rekognition(url, "AKIAIOSFODNN7EXAMPLE", "anything")
        assert client.list_collections()["CollectionIds"] == ["lfw"]
        assert client.error("create_collection", CollectionId="team")[0] == "AccessDeniedException"
        assert Rekognition(url, ADMIN_ID, "anything").error("list_collections")[0] == "UnrecognizedClientException"


def test_other_operations_are_refused(team: Rekognition) -> None:
    for operation in ("detect_labels", "recognize_celebrities", "detect_moderation_labels"):
        assert team.error(operation, Image=image(KOFI))[0] == "UnknownOperationException"
    assert team.error("list_stream_processors")[0] == "UnknownOperationException"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "InvalidParameterException"),
        ("[]", "SerializationException"),
        ('{"CollectionId":', "SerializationException"),
        ('{"CollectionId": 7}', "SerializationException"),
        ('{"CollectionId": null}', "InvalidParameterException"),
        ('{"CollectionId": "a b"}', "InvalidParameterException"),
        ('{"CollectionId": ".."}', "InvalidParameterException"),
    ],
)
def test_malformed_requests(content: str, code: str, live: LiveModel, context: Any) -> None:
    ours = create_app(Settings(metrics=False), live)
    event = request("POST", "/", content.encode(), "application/x-amz-json-1.1")
    event["headers"]["X-Amz-Target"] = "RekognitionService.DescribeCollection"
    answer = ours.handle(event, context)
    assert answer["statusCode"] == 400
    assert json.loads(answer["body"])["__type"] == code
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/x-amz-json-1.1"]


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("search_faces_by_image", {"CollectionId": "team", "Image": {}}),
        ("search_faces_by_image", {"CollectionId": "team", "Image": {"S3Object": {"Bucket": "photos"}}}),
        ("index_faces", {"CollectionId": "team", "Image": {"Bytes": KOFI}, "ExternalImageId": "a b"}),
        ("index_faces", {"CollectionId": "team", "Image": {"Bytes": KOFI}, "QualityFilter": "BEST"}),
        ("create_user", {"CollectionId": "team", "UserId": "a b"}),
        ("create_user", {"CollectionId": "team", "UserId": "u1", "ClientRequestToken": "a b"}),
        ("search_faces", {"CollectionId": "team", "FaceId": "7"}),
        ("detect_faces", {"Image": {"Bytes": KOFI}, "Attributes": ["everything"]}),
    ],
)
def test_values_that_the_model_does_not_allow(operation: str, parameters: dict[str, Any], team: Rekognition) -> None:
    assert team.error(operation, **parameters)[0] == "InvalidParameterException"
