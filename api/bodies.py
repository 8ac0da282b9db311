"""Bodies of requests, and the form that each has."""

from __future__ import annotations

import json
import re
from typing import Any, Mapping, NamedTuple

from api import forms, urlencoded
from api.errors import BadRequest
from api.lambda_events import Request
from api.photo_text import is_photo

JSON = "application/json"
FORM = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"

NO_BODY = "The request has no body: send a photo as multipart/form-data, or as the body itself."
AS_TEXT = "The photo arrived as text, not as bytes: send it as multipart/form-data."

_GZIP = (b"\x1f\x8b", "\x1f\ufffd".encode())  # as bytes, and as text
_COMPRESSIONS = ("deflate", "br", "zstd", "compress")
_OBJECT = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{\s*[\"}]")


class Body(NamedTuple):
    """The body of a request.

    kind: media type in lower case; parameters: of the Content-Type header; as_text: the gateway passed text.
    """

    kind: str
    parameters: Mapping[str, str]
    data: bytes
    as_text: bool

    @property
    def is_json(self) -> bool:
        """True for an object in JSON of any media type, as curl and browsers send it, and for what is declared as JSON
        and not a photo.
        """
        return _OBJECT.match(self.data) is not None or (self.kind == JSON and not is_photo(self.data))

    @property
    def is_form(self) -> bool:
        """True for a form of either encoding."""
        return self.kind == FORM or (self.kind == URLENCODED and urlencoded.is_form(self.data))


def read_body(request: Request) -> Body:
    """Decode a body. Raises BadRequest, also if it is compressed."""
    data = request.body()
    declared = request.headers.get("content-encoding", "").lower().split(",")
    compressions = {name.strip() for name in declared} & set(_COMPRESSIONS)
    if data.startswith(_GZIP) or compressions:
        raise BadRequest(f"The body is compressed with {min(compressions, default='gzip')}: send it uncompressed.")
    kind, parameters = forms.split_header(request.headers.get("content-type", ""))
    return Body(kind, parameters, data, not request.is_base64)


def read_json(request: Request) -> dict[str, Any]:
    """Read a body that is a JSON object. Raises BadRequest."""
    return parse_object(read_body(request).data)


def parse_form(body: Body) -> forms.Form:
    """Parse a body that is a form. Raises BadRequest."""
    if not body.data:
        raise BadRequest(NO_BODY)
    if body.kind == URLENCODED:
        return urlencoded.parse(body.data)
    # A gateway that decodes bytes as UTF-8 leaves U+FFFD in place of those that are not.
    if body.as_text and "\ufffd".encode() in body.data:
        raise BadRequest(AS_TEXT)
    return forms.parse(body.data, body.parameters.get("boundary", ""))


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a body that is a JSON object. Raises BadRequest."""
    content = parse_json(body)
    if not isinstance(content, dict):
        raise BadRequest("The JSON body is not an object.")
    return content


def parse_json(body: bytes) -> Any:
    """Parse a body that is JSON. Raises BadRequest."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not JSON.") from error
