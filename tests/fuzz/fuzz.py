"""Malformed uploads and requests, and damaged photos: `make fuzz`, or `python -m tests.fuzz.fuzz --help`.

Failing inputs are saved in tests/fuzz/regressions/, and the tests check them from then on. Each input is generated from
the seed and its number. Each kind runs in a separate process. If the process dies or hangs, the input is reported, and
another process continues with the next number.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from random import Random
from typing import Any, Callable

from tqdm import tqdm

from tests.fuzz import dialects, engine, people

TIMEOUT = 30  # seconds for one input

Generate = Callable[[Random], Any]
Check = Callable[[Any], "str | None"]
KINDS: dict[str, tuple[Generate, Check]] = {
    "events": (engine.malformed_event, engine.check_event),
    "requests": (engine.malformed_request, engine.check_request),
    "people": (people.malformed_request, people.check_request),
    "dialects": (dialects.malformed_request, dialects.check_request),
    "images": (engine.damaged_image, engine.check_image),
}


def make_input(kind: str, seed: int, number: int) -> Any:
    return KINDS[kind][0](Random(f"{seed}/{number}"))


def check_range(kind: str, seed: int, first: int, end: int, reached: Any, found: Any) -> None:
    """Check a range of inputs. reached: the current number; found: a queue of numbers and descriptions of failures."""
    check = KINDS[kind][1]
    for number in range(first, end):
        reached.value = number
        wrong = check(make_input(kind, seed, number))
        if wrong:
            found.put((number, wrong))
    reached.value = end


def fuzz(kind: str, seed: int, end: int) -> int:
    """Check inputs 0 to end and save those that fail. -> their number."""
    context = multiprocessing.get_context("spawn")
    found = context.SimpleQueue()
    first = wrong = 0
    with tqdm(total=end, desc=kind, unit=" inputs", mininterval=1) as bar:
        while first < end:
            reached = context.Value("q", first, lock=False)
            worker = context.Process(target=check_range, args=(kind, seed, first, end, reached, found), daemon=True)
            worker.start()
            first = _watch(worker, reached, found, bar) + 1
            worker.join()
            if worker.exitcode:
                found.put((first - 1, f"the process ended with {worker.exitcode}"))
            while not found.empty():
                number, reason = found.get()
                wrong += 1
                path = engine.save(make_input(kind, seed, number), kind if kind in engine.MODULES else None)
                bar.write(f"{kind} {number} of seed {seed}: {reason}, see {path}")
        bar.update(end - bar.n)
    return wrong


def _watch(worker: Any, reached: Any, found: Any, bar: Any) -> int:
    """Wait until the worker ends, or stop it when it hangs. -> the number that it reached."""
    since = time.monotonic()
    while worker.is_alive():
        worker.join(0.5)
        if reached.value > bar.n:
            since = time.monotonic()
            bar.update(reached.value - bar.n)
        elif time.monotonic() - since > TIMEOUT:
            worker.kill()
            worker.join()
    return int(reached.value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000, metavar="N", help="uploads (default: %(default)s)")
    parser.add_argument(
        "--requests", type=int, default=200_000, metavar="N", help="whole requests (default: %(default)s)"
    )
    parser.add_argument(
        "--people", type=int, default=200_000, metavar="N", help="requests about people (default: %(default)s)"
    )
    parser.add_argument(
        "--dialects", type=int, default=200_000, metavar="N", help="requests of other dialects (default: %(default)s)"
    )
    parser.add_argument("--images", type=int, default=20_000, metavar="N", help="photos (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the inputs (default: %(default)s)")
    arguments = parser.parse_args()
    counts = {kind: getattr(arguments, kind) for kind in ("images", "people", "dialects", "requests", "events")}
    return int(sum(fuzz(kind, arguments.seed, count) for kind, count in counts.items()) > 0)


if __name__ == "__main__":
    sys.exit(main())
