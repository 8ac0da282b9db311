"""Names of collections, which are a part of keys."""

from __future__ import annotations

import re

COLLECTION = re.compile(r"[a-zA-Z0-9_.\-]{1,255}")
RULE = "1 to 255 of the characters a-z, A-Z, 0-9, _, . and -, not only dots"


def is_collection_name(text: str) -> bool:
    """Tell whether a collection can have this name."""
    return bool(COLLECTION.fullmatch(text)) and text.strip(".") != ""
