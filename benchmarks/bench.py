"""The service against the plain way (benchmarks/plain.py), and how its time grows with what it is asked.

    python -m benchmarks.bench            a quarter of an hour: writes benchmarks/results.md, .json and .png
    python -m benchmarks.bench --check    five minutes: the ratios again; ends with 1 where one is 25 % worse than there

Both run under AWS's Lambda emulator with the same S3, side by side, a request to one after a request to the other, so
that what else goes on meets both. A table shows medians; a ratio is the median of the ratios of neighbouring requests.
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
    table,
)

RESULTS = Path(__file__).with_name("results.md")
WORSE = 1.25  # times the ratio that is on record
MEMORY = {1769: (1.0, 1), 3008: (1.7, 1)}  # MB -> virtual CPUs, threads
AT_MOST = 20.0  # seconds for a photo's requests to both


class Pair(NamedTuple):
    """Milliseconds of neighbouring requests, [N] each."""

    plain: np.ndarray
    ours: np.ndarray

    @property
    def ratio(self) -> float:
        return float(np.median(self.ours / self.plain))

    def cells(self) -> list[str]:
        """Medians, p95 and p99 of ours, the ratio, and between what a half of the ratios lies."""
        p50, p95, p99 = np.percentile(self.ours, (50, 95, 99))
        low, high = np.percentile(self.ours / self.plain, (25, 75))
        times = [f"{np.median(self.plain):,.0f}", f"{p50:,.0f}", f"{p95:,.0f}", f"{p99:,.0f}"]
        return [*times, f"{self.ratio:.3f}", f"{low:.3f}-{high:.3f}", str(len(self.ours))]


HEADER = ["plain, ms", "ours, ms", "p95", "p99", "ratio", "half of them", "pairs"]


def warm(both: dict[str, Function], request: bytes, most: int) -> Pair:
    """Requests in turn, after two that are not counted."""
    took: dict[str, list[float]] = {name: [] for name in both}
    for number in range(most + 2):
        for name, function in both.items():
            duration = function.duration(request)
            if number > 1:
                took[name].append(duration)
        if number > 6 and sum(map(sum, took.values())) / 1000 > AT_MOST:
            break
    return Pair(np.array(took["plain"]), np.array(took["ours"]))


def cold(folder: Path, request: bytes, starts: int, threads: int, dropped: bool = False) -> dict[str, Pair]:
    """Starts in turn: INIT, and with the first answer. dropped: the system's file cache is emptied each time."""
    inits: dict[str, list[float]] = {name: [] for name in HANDLERS}
    totals: dict[str, list[float]] = {name: [] for name in HANDLERS}
    for number in range(starts + 1):
        for name in HANDLERS:
            if dropped and not drop_file_cache():
                return {}
            with closing(Function(name, folder / f"cold-{dropped}-{threads}-{name}-{number}", threads)) as function:
                total = function.duration(request)
                if number:  # the first of all reads from disk what the others find in memory
                    totals[name].append(total)
                    inits[name].append(function.init())
    pairs = {"INIT": inits, "INIT and first answer": totals}
    return {what: Pair(np.array(took["plain"]), np.array(took["ours"])) for what, took in pairs.items()}


class Compared(NamedTuple):
    """tables: Markdown; ratios: by what was compared."""

    tables: list[str]
    ratios: dict[str, float]


def compare(folder: Path, requests: int, starts: int, full: bool) -> Compared:
    """requests: at most, for each photo. full: also with little processor and without a file cache."""
    asked = {name: event(photo) for name, photo in photos().items()}
    tables, ratios = [], {}
    rows, memory = [], []
    for threads in (1, 2):
        for what, pair in cold(folder, asked["250 px"], starts, threads).items():
            rows.append([what, f"{threads}", *pair.cells()])
            ratios[f"{what}, {threads}"] = pair.ratio
    if full:
        for what, pair in cold(folder, asked["250 px"], starts, 2, dropped=True).items():
            rows.append([f"{what}, nothing in the file cache", "2", *pair.cells()])
    tables.append("### Cold start\n\n" + table(["", "threads", *HEADER], rows))
    rows = []
    for threads in (1, 2):
        with functions(folder / f"warm-{threads}", threads) as both:
            for name, request in asked.items():
                pair = warm(both, request, requests)
                rows.append([name, f"{threads}", *pair.cells()])
                ratios[f"{name}, {threads}"] = pair.ratio
                peaks = [f"{function.peak():,.0f}" for function in both.values()]
                memory.append([name, f"{threads}", *peaks])
    tables.append("### Warm\n\n" + table(["", "threads", *HEADER], rows))
    tables.append(
        "### Peak memory\n\nMB of one process, each photo after those above it.\n\n"
        + table(["after", "threads", "plain", "ours"], memory)
    )
    if full:
        tables += limited(folder, asked, requests)
    return Compared(tables, ratios)


def limited(folder: Path, asked: dict[str, bytes], requests: int) -> Iterator[str]:
    """With the share of the processor that Lambda gives for the memory, where the system lets us."""
    rows = []
    for memory, (processors, threads) in MEMORY.items():
        try:
            with closing(Limit(processors)) as limit, functions(folder / str(memory), threads, limit) as both:
                for name in ("250 px", "1.6 x 2 k"):
                    rows.append([f"{memory:,}", name, *warm(both, asked[name], requests // 2).cells()])
        except OSError:
            return
    yield "### By memory\n\nThe share of a processor that comes with it.\n\n" + table(["MB", "", *HEADER], rows)


def check(ratios: dict[str, float], recorded: dict[str, float]) -> list[str]:
    """What became worse, a sentence each."""
    return [
        f"{what}: {ratio:.3f} of the plain way's time, and {recorded[what]:.3f} is on record."
        for what, ratio in ratios.items()
        if ratio > WORSE * recorded.get(what, ratio)
    ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="against benchmarks/results.json, and write nothing")
    parser.add_argument("--requests", type=int, help="for each photo at most (40; 15 with --check)")
    parser.add_argument("--starts", type=int, help="(10; 4 with --check)")
    given = parser.parse_args(argv)
    requests, starts = given.requests or (15 if given.check else 40), given.starts or (4 if given.check else 10)
    record = RESULTS.with_suffix(".json")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, storage():
        compared = compare(Path(folder), requests, starts, full=not given.check)
        print(f"{machine()}\n\n" + "\n\n".join(compared.tables), flush=True)
        if given.check:
            found = check(compared.ratios, json.loads(record.read_text()))
            print("\n" + "\n".join(found or ["No ratio is worse than the one on record by more than 25 %."]))
            return bool(found)
        grown = growth.tables(Path(folder), RESULTS.with_suffix(".png"))
    intro = (
        f"# Results\n\n`make bench` on {machine()}.\n\n"
        "Under AWS's Lambda emulator, plain and ours in turn; ms as the emulator reports them.\n"
    )
    RESULTS.write_text("\n\n".join([intro + "\n## Against the plain way", *compared.tables, *grown]) + "\n")
    record.write_text(json.dumps(compared.ratios, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
