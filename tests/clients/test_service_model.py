"""The comparison with botocore's model finds what deviates."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.model import OperationModel

from tests.clients.programs.service_model import deviations, error_deviations

FACE = "6f0d4b6e-1c5b-4a3e-9f0a-2b7c8d9e0f1a"


def operation(name: str) -> OperationModel:
    return botocore.session.get_session().get_service_model("rekognition").operation_model(name)


@pytest.mark.parametrize(
    ("name", "body", "found"),
    [
        ("ListUsers", {"Users": [{"UserId": "a", "UserStatus": "ACTIVE"}]}, []),
        ("CreateUser", {}, []),
        ("CreateUser", {"UserId": "a"}, [".UserId is unknown"]),
        ("ListUsers", {"Users": None}, [".Users: None is no list"]),
        ("ListUsers", {"Users": [{"UserId": "a b"}]}, [r".Users[0].UserId: 'a b' does not match [a-zA-Z0-9_.\-:]+"]),
        ("ListUsers", {"NextToken": "a" * 256}, [".NextToken: 256 is not within None and 255"]),
        ("DeleteFaces", {"DeletedFaces": []}, [".DeletedFaces: 0 is not within 1 and 4096"]),
        ("SearchFaces", {"SearchedFaceId": FACE, "FaceMatches": [{"Similarity": 80}]}, []),
        (
            "SearchFaces",
            {"FaceMatches": [{"Similarity": 100.5}, {"Similarity": True}]},
            [
                ".FaceMatches[0].Similarity: 100.5 is not within 0 and 100",
                ".FaceMatches[1].Similarity: True is no float",
            ],
        ),
        ("DescribeCollection", {"CreationTimestamp": "2026"}, [".CreationTimestamp: '2026' is no timestamp"]),
    ],
)
def test_responses(name: str, body: dict[str, Any], found: list[str]) -> None:
    assert list(deviations(operation(name).output_shape, body)) == found


def test_enums() -> None:
    (found,) = deviations(operation("ListUsers").output_shape, {"Users": [{"UserStatus": "NEW"}]})
    assert found.startswith(".Users[0].UserStatus: 'NEW' is none of ")


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (400, {"__type": "ResourceNotFoundException", "Message": "a", "message": "a"}, []),
        (400, {"__type": "InvalidSignatureException", "Message": "a", "message": "a"}, []),
        (500, {"__type": "InternalServerError", "Message": "a", "message": "a"}, []),
        (
            404,
            {"__type": "ResourceNotFoundException", "Message": "", "message": ""},
            ["ResourceNotFoundException has status 404"],
        ),
        (
            400,
            {"__type": "ConflictException", "Message": "", "message": ""},
            ["ConflictException is no error of this operation"],
        ),
        (
            400,
            {"__type": "ResourceNotFoundException", "message": "a"},
            ["ResourceNotFoundException has __type, message instead of __type, Message and message"],
        ),
    ],
)
def test_errors(status: int, body: dict[str, Any], found: list[str]) -> None:
    assert list(error_deviations(operation("ListFaces"), status, body)) == found
