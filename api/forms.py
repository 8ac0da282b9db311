"""multipart/form-data to its first file and its text fields.

requests-toolbelt takes the parts apart. It reads every part before it hands over the first and trusts in their number
and size, so what would keep it busy is refused here before.
"""

from __future__ import annotations

import re
from typing import Mapping, NamedTuple
from urllib.parse import unquote

from requests_toolbelt.multipart.decoder import BodyPart, ImproperBodyPartContentException, MultipartDecoder

from api.errors import BadRequest, EmptyUpload

MAX_PARTS = 100
MAX_HEADER_BYTES = 8_192  # of one part
MAX_BOUNDARY = 70  # characters, by RFC 2046
MAX_NAME = 255  # characters
NAMELESS = "photo"

BROKEN = "The multipart body is broken or cut short, or its boundary is not the one that the header names."

# The standard library's parser takes long for many semicolons between quotes, and trips over some encoded names.
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s"]*)', re.DOTALL)
# Control characters, halves of surrogate pairs, and what turns the direction of the text around it.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Form(NamedTuple):
    """name: the file's base name; data: its bytes; fields: the values of each text field, in the form's order."""

    name: str
    data: bytes
    fields: dict[str, list[str]]


def split_header(header: str) -> tuple[str, dict[str, str]]:
    """'Form-Data; name="a"; filename=b' -> "form-data", {"name": "a", "filename": "b"}."""
    parameters: dict[str, str] = {}
    for name, value in _PARAMETER.findall(header):
        if value.startswith('"'):
            # No other escapes: Internet Explorer sends "C:\photos\x.jpg" and means it.
            value = re.sub(r'\\(["\\])', r"\1", value[1:-1])
        parameters.setdefault(name.lower(), value)
    return header.partition(";")[0].strip().lower(), parameters


def parse(body: bytes, boundary: str, *, max_parts: int = MAX_PARTS, max_header_bytes: int = MAX_HEADER_BYTES) -> Form:
    """Raises BadRequest, or EmptyUpload for a form in which no file was chosen."""
    file: tuple[str, bytes] | None = None
    fields: dict[str, list[str]] = {}
    unchosen = False
    for part in _parts(body, boundary, max_parts, max_header_bytes):
        _, disposition = split_header(_header(part, b"Content-Disposition"))
        kind, _ = split_header(_header(part, b"Content-Type"))
        if kind.startswith("multipart/"):
            raise BadRequest("The form has parts within a part: send the photo as a file part of its own.")
        if _is_file(disposition, kind):
            # Browsers send a file input that was left empty as a nameless file without bytes.
            if not (disposition.get("filename") or part.content):
                unchosen = True
            elif file is None:
                file = base_name(_file_name(disposition)), part.content
        elif "name" in disposition:
            fields.setdefault(disposition["name"], []).append(_text(part.content).strip())
    if file is None and unchosen:
        raise EmptyUpload("No file was chosen in the form.")
    if file is None:
        raise BadRequest("The form has no file: add the photo as a file part, as `curl -F file=@photo.jpg` does.")
    return Form(*file, fields)


def _parts(body: bytes, boundary: str, max_parts: int, max_header_bytes: int) -> tuple[BodyPart, ...]:
    if not boundary:
        raise BadRequest("The Content-Type header names no boundary: leave it to the program that makes the form.")
    # Printable ASCII is more than the RFC allows and what is in use; the decoder reads neither ; nor quotes.
    if len(boundary) > MAX_BOUNDARY or not re.fullmatch(r"[!-~ ]*[!-~]", boundary) or set(boundary) & set(';"\\'):
        raise BadRequest(f"The form's boundary is not made of at most {MAX_BOUNDARY} plain characters.")
    delimiter = b"\r\n--" + boundary.encode("ascii")
    # The RFC allows text before the first and after the last delimiter, and the decoder would take it for parts.
    body = b"\r\n" + body
    end = body.find(delimiter + b"--")
    if end < 0:
        raise BadRequest(BROKEN)
    body = body[body.find(delimiter) : end]
    if body.count(delimiter) > max_parts:
        raise BadRequest(f"The form has more than {max_parts} parts: send the photo alone.")
    for part in body.split(delimiter)[1:]:
        if part.find(b"\r\n\r\n", 0, 2 + max_header_bytes + 4) < 0 and len(part) > max_header_bytes:
            raise BadRequest(f"A part of the form has more than {max_header_bytes // 1024} KB of headers.")
    try:
        # Latin-1, because it takes any bytes and gives them back; _text reads them.
        return MultipartDecoder(body, f"multipart/form-data; boundary={boundary}", encoding="latin-1").parts
    except ImproperBodyPartContentException as error:
        raise BadRequest(BROKEN) from error


def _header(part: BodyPart, name: bytes) -> str:
    return _text(part.headers.get(name, b""))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _is_file(disposition: Mapping[str, str], kind: str) -> bool:
    """Some clients name no file and give its type alone, as others do for their text fields."""
    named = "filename" in disposition or "filename*" in disposition
    return named or kind.startswith("image/") or kind == "application/octet-stream"


def _file_name(disposition: Mapping[str, str]) -> str:
    """`filename*` where there is one, "UTF-8''na%C3%AFve.jpg" by RFC 5987, else `filename`."""
    charset, _, encoded = disposition.get("filename*", "").partition("'")
    if charset.lower() in ("utf-8", "iso-8859-1"):
        return unquote(encoded.partition("'")[2], charset, "replace")
    return disposition.get("filename", "")


def base_name(path: str) -> str:
    """The last part of a path of any system, without control characters; of a long one the end, with the extension."""
    name = _UNPRINTABLE.sub("", re.split(r"[/\\]", path)[-1]).strip()[-MAX_NAME:].strip()
    return NAMELESS if name in ("", ".", "..") else name
