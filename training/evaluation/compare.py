"""compare: list the differences between two reports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.errors import TrainingError

# Lists that are compared by their length alone.
LISTS = ("duplicates", "look_alikes", "wrong", "per_person", "cross_validated.calibration")


def compare(first: Path, second: Path) -> str:
    """Tabulate the values that differ, and val_accuracy in any case.

    first, second: folder of a training run, or a report.json. Raises TrainingError if one cannot be read.
    """
    left, right = dict(_flatten(_read(first))), dict(_flatten(_read(second)))
    rows = [("", str(first), str(second), "difference")]
    for name in dict.fromkeys([*left, *right]):
        a, b = left.get(name), right.get(name)
        if a != b or name == "val_accuracy":
            rows.append((name, _text(a), _text(b), _difference(a, b)))
    same = sum(left[name] == right.get(name) for name in left)
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, f"{same} values are the same in both"])


def _read(path: Path) -> dict[str, Any]:
    path = path / "report.json" if path.is_dir() else path
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} is not a report: {error}.") from error


def _flatten(content: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted names and scalar values. A list in LISTS yields its length."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _flatten(value, f"{name}.{key}" if name else str(key))
    elif isinstance(content, list):
        if name in LISTS:
            yield name, len(content)
        else:
            yield from _flatten(dict(enumerate(content)), name)
    else:
        yield name, content


def _difference(a: Any, b: Any) -> str:
    return f"{b - a:+.6g}" if isinstance(a, (int, float)) and isinstance(b, (int, float)) else ""


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
