"""Soak test: memory and speed of one runtime over many requests of all kinds.

    python -m benchmarks.soak --requests 20000

Runs the bundled model in AWS's Lambda emulator with one torch thread, as on one virtual CPU of Lambda. Requests are
sent one at a time, as on Lambda. Prints a Markdown table and exits with 1 if the runtime leaks or becomes slower.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import numpy as np

from benchmarks.options import parser_of
from benchmarks.usage import MB
from testing.emulator import Emulator
from testing.events import recorded, request, upload
from testing.paths import SAMPLES

# Allowed growth of RSS in MB after the first window, in which memory still settles. USS is not limited, because it also
# grows when other processes stop sharing its files.
MAX_GROWTH = 20
MAX_SLOWDOWN = 1.5  # times the second window's p99
HEADER = """\
| requests | wrong | p50, ms | p95 | p99 | CPU, ms | RSS, MB | USS, MB | descriptors | threads | temp files |
|---|---|---|---|---|---|---|---|---|---|---|"""


class Case(NamedTuple):
    """A request. status: expected of the response."""

    event: dict[str, Any]
    status: int


class Window(NamedTuple):
    """Measurements over consecutive requests. Times in ms, memory in MB.

    wrong: responses with an unexpected status; cpu: CPU time of a request, which depends less on other load than the
    other times; rss: maximum after any request, because it depends on its kind; uss: after the last request.
    """

    requests: int  # since the start of the runtime
    wrong: int
    p50: float
    p95: float
    p99: float
    cpu: float
    rss: float
    uss: float
    descriptors: int
    threads: int
    files: int  # in the temporary folder


def mix() -> list[Case]:
    """Four rounds of one request of each kind, each round with another known person."""
    broken = (SAMPLES / "astronaut.jpg").read_bytes()[:20_000]
    stranger = (SAMPLES / "Alicia_Witt_0001.jpg").read_bytes()
    others = [
        Case(recorded("rest-stranger"), 200),
        Case(recorded("rest-no-face"), 422),
        Case(upload(broken), 422),
        Case(upload(stranger, top="0"), 400),
        Case(request("POST", "/classify", (SAMPLES / "astronaut.jpg").read_bytes(), "image/jpeg"), 200),
        Case(request("GET", "/health"), 200),
        Case(request("GET", "/nowhere"), 404),
    ]
    names = ("Kofi_Annan_0006", "Jennifer_Aniston_0007", "Serena_Williams_0006", "Tony_Blair_0007")
    known = [Case(upload((SAMPLES / f"{name}.jpg").read_bytes()), 200) for name in names]
    return [case for person in known for case in (person, *others)]


def soak(requests: int, size: int, seconds: float) -> Iterator[Window]:
    """Yield consecutive windows of `size` requests, until `requests` are sent or `seconds` have passed."""
    until, cases, done, cpu = time.monotonic() + seconds, cycle(mix()), 0, 0.0
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        temp = Path(folder) / "temp"
        temp.mkdir()
        environment = {"TMPDIR": str(temp), "MODEL_URI": "", "OMP_NUM_THREADS": "1"}
        with closing(Emulator(Path(folder) / "log", **environment)) as emulator:
            while done < requests and time.monotonic() < until:
                wrong, times, rss = send(emulator, islice(cases, size), until)
                process = emulator.runtime()
                before, cpu, done = cpu, sum(process.cpu_times()[:2]), done + len(times)
                p50, p95, p99 = np.percentile(times, (50, 95, 99))
                yield Window(
                    requests=done,
                    wrong=wrong,
                    p50=p50,
                    p95=p95,
                    p99=p99,
                    cpu=(cpu - before) / len(times) * 1000,
                    rss=rss / MB,
                    uss=process.memory_full_info().uss / MB,
                    descriptors=process.num_fds(),
                    threads=process.num_threads(),
                    files=sum(1 for _ in temp.rglob("*")),
                )


def send(emulator: Emulator, cases: Iterator[Case], until: float) -> tuple[int, list[float], int]:
    """Send requests, the first one in any case, until time.monotonic() reaches `until`.

    -> number of responses with an unexpected status, times in ms, and the maximum of RSS in bytes.
    """
    wrong, rss = 0, 0
    times: list[float] = []
    for case in cases:
        started = time.monotonic()
        if times and started >= until:
            break
        wrong += emulator.answer(case.event).get("statusCode") != case.status
        times.append((time.monotonic() - started) * 1000)
        rss = max(rss, emulator.runtime().memory_info().rss)
    return wrong, times, rss


def problems(windows: list[Window], requests: int) -> list[str]:
    """Describe each limit that was exceeded. windows: of the whole run; requests: how many were planned."""
    first, settled, last = windows[0], windows[min(1, len(windows) - 1)], windows[-1]
    found = []
    if last.requests < requests:
        found.append(f"Only {last.requests:,} of {requests:,} requests were completed in time.")
    if any(window.wrong for window in windows):
        found.append(f"{sum(window.wrong for window in windows)} responses had an unexpected status.")
    if last.rss - settled.rss >= MAX_GROWTH:
        found.append(f"Memory grew by {last.rss - settled.rss:.1f} MB after the first {settled.requests:,} requests.")
    if len(windows) > 2 and last.p99 > MAX_SLOWDOWN * settled.p99:
        found.append(f"p99 rose from {settled.p99:.0f} ms to {last.p99:.0f} ms.")
    if last.files:
        found.append(f"{last.files} files remain in the temporary folder.")
    for name in ("descriptors", "threads"):
        before, after = getattr(first, name), getattr(last, name)
        if after > before:
            grew = f"{name.capitalize()} grew from {before} to {after}"
            found.append(f"{grew} after the first {first.requests:,} requests.")
    return found


def long_run(requests: int, size: int, seconds: float) -> list[str]:
    """Print the windows of a soak test as a table, each as soon as it is measured. Returns its problems."""
    print(HEADER, flush=True)
    windows = []
    for window in soak(requests, size, seconds):
        cells = [f"{value:.1f}" if isinstance(value, float) else f"{value:,}" for value in window]
        print(f"| {' | '.join(cells)} |", flush=True)
        windows.append(window)
    return problems(windows, requests)


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--requests", type=int, default=20_000, help="in total (%(default)s)")
    parser.add_argument("--window", type=int, default=1000, metavar="N", help="requests in a row of the table (1000)")
    parser.add_argument("--minutes", type=float, default=60, help="maximum duration (60)")
    options = parser.parse_args()
    if options.requests % options.window:
        parser.error("--requests has to be a multiple of --window")
    found = long_run(options.requests, options.window, options.minutes * 60)
    print("\n" + "\n".join(found or ["No leak and no slowdown found."]))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
