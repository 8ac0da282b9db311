from __future__ import annotations

import io
import json
import logging
import sys
from typing import Any, Callable, Iterator

import pytest

from api.telemetry import SERVICE


class CurrentStdout(io.StringIO):
    """The log keeps the stdout of its start, and pytest replaces it in each phase of a test."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


@pytest.fixture()
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What log and metrics have written since the last call, one dictionary a line."""
    (handler,) = logging.getLogger(SERVICE).handlers
    assert isinstance(handler, logging.StreamHandler)
    before = handler.setStream(CurrentStdout())
    assert before is not None
    yield lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    handler.setStream(before)
