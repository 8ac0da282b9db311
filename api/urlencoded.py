"""URL-encoded forms, in which pages and scripts send photos as base64 or as data URLs."""

from __future__ import annotations

import re

from api.encoding import decode_percent
from api.errors import BadRequest
from api.forms import MAX_PARTS, NAMELESS, File, Form
from api.photo_text import HEAD, is_image, is_text

_ESCAPED = re.compile(rb"%2[BbFf]")  # a plus sign or a slash, one of which nearly every image has in base64
_FORM = re.compile(rb"[\w.\[\]%+-]{1,100}=")


def is_form(body: bytes) -> bool:
    """Check the first bytes of a body: curl declares every body as such a form."""
    return _FORM.match(body) is not None


def parse(body: bytes) -> Form:
    """Parse a form. Its files are the fields that are photos. Raises BadRequest for more than MAX_PARTS fields."""
    pairs = body.split(b"&", MAX_PARTS)
    if len(pairs) > MAX_PARTS:
        raise BadRequest(f"The form has more than {MAX_PARTS} fields: send the photo alone.")
    files: list[File] = []
    fields: dict[str, list[str]] = {}
    for pair in pairs:
        key, _, value = pair.partition(b"=")
        name, photo = _text(key), _photo(value)
        if photo is not None:
            files.append(File(name, NAMELESS, photo))
        elif name:
            fields.setdefault(name, []).append(_text(value).strip())
    return Form(files, fields, False)


def _photo(value: bytes) -> bytes | None:
    """Return the bytes or the base64 of a photo, or None if the value is something else."""
    head = decode_percent(value[: 3 * HEAD].replace(b"+", b" "))
    if not is_image(head) and not is_text(head):
        return None
    # Base64 is often not escaped, so that a plus sign is one and not a space.
    return decode_percent(value.replace(b"+", b" ") if is_image(head) or _ESCAPED.search(value) else value)


def _text(value: bytes) -> str:
    return decode_percent(value.replace(b"+", b" ")).decode("utf-8", "replace")
