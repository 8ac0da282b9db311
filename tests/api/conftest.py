from __future__ import annotations

import io
import json
import logging
import sys
from typing import Any, Callable, Iterator

import pytest

from api.telemetry import SERVICE


class CurrentStdout(io.StringIO):
    """Writes to the current sys.stdout: pytest replaces it in each phase of a test, and the log keeps the first one."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


@pytest.fixture()
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Yield a function that returns the lines of log and metrics since its last call, as dictionaries."""
    (handler,) = logging.getLogger(SERVICE).handlers
    assert isinstance(handler, logging.StreamHandler)
    before = handler.setStream(CurrentStdout())
    assert before is not None
    yield lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    handler.setStream(before)
