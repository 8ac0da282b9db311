"""Photos of requests, and what else a request says about them."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import NamedTuple

from api import bodies, forms
from api.bodies import Body, parse_object, read_body
from api.errors import BadParameter, BadRequest, EmptyUpload, TooLarge
from api.lambda_events import Request
from api.parameters import Values, parse_collection, parse_options
from api.photo_text import decode_image, is_photo, photo_bytes
from service.results import IdentifyOptions, UploadedPhoto

MAX_BYTES = 4_500_000  # Lambda takes 6 MB a request, in which a photo is base64
MAX_PHOTOS = 20  # of a person in one request
PHOTO_FIELDS = ("file", "photo", "image")  # common names


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


def read(request: Request) -> Upload:
    """Read a photo: a form, a raw image, or JSON with the image in base64.

    The Content-Type of a raw body is ignored: the bytes identify the format, and curl always declares a form.

    Raises BadRequest, EmptyUpload, BadParameter or TooLarge.
    """
    form = _files(request, ("image",))
    file = form.first()
    options = parse_options(_values(form.fields, request))
    return Upload(file.name, checked(photo_bytes(file.data)), options)


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
    body = read_body(request)
    if body.is_json:
        return Photos((), _values(_person_in_json(body), request))
    if not body.is_form:
        raise BadRequest("Send a person as multipart/form-data with `name` and photos, or as JSON.")
    form = bodies.parse_form(body)
    for name in PHOTO_FIELDS:
        if name in form.fields:
            raise BadRequest(f"`{name}` is text and not a file: curl needs an @, as in -F {name}=@photo.jpg.")
    return Photos(_uploaded(form), _values(form.fields, request))


def read_pair(request: Request) -> Pair:
    """Read two photos: the files `source` and `target` of a form, or JSON with both in base64. Raises as `read`."""
    form = _files(request, ("source", "target"))
    found = form.by_field()
    if not {"source", "target"} <= set(found):
        raise BadRequest("Comparing needs two photos: the files `source` and `target` of a form.")
    options = parse_options(_values(form.fields, request))
    source, target = (checked(photo_bytes(found[name])) for name in ("source", "target"))
    return Pair(source, target, options)


def checked(image: bytes) -> bytes:
    """Return a photo that has a size which is allowed. Raises EmptyUpload, TooLarge."""
    if not image:
        raise EmptyUpload("The uploaded file is empty.")
    if len(image) > MAX_BYTES:
        raise TooLarge(f"The photo has more than {MAX_BYTES / 1e6:.1f} MB: scale it down before you send it.")
    return image


def _files(request: Request, names: tuple[str, ...]) -> forms.Form:
    """Read the files of a request. names: of the fields of a JSON object that have a photo each.

    A raw image is a file without a field. Raises BadRequest.
    """
    body = read_body(request)
    if body.is_json:
        return forms.Form(_from_json(body.data, names), {}, False)
    if not body.data:
        raise BadRequest(bodies.NO_BODY)
    if not is_photo(body.data):
        if body.is_form:
            return bodies.parse_form(body)
        if body.as_text:
            raise BadRequest(bodies.AS_TEXT)
    return forms.Form([forms.File("", forms.NAMELESS, body.data)], {}, False)


def _person_in_json(body: Body) -> dict[str, list[str]]:
    """Return the fields of a person without photos. Raises BadRequest, BadParameter."""
    content = parse_object(body.data)
    if any(name in content for name in PHOTO_FIELDS):
        raise BadRequest("The photos of a person are files of a form: send multipart/form-data, not JSON.")
    given = {name: content[name] for name in ("name", "external_id", "collection") if name in content}
    wrong = next((name for name, value in given.items() if not isinstance(value, str)), None)
    if wrong:
        raise BadParameter(f"`{wrong}` in the JSON body is not text.")
    return {name: [value] for name, value in given.items()}


def _uploaded(form: forms.Form) -> tuple[UploadedPhoto, ...]:
    """Return the photos of a form. A bad one does not count against the others. Raises BadRequest."""
    # JSON beside photos says something about them. JSON alone was meant as a photo.
    files = [file for file in form.files if not file.is_json] or form.files
    if len(files) > MAX_PHOTOS:
        raise BadRequest(f"The form has more than {MAX_PHOTOS} photos: send the others in another request.")
    return tuple(UploadedPhoto(file.name, _photo(file.data)) for file in files)


def _photo(data: bytes) -> bytes:
    """Return a photo, also if it is text. Broken base64 stays as it is, and is not readable as a photo."""
    with suppress(BadRequest):
        return photo_bytes(data)
    return data


def _values(fields: Values, request: Request) -> Values:
    """Return all parameters. One in the query precedes a field with its name, which has to be valid all the same."""
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
