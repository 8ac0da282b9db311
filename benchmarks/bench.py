"""Speed of the service compared with the baseline (benchmarks/baseline.py), and how it scales (benchmarks/growth.py).

    python -m benchmarks.bench            15 minutes: writes benchmarks/results.md, .json and .png
    python -m benchmarks.bench --check    5 minutes: exits with 1 if a ratio is 25 % worse than in results.json

Both functions run side by side in AWS's Lambda emulator with the same S3. Requests alternate between them, so that
other load on the machine affects both. Tables show medians. A ratio is the median of the ratios of neighbouring
requests.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Iterator, NamedTuple

import numpy as np

from benchmarks import growth
from benchmarks.functions import (
    HANDLERS,
    Function,
    Limit,
    drop_file_cache,
    event,
    functions,
    machine,
    photos,
    storage,
)
from training.markdown import table

RESULTS = Path(__file__).with_name("results.md")
TOLERANCE = 1.25  # times the recorded ratio
MEMORY = {1769: (1.0, 1), 3008: (1.7, 1)}  # MB -> virtual CPUs, threads
TIME_LIMIT = 20.0  # seconds for the requests of one photo to both functions


class Pair(NamedTuple):
    """Durations of neighbouring requests in milliseconds, [N] each."""

    baseline: np.ndarray
    ours: np.ndarray

    @property
    def ratio(self) -> float:
        """Median of ours / baseline."""
        return float(np.median(self.ours / self.baseline))

    def cells(self) -> list[str]:
        """Table cells in the order of HEADER."""
        p50, p95, p99 = np.percentile(self.ours, (50, 95, 99))
        low, high = np.percentile(self.ours / self.baseline, (25, 75))
        times = [f"{np.median(self.baseline):,.0f}", f"{p50:,.0f}", f"{p95:,.0f}", f"{p99:,.0f}"]
        return [*times, f"{self.ratio:.3f}", f"{low:.3f}-{high:.3f}", str(len(self.ours))]


STAGES = ("INIT", "INIT and first response")  # of a cold start
HEADER = ["baseline, ms", "ours, ms", "p95", "p99", "ratio", "interquartile range", "pairs"]


class Comparison(NamedTuple):
    """Results. tables: Markdown; ratios: by `<label>, <threads>`, as stored in results.json."""

    tables: list[str]
    ratios: dict[str, float]


def warm(both: dict[str, Function], request: bytes, count: int) -> Pair:
    """Measure up to `count` warm requests to each function, after two that are not counted."""
    times: dict[str, list[float]] = {name: [] for name in both}
    for number in range(count + 2):
        for name, function in both.items():
            duration = function.duration(request)
            if number > 1:
                times[name].append(duration)
        if number > 6 and sum(map(sum, times.values())) / 1000 > TIME_LIMIT:
            break
    return Pair(np.array(times["baseline"]), np.array(times["ours"]))


def cold(folder: Path, request: bytes, starts: int, threads: int, empty_cache: bool = False) -> dict[str, Pair]:
    """Measure cold starts: INIT alone, and INIT with the first response.

    empty_cache: empty the system's file cache before each start; returns nothing if that is not permitted.
    """
    inits: dict[str, list[float]] = {name: [] for name in HANDLERS}
    totals: dict[str, list[float]] = {name: [] for name in HANDLERS}
    for number in range(starts + 1):
        for name in HANDLERS:
            if empty_cache and not drop_file_cache():
                return {}
            with closing(Function(name, folder / f"cold-{empty_cache}-{threads}-{name}-{number}", threads)) as function:
                total = function.duration(request)
                if number:  # the first start reads from disk, the others from the file cache
                    totals[name].append(total)
                    inits[name].append(function.init())
    measured = zip(STAGES, (inits, totals))
    return {label: Pair(np.array(times["baseline"]), np.array(times["ours"])) for label, times in measured}


def compare(folder: Path, requests: int, starts: int, full: bool) -> Comparison:
    """Compare cold starts, warm requests and memory.

    requests: at most, for each photo; full: also with an empty file cache and with limited CPU.
    """
    events = {name: event(photo) for name, photo in photos().items()}
    cold_starts = compare_cold(folder, events["250 px"], starts, full)
    warm_requests = compare_warm(folder, events, requests)
    tables = [*cold_starts.tables, *warm_requests.tables]
    if full:
        tables += limited(folder, events, requests)
    return Comparison(tables, {**cold_starts.ratios, **warm_requests.ratios})


def compare_cold(folder: Path, request: bytes, starts: int, full: bool) -> Comparison:
    """Compare cold starts with one and two threads. full: also with an empty file cache."""
    rows, ratios = [], {}
    for threads in (1, 2):
        for label, pair in cold(folder, request, starts, threads).items():
            rows.append([label, f"{threads}", *pair.cells()])
            ratios[f"{label}, {threads}"] = pair.ratio
    if full:
        for label, pair in cold(folder, request, starts, 2, empty_cache=True).items():
            rows.append([f"{label}, empty file cache", "2", *pair.cells()])
    return Comparison(["### Cold start\n\n" + table(["", "threads", *HEADER], rows)], ratios)


def compare_warm(folder: Path, events: dict[str, bytes], requests: int) -> Comparison:
    """Compare warm requests and peak memory with one and two threads."""
    rows, memory, ratios = [], [], {}
    for threads in (1, 2):
        with functions(folder / f"warm-{threads}", threads) as both:
            for name, request in events.items():
                pair = warm(both, request, requests)
                rows.append([name, f"{threads}", *pair.cells()])
                ratios[f"{name}, {threads}"] = pair.ratio
                memory.append([name, f"{threads}", *(f"{function.peak():,.0f}" for function in both.values())])
    tables = [
        "### Warm\n\n" + table(["", "threads", *HEADER], rows),
        "### Peak memory\n\nMB of one process, cumulative: each photo follows the photos above it.\n\n"
        + table(["after", "threads", "baseline", "ours"], memory),
    ]
    return Comparison(tables, ratios)


def limited(folder: Path, events: dict[str, bytes], requests: int) -> Iterator[str]:
    """Compare with the share of a CPU that Lambda assigns to the memory. Yields nothing without control groups."""
    rows = []
    for memory, (processors, threads) in MEMORY.items():
        try:
            with closing(Limit(processors)) as limit, functions(folder / str(memory), threads, limit) as both:
                for name in ("250 px", "1.6 x 2 k"):
                    rows.append([f"{memory:,}", name, *warm(both, events[name], requests // 2).cells()])
        except OSError:
            return
    yield "### By memory\n\nWith the share of a CPU that Lambda assigns.\n\n" + table(["MB", "", *HEADER], rows)


def check(ratios: dict[str, float], recorded: dict[str, float]) -> list[str]:
    """Describe each ratio that is worse than recorded by more than TOLERANCE."""
    return [
        f"{label}: {ratio:.3f} of the baseline's time; {recorded[label]:.3f} is recorded."
        for label, ratio in ratios.items()
        if ratio > TOLERANCE * recorded.get(label, ratio)
    ]


def write_results(comparison: Comparison, growth_tables: list[str]) -> None:
    """Write results.md and results.json."""
    intro = (
        f"# Results\n\n`make bench` on {machine()}.\n\n"
        "In AWS's Lambda emulator, alternating between the baseline (facenet-pytorch, `benchmarks/baseline.py`) and\n"
        "this project (ours); ms as reported by the emulator.\n\n"
        "## Comparison with the baseline"
    )
    RESULTS.write_text("\n\n".join([intro, *comparison.tables, *growth_tables]) + "\n")
    RESULTS.with_suffix(".json").write_text(json.dumps(comparison.ratios, indent=2) + "\n")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with benchmarks/results.json, write nothing")
    parser.add_argument("--requests", type=int, help="maximum for each photo (40; 15 with --check)")
    parser.add_argument("--starts", type=int, help="cold starts (10; 4 with --check)")
    options = parser.parse_args(argv)
    requests, starts = options.requests or (15 if options.check else 40), options.starts or (4 if options.check else 10)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, storage():
        comparison = compare(Path(folder), requests, starts, full=not options.check)
        print(f"{machine()}\n\n" + "\n\n".join(comparison.tables), flush=True)
        if options.check:
            worse = check(comparison.ratios, json.loads(RESULTS.with_suffix(".json").read_text()))
            print("\n" + "\n".join(worse or ["No ratio is more than 25 % worse than the recorded one."]))
            return bool(worse)
        write_results(comparison, growth.tables(Path(folder), RESULTS.with_suffix(".png")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
