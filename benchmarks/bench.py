"""Speed of the service compared with the baseline (benchmarks/baseline.py), and of several runtimes on one machine.

    python -m benchmarks.bench            12 minutes: writes benchmarks/results.md and results.json
    python -m benchmarks.bench --check    5 minutes: exits with 1 if a ratio is 25 % worse than in results.json

Both functions run side by side in AWS's Lambda emulator with the same S3. Requests alternate between them, so that
other load on the machine affects both. Tables show medians. A ratio is the median of the ratios of neighbouring
requests.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Dict, NamedTuple, Tuple

import numpy as np

from benchmarks.functions import HANDLERS, Function, drop_file_cache, event, functions, machine, photos, storage
from benchmarks.options import parser_of
from training.markdown import table

RESULTS = Path(__file__).with_name("results.md")
TOLERANCE = 1.25  # times the recorded ratio
TIME_LIMIT = 20.0  # seconds for the requests of one photo to both functions
RUNTIMES, REQUESTS = (1, 2, 4, 8), 40  # concurrent functions, and requests to each
STAGES = ("INIT", "INIT and first response")  # of a cold start
HEADER = ["baseline, ms", "ours, ms", "p95", "p99", "ratio", "interquartile range", "pairs"]
INTRODUCTION = """# Results

`make bench` on {machine}.

In AWS's Lambda emulator, alternating between the baseline (facenet-pytorch, `benchmarks/baseline.py`) and
this project (ours); ms as reported by the emulator."""


class Pair(NamedTuple):
    """Durations of neighbouring requests in milliseconds. The fields are the keys of HANDLERS."""

    baseline: list[float]
    ours: list[float]

    @property
    def ratios(self) -> np.ndarray:
        return np.divide(self.ours, self.baseline)

    def cells(self) -> list[str]:
        """Table cells in the order of HEADER."""
        low, ratio, high = np.percentile(self.ratios, (25, 50, 75))
        times = [np.median(self.baseline), *np.percentile(self.ours, (50, 95, 99))]
        return [*(f"{ms:,.0f}" for ms in times), f"{ratio:.3f}", f"{low:.3f}-{high:.3f}", str(len(self.ours))]


Pairs = Dict[Tuple[str, int], Pair]  # by label and number of threads


def warm(both: dict[str, Function], request: bytes, count: int) -> Pair:
    """Measure up to `count` warm requests to each function, after two that are not counted."""
    pair = Pair([], [])
    for number in range(count + 2):
        for name, function in both.items():
            duration = function.duration(request)
            if number > 1:
                getattr(pair, name).append(duration)
        if number > 6 and sum(pair.baseline + pair.ours) / 1000 > TIME_LIMIT:
            break
    return pair


def cold(folder: Path, request: bytes, starts: int, threads: int, note: str = "") -> Pairs:
    """Measure cold starts: INIT alone, and INIT with the first response.

    note: of the labels, for starts with an empty file cache of the system; returns nothing if it cannot be emptied.
    """
    pairs = {(stage + note, threads): Pair([], []) for stage in STAGES}
    for number in range(starts + 1):
        for name in HANDLERS:
            if note and not drop_file_cache():
                return {}
            with closing(Function(name, folder / f"cold{note}-{threads}-{name}-{number}", threads)) as function:
                total = function.duration(request)
                if number:  # the first start reads from disk, the others from the file cache
                    for pair, duration in zip(pairs.values(), (function.init(), total)):
                        getattr(pair, name).append(duration)
    return pairs


def section(title: str, pairs: Pairs) -> str:
    rows = [[label, f"{threads}", *pair.cells()] for (label, threads), pair in pairs.items()]
    return f"### {title}\n\n" + table(["", "threads", *HEADER], rows)


def compare(folder: Path, requests: int, starts: int, full: bool) -> tuple[list[str], dict[str, float]]:
    """Compare cold starts, warm requests and peak memory, with one and two threads.

    requests: at most, for each photo; full: also with an empty file cache. -> tables, and ratios as in results.json.
    """
    events = {name: event(photo) for name, photo in photos().items()}
    request, starting, warmed, memory = events["250 px"], {}, {}, []
    for threads in (1, 2):
        starting.update(cold(folder, request, starts, threads))
        with functions(folder / f"warm-{threads}", threads) as both:
            for name, each in events.items():
                warmed[name, threads] = warm(both, each, requests)
                memory.append([name, f"{threads}", *(f"{function.peak():,.0f}" for function in both.values())])
    ratios = {
        f"{label}, {threads}": float(np.median(pair.ratios))
        for (label, threads), pair in {**starting, **warmed}.items()
    }
    if full:
        starting.update(cold(folder, request, starts, 2, ", empty file cache"))
    title = "### Peak memory\n\nMB of one process, cumulative: each photo follows the photos above it.\n\n"
    memory_table = title + table(["after", "threads", "baseline", "ours"], memory)
    return [section("Cold start", starting), section("Warm", warmed), memory_table], ratios


def concurrent(folder: Path) -> str:
    """Measure concurrent functions on the CPUs of this machine. -> a table."""
    rows, request = [], event(photos()["250 px"])
    for count in RUNTIMES:
        with ExitStack() as stack, ThreadPoolExecutor(count) as pool:
            running = [Function("ours", folder / f"runtime-{count}-{i}", threads=1) for i in range(count)]
            for function in running:
                stack.enter_context(closing(function)).duration(request)
            started = time.monotonic()
            times = list(pool.map(lambda one: [one.duration(request) for _ in range(REQUESTS)], running))
            rate = REQUESTS * count / (time.monotonic() - started)
        rows.append([f"{count}", f"{np.median(times):,.0f}", f"{rate:.1f}"])
    return "### Concurrent functions, on this machine\n\n" + table(["functions", "p50, ms", "requests/s"], rows)


def check(ratios: dict[str, float], recorded: dict[str, float]) -> list[str]:
    """Describe each ratio that is worse than recorded by more than TOLERANCE."""
    return [
        f"{label}: {ratio:.3f} of the baseline's time; {recorded[label]:.3f} is recorded."
        for label, ratio in ratios.items()
        if ratio > TOLERANCE * recorded.get(label, ratio)
    ]


def main(argv: list[str] | None = None) -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--check", action="store_true", help="compare with benchmarks/results.json, write nothing")
    parser.add_argument("--requests", type=int, help="maximum for each photo (40; 15 with --check)")
    parser.add_argument("--starts", type=int, help="cold starts (10; 4 with --check)")
    options = parser.parse_args(argv)
    requests, starts = options.requests or (15 if options.check else 40), options.starts or (4 if options.check else 10)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, storage():
        tables, ratios = compare(Path(folder), requests, starts, full=not options.check)
        text = "\n\n".join([INTRODUCTION.format(machine=machine()), *tables])
        print(text, flush=True)
        if options.check:
            worse = check(ratios, json.loads(RESULTS.with_suffix(".json").read_text()))
            print("\n" + "\n".join(worse or ["No ratio is more than 25 % worse than the recorded one."]))
            return bool(worse)
        RESULTS.write_text(f"{text}\n\n{concurrent(Path(folder))}\n")
        RESULTS.with_suffix(".json").write_text(json.dumps(ratios, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
