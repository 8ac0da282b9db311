"""Odd uploads, odd requests and damaged photos: `make fuzz`, or `python -m tests.fuzz.fuzz --help`.

What goes wrong is written to tests/fuzz/regressions/, and the tests try it again from then on. Each input is made from
the seed and its number, in a process of its own for each kind: one that dies or hangs is found out, and the next begins
with the number after.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from random import Random
from typing import Any, Callable

from tqdm import tqdm

from tests.fuzz import engine

HANGS = 30  # seconds of waiting for one input

Make = Callable[[Random], Any]
Judge = Callable[[Any], "str | None"]
KINDS: dict[str, tuple[Make, Judge]] = {
    "events": (engine.odd_event, engine.judge_event),
    "requests": (engine.odd_request, engine.judge_request),
    "images": (engine.odd_image, engine.judge_image),
}


def case(kind: str, seed: int, number: int) -> Any:
    return KINDS[kind][0](Random(f"{seed}/{number}"))


def work(kind: str, seed: int, first: int, end: int, reached: Any, found: Any) -> None:
    """reached: the number at hand; found: a queue of numbers and what was wrong with them."""
    judge = KINDS[kind][1]
    for number in range(first, end):
        reached.value = number
        wrong = judge(case(kind, seed, number))
        if wrong:
            found.put((number, wrong))
    reached.value = end


def fuzz(kind: str, seed: int, end: int) -> int:
    """Judge inputs 0 to end and save what goes wrong. Returns how many did."""
    context = multiprocessing.get_context("spawn")
    found = context.SimpleQueue()
    first = wrong = 0
    with tqdm(total=end, desc=kind, unit=" inputs", mininterval=1) as bar:
        while first < end:
            reached = context.Value("q", first, lock=False)
            worker = context.Process(target=work, args=(kind, seed, first, end, reached, found), daemon=True)
            worker.start()
            first = _watch(worker, reached, found, bar) + 1
            worker.join()
            if worker.exitcode:
                found.put((first - 1, f"the process ended with {worker.exitcode}"))
            while not found.empty():
                number, reason = found.get()
                wrong += 1
                bar.write(f"{kind} {number} of seed {seed}: {reason}, see {engine.save(case(kind, seed, number))}")
        bar.update(end - bar.n)
    return wrong


def _watch(worker: Any, reached: Any, found: Any, bar: Any) -> int:
    """Until the worker ends or hangs; the number that it reached."""
    since = time.monotonic()
    while worker.is_alive():
        worker.join(0.5)
        if reached.value > bar.n:
            since = time.monotonic()
            bar.update(reached.value - bar.n)
        elif time.monotonic() - since > HANGS:
            worker.kill()
            worker.join()
    return int(reached.value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000, metavar="N", help="uploads (default: %(default)s)")
    parser.add_argument(
        "--requests", type=int, default=200_000, metavar="N", help="whole requests (default: %(default)s)"
    )
    parser.add_argument("--images", type=int, default=20_000, metavar="N", help="photos (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another gives other inputs (default: %(default)s)")
    asked = parser.parse_args()
    counts = {"images": asked.images, "requests": asked.requests, "events": asked.events}
    return int(sum(fuzz(kind, asked.seed, count) for kind, count in counts.items()) > 0)


if __name__ == "__main__":
    sys.exit(main())
