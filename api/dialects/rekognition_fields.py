"""Fields of requests in Rekognition's dialect: a JSON object whose fields the service model restricts."""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Mapping, Pattern

from api.errors import BadRequest, DialectError
from api.lambda_events import Request
from api.parameters import FACE_ID
from api.photo_text import decode_image
from storage.collection_names import is_collection_name

INVALID, TOO_LARGE, BROKEN = "InvalidParameterException", "ImageTooLargeException", "SerializationException"
USER_ID = re.compile(r"[a-zA-Z0-9_.\-:]{1,128}")
TOKEN = re.compile(r"[a-zA-Z0-9\-_]{1,64}")
ATTRIBUTE = re.compile("[A-Z_]{1,32}")  # DEFAULT, ALL or the name of one
MOST_ATTRIBUTES = 20
MAX_IMAGE_BYTES = 5_242_880

ReadObject = Callable[[str, str, "str | None"], bytes]  # bucket, key and version -> bytes of a photo


class Fields:
    """The fields of a request. Every method raises DialectError. A null counts as absent."""

    def __init__(self, content: Mapping[str, Any], read_object: ReadObject) -> None:
        """read_object: reads a photo from a bucket."""
        self._content = {name: value for name, value in content.items() if value is not None}
        self._read_object = read_object

    @classmethod
    def of(cls, request: Request, read_object: ReadObject) -> Fields:
        """Read the body of a request."""
        try:
            content: Any = json.loads(request.body() or b"{}")
        except (ValueError, RecursionError) as error:
            raise DialectError(BROKEN, "The body is not JSON.") from error
        if not isinstance(content, dict):
            raise DialectError(BROKEN, "The body is not a JSON object.")
        return cls(content, read_object)

    def collection(self) -> str:
        """Return CollectionId."""
        name = self._required("CollectionId", str)
        if not is_collection_name(name):
            raise invalid("CollectionId has 1 to 255 letters, digits, dots, hyphens and underscores.")
        return name

    def text(self, name: str, pattern: Pattern[str]) -> str:
        """Return a text that is required."""
        found: str = self._required(name, str)
        if not pattern.fullmatch(found):
            raise invalid(f"{name} does not have the form {pattern.pattern}.")
        return found

    def page_token(self) -> str | None:
        """Return NextToken. An empty one counts as absent."""
        return self._required("NextToken", str) or None if "NextToken" in self._content else None

    def optional(self, name: str, pattern: Pattern[str]) -> str | None:
        """Return a text, or None if it is absent."""
        return self.text(name, pattern) if name in self._content else None

    def token(self) -> None:
        """Check ClientRequestToken."""
        self.optional("ClientRequestToken", TOKEN)

    def texts(self, name: str, pattern: Pattern[str], most: int) -> list[str] | None:
        """Return a list of texts, 1 to `most`, or None if it is absent."""
        if name not in self._content:
            return None
        found = self._required(name, list)
        if not all(isinstance(entry, str) for entry in found):
            raise DialectError(BROKEN, f"{name} is not a list of text.")
        if not 1 <= len(found) <= most or not all(pattern.fullmatch(entry) for entry in found):
            raise invalid(f"{name} has 1 to {most} entries of the form {pattern.pattern}.")
        return found

    def face_ids(self, most: int) -> list[str]:
        """Return FaceIds, which are required."""
        found = self.texts("FaceIds", FACE_ID, most)
        if found is None:
            raise invalid("FaceIds is missing.")
        return found

    def count(self, name: str, least: int, most: int | None) -> int | None:
        """Return a whole number, or None if it is absent."""
        if name not in self._content:
            return None
        found = self._content[name]
        if isinstance(found, float) and found.is_integer():
            found = int(found)
        if isinstance(found, bool) or not isinstance(found, int):
            raise DialectError(BROKEN, f"{name} is not a whole number.")
        if found < least or (most is not None and found > most):
            raise invalid(f"{name} is at least {least}{'' if most is None else f' and at most {most}'}.")
        return found

    def threshold(self, name: str, default: float) -> float:
        """Return a number of percent as a share, in [0, 1]."""
        found = self._content.get(name, default)
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise DialectError(BROKEN, f"{name} is not a number.")
        if not 0 <= found <= 100:
            raise invalid(f"{name} is from 0 to 100.")
        return found / 100

    def quality(self, default: str) -> str:
        """Return QualityFilter in lower case."""
        found: str = self._required("QualityFilter", str) if "QualityFilter" in self._content else default
        if found not in ("NONE", "AUTO", "LOW", "MEDIUM", "HIGH"):
            raise invalid("QualityFilter is NONE, AUTO, LOW, MEDIUM or HIGH.")
        return "low" if found == "AUTO" else found.lower()

    def attributes(self, name: str) -> None:
        """Check a list of attributes of faces. None of them is measured, so they change nothing."""
        self.texts(name, ATTRIBUTE, MOST_ATTRIBUTES)

    def image(self, name: str = "Image") -> bytes:
        """Return the bytes of an image, from the request or from a bucket."""
        given = self._required(name, dict)
        if given.get("Bytes") is not None:
            return self._bytes(name, given["Bytes"])
        place = given.get("S3Object")
        if not isinstance(place, dict):
            raise invalid(f"{name} has neither Bytes nor S3Object.")
        bucket, key, version = (place.get(part) for part in ("Bucket", "Name", "Version"))
        if not (isinstance(bucket, str) and isinstance(key, str) and isinstance(version, (str, type(None)))):
            raise invalid(f"{name}.S3Object has no Bucket or no Name, or they are not text.")
        return self._read_object(bucket, key, version)

    def _bytes(self, name: str, given: Any) -> bytes:
        if not isinstance(given, str):
            raise DialectError(BROKEN, f"{name}.Bytes is not text.")
        try:
            data = decode_image(given)
        except BadRequest as error:
            raise DialectError(BROKEN, f"{name}.Bytes is not Base64.") from error
        if not data:
            raise invalid(f"{name}.Bytes is empty.")
        if len(data) > MAX_IMAGE_BYTES:
            raise DialectError(TOO_LARGE, f"{name} has more than {MAX_IMAGE_BYTES:,} bytes.")
        return data

    def _required(self, name: str, kind: type) -> Any:
        if name not in self._content:
            raise invalid(f"{name} is missing.")
        found = self._content[name]
        if not isinstance(found, kind):
            raise DialectError(BROKEN, f"{name} has the wrong type.")
        return found


def invalid(message: str) -> DialectError:
    return DialectError(INVALID, message)
