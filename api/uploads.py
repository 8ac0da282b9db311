"""Bodies of requests: photos, and what else a request says about them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from api import forms
from api.encoding import decode_base64
from api.errors import BadParameter, BadRequest, EmptyUpload, TooLarge
from api.lambda_events import Request
from api.parameters import Values, parse_collection, parse_options
from service.results import IdentifyOptions, UploadedPhoto

MAX_BYTES = 4_500_000  # Lambda takes 6 MB a request, in which a photo is base64
MAX_PHOTOS = 20  # of a person in one request
JSON = "application/json"
FORM = "multipart/form-data"


class Upload(NamedTuple):
    """name: a plain base name, even if the client sent a path; image: the bytes of an image file."""

    name: str
    image: bytes
    options: IdentifyOptions


class Photos(NamedTuple):
    """Photos of one person, and the text fields beside them."""

    photos: tuple[UploadedPhoto, ...]
    values: Values


class Pair(NamedTuple):
    """Two photos to compare."""

    source: bytes
    target: bytes
    options: IdentifyOptions


def read(request: Request, *, max_bytes: int = MAX_BYTES) -> Upload:
    """Read a photo: multipart form data, a raw image, or JSON with the image in base64. max_bytes: of the image.

    The Content-Type of a raw body is ignored: the bytes identify the format, and curl always declares a form.

    Raises BadRequest, EmptyUpload, BadParameter or TooLarge.
    """
    form = _files(request, ("image",))
    file = form.first()
    options = parse_options(_values(form.fields, request))
    return Upload(file.name, checked(file.data, max_bytes), options)


def read_photos(request: Request) -> Photos:
    """Read photos to enrol, as `read` reads one; a form may have up to MAX_PHOTOS.

    Raises BadRequest, EmptyUpload or BadParameter.
    """
    form = _files(request, ("image",))
    form.first()
    return Photos(_uploaded(form), _values(form.fields, request))


def read_person(request: Request) -> Photos:
    """Read a new person: a form with text fields and any number of photos up to MAX_PHOTOS, or JSON without photos.

    Raises BadRequest or BadParameter.
    """
    kind, _ = content_type(request)
    if kind == JSON:
        content = read_json(request)
        given = {name: content[name] for name in ("name", "external_id", "collection") if name in content}
        wrong = next((name for name, value in given.items() if not isinstance(value, str)), None)
        if wrong:
            raise BadParameter(f"`{wrong}` in the JSON body is not text.")
        return Photos((), _values({name: [value] for name, value in given.items()}, request))
    if kind != FORM:
        raise BadRequest("Send a person as multipart/form-data with `name` and photos, or as JSON.")
    form = _files(request, ())
    for name in ("file", "photo", "image"):
        if name in form.fields:
            raise BadRequest(f"`{name}` is text and not a file: curl needs an @, as in -F {name}=@photo.jpg.")
    return Photos(_uploaded(form), _values(form.fields, request))


def read_pair(request: Request) -> Pair:
    """Read two photos: the files `source` and `target` of a form, or JSON with both in base64. Raises as `read`."""
    form = _files(request, ("source", "target"))
    found = {file.field: file.data for file in reversed(form.files)}
    if not {"source", "target"} <= set(found):
        raise BadRequest("Comparing needs two photos: the files `source` and `target` of a form.")
    options = parse_options(_values(form.fields, request))
    return Pair(checked(found["source"]), checked(found["target"]), options)


def read_json(request: Request) -> dict[str, Any]:
    """Read a body that is a JSON object. Raises BadRequest."""
    content = parse_json(request.body())
    if not isinstance(content, dict):
        raise BadRequest("The JSON body is not an object.")
    return content


def parse_json(body: bytes) -> Any:
    """Parse a body that is JSON. Raises BadRequest."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not JSON.") from error


def content_type(request: Request) -> tuple[str, dict[str, str]]:
    """Read the Content-Type header. -> media type in lower case, and its parameters."""
    return forms.split_header(request.headers.get("content-type", ""))


def parse_form(request: Request) -> forms.Form:
    """Parse a body that is a form. Raises BadRequest."""
    kind, parameters = content_type(request)
    return forms.parse(_bytes(request, kind), parameters.get("boundary", ""))


def checked(image: bytes, max_bytes: int = MAX_BYTES) -> bytes:
    """Return a photo that has a size which is allowed. Raises EmptyUpload, TooLarge."""
    if not image:
        raise EmptyUpload("The uploaded file is empty.")
    if len(image) > max_bytes:
        raise TooLarge(f"The photo has more than {max_bytes / 1e6:.1f} MB: scale it down before you send it.")
    return image


def decode_image(text: str) -> bytes:
    """Decode a photo in base64, which may be a data URL. Raises BadRequest."""
    text = text.lstrip()
    return decode_base64(text.partition(",")[2] if text[:5].lower() == "data:" else text)


def _files(request: Request, names: tuple[str, ...]) -> forms.Form:
    """Read the files of a request. names: of the fields of a JSON object that have a photo each.

    A raw image is a file without a field.
    """
    kind, _ = content_type(request)
    if kind == JSON and names:
        return forms.Form(_from_json(request.body(), names), {}, False)
    if kind == FORM:
        return parse_form(request)
    return forms.Form([forms.File("", forms.NAMELESS, _bytes(request, kind))], {}, False)


def _bytes(request: Request, kind: str) -> bytes:
    """Return a body with a photo in it, of this media type. Raises BadRequest."""
    body = request.body()
    if not body:
        raise BadRequest("The request has no body: send a photo as multipart/form-data, or as the body itself.")
    # A gateway that decodes bytes as UTF-8 leaves U+FFFD in place of those that are not.
    if not request.is_base64 and (kind != FORM or "\ufffd" in request.text):
        raise BadRequest("The photo arrived as text, not as bytes: send it as multipart/form-data.")
    return body


def _uploaded(form: forms.Form) -> tuple[UploadedPhoto, ...]:
    """Return the files of a form. A bad one does not count against the others. Raises BadRequest."""
    if len(form.files) > MAX_PHOTOS:
        raise BadRequest(f"The form has more than {MAX_PHOTOS} photos: send the others in another request.")
    return tuple(UploadedPhoto(file.name, file.data) for file in form.files)


def _values(fields: Values, request: Request) -> Values:
    """Return all parameters. One in the query precedes a field with its name."""
    parse_collection(fields)
    return {**fields, **request.query}


def _from_json(body: bytes, names: tuple[str, ...]) -> list[forms.File]:
    """Read a photo from each of these fields of a JSON object."""
    try:
        content = json.loads(body)
        images = [content[name] for name in names]
        if not all(isinstance(image, str) for image in images):
            raise TypeError("a photo is not text")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        form = ", ".join(f'"{name}": "<base64>"' for name in names)
        raise BadRequest(f"The JSON body is not of the form {{{form}}}.") from error
    return [forms.File(name, forms.NAMELESS, decode_image(image)) for name, image in zip(names, images)]
