"""boto3's client of an app. botocore's service model must allow each response."""

from __future__ import annotations

import json
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Callable, Iterator

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from app import App
from scripts.gateway import MAX_BODY
from tests.clients.programs.service_model import deviations, error_deviations
from tests.gateway import serving

Call = Callable[..., Any]


class Rekognition:
    """Calls operations of an app. Operations are methods, as those of boto3's client."""

    def __init__(self, url: str, key_id: str, secret: str) -> None:
        self.client = boto3.client(
            "rekognition",
            endpoint_url=url,
            region_name="eu-central-1",
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            config=Config(retries={"max_attempts": 0}),
        )
        self.client.meta.events.register("before-parse.rekognition", _validate)

    def __getattr__(self, operation: str) -> Call:
        def call(**parameters: Any) -> Any:
            response = getattr(self.client, operation)(**parameters)
            del response["ResponseMetadata"]
            return response

        return call

    def error(self, operation: str, **parameters: Any) -> tuple[str, str]:
        """Call an operation that fails. -> code and message."""
        try:
            response = getattr(self.client, operation)(**parameters)
        except ClientError as error:
            return error.response["Error"]["Code"], error.response["Error"]["Message"]
        raise AssertionError(f"{operation} did not fail: {response}")

    def index(self, collection: str, photo: bytes, external_id: str | None = None, **others: Any) -> list[str]:
        """Index a photo. -> IDs of the faces."""
        label = {} if external_id is None else {"ExternalImageId": external_id}
        found = self.index_faces(CollectionId=collection, Image={"Bytes": photo}, **label, **others)
        return [record["Face"]["FaceId"] for record in found["FaceRecords"]]

    def labels(self, collection: str, photo: bytes, **others: Any) -> list[tuple[str | None, float]]:
        """Search a photo. -> ExternalImageId and Similarity of each match."""
        found = self.search_faces_by_image(CollectionId=collection, Image={"Bytes": photo}, **others)
        return [(match["Face"].get("ExternalImageId"), match["Similarity"]) for match in found["FaceMatches"]]


@contextmanager
def served(app: App) -> Iterator[str]:
    """Serve an app behind a gateway that also passes on requests that are too large for Lambda. Yields the URL."""

    def answer(event: Any) -> Any:
        return app.handle(event, SimpleNamespace(aws_request_id="request-1"))

    with serving(answer, max_payload=MAX_BODY * 2) as url:
        yield f"{url}/"


def _validate(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    body, status = json.loads(response_dict["body"]), response_dict["status_code"]
    if status == 200:
        wrong = list(deviations(operation_model.output_shape, body))
    else:
        wrong = list(error_deviations(operation_model, status, body))
    assert wrong == []
