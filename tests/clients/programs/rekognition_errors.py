"""boto3: requests that are refused, and what botocore's model offers for the operations that the service has."""

from __future__ import annotations

from typing import Any

from botocore import UNSIGNED

from tests.clients.programs.endpoint import ADMIN_KEY, BUCKET, READER_KEY
from tests.clients.programs.rekognition_client import READER, client, code, image, reader
from tests.clients.programs.rekognition_faces import NOBODY


def signatures() -> dict[str, Any]:
    """Sign with other keys, with none, and for other regions."""
    return {
        "wrong_secret": code(client(READER, "another").list_collections),
        "secret_of_the_other": code(client("FACERECOGNITIONADMIN", READER_KEY).list_collections),
        "unknown_key_id": code(client("AKIAIOSFODNN7EXAMPLE", ADMIN_KEY).list_collections),
        "unsigned": code(client(signature_version=UNSIGNED).list_collections),
        "regions": [
            client(READER, READER_KEY, region_name=region).list_collections()["CollectionIds"]
            for region in ("us-east-1", "eu-central-1", "ap-south-1")
        ],
    }


def access() -> dict[str, Any]:
    """Read and change with a reader's key."""
    administrator, ours = client(), reader()
    administrator.create_collection(CollectionId="read")
    (record,) = administrator.index_faces(CollectionId="read", Image=image("kofi"))["FaceRecords"]
    face = record["Face"]["FaceId"]
    place = {"CollectionId": "read"}
    found = {
        "detected": len(ours.detect_faces(Image=image("kofi"))["FaceDetails"]),
        "listed": len(ours.list_faces(**place)["Faces"]),
        "searched": len(ours.search_faces_by_image(**place, Image=image("kofi-turned"))["FaceMatches"]),
        "changes": [
            code(ours.create_collection, CollectionId="of-readers"),
            code(ours.delete_collection, **place),
            code(ours.index_faces, **place, Image=image("kofi")),
            code(ours.delete_faces, **place, FaceIds=[face]),
            code(ours.create_user, **place, UserId="of-readers"),
            code(ours.delete_user, **place, UserId="of-readers"),
            code(ours.associate_faces, **place, UserId="of-readers", FaceIds=[face]),
            code(ours.disassociate_faces, **place, UserId="of-readers", FaceIds=[face]),
        ],
        "left": administrator.describe_collection(**place)["FaceCount"],
    }
    administrator.delete_collection(**place)
    return found


def parameters() -> dict[str, Any]:
    """Send parameters that the service refuses. boto3 does not check them first."""
    rekognition = client(parameter_validation=False)
    rekognition.create_collection(CollectionId="refusing")
    place = {"CollectionId": "refusing"}

    def in_bucket(bucket: str, name: str) -> dict[str, Any]:
        return {"S3Object": {"Bucket": bucket, "Name": name}}

    found = {
        "no_collection_id": code(rekognition.create_collection),
        "collection_id": code(rekognition.create_collection, CollectionId="a collection"),
        "external_id": code(rekognition.index_faces, **place, Image=image("kofi"), ExternalImageId="Kofi Annan"),
        "no_image": code(rekognition.index_faces, **place, Image={}),
        "max_faces": code(rekognition.search_faces_by_image, **place, Image=image("kofi"), MaxFaces=0),
        "threshold": code(rekognition.search_faces_by_image, **place, Image=image("kofi"), FaceMatchThreshold=101),
        "face_id": code(rekognition.search_faces, **place, FaceId="first"),
        "no_face_ids": code(rekognition.delete_faces, **place, FaceIds=[]),
        "user_id": code(rekognition.create_user, **place, UserId="Kofi Annan"),
        "user_and_face": code(rekognition.search_users, **place, UserId="kofi", FaceId=NOBODY),
        "not_an_image": code(rekognition.detect_faces, Image={"Bytes": b"no image"}),
        "cut_image": code(rekognition.detect_faces, Image={"Bytes": image("kofi")["Bytes"][:3000]}),
        "token_of_collections": code(rekognition.list_collections, NextToken="another"),
        "token_of_faces": code(rekognition.list_faces, **place, NextToken="another"),
        "token_of_users": code(rekognition.list_users, **place, NextToken="another"),
        "another_bucket": code(rekognition.detect_faces, Image=in_bucket("another-bucket", "people/tony.jpg")),
        "not_in_bucket": code(rekognition.detect_faces, Image=in_bucket(BUCKET, "people/nobody.jpg")),
    }
    rekognition.delete_collection(**place)
    return found


def unknown_operations() -> dict[str, Any]:
    """Call operations that the service does not have."""
    rekognition = client()
    return {
        "detect_labels": code(rekognition.detect_labels, Image=image("kofi")),
        "recognize_celebrities": code(rekognition.recognize_celebrities, Image=image("kofi")),
        "detect_text": code(rekognition.detect_text, Image=image("kofi")),
        "describe_projects": code(rekognition.describe_projects),
        "create_face_liveness_session": code(rekognition.create_face_liveness_session),
    }


def offered() -> dict[str, Any]:
    """Find the operations that the service has among all of botocore's model, with their paginators and waiters.

    Each is called without parameters: the service knows those that it does not call unknown.
    """
    rekognition = client(READER, READER_KEY, parameter_validation=False, retries={"total_max_attempts": 1})
    operations: dict[str, str] = rekognition.meta.method_to_api_mapping
    known = [method for method in operations if code(getattr(rekognition, method)) != "UnknownOperationException"]
    return {
        "all": len(operations),
        "known": sorted(operations[method] for method in known),
        "paginators": sorted(method for method in known if rekognition.can_paginate(method)),
        "waiters": rekognition.waiter_names,
    }
