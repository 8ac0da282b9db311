"""An event's body to the photo's bytes and what was asked about it."""

from __future__ import annotations

import base64
import binascii
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Mapping, NamedTuple, Sequence

from aws_lambda_powertools.utilities.data_classes.common import BaseProxyEvent

from api import forms
from api.errors import BadParameter, BadRequest, EmptyUpload, TooLarge

MAX_BYTES = 4_500_000  # Lambda takes 6 MB a request, in which a photo lies as base64

Values = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Options:
    """top: number of candidates; threshold: confidence, None for the model's own; all_faces: not only the largest."""

    top: int = 5
    threshold: float | None = None
    all_faces: bool = False


class Upload(NamedTuple):
    """name: a plain base name, also where the client sent a path."""

    name: str
    data: bytes
    options: Options


def read(event: BaseProxyEvent, *, max_bytes: int = MAX_BYTES) -> Upload:
    """Multipart form data, a raw image, or JSON with the image in base64. max_bytes: of the photo itself.

    What the header calls a raw body does not matter: the bytes tell what they are, and curl for one always says that
    it sends a form.

    Raises BadRequest, EmptyUpload, BadParameter or TooLarge.
    """
    body = _body(event)
    kind, parameters = forms.split_header(event.headers.get("content-type") or "")
    name = forms.NAMELESS
    fields: Values = {}
    if kind == "application/json":
        data = _from_json(body)
    elif not body:
        raise BadRequest("The request has no body: send a photo as multipart/form-data, or as the body itself.")
    elif _is_garbled(event, kind):
        raise BadRequest("The photo arrived as text, not as bytes: send it as multipart/form-data.")
    elif kind == "multipart/form-data":
        name, data, fields = forms.parse(body, parameters.get("boundary", ""))
    else:
        data = body
    options = _options({**fields, **_query(event)})
    if not data:
        raise EmptyUpload("The uploaded file is empty.")
    if len(data) > max_bytes:
        raise TooLarge(f"The photo has more than {max_bytes / 1e6:.1f} MB: scale it down before you send it.")
    return Upload(name, data, options)


def _body(event: BaseProxyEvent) -> bytes:
    body = str(event.get("body") or "")
    return _base64(body) if event.get("isBase64Encoded") else body.encode("utf-8", "replace")


def _is_garbled(event: BaseProxyEvent, kind: str) -> bool:
    """Whether bytes were read as text on their way, which leaves U+FFFD wherever they were none."""
    if event.get("isBase64Encoded"):
        return False
    return kind != "multipart/form-data" or "\ufffd" in str(event.get("body"))


def _base64(text: str) -> bytes:
    """Of either alphabet, also in lines and without padding."""
    with suppress(binascii.Error, ValueError):
        data = binascii.a2b_base64(text)
        if 4 * len(data) == 3 * len(text) - 4 * (len(text) - len(text.rstrip("="))):
            return data  # as gateways send it: nothing in it was skipped, and to look first takes twice as long
    text = "".join(text.split()).replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("The body is not valid base64.") from error


def _query(event: BaseProxyEvent) -> Values:
    single = event.get("queryStringParameters") or {}
    several = event.get("multiValueQueryStringParameters") or {}
    return {**{name: [value] for name, value in single.items()}, **several}


def _from_json(body: bytes) -> bytes:
    try:
        image = json.loads(body)["image"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadRequest('The JSON body is not of the form {"image": "<base64>"}.') from error
    if not isinstance(image, str):
        raise BadRequest('The JSON body is not of the form {"image": "<base64>"}.')
    image = image.lstrip()
    return _base64(image.partition(",")[2] if image[:5].lower() == "data:" else image)


def _options(given: Values) -> Options:
    asked: dict[str, str] = {}
    for name in ("top", "threshold", "faces"):
        values = given.get(name) or []
        if len(values) > 1:
            raise BadParameter(f"`{name}` is given more than once.")
        if values:
            asked[name] = str(values[0])
    return Options(
        top=_top(asked.get("top", "5")),
        threshold=_threshold(asked["threshold"]) if "threshold" in asked else None,
        all_faces=_faces(asked.get("faces", "largest")) == "all",
    )


def _top(text: str) -> int:
    if not re.fullmatch("[0-9]{1,2}", text) or not 1 <= int(text) <= 20:
        raise BadParameter("`top` is a whole number from 1 to 20.")
    return int(text)


def _threshold(text: str) -> float:
    # float() alone would also take nan, 1_0 and the digits of other scripts.
    try:
        number = float(text) if re.fullmatch("[0-9.eE+-]{1,32}", text) else -1
    except ValueError:
        number = -1
    if not 0 <= number <= 1:
        raise BadParameter("`threshold` is a number from 0 to 1.")
    return number


def _faces(text: str) -> str:
    if text not in ("largest", "all"):
        raise BadParameter("`faces` is `largest` or `all`.")
    return text
