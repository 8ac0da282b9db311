"""Soak test: memory and speed of one runtime over many requests of all kinds.

    python -m benchmarks.soak --requests 20000
    python -m benchmarks.soak --side-by-side 8

Runs the bundled model in AWS's Lambda emulator with one torch thread, as on one virtual CPU of Lambda. Requests are
sent one at a time, as on Lambda. Prints a Markdown table and exits with 1 if the runtime leaks or becomes slower.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from itertools import cycle, islice, repeat
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import numpy as np

from testing.emulator import Emulator
from testing.events import recorded, request, upload
from testing.paths import SAMPLES

MB = 1e6
# Allowed growth of RSS in MB after the first window, in which memory still settles. USS is not limited, because it also
# grows when other processes stop sharing its files.
MAX_GROWTH = 20
MAX_SLOWDOWN = 1.5  # times the second window's p99


class Case(NamedTuple):
    """A request. status: expected of the response."""

    event: dict[str, Any]
    status: int


class Window(NamedTuple):
    """Measurements over consecutive requests. Times in ms, memory in MB.

    wrong: responses with an unexpected status; cpu: CPU time of a request, which depends less on other load than the
    other times; rss: maximum after any request; uss: after the last request.
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


class Function:
    """One runtime with its own temporary folder. Close after use."""

    def __init__(self, folder: Path) -> None:
        self._temp = folder / "temp"
        self._temp.mkdir(parents=True)
        environment = {"TMPDIR": str(self._temp), "MODEL_URI": "", "OMP_NUM_THREADS": "1"}
        self._emulator = Emulator(folder / "log", **environment)
        self._cases = cycle(mix())
        self._done, self._cpu = 0, 0.0

    def send(self, count: int, until: float) -> Window:
        """Send `count` requests in sequence, or fewer if time.monotonic() reaches `until`."""
        wrong, times, rss = 0, [], 0
        for case in islice(self._cases, count):
            started = time.monotonic()
            if started >= until:
                break
            wrong += self._emulator.answer(case.event).get("statusCode") != case.status
            times.append((time.monotonic() - started) * 1000)
            # The maximum over all requests: RSS after the last one depends on its kind.
            rss = max(rss, self._emulator.runtime().memory_info().rss)
        self._done += len(times)
        return self._window(wrong, times, rss)

    def _window(self, wrong: int, times: list[float], rss: int) -> Window:
        """Collect the measurements of a window. times: ms; rss: bytes."""
        process = self._emulator.runtime()
        cpu = sum(process.cpu_times()[:2])
        used, self._cpu = cpu - self._cpu, cpu
        p50, p95, p99 = np.percentile(times, (50, 95, 99))
        return Window(
            requests=self._done,
            wrong=wrong,
            p50=p50,
            p95=p95,
            p99=p99,
            cpu=used / len(times) * 1000,
            rss=rss / MB,
            uss=process.memory_full_info().uss / MB,
            descriptors=process.num_fds(),
            threads=process.num_threads(),
            files=sum(1 for _ in self._temp.rglob("*")),
        )

    def close(self) -> None:
        self._emulator.close()


@contextmanager
def functions(count: int) -> Iterator[list[Function]]:
    """Run `count` runtimes."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        yield [stack.enter_context(closing(Function(folder / str(i)))) for i in range(count)]


def soak(requests: int, size: int, seconds: float) -> Iterator[Window]:
    """Yield consecutive windows of `size` requests, until `requests` are sent or `seconds` have passed."""
    with functions(1) as (function,):
        until = time.monotonic() + seconds
        for _ in range(requests // size):
            window = function.send(size, until)
            yield window
            if time.monotonic() >= until:
                return


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
            found.append(
                f"{name.capitalize()} grew from {before} to {after} after the first {first.requests:,} requests."
            )
    return found


def long_run(requests: int, size: int, seconds: float) -> list[str]:
    """Print the windows of a soak test as a table. Returns its problems."""
    print(
        "| requests | wrong | p50, ms | p95 | p99 | CPU, ms | RSS, MB | USS, MB | descriptors | threads | temp files |"
    )
    print("|" + "---|" * 11, flush=True)
    windows = []
    for window in soak(requests, size, seconds):
        cells = [f"{value:.1f}" if isinstance(value, float) else f"{value:,}" for value in window]
        print(f"| {' | '.join(cells)} |", flush=True)
        windows.append(window)
    return problems(windows, requests)


def side_by_side(count: int, requests: int, seconds: float) -> list[str]:
    """Compare the throughput of `count` concurrent runtimes with one alone. requests: to each. Returns the problems."""
    print("| runtimes | requests/s | p50 of a runtime, ms | p99 | USS of all, MB |\n|---|---|---|---|---|", flush=True)
    rates, wrong = [], 0
    for runtimes in (1, count):
        windows, rate = measure_concurrent(runtimes, requests, seconds / 2)
        wrong += sum(window.wrong for window in windows)
        rates.append(rate)
        p50, p99 = np.median([window.p50 for window in windows]), max(window.p99 for window in windows)
        uss = sum(window.uss for window in windows)
        print(f"| {runtimes} | {rate:.1f} | {p50:.1f} | {p99:.1f} | {uss:.0f} |", flush=True)
    print(f"\nThe throughput together is {rates[1] / rates[0]:.2f} times that of one.")
    return [f"{wrong} responses had an unexpected status."] if wrong else []


def measure_concurrent(count: int, requests: int, seconds: float) -> tuple[list[Window], float]:
    """The window of each of `count` concurrent runtimes, and their requests per second together."""
    with functions(count) as running, ThreadPoolExecutor(count) as pool:
        for function in running:
            function.send(len(mix()), math.inf)  # INIT and the first requests are slower
        started = time.monotonic()
        windows = list(pool.map(Function.send, running, repeat(requests), repeat(started + seconds)))
        elapsed = time.monotonic() - started
    done = sum(window.requests for window in windows) - count * len(mix())
    return windows, done / elapsed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, help="in total (20,000), or to each of several runtimes (400)")
    parser.add_argument("--window", type=int, default=1000, metavar="N", help="requests in a row of the table (1000)")
    parser.add_argument("--minutes", type=float, default=60, help="maximum duration (60)")
    parser.add_argument("--side-by-side", type=int, metavar="N", help="compare N concurrent runtimes with one")
    options = parser.parse_args()
    if options.side_by_side:
        found = side_by_side(options.side_by_side, options.requests or 400, options.minutes * 60)
    else:
        requests = options.requests or 20_000
        if requests % options.window:
            parser.error("--requests has to be a multiple of --window")
        found = long_run(requests, options.window, options.minutes * 60)
    print("\n" + "\n".join(found or ["No leak and no slowdown found."]))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
