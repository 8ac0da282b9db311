"""Whether the function keeps its memory and its pace over a long life: requests of all kinds to one runtime of it.

    python -m benchmarks.soak --requests 20000
    python -m benchmarks.soak --side-by-side 8

Runs under AWS's Lambda emulator, with one thread for torch, as on Lambda's one virtual CPU, and the bundled model. A
request waits for the one before, as on Lambda. Prints a Markdown table and ends with 1 where something leaks or slows.
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
# MB of RSS from the second window on: the first settles in, the more so the shorter it is. USS also grows when others
# stop sharing its files.
GROWTH = 20
SLOWER = 1.5  # times the second window's p99


class Ask(NamedTuple):
    event: dict[str, Any]
    status: int


class Window(NamedTuple):
    """Some hundred requests. Times in ms, memory in MB.

    wrong: answers of another status than they should have; cpu: of the runtime, for a request, which other work on the
    machine changes less than it does the others; rss: the most after any request; uss: after the last.
    """

    requests: int  # until its end
    wrong: int
    p50: float
    p95: float
    p99: float
    cpu: float
    rss: float
    uss: float
    descriptors: int
    threads: int
    files: int  # in the temp folder


def mix() -> list[Ask]:
    """One of each kind, and another known person in each round of four."""
    broken = (SAMPLES / "astronaut.jpg").read_bytes()[:20_000]
    stranger = (SAMPLES / "Alicia_Witt_0001.jpg").read_bytes()
    others = [
        Ask(recorded("rest-stranger"), 200),
        Ask(recorded("rest-no-face"), 422),
        Ask(upload(broken), 422),
        Ask(upload(stranger, top="0"), 400),
        Ask(request("POST", "/classify", (SAMPLES / "astronaut.jpg").read_bytes(), "image/jpeg"), 200),
        Ask(request("GET", "/health"), 200),
        Ask(request("GET", "/nowhere"), 404),
    ]
    names = ("Kofi_Annan_0006", "Jennifer_Aniston_0007", "Serena_Williams_0006", "Tony_Blair_0007")
    return [ask for name in names for ask in (Ask(upload((SAMPLES / f"{name}.jpg").read_bytes()), 200), *others)]


class Function:
    """One runtime with a temp folder of its own. To be closed."""

    def __init__(self, folder: Path) -> None:
        self._temp = folder / "temp"
        self._temp.mkdir(parents=True)
        own = {"TMPDIR": str(self._temp), "MODEL_URI": "", "OMP_NUM_THREADS": "1"}
        self._emulator = Emulator(folder / "log", **own)
        self._asks = cycle(mix())
        self._done, self._cpu = 0, 0.0

    def work(self, count: int, until: float) -> Window:
        """So many requests one after the other, or fewer where time.monotonic() reaches `until`."""
        wrong, took, rss = 0, [], 0
        for ask in islice(self._asks, count):
            started = time.monotonic()
            if started >= until:
                break
            wrong += self._emulator.answer(ask.event).get("statusCode") != ask.status
            took.append((time.monotonic() - started) * 1000)
            process = self._emulator.runtime()
            # Some requests leave more than others, so what is there after the last one is chance.
            rss = max(rss, process.memory_info().rss)
        self._done += len(took)
        memory, cpu = process.memory_full_info(), sum(process.cpu_times()[:2])
        used, self._cpu = cpu - self._cpu, cpu
        p50, p95, p99 = np.percentile(took, (50, 95, 99))
        return Window(
            self._done,
            wrong,
            p50,
            p95,
            p99,
            used / len(took) * 1000,
            rss / MB,
            memory.uss / MB,
            process.num_fds(),
            process.num_threads(),
            sum(1 for _ in self._temp.rglob("*")),
        )

    def close(self) -> None:
        self._emulator.close()


@contextmanager
def functions(count: int) -> Iterator[list[Function]]:
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        yield [ends.enter_context(closing(Function(folder / str(i)))) for i in range(count)]


def soak(requests: int, size: int, seconds: float) -> Iterator[Window]:
    """A window of `size` requests after the other, as many as fit into the time."""
    with functions(1) as (function,):
        until = time.monotonic() + seconds
        for _ in range(requests // size):
            window = function.work(size, until)
            yield window
            if time.monotonic() >= until:
                return


def problems(windows: list[Window], requests: int) -> list[str]:
    """What is wrong with a whole life, a sentence each."""
    first, settled, last = windows[0], windows[min(1, len(windows) - 1)], windows[-1]
    found = []
    if last.requests < requests:
        found.append(f"Only {last.requests:,} of {requests:,} requests were done in time.")
    if any(window.wrong for window in windows):
        found.append(f"{sum(window.wrong for window in windows)} answers had another status than they should.")
    if last.rss - settled.rss >= GROWTH:
        found.append(f"Memory grew by {last.rss - settled.rss:.1f} MB after the first {settled.requests:,} requests.")
    if len(windows) > 2 and last.p99 > SLOWER * settled.p99:
        found.append(f"p99 rose from {settled.p99:.0f} ms to {last.p99:.0f} ms.")
    if last.files:
        found.append(f"{last.files} files were left in the temp folder.")
    for what in ("descriptors", "threads"):
        before, after = getattr(first, what), getattr(last, what)
        if after > before:
            found.append(f"{before} {what} after the first {first.requests:,} requests became {after}.")
    return found


def long_life(requests: int, size: int, seconds: float) -> list[str]:
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
    """Against one alone; `requests` for each."""
    print("| runtimes | requests/s | p50 of a runtime, ms | p99 | USS of all, MB |\n|---|---|---|---|---|", flush=True)
    rates, wrong = [], 0
    for many in (1, count):
        with functions(many) as running, ThreadPoolExecutor(many) as pool:
            for one in running:
                one.work(len(mix()), math.inf)  # INIT, and the first few are slower
            started = time.monotonic()
            windows = list(pool.map(Function.work, running, repeat(requests), repeat(started + seconds / 2)))
            took = time.monotonic() - started
        done = sum(window.requests for window in windows) - many * len(mix())
        wrong += sum(window.wrong for window in windows)
        rates.append(done / took)
        p50, p99 = np.median([window.p50 for window in windows]), max(window.p99 for window in windows)
        uss = sum(window.uss for window in windows)
        print(f"| {many} | {rates[-1]:.1f} | {p50:.1f} | {p99:.1f} | {uss:.0f} |", flush=True)
    print(f"\nTogether {rates[1] / rates[0]:.2f} times the throughput of one.")
    return [f"{wrong} answers had another status than they should."] if wrong else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, help="20,000 in all, or 400 to each of those side by side")
    parser.add_argument(
        "--window", type=int, default=1000, metavar="N", help="a row of the table for N requests (1000)"
    )
    parser.add_argument("--minutes", type=float, default=60, help="for all of it, at most (60)")
    parser.add_argument("--side-by-side", type=int, metavar="N", help="N runtimes at once, against one")
    given = parser.parse_args()
    if given.side_by_side:
        found = side_by_side(given.side_by_side, given.requests or 400, given.minutes * 60)
    else:
        requests = given.requests or 20_000
        if requests % given.window:
            parser.error("--requests has to be a multiple of --window")
        found = long_life(requests, given.window, given.minutes * 60)
    print("\n" + "\n".join(found or ["Nothing leaked or slowed."]))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
