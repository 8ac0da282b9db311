"""Requests of boto3 that the service refuses, and the operations that it offers."""

from __future__ import annotations

from tests.clients.service import Service


def test_signatures(emulated: Service) -> None:
    found = emulated.run("rekognition_errors", "signatures")
    assert found["wrong_secret"] == found["secret_of_the_other"] == "InvalidSignatureException"
    assert found["unknown_key_id"] == "UnrecognizedClientException"
    assert found["unsigned"] == "MissingAuthenticationToken"
    assert len(found["regions"]) == 3


def test_readers_change_nothing(emulated: Service) -> None:
    found = emulated.run("rekognition_errors", "access")
    assert (found["detected"], found["listed"], found["searched"]) == (1, 1, 1)
    assert set(found["changes"]) == {"AccessDeniedException"}
    assert found["left"] == 1


def test_wrong_parameters(emulated: Service) -> None:
    found = emulated.run("rekognition_errors", "parameters")
    special = {
        "not_an_image": {"InvalidImageFormatException"},
        "cut_image": {"InvalidImageFormatException"},
        "token_of_collections": {"InvalidPaginationTokenException"},
        "token_of_faces": {"InvalidPaginationTokenException"},
        "token_of_users": {"InvalidPaginationTokenException"},
        "another_bucket": {"AccessDeniedException", "InvalidS3ObjectException"},
        "not_in_bucket": {"InvalidS3ObjectException"},
    }
    usual = {"InvalidParameterException", "ValidationException"}
    assert {name: code for name, code in found.items() if code not in special.get(name, usual)} == {}


def test_operations_that_are_not_offered(emulated: Service) -> None:
    found = emulated.run("rekognition_errors", "unknown_operations")
    assert set(found.values()) == {"UnknownOperationException"}


def test_offered_operations(emulated: Service) -> None:
    """The paginators of all of them run in other tests. botocore has waiters for none of them."""
    found = emulated.run("rekognition_errors", "offered")
    assert found["known"] == sorted(
        [
            *("CreateCollection", "DescribeCollection", "ListCollections", "DeleteCollection"),
            *("IndexFaces", "ListFaces", "SearchFaces", "SearchFacesByImage", "DeleteFaces"),
            *("CompareFaces", "DetectFaces"),
            *("CreateUser", "ListUsers", "DeleteUser", "SearchUsers", "SearchUsersByImage"),
            *("AssociateFaces", "DisassociateFaces"),
        ]
    )
    assert found["all"] > 70
    assert found["paginators"] == ["list_collections", "list_faces", "list_users"]
    assert all(name.startswith("project_") for name in found["waiters"])
