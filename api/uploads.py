"""An event's body to the photo's bytes and what was asked about it."""

from __future__ import annotations

import base64
import binascii
import json
import math
from dataclasses import dataclass
from email.message import Message
from typing import Mapping, NamedTuple

from aws_lambda_powertools.utilities.data_classes.common import BaseProxyEvent
from requests_toolbelt.multipart.decoder import (
    BodyPart,
    ImproperBodyPartContentException,
    MultipartDecoder,
)

from api.errors import BadParameter, BadRequest, EmptyUpload, TooLarge

MAX_BYTES = 4_500_000  # Lambda takes 6 MB a request, in which a photo lies as base64
NAMELESS = "photo"
IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")


@dataclass(frozen=True)
class Options:
    """top: number of candidates; threshold: confidence, None for the model's own; all_faces: not only the largest."""

    top: int = 5
    threshold: float | None = None
    all_faces: bool = False


class Upload(NamedTuple):
    name: str
    data: bytes
    options: Options


def read(event: BaseProxyEvent) -> Upload:
    """Multipart form data, a raw image, or JSON with the image in base64.

    Raises BadRequest, EmptyUpload, BadParameter or TooLarge.
    """
    body = _body(event)
    kind = _content_type(event)
    query = dict(event.query_string_parameters or {})
    name = NAMELESS
    fields: dict[str, str] = {}
    if kind.get_content_type() == "application/json":
        data = _from_json(body)
    elif not body:
        raise BadRequest("The request has no body: send a photo as multipart/form-data, or as the body itself.")
    elif kind.get_content_type() == "multipart/form-data":
        name, data, fields = _multipart(body, event.headers["content-type"])
    elif not event.get("isBase64Encoded"):
        raise BadRequest("The photo arrived as text, not as bytes: send it as multipart/form-data.")
    else:
        data = body
    options = _options({**fields, **query})
    if not data:
        raise EmptyUpload("The uploaded file is empty.")
    if len(data) > MAX_BYTES:
        raise TooLarge(f"The photo has more than {MAX_BYTES / 1e6:.1f} MB: scale it down before you send it.")
    return Upload(name, data, options)


def _body(event: BaseProxyEvent) -> bytes:
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body).encode()
    return _base64(body)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("The body is not valid base64.") from error


def _content_type(event: BaseProxyEvent) -> Message:
    message = Message()
    message["content-type"] = event.headers.get("content-type") or "application/octet-stream"
    return message


def _multipart(body: bytes, content_type: str) -> tuple[str, bytes, dict[str, str]]:
    """Name and bytes of the first file part, and the text fields beside it."""
    try:
        parts = MultipartDecoder(body, content_type).parts
    except (ImproperBodyPartContentException, AttributeError, UnicodeError) as error:
        # AttributeError is how the decoder says that the header names no boundary.
        raise BadRequest(
            "The multipart body is broken, or its boundary is not the one that the header names."
        ) from error
    file: tuple[str, bytes] | None = None
    fields: dict[str, str] = {}
    for part in parts:
        disposition = _disposition(part)
        filename = disposition.get_filename()
        if filename is None and part.headers.get(b"Content-Type") is None:
            fields[str(disposition.get_param("name", header="content-disposition"))] = part.content.decode(
                "utf-8", "replace"
            )
        elif file is None:
            file = (filename or NAMELESS, part.content)
    if file is None:
        raise BadRequest("The form has no file: add the photo as a file part, as `curl -F file=@photo.jpg` does.")
    return (*file, fields)


def _disposition(part: BodyPart) -> Message:
    message = Message()
    message["content-disposition"] = part.headers.get(b"Content-Disposition", b"").decode("utf-8", "replace")
    return message


def _from_json(body: bytes) -> bytes:
    try:
        image = json.loads(body)["image"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadRequest('The JSON body is not of the form {"image": "<base64>"}.') from error
    if not isinstance(image, str):
        raise BadRequest('The JSON body is not of the form {"image": "<base64>"}.')
    return _base64(image.partition(",")[2] if image.startswith("data:") else image)


def _options(given: Mapping[str, str]) -> Options:
    return Options(
        top=_top(given.get("top", "5")),
        threshold=_threshold(given["threshold"]) if "threshold" in given else None,
        all_faces=_faces(given.get("faces", "largest")) == "all",
    )


def _top(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and 1 <= int(text) <= 20):
        raise BadParameter("`top` is a whole number from 1 to 20.")
    return int(text)


def _threshold(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise BadParameter("`threshold` is a number from 0 to 1.")
    return number


def _faces(text: str) -> str:
    if text not in ("largest", "all"):
        raise BadParameter("`faces` is `largest` or `all`.")
    return text
