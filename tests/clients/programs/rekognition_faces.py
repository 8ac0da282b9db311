"""boto3: collections and the faces in them, comparison and detection."""

from __future__ import annotations

import uuid
from typing import Any

from tests.clients.programs.endpoint import BUCKET, photo
from tests.clients.programs.rekognition_client import client, code, error, image

NOBODY = str(uuid.UUID(int=1))  # no face has this ID


def collections() -> dict[str, Any]:
    """Life cycle of collections."""
    rekognition, names = client(), ["life-cycle", "life_cycle.2"]
    made = [rekognition.create_collection(CollectionId=name, Tags={"team": "tests"}) for name in names]
    again = code(rekognition.create_collection, CollectionId=names[0])
    described = rekognition.describe_collection(CollectionId=names[0])
    pages = list(rekognition.get_paginator("list_collections").paginate(PaginationConfig={"PageSize": 1}))
    listed = rekognition.list_collections(MaxResults=4096)
    deleted = [rekognition.delete_collection(CollectionId=name) for name in names]
    return {
        "made": made,
        "again": again,
        "described": described,
        "pages": pages,
        "listed": listed,
        "deleted": deleted,
        "deleted_again": code(rekognition.delete_collection, CollectionId=names[0]),
        "described_again": code(rekognition.describe_collection, CollectionId=names[0]),
        "listed_again": rekognition.list_collections()["CollectionIds"],
    }


def index() -> dict[str, Any]:
    """Index photos of several kinds, list their faces and delete them."""
    rekognition, place = client(), {"CollectionId": "indexing"}
    rekognition.create_collection(**place)

    def indexed(name: str, **options: Any) -> dict[str, Any]:
        return rekognition.index_faces(**place, Image=image(name), DetectionAttributes=["ALL"], **options)

    found = {
        "first": indexed("kofi", ExternalImageId="Kofi_Annan"),
        "second": indexed("kofi-turned", ExternalImageId="Kofi_Annan", QualityFilter="AUTO"),
        "largest": indexed("pair", ExternalImageId="largest:1", MaxFaces=1),
        "both": indexed("pair-turned"),
        "none": indexed("wall", ExternalImageId="wall"),
        "png": rekognition.index_faces(
            **place, Image={"Bytes": (photo("serena-png"))}, DetectionAttributes=["DEFAULT"]
        ),
        "from_bucket": rekognition.index_faces(
            **place, Image={"S3Object": {"Bucket": BUCKET, "Name": "people/tony.jpg"}}, ExternalImageId="Tony_Blair"
        ),
    }
    found["described"] = rekognition.describe_collection(**place)
    found["pages"] = list(rekognition.get_paginator("list_faces").paginate(**place, PaginationConfig={"PageSize": 2}))
    ids = [face["FaceId"] for page in found["pages"] for face in page["Faces"]]
    found["two"] = rekognition.list_faces(**place, FaceIds=[*ids[:2], NOBODY])
    found["deleted"] = rekognition.delete_faces(**place, FaceIds=[ids[0], NOBODY])
    found["deleted_again"] = rekognition.delete_faces(**place, FaceIds=[ids[0]])
    found["left"] = [face["FaceId"] for face in rekognition.list_faces(**place)["Faces"]]
    rekognition.delete_collection(**place)
    return found


def search() -> dict[str, Any]:
    """Search a collection of two people with two faces each by photos and by faces."""
    rekognition, place = client(), {"CollectionId": "searching"}
    rekognition.create_collection(**place)
    ids = {}
    for name, person in {"kofi": "Kofi", "kofi-turned": "Kofi", "serena": "Serena", "serena-turned": "Serena"}.items():
        (record,) = rekognition.index_faces(**place, Image=image(name), ExternalImageId=person)["FaceRecords"]
        ids[name] = record["Face"]["FaceId"]

    def by_image(name: str, **options: Any) -> dict[str, Any]:
        return rekognition.search_faces_by_image(**place, Image=image(name), **options)

    found = {
        "ids": ids,
        "known": by_image("kofi-again"),
        "first": by_image("kofi-again", MaxFaces=1, FaceMatchThreshold=99, QualityFilter="NONE"),
        "everybody": by_image("kofi-again", MaxFaces=4096, FaceMatchThreshold=0),
        "stranger": by_image("jennifer"),
        "no_face": error(rekognition.search_faces_by_image, **place, Image=image("wall")),
        "by_face": rekognition.search_faces(**place, FaceId=ids["kofi"]),
        "by_face_everybody": rekognition.search_faces(**place, FaceId=ids["kofi"], MaxFaces=1, FaceMatchThreshold=0),
        "by_no_face": code(rekognition.search_faces, **place, FaceId=NOBODY),
        "nowhere": code(rekognition.search_faces, CollectionId="nowhere", FaceId=NOBODY),
    }
    rekognition.delete_collection(**place)
    return found


def compare() -> dict[str, Any]:
    """Compare a face with those in another photo."""
    rekognition = client()

    def compared(source: str, target: str, **options: Any) -> dict[str, Any]:
        return rekognition.compare_faces(SourceImage=image(source), TargetImage=image(target), **options)

    return {
        "same": compared("kofi", "pair-turned"),
        "other": compared("jennifer", "pair", SimilarityThreshold=99),
        "all": compared("jennifer", "pair", SimilarityThreshold=0, QualityFilter="NONE"),
        "no_source": error(rekognition.compare_faces, SourceImage=image("wall"), TargetImage=image("kofi")),
        "no_target": error(rekognition.compare_faces, SourceImage=image("kofi"), TargetImage=image("wall")),
        "from_bucket": rekognition.compare_faces(
            SourceImage=image("tony"), TargetImage={"S3Object": {"Bucket": BUCKET, "Name": "people/tony.jpg"}}
        ),
    }


def detect() -> dict[str, Any]:
    """Detect faces."""
    rekognition = client()
    return {
        "two": rekognition.detect_faces(Image=image("pair"), Attributes=["ALL"]),
        "default": rekognition.detect_faces(Image=image("kofi"), Attributes=["DEFAULT"]),
        "none": rekognition.detect_faces(Image=image("wall")),
    }
