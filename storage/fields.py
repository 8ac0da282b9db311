"""JSON that was read from a store, as dataclasses: one that was written elsewhere can hold anything."""

from __future__ import annotations

import re
from dataclasses import MISSING
from typing import Any

SHA256 = re.compile(r"[0-9a-f]{64}")
SCALARS: dict[Any, type] = {"str": str, "int": int, "bool": bool}


def pick(kind: type, content: Any) -> dict[str, Any]:
    """Pick a dataclass's fields from a JSON object; others are ignored, and those with a default may be missing.

    Strings, integers and checksums are checked, anything else is left to the caller. Raises KeyError, TypeError.
    """
    if not isinstance(content, dict):
        raise TypeError(f"it is no JSON object but {type(content).__name__}")
    found = {}
    for name, field in kind.__dataclass_fields__.items():  # type: ignore[attr-defined]
        if name not in content and field.default is not MISSING:
            continue
        value = found[name] = content[name]
        expected = SCALARS.get(field.type)
        if expected and not isinstance(value, expected):
            raise TypeError(f"{name} is no {expected.__name__}")
        if name.endswith("sha256") and not SHA256.fullmatch(value):
            raise TypeError(f"{name} is no SHA-256")
    return found


def describe(error: BaseException) -> str:
    """Describe an error by its class and message. Its repr may hold all that was read, names of people included."""
    return f"{type(error).__name__}, {error}"
