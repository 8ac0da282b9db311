"""Parameters of requests: from the query, a form's text fields, or fields of a JSON object."""

from __future__ import annotations

import re
from typing import Any, Mapping, Sequence

import numpy as np

from api.errors import BadParameter
from model.calibration import STRICTNESS
from service.names import RULE, clean
from service.results import MAX_LISTED, IdentifyOptions
from storage import collection_names

LONGEST_ID = 18  # digits, so that it fits into 64 bits
FACE_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

Values = Mapping[str, Sequence[str]]


def parse_options(values: Values) -> IdentifyOptions:
    """Read the options of an identification. Raises BadParameter."""
    selected = {name: value for name in OPTIONS for value in [single(values, name)] if value is not None}
    return IdentifyOptions(
        top=_top(selected["top"]) if "top" in selected else IdentifyOptions.top,
        threshold=_threshold(selected["threshold"]) if "threshold" in selected else None,
        strictness=_strictness(selected["strictness"]) if "strictness" in selected else None,
        all_faces=_faces(selected.get("faces", "largest")) == "all",
        collection=parse_collection(values),
    )


OPTIONS = ("top", "threshold", "strictness", "faces")


def single(values: Values, name: str) -> str | None:
    """Return the value of a parameter, if it is given. Raises BadParameter if it is given more than once."""
    given = values.get(name, ())
    if len(given) > 1:
        raise BadParameter(f"`{name}` is given more than once.")
    return given[0] if given else None


def parse_collection(values: Values) -> str | None:
    """Read the name of a collection, None for the default. Raises BadParameter."""
    name = single(values, "collection")
    return None if name is None else check_collection(name)


def check_collection(name: str) -> str:
    """Return the name of a collection if it can be one. Raises BadParameter."""
    if not collection_names.is_collection_name(name):
        raise BadParameter(f"`collection` is {collection_names.RULE}.")
    return name


def check_text(name: str, value: Any) -> str:
    """Return a person's name or external ID, trimmed and in Unicode's composed form (NFC). Raises BadParameter."""
    try:
        return clean(value)
    except (ValueError, AttributeError) as error:
        raise BadParameter(f"`{name}` is text: {RULE}.") from error


def parse_id(text: str) -> int | None:
    """Read the ID of a person, or return None for text that is none."""
    return int(text) if re.fullmatch(f"[0-9]{{1,{LONGEST_ID}}}", text) else None


def parse_page(values: Values) -> tuple[int, int]:
    """Read the part of a listing: the ID after which it begins, and the number of people. Raises BadParameter."""
    after, limit = single(values, "after"), single(values, "limit")
    start = -1 if after is None else parse_id(after)
    count = MAX_LISTED if limit is None else parse_id(limit)
    if start is None:
        raise BadParameter("`after` is the ID of a person.")
    if count is None or not 1 <= count <= MAX_LISTED:
        raise BadParameter(f"`limit` is a whole number from 1 to {MAX_LISTED}.")
    return start, count


def parse_number(text: str) -> float | None:
    """Read a number, or return None."""
    # float() alone would also accept nan, 1_0 and the digits of other scripts.
    try:
        return float(text) if re.fullmatch("[0-9.eE+-]{1,32}", text) else None
    except ValueError:
        return None


def parse_embedding(value: Any) -> np.ndarray:
    """Return a JSON array of numbers as float64 [N]. Raises BadParameter."""
    if not isinstance(value, list) or not all(type(number) in (int, float) for number in value):
        raise BadParameter("`embedding` is a list of numbers.")
    try:
        return np.array(value, np.float64)
    except OverflowError as error:
        raise BadParameter("`embedding` has a number that is too large.") from error


def _top(text: str) -> int:
    if not re.fullmatch("[0-9]{1,2}", text) or not 1 <= int(text) <= 20:
        raise BadParameter("`top` is a whole number from 1 to 20.")
    return int(text)


def _threshold(text: str) -> float:
    number = parse_number(text)
    if number is None or not 0 <= number <= 1:
        raise BadParameter("`threshold` is a number from 0 to 1.")
    return number


def _strictness(text: str) -> float:
    number = parse_number(text)
    if number is None or number not in STRICTNESS:
        raise BadParameter(f"`strictness` is one of {', '.join(f'{share:g}' for share in STRICTNESS)}.")
    return number


def _faces(text: str) -> str:
    if text not in ("largest", "all"):
        raise BadParameter("`faces` is `largest` or `all`.")
    return text
