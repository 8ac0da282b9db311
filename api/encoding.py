"""Base64 and percent signs as gateways and clients send them."""

from __future__ import annotations

import base64
import binascii
import re
from contextlib import suppress

from api.errors import BadRequest

_ESCAPES = re.compile(rb"(?:%[0-9a-fA-F]{2})+")


def decode_base64(text: str) -> bytes:
    """Decode base64 of either alphabet, also with line breaks, without padding, or with spaces for plus signs.

    Raises BadRequest.
    """
    with suppress(binascii.Error, ValueError):
        data = binascii.a2b_base64(text)
        # a2b_base64 skips characters that are not base64. The length shows that it skipped none, which is the usual
        # case, and checking the characters first would take twice as long.
        if 4 * len(data) == 3 * len(text) - 4 * (len(text) - len(text.rstrip("="))):
            return data
    text = "".join(_with_plus_signs(text).split()).replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("The body is not valid base64.") from error


def decode_percent(data: bytes) -> bytes:
    """Replace each percent sign and two hexadecimal digits by the byte that they stand for."""
    # unquote_to_bytes takes seconds for megabytes of percent signs.
    return _ESCAPES.sub(lambda found: binascii.a2b_hex(found[0].replace(b"%", b"")), data)


def _with_plus_signs(text: str) -> str:
    """Put plus signs in place of spaces within lines, as forms replace plus signs that are not escaped."""
    if " " not in text.strip() or any(sign in text for sign in "+-_"):
        return text
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line if _is_joined(line) else line.replace(" ", "+") for line in lines)


def _is_joined(line: str) -> bool:
    """Check whether spaces are between lines of equal length that were joined, as a shell joins them."""
    width = line.find(" ")
    if width < 0:
        return True
    *pieces, last = line.split(" ")
    return len(line.replace(" ", "")) % 4 == 0 and {len(piece) for piece in pieces} == {width} and len(last) <= width
