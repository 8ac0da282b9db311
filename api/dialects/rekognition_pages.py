"""Pages of listings in Rekognition's dialect.

A token names the last entry of a page, so that it stays right when entries are added or deleted meanwhile.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Callable, Sequence, Tuple, TypeVar

from api.dialects.rekognition_fields import Fields
from api.errors import DialectError

PREFIX = 180  # characters of an entry's name in a token, which has at most 255
CHECKSUM_BYTES = 4

Entry = TypeVar("Entry")
Key = Tuple[str, int]  # the beginning of the entry's name, and the checksum of the whole


def page_of(
    entries: Sequence[Entry], name_of: Callable[[Entry], str], fields: Fields, most: int
) -> tuple[list[Entry], str | None]:
    """Select the page that a request asks for. -> its entries, and the token of the next page, if there is one.

    name_of: unique and ASCII; most: entries on a page. Raises DialectError.
    """
    limit = fields.count("MaxResults", 0, most) or most
    token = fields.page_token()
    after = ("", -1) if token is None else _parse(token)
    keyed = sorted((_key(name_of(entry)), row) for row, entry in enumerate(entries))
    remaining = [row for key, row in keyed if key > after]
    selected = [entries[row] for row in remaining[:limit]]
    return selected, _token(_key(name_of(selected[-1]))) if len(remaining) > limit else None


def _key(name: str) -> Key:
    return name[:PREFIX], zlib.crc32(name.encode())


def _token(key: Key) -> str:
    data = key[1].to_bytes(CHECKSUM_BYTES, "big") + key[0].encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _parse(token: str) -> Key:
    """Raises DialectError for a token that no page has had."""
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        key = data[CHECKSUM_BYTES:].decode("ascii"), int.from_bytes(data[:CHECKSUM_BYTES], "big")
    except (binascii.Error, ValueError) as error:
        raise _unknown() from error
    if len(data) <= CHECKSUM_BYTES or (len(key[0]) < PREFIX and key != _key(key[0])):
        raise _unknown()
    return key


def _unknown() -> DialectError:
    return DialectError("InvalidPaginationTokenException", "NextToken is not a token of an earlier page.")
