"""Parsing of multipart/form-data (RFC 7578) into files and text fields.

The `multipart` library parses the form. This module first enforces the limits that the library lacks, and reads the
headers of the parts itself, because the library does not read `filename*`.
"""

from __future__ import annotations

import binascii
import re
from typing import Iterator, Mapping, NamedTuple
from urllib.parse import unquote

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from api.encoding import decode_base64
from api.errors import BadRequest, EmptyUpload
from api.photo_text import is_photo, is_text
from service.names import UNPRINTABLE

MAX_PARTS = 100
MAX_HEADER_BYTES = 8_192  # per part
MAX_BOUNDARY = 70  # characters (RFC 2046)
MAX_NAME = 255  # characters
NAMELESS = "photo"
CRLF = b"\r\n"

BROKEN = "The multipart body is broken or cut short, or its boundary is not the one that the header names."
NO_FILE = "The form has no file: add the photo as a file part, as `curl -F file=@photo.jpg` does."

# The parser decodes headers strictly, so it gets a single-byte encoding that preserves all bytes, and _text() decodes
# them. It also strips whitespace, which in Latin-1 includes 0x85 and 0xA0, the last bytes of some UTF-8 characters
# ("à" is C3 A0). In code page 437 only 0xFF is whitespace above ASCII, and UTF-8 never contains it.
HEADER_ENCODING = "cp437"

_JSON = re.compile(rb"(?:\xef\xbb\xbf)?\s*[{\[]")
# The parser in email.message is slow for many semicolons within quotes and fails on some encoded names.
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s"]*)', re.DOTALL)


class File(NamedTuple):
    """A file of a form, which may be a photo as text.

    field: name of the form's field; name: base name; data: its bytes; kind: media type, "" if the form has none.
    """

    field: str
    name: str
    data: bytes
    kind: str = ""

    @property
    def is_json(self) -> bool:
        """True for JSON, which programs send beside photos. A media type alone may be wrong."""
        declared = self.kind == "application/json" or self.kind.endswith("+json")
        return not is_photo(self.data) and (declared or _JSON.match(self.data) is not None)


class Form(NamedTuple):
    """The files of a form, and the values of each text field, both in the order of the form.

    Text fields that are photos count as files, after the others. left_empty: in a file input nothing was chosen.
    """

    files: list[File]
    fields: dict[str, list[str]]
    left_empty: bool

    def first(self) -> File:
        """Return the first photo, or the first file if none is a photo.

        Raises EmptyUpload if no file was chosen, BadRequest if the form has no file input.
        """
        if self.files:
            return next((file for file in self.files if is_photo(file.data)), self.files[0])
        if self.left_empty:
            raise EmptyUpload("No file was chosen in the form.")
        raise BadRequest(NO_FILE)

    def by_field(self) -> dict[str, bytes]:
        """Return the first photo of each field, or its first file if none is a photo."""
        photos = [file for file in self.files if is_photo(file.data)]
        return {file.field: file.data for file in (*self.files[::-1], *photos[::-1])}  # the last of a field counts


class _Part(NamedTuple):
    """A part of a form: the parameters of its Content-Disposition, its media type or "", and its bytes."""

    disposition: Mapping[str, str]
    kind: str
    data: bytes

    @property
    def is_file(self) -> bool:
        """True if the part has a file name or, as some clients send files without one, the media type of a file."""
        named = "filename" in self.disposition or "filename*" in self.disposition
        return named or self.kind.startswith("image/") or self.kind == "application/octet-stream"

    @property
    def is_left_empty(self) -> bool:
        """True for a file input in which nothing was chosen: browsers send a file without name and bytes."""
        return self.is_file and not (self.disposition.get("filename") or self.data)

    @property
    def file_name(self) -> str:
        """Decoded `filename*` (RFC 5987, "UTF-8''na%C3%AFve.jpg") if its charset is known, else `filename`."""
        charset, _, encoded = self.disposition.get("filename*", "").partition("'")
        if charset.lower() in ("utf-8", "iso-8859-1"):
            return unquote(encoded.partition("'")[2], charset, "replace")
        return self.disposition.get("filename", "")


def split_header(header: str) -> tuple[str, dict[str, str]]:
    """Split 'Form-Data; name="a"; filename=b' into "form-data" and {"name": "a", "filename": "b"}."""
    parameters: dict[str, str] = {}
    for name, value in _PARAMETER.findall(header):
        if value.startswith('"'):
            # Other backslashes stay: Internet Explorer sends "C:\photos\x.jpg" unescaped.
            value = re.sub(r'\\(["\\])', r"\1", value[1:-1])
        parameters.setdefault(name.lower(), value)
    return header.partition(";")[0].strip().lower(), parameters


def parse(body: bytes, boundary: str) -> Form:
    """Parse a form. Raises BadRequest for a malformed form, and for one beyond the limits of this module."""
    files: list[File] = []
    texts: list[File] = []
    fields: dict[str, list[str]] = {}
    left_empty = False
    try:
        for part in _parts(body, boundary):
            if part.is_left_empty:
                left_empty = True
            elif part.is_file:
                files.append(File(part.disposition.get("name", ""), base_name(part.file_name), part.data, part.kind))
            elif "name" in part.disposition and is_text(part.data):
                texts.append(File(part.disposition["name"], NAMELESS, part.data))
            elif "name" in part.disposition:
                fields.setdefault(part.disposition["name"], []).append(_text(part.data).strip())
    except MultipartError as error:
        # RFC 7578 requires `Content-Disposition: form-data` in each part. Most likely the photo lacks it.
        raise BadRequest(BROKEN if files else NO_FILE) from error
    return Form([*files, *texts], fields, left_empty)


def _parts(body: bytes, boundary: str) -> Iterator[_Part]:
    """Parse the parts of a form. Raises BadRequest, or MultipartError if a part has no valid headers."""
    form = _checked(body, _delimiter(boundary))
    segment: MultipartSegment | None = None
    data = b""
    # _checked() enforces MAX_HEADER_BYTES; the shortest header ("a:" and a line break) has 4 bytes.
    limits = {"max_header_size": MAX_HEADER_BYTES, "max_header_count": MAX_HEADER_BYTES // 4}
    try:
        with PushMultipartParser(boundary, header_charset=HEADER_ENCODING, **limits) as parser:
            for event in parser.parse(form):
                if isinstance(event, MultipartSegment):
                    segment, data = event, b""
                elif event is not None:
                    data = bytes(event)  # the whole part, because the parser got the whole form
                elif segment is not None:
                    yield _part(segment, data)
                    segment = None
    except MultipartError as error:
        if segment is None:
            raise
        raise BadRequest(BROKEN) from error  # the size of the part differs from its Content-Length


def _part(segment: MultipartSegment, data: bytes) -> _Part:
    headers = {name: _text(value.encode(HEADER_ENCODING)) for name, value in segment.headerlist}
    _, disposition = split_header(headers["Content-Disposition"])
    kind, _ = split_header(headers.get("Content-Type", ""))
    if kind.startswith("multipart/"):
        raise BadRequest("The form has parts within a part: send the photo as a file part of its own.")
    encoding, _ = split_header(headers.get("Content-Transfer-Encoding", ""))
    return _Part(disposition, kind, _decoded(data, encoding))


def _decoded(data: bytes, encoding: str) -> bytes:
    """Decode the content of a part, as libraries for e-mail encode it. Raises BadRequest."""
    if encoding in ("", "7bit", "8bit", "binary"):
        return data
    if encoding == "quoted-printable":
        return binascii.a2b_qp(data)
    named = f"`Content-Transfer-Encoding: {UNPRINTABLE.sub('', encoding[:40])}`"
    if encoding != "base64":
        raise BadRequest(f"A part of the form has {named}: send it as binary.")
    try:
        return decode_base64(data.decode("ascii", "replace"))
    except BadRequest as error:
        raise BadRequest(f"A part of the form has {named}, but it is not valid base64.") from error


def _delimiter(boundary: str) -> bytes:
    if not boundary:
        raise BadRequest("The Content-Type header names no boundary: leave it to the program that makes the form.")
    # Clients use more characters than the RFC allows, but only printable ASCII, and neither semicolons nor quotes.
    if len(boundary) > MAX_BOUNDARY or not re.fullmatch(r"[!-~ ]*[!-~]", boundary) or set(boundary) & set(';"\\'):
        raise BadRequest(f"The form's boundary is not made of at most {MAX_BOUNDARY} plain characters.")
    return b"--" + boundary.encode("ascii")


def _checked(body: bytes, delimiter: bytes) -> bytes:
    """Return the form without the text around it and the padding of its delimiters, both of which RFC 2046 allows.

    Enforces the limits that the parser lacks: it limits the size and number of headers, but not the number of lines of
    a folded header, and takes seconds for 4.5 MB of them. Raises BadRequest for a malformed form or beyond a limit.
    """
    body = b"\r\n" + body
    line_break = CRLF
    end = body.find(CRLF + delimiter + b"--")
    if end < 0:  # lines that end in LF alone are common in forms that are written by hand or as e-mail
        line_break = b"\n"
        end = body.find(line_break + delimiter + b"--")
    if end < 0:
        raise BadRequest(BROKEN)
    _, *parts = body[:end].split(line_break + delimiter)
    if len(parts) > MAX_PARTS:
        raise BadRequest(f"The form has more than {MAX_PARTS} parts: send the photo alone.")
    parts = [_checked_part(part.lstrip(b" \t"), line_break) for part in parts]
    return (CRLF + delimiter).join([b"", *parts, b"--"])


def _checked_part(part: bytes, line_break: bytes) -> bytes:
    """Check a part, and end the lines of its headers with CRLF. Raises BadRequest."""
    end = part.find(2 * line_break, 0, 2 + MAX_HEADER_BYTES + 4)
    if end < 0 and len(part) > MAX_HEADER_BYTES:
        raise BadRequest(f"A part of the form has more than {MAX_HEADER_BYTES // 1024} KB of headers.")
    if not part.startswith(line_break) or end < 0:
        raise BadRequest(BROKEN)
    if line_break == CRLF:
        return part
    return part[:end].replace(line_break, CRLF) + 2 * CRLF + part[end + 2 :]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def base_name(path: str) -> str:
    """Return the last component of a Unix or Windows path without control characters, or NAMELESS if nothing is left.

    A long name loses its beginning, so that the extension stays.
    """
    name = UNPRINTABLE.sub("", re.split(r"[/\\]", path)[-1]).strip()[-MAX_NAME:].strip()
    return NAMELESS if name in ("", ".", "..") else name
