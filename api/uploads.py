"""A request's body and parameters to the photo's bytes and the options of its identification."""

from __future__ import annotations

import json
import re
from typing import Mapping, NamedTuple, Sequence

from api import forms
from api.encoding import decode_base64
from api.errors import BadParameter, BadRequest, EmptyUpload, TooLarge
from api.lambda_events import Request
from model.calibration import STRICTNESS
from service.results import IdentifyOptions

MAX_BYTES = 4_500_000  # Lambda takes 6 MB a request, in which a photo is base64

Values = Mapping[str, Sequence[str]]


class Upload(NamedTuple):
    """name: a plain base name, even if the client sent a path; image: the bytes of an image file."""

    name: str
    image: bytes
    options: IdentifyOptions


def read(request: Request, *, max_bytes: int = MAX_BYTES) -> Upload:
    """Read multipart form data, a raw image, or JSON with the image in base64. max_bytes: of the image.

    The Content-Type of a raw body is ignored: the bytes identify the format, and curl always declares a form.

    Raises BadRequest, EmptyUpload, BadParameter or TooLarge.
    """
    body = request.body()
    kind, parameters = forms.split_header(request.headers.get("content-type", ""))
    name = forms.NAMELESS
    fields: Values = {}
    if kind == "application/json":
        image = _from_json(body)
    elif not body:
        raise BadRequest("The request has no body: send a photo as multipart/form-data, or as the body itself.")
    elif _was_decoded_as_text(request, kind):
        raise BadRequest("The photo arrived as text, not as bytes: send it as multipart/form-data.")
    elif kind == "multipart/form-data":
        name, image, fields = forms.parse(body, parameters.get("boundary", ""))
    else:
        image = body
    options = parse_options({**fields, **request.query})
    if not image:
        raise EmptyUpload("The uploaded file is empty.")
    if len(image) > max_bytes:
        raise TooLarge(f"The photo has more than {max_bytes / 1e6:.1f} MB: scale it down before you send it.")
    return Upload(name, image, options)


def _was_decoded_as_text(request: Request, kind: str) -> bool:
    """Check whether a gateway decoded bytes as UTF-8, which leaves U+FFFD in place of those that are not."""
    return not request.is_base64 and (kind != "multipart/form-data" or "\ufffd" in request.text)


def _from_json(body: bytes) -> bytes:
    try:
        image = json.loads(body)["image"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadRequest('The JSON body is not of the form {"image": "<base64>"}.') from error
    if not isinstance(image, str):
        raise BadRequest('The JSON body is not of the form {"image": "<base64>"}.')
    image = image.lstrip()
    return decode_base64(image.partition(",")[2] if image[:5].lower() == "data:" else image)


def parse_options(values: Values) -> IdentifyOptions:
    """Read the options from a query or from a form's text fields. Raises BadParameter."""
    selected: dict[str, str] = {}
    for name in ("top", "threshold", "strictness", "faces"):
        given = values.get(name, ())
        if len(given) > 1:
            raise BadParameter(f"`{name}` is given more than once.")
        if given:
            selected[name] = given[0]
    return IdentifyOptions(
        top=_top(selected["top"]) if "top" in selected else IdentifyOptions.top,
        threshold=_threshold(selected["threshold"]) if "threshold" in selected else None,
        strictness=_strictness(selected["strictness"]) if "strictness" in selected else None,
        all_faces=_faces(selected.get("faces", "largest")) == "all",
    )


def _top(text: str) -> int:
    if not re.fullmatch("[0-9]{1,2}", text) or not 1 <= int(text) <= 20:
        raise BadParameter("`top` is a whole number from 1 to 20.")
    return int(text)


def _threshold(text: str) -> float:
    number = _number(text)
    if number is None or not 0 <= number <= 1:
        raise BadParameter("`threshold` is a number from 0 to 1.")
    return number


def _strictness(text: str) -> float:
    number = _number(text)
    if number is None or number not in STRICTNESS:
        raise BadParameter(f"`strictness` is one of {', '.join(f'{share:g}' for share in STRICTNESS)}.")
    return number


def _number(text: str) -> float | None:
    """Read a number, or return None."""
    # float() alone would also accept nan, 1_0 and the digits of other scripts.
    try:
        return float(text) if re.fullmatch("[0-9.eE+-]{1,32}", text) else None
    except ValueError:
        return None


def _faces(text: str) -> str:
    if text not in ("largest", "all"):
        raise BadParameter("`faces` is `largest` or `all`.")
    return text
