"""Time and memory. Imports nothing else than Python's own modules, because it runs in the measured processes."""

from __future__ import annotations

import re
import statistics
import time
from pathlib import Path
from typing import Any, Callable

MB = 1e6


def median_ms(call: Callable[[int], Any], count: int) -> float:
    """Median time in ms of calls, each with its number."""
    times = []
    for number in range(count):
        started = time.perf_counter()
        call(number)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def peak(process: int | str = "self") -> float:
    """Peak resident memory in MB. getrusage would include the peak of the parent process."""
    return _status(process, "VmHWM")


def anonymous(process: int | str = "self") -> float:
    """Memory that is no file, in MB."""
    return _status(process, "RssAnon")


def _status(process: int | str, field: str) -> float:
    (kilobytes,) = re.findall(rf"{field}:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(kilobytes) * 1024 / MB
