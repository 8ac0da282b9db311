"""boto3's client of Rekognition, whose responses are compared with botocore's model of the service."""

from __future__ import annotations

import json
from typing import Any, Callable

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.model import OperationModel

from tests.clients.programs.endpoint import READER_KEY, photo
from tests.clients.programs.service_model import deviations, error_deviations

READER = "FACERECOGNITIONREADER"
CONTENT_TYPE = "application/x-amz-json-1.1"

_violations: list[str] = []


def client(key_id: str | None = None, secret: str | None = None, **config: Any) -> Any:
    """Make a client. key_id, secret: None for the administrator's, which are in the environment."""
    return boto3.client("rekognition", aws_access_key_id=key_id, aws_secret_access_key=secret, config=Config(**config))


def reader() -> Any:
    """Make the client of a reader."""
    return client(READER, READER_KEY)


def image(name: str) -> dict[str, bytes]:
    """A photo as a parameter."""
    return {"Bytes": photo(name)}


def error(call: Callable[..., Any], **parameters: Any) -> list[str]:
    """Call an operation that fails. -> code and message."""
    try:
        return ["none", str(call(**parameters))]
    except ClientError as failure:
        return [failure.response["Error"]["Code"], failure.response["Error"]["Message"]]


def code(call: Callable[..., Any], **parameters: Any) -> str:
    """Call an operation that fails. -> code, "none" if it succeeds."""
    return error(call, **parameters)[0]


def watch() -> list[str]:
    """Compare the responses to all clients that boto3 makes later. -> the list of what deviates, which grows."""
    boto3.setup_default_session()
    boto3.DEFAULT_SESSION.events.register("before-parse.rekognition", _check)
    return _violations


def _check(operation_model: OperationModel, response_dict: dict[str, Any], **_: Any) -> None:
    name, status, headers = operation_model.name, response_dict["status_code"], response_dict["headers"]
    body = json.loads(response_dict["body"])
    found = list(
        deviations(operation_model.output_shape, body, name)
        if status == 200
        else error_deviations(operation_model, status, body)
    )
    if headers.get("Content-Type") != CONTENT_TYPE:
        found.append(f"the content type is {headers.get('Content-Type')}")
    if not headers.get("x-amzn-RequestId"):
        found.append("x-amzn-RequestId is missing")
    _violations.extend(f"{name} {status}: {each}" for each in found)
