"""Requests of CompreFace's clients: their keys, photos and parameters.

Parameters come in the query or as text fields of a form. Those that are empty count as absent.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, NamedTuple

import numpy as np

from api import bodies, uploads
from api.errors import BadRequest, DialectError
from api.keys import Access, Keys, same
from api.lambda_events import Request
from api.parameters import FACE_ID, Values, parse_embedding, parse_number
from api.photo_text import decode_image, photo_bytes
from service.names import clean

# CompreFace's error codes.
OTHER, EMPTY_FIELD, UNKNOWN_KEY, NO_KEY, NO_IMAGE, INVALID = "0", "5", "10", "20", "21", "26"
SEVERAL_FACES, NO_PARAMETER, NO_PART, EMBEDDING_COUNT = "31", "33", "34", "37"

UNSET = ("", "undefined", "null")  # the last two are sent by clients in JavaScript
FORBIDDEN, LONGEST_SUBJECT = ";/\\", 50
PAGE, LARGEST_PAGE = 20, 2_000  # faces
MAX_EMBEDDINGS = 100  # in one request
MAX_CANDIDATES = 1_000  # for each face: a response can then have about 100 faces

Parameters = Mapping[str, str]


class ClientKeys:
    """The keys that clients send. Those of `collections` may read and change one collection each.

    The reader's and the administrator's keys are for the default collection.
    """

    def __init__(self, keys: Keys, collections: Mapping[str, str]) -> None:
        """collections: names by key."""
        self._keys, self._collections = keys, collections

    def check(self, request: Request, access: Access) -> None:
        """Check the key of a request. Raises DialectError, ManagementOff, Unauthorized."""
        key = _key(request)
        if not key:
            raise DialectError(NO_KEY, "The header x-api-key is missing.")
        if self.collection(request) is not None:
            return
        # Without a reader's key everybody may read, but a mistyped key must not lead to another collection.
        if not self._keys.allows(key) and (self._keys.reader or self._collections):
            raise DialectError(UNKNOWN_KEY, "There is no service with this API key.", 404)
        self._keys.check(key, access)

    def collection(self, request: Request) -> str | None:
        """Return the name of the collection that a request is about, None for the default."""
        key = _key(request)
        # Compared with all keys, so that response times do not tell which one it resembles.
        found = [collection for each, collection in self._collections.items() if same(key, each)]
        return found[0] if found else None

    def may_embed(self, request: Request) -> bool:
        """Tell whether a client may read embeddings: readers may not."""
        return self.collection(request) is not None or same(_key(request), self._keys.admin)


class FaceOptions(NamedTuple):
    """Options of requests with a photo.

    limit: how many of the largest faces, None for all; min_confidence: of a face in [0, 1]; candidates: for each face;
    plugins: names of further fields; status: include times and versions.
    """

    limit: int | None
    min_confidence: float
    candidates: int
    plugins: frozenset[str]
    status: bool


class Photos(NamedTuple):
    """images: bytes of image files; parameters: of the request."""

    images: tuple[bytes, ...]
    parameters: Parameters


class Page(NamedTuple):
    """Part of a listing. number: the first page is 0; size: faces on a page."""

    number: int
    size: int


def read_photos(request: Request, *names: str) -> Photos:
    """Read photos: files of a form with these names, or such fields of a JSON object in base64.

    Raises DialectError, BadRequest, EmptyUpload, TooLarge.
    """
    body = bodies.read_body(request)
    images: Mapping[str, Any] = {}
    fields: Values = {}
    if body.is_json:
        content = bodies.parse_object(body.data)
        images = {name: content.get(name) for name in names}
    elif body.is_form:
        form = bodies.parse_form(body)
        images, fields = form.by_field(), form.fields
    for name in names:
        if name not in images:
            raise DialectError(NO_PART, f"The form has no file `{name}`.")
    photos = tuple(uploads.checked(_decoded(images[name], name)) for name in names)
    return Photos(photos, parse_parameters(request.query, fields))


def parse_parameters(*sources: Values) -> Parameters:
    """Return the first value of each parameter, from the first source that has it."""
    found: dict[str, str] = {}
    for values in sources:
        for name, (text, *_) in values.items():
            # Without a subject, the faces of all of them would be deleted.
            is_set = text != "" if name == "subject" else text.strip() not in UNSET
            if is_set:
                found.setdefault(name, text.strip())
    return found


def parse_options(parameters: Parameters) -> FaceOptions:
    """Read the options of a request with a photo. Raises DialectError."""
    return FaceOptions(
        limit=_whole(parameters, "limit", 0) or None,
        min_confidence=parse_confidence(parameters),
        candidates=parse_candidates(parameters),
        plugins=frozenset(name.strip() for name in parameters.get("face_plugins", "").split(",")),
        status=_flag(parameters, "status"),
    )


def parse_confidence(parameters: Parameters) -> float:
    """Read the lowest confidence of a face, by default 0. Raises DialectError."""
    number = parse_number(parameters.get("det_prob_threshold", "0"))
    if number is None or not 0 <= number <= 1:
        raise DialectError(INVALID, "`det_prob_threshold` is a number from 0 to 1.")
    return number


def parse_candidates(parameters: Parameters) -> int:
    """Read the number of candidates for each face, by default 1, and at most MAX_CANDIDATES. Raises DialectError."""
    return min(_whole(parameters, "prediction_count", 1), MAX_CANDIDATES)


def parse_page(parameters: Parameters) -> Page:
    """Read the part of a listing. As CompreFace does, replace values that make no sense by the default ones."""
    number, size = (_digits(parameters.get(name, "")) for name in ("page", "size"))
    return Page(number or 0, min(size or PAGE, LARGEST_PAGE))


def parse_subject(value: Any) -> str:
    """Return the name of a new person. Raises DialectError."""
    try:
        name = clean(value)
    except (ValueError, AttributeError):
        name = ""
    if not 1 <= len(name) <= LONGEST_SUBJECT or set(name) & set(FORBIDDEN):
        raise DialectError(
            INVALID,
            f"`subject` is text of 1 to {LONGEST_SUBJECT} characters, without ; / \\, control characters, line breaks "
            "and marks of direction.",
        )
    return name


def find_subject(text: str) -> str:
    """Return the name of a person as it is stored, or the empty one, which nobody has, for text that is no name."""
    try:
        return clean(text)
    except ValueError:
        return ""  # a database refuses to compare some texts with names


def face_id(text: Any) -> str:
    """Return the ID of a face. Raises DialectError for another value than a UUID."""
    if not isinstance(text, str) or not FACE_ID.fullmatch(text.lower()):
        raise DialectError(OTHER, "The ID of an image is a UUID.")
    return text.lower()


def read_face_ids(request: Request) -> list[str]:
    """Read a body that is a JSON list of IDs of faces. Raises BadRequest, DialectError."""
    content = bodies.parse_json(bodies.read_body(request).data)
    if not isinstance(content, list):
        raise BadRequest("The JSON body is not a list of IDs.")
    return [face_id(each) for each in content]


def read_embeddings(request: Request) -> list[np.ndarray]:
    """Read a JSON object with embeddings. -> float64 [N] each. Raises DialectError, BadParameter, BadRequest."""
    given = bodies.read_json(request).get("embeddings")
    if given is None or given == []:
        raise DialectError(EMPTY_FIELD, "`embeddings` is missing or empty.")
    if not isinstance(given, list):
        raise DialectError(INVALID, "`embeddings` is a list of embeddings.")
    if len(given) > MAX_EMBEDDINGS:
        raise DialectError(EMBEDDING_COUNT, f"`embeddings` has more than {MAX_EMBEDDINGS} embeddings.")
    return [parse_embedding(each) for each in given]


def _key(request: Request) -> str:
    """Return the key of a request. Images for pages have it in their path."""
    return request.path_parameters.get("key", request.headers.get("x-api-key", ""))


def _decoded(value: Any, name: str) -> bytes:
    """value: a file of a form, or a field of a JSON object."""
    if value is None:
        raise DialectError(EMPTY_FIELD, f"`{name}` is missing in the JSON body.")
    try:
        return photo_bytes(value) if isinstance(value, bytes) else decode_image(value)
    except (BadRequest, AttributeError) as error:
        raise DialectError(NO_IMAGE, f"`{name}` is not Base64.") from error


def _whole(parameters: Parameters, name: str, least: int) -> int:
    """Read a whole number, by default the least one. Raises DialectError."""
    number = _digits(parameters.get(name, str(least)))
    if number is None or number < least:
        raise DialectError(INVALID, f"`{name}` is a whole number from {least} on.")
    return number


def _digits(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


def _flag(parameters: Parameters, name: str) -> bool:
    text = parameters.get(name, "false").lower()
    if text not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
        raise DialectError(INVALID, f"`{name}` is true or false.")
    return text in ("true", "1", "yes", "on")
