"""The contract with callers, openapi.yaml, as the service hands it out."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

CONTRACT = Path(__file__).resolve().parent.parent / "openapi.yaml"


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """OpenAPI 3.1. Read when it is first asked for, which most runtimes never are."""
    import yaml

    found: dict[str, Any] = yaml.safe_load(CONTRACT.read_text(encoding="utf-8"))
    return found
