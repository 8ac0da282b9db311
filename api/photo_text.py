"""Photos that are sent as text: in base64, once or more often, or as a data URL.

The first bytes tell what data is. Media types and names of fields do not: clients send base64 as any of them.
"""

from __future__ import annotations

import binascii
import re

from api.encoding import decode_base64, decode_percent
from api.errors import BadRequest
from model.formats import SIGNATURES

HEAD = 700  # bytes: in base64, the first 500 of an image, because a HEIC may list many brands
MAX_LAYERS = 5  # of text within text

# Also images that cannot be read here, TIFF and BMP: they are told so, which a PDF beside a photo is not.
_IMAGE = re.compile(
    b"|".join([*(signature.pattern for signature in SIGNATURES.values()), rb"II\*\0|MM\0\*|BM.{4}\0{4}"]), re.DOTALL
)
_DATA_URL = re.compile(rb"data:(?:[\w.+-]+/[\w.+-]+[^,]{0,200}|[^,]{0,200};base64\s*),", re.IGNORECASE)
_START = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*(?:b?[\"'])?")
_NO_LETTERS = re.compile(rb"[^A-Za-z0-9+/]")
_QUOTED = re.compile(r"b?([\"'])(.*)\1", re.DOTALL)  # a JSON string, or Python's str(b"...")


def is_image(data: bytes) -> bool:
    """Check whether data begins as an image file."""
    return _IMAGE.match(data, 0, HEAD) is not None


def is_text(data: bytes) -> bool:
    """Check whether data begins as base64 of an image, or as a data URL."""
    head = _START.sub(b"", data[:HEAD])
    if _DATA_URL.match(head):
        return True
    # A plus sign among the first bytes may have become a space.
    return any(_begins_image(b"".join(each.split())) for each in {head, head.replace(b" ", b"+")})


def is_photo(data: bytes) -> bool:
    """Check whether data begins as an image file, or as text that stands for one."""
    return is_image(data) or is_text(data)


def photo_bytes(data: bytes) -> bytes:
    """Return the image that text stands for, or data that is no such text unchanged. Raises BadRequest."""
    for _ in range(MAX_LAYERS):
        if is_image(data) or not is_text(data):
            break
        data = _decoded(data.decode("utf-8", "replace"))
    return data


def decode_image(text: str) -> bytes:
    """Decode a photo in base64, which may be a data URL. Raises BadRequest."""
    return photo_bytes(_decoded(text))


def _begins_image(text: bytes) -> bool:
    """text: the beginning of base64, without white space."""
    letters = _NO_LETTERS.split(text.replace(b"-", b"+").replace(b"_", b"/"), 1)[0]
    letters = letters[: len(letters) - (len(letters) % 4 == 1)]
    return len(letters) > 3 and is_photo(binascii.a2b_base64(letters + b"=" * (-len(letters) % 4)))


def _decoded(text: str) -> bytes:
    """Decode one layer. Raises BadRequest."""
    text = text.lstrip("\ufeff").strip()
    quoted = _QUOTED.fullmatch(text)
    text = quoted[2].strip() if quoted else text
    if text[:5].lower() == "data:":
        header, _, content = text.partition(",")
        data = content.encode("utf-8", "replace")
        data = decode_percent(data) if "%" in content else data
        if not header.rstrip().lower().endswith(";base64"):
            return data
        text = data.decode("utf-8", "replace")
    try:
        return decode_base64(text)
    except BadRequest as error:
        raise BadRequest("The photo is not valid base64.") from error
