"""The rules for names and external IDs of people, the same for all ways in."""

from __future__ import annotations

import re
import unicodedata

MAX_NAME = 255  # characters
MAX_DECOMPOSED = 4 * MAX_NAME  # before normalization: thousands of marks on one letter would take minutes
# Control characters, line separators, surrogates, and characters that change the direction of text.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
LONGEST_EXTERNAL_ID = 255  # characters
EXTERNAL_ID = re.compile(rf"[a-zA-Z0-9_.\-:]{{1,{LONGEST_EXTERNAL_ID}}}")  # of Rekognition's clients
RULE = f"1 to {MAX_NAME} characters, without control characters, line breaks and marks of direction"


def clean(text: str) -> str:
    """Return a name or an external ID, trimmed and in Unicode's composed form (NFC). Raises ValueError."""
    name = text.strip()
    if len(name) <= MAX_DECOMPOSED:
        name = unicodedata.normalize("NFC", name)
    if not 1 <= len(name) <= MAX_NAME or UNPRINTABLE.search(text):
        raise ValueError(f"{text!r} cannot be a person's name: it has {RULE}.")
    return name
