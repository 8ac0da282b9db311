"""boto3: the steps of AWS's public examples for collections, as a program that knows nothing of this service.

Creates a collection, indexes photos, lists and searches the faces, deletes some, then does the same with users. The
endpoint, the access key and the region come from the environment alone.
"""

from __future__ import annotations

from typing import Any

import boto3

from tests.clients.programs.endpoint import path

COLLECTION = "example"


def run() -> dict[str, Any]:
    """Run all steps. -> one entry per step."""
    rekognition = boto3.client("rekognition")
    steps = {"created": rekognition.create_collection(CollectionId=COLLECTION).get("StatusCode")}
    steps["listed"] = COLLECTION in rekognition.list_collections(MaxResults=10).get("CollectionIds", [])
    steps.update(_faces(rekognition), **_users(rekognition))
    steps["deleted"] = rekognition.delete_collection(CollectionId=COLLECTION).get("StatusCode")
    return steps


def _image(name: str) -> dict[str, bytes]:
    with open(path(name), "rb") as file:
        return {"Bytes": file.read()}


def _faces(rekognition: Any) -> dict[str, Any]:
    indexed = []
    for name in ("kofi", "kofi-turned", "pair"):
        response = rekognition.index_faces(
            CollectionId=COLLECTION,
            Image=_image(name),
            ExternalImageId=f"{name}.jpg",
            MaxFaces=10,
            QualityFilter="AUTO",
            DetectionAttributes=["ALL"],
        )
        indexed += [_described(record["Face"], record["FaceDetail"]) for record in response.get("FaceRecords", [])]
    faces = rekognition.list_faces(CollectionId=COLLECTION, MaxResults=20).get("Faces", [])
    found = rekognition.search_faces_by_image(
        CollectionId=COLLECTION, Image=_image("kofi-again"), MaxFaces=5, FaceMatchThreshold=80
    )
    first = indexed[0]["id"]
    similar = rekognition.search_faces(CollectionId=COLLECTION, FaceId=first, MaxFaces=5, FaceMatchThreshold=80)
    return {
        "indexed": indexed,
        "faces": len(faces),
        "searched_confidence": found.get("SearchedFaceConfidence"),
        "searched": [match["Face"].get("ExternalImageId") for match in found.get("FaceMatches", [])],
        "similar": [match["Similarity"] for match in similar.get("FaceMatches", [])],
        "removed": len(rekognition.delete_faces(CollectionId=COLLECTION, FaceIds=[first])["DeletedFaces"]),
    }


def _described(face: dict[str, Any], detail: dict[str, Any]) -> dict[str, Any]:
    """Read the attributes that the examples print, of which the service measures some."""
    attributes = ("AgeRange", "Gender", "Smile", "Emotions", "Eyeglasses", "Pose", "Quality", "Landmarks")
    return {
        "id": face.get("FaceId"),
        "image": face.get("ImageId"),
        "confidence": face.get("Confidence"),
        "box": detail.get("BoundingBox", {}),
        "attributes": [name for name in attributes if detail.get(name) is not None],
    }


def _users(rekognition: Any) -> dict[str, Any]:
    rekognition.create_user(CollectionId=COLLECTION, UserId="user-1")
    (face, *_) = rekognition.index_faces(CollectionId=COLLECTION, Image=_image("serena"))["FaceRecords"]
    associated = rekognition.associate_faces(
        CollectionId=COLLECTION, UserId="user-1", FaceIds=[face["Face"]["FaceId"]], UserMatchThreshold=75
    )
    by_face = rekognition.search_users(CollectionId=COLLECTION, FaceId=face["Face"]["FaceId"])
    by_image = rekognition.search_users_by_image(CollectionId=COLLECTION, Image=_image("serena-turned"))
    users = rekognition.list_users(CollectionId=COLLECTION, MaxResults=20)
    rekognition.disassociate_faces(CollectionId=COLLECTION, UserId="user-1", FaceIds=[face["Face"]["FaceId"]])
    rekognition.delete_user(CollectionId=COLLECTION, UserId="user-1")
    return {
        "associated": len(associated.get("AssociatedFaces", [])),
        "by_face": [match["User"]["UserId"] for match in by_face.get("UserMatches", [])],
        "by_image": [match["User"]["UserId"] for match in by_image.get("UserMatches", [])],
        "users": [user["UserId"] for user in users.get("Users", [])],
        "users_left": rekognition.list_users(CollectionId=COLLECTION).get("Users"),
    }
