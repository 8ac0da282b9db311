"""Throughput of `make bulk`: photos a second of one and of two runtimes over the same photos: `make bench-bulk`.

A runtime is a process with one thread, like a function with 1,769 MB, and gets batches of 20 photos as a state machine
sends them. Photos and results are in a local folder, so that no other process takes part. Rounds with one and with two
runtimes alternate, and the shortest of each are compared, because other programs only make a round longer.
CPU time shows whether the runtimes disturb each other even if other programs run. The projection adds the time to read
a photo from S3.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, Sequence

from benchmarks.cost import portrait
from scripts.bulk_plan import ONE_CPU, Setup, Work, duration, price, words
from testing.paths import SAMPLES

BATCH = 20  # photos, as in deploy/bulk-classify.json
TARGET = 1.9  # times the throughput of one runtime
S3_SECONDS = 0.03  # to read a photo within AWS, assumed
PROJECTED = 1_000_000  # photos
SAMPLE_NAMES = ("Kofi_Annan_0006", "Serena_Williams_0006", "Alicia_Witt_0001", "Tony_Blair_0007")


def work(folder: str, wire: Connection) -> None:
    """Process the batches that come through the wire: a runtime. An empty list of batches ends it."""
    os.environ["POWERTOOLS_LOG_LEVEL"] = "ERROR"  # read when app is imported
    from app import compose, create_app
    from settings import Settings
    from storage.folder import FolderBlobs

    services = create_app(Settings(metrics=False)).services
    app = compose(Settings(metrics=False), services, lambda _: FolderBlobs(Path(folder)))
    context = SimpleNamespace(aws_request_id="", get_remaining_time_in_millis=lambda: 10**9)
    while True:
        batches = wire.recv()
        if not batches:
            return
        before = time.process_time()
        counts = [app.on_batch(batch, context) for batch in batches]
        wire.send((sum(count["answered"] for count in counts), time.process_time() - before))


def batches(run: str, runtime: int, photos: int) -> list[dict[str, Any]]:
    """Return the batches of one runtime in a round."""
    given = {"task": "classify", "bucket": "bucket", "run": run, "collection": ""}
    items = [
        {"Key": f"{number:04}.jpg", "Etag": f'"{run}-{runtime}"', "Size": 1, "LastModified": 0, "StorageClass": ""}
        for number in range(photos)
    ]
    return [
        {"BatchInput": given, "Items": items[start : start + BATCH], "Attempt": 0} for start in range(0, photos, BATCH)
    ]


class Seconds(NamedTuple):
    """Durations of a round. wall: until the last runtime is done; cpu: of one runtime, mean."""

    wall: float
    cpu: float


def timed(wires: list[Any], run: str, photos: int) -> Seconds:
    """Let each runtime process the photos."""
    start = time.perf_counter()
    for runtime, wire in enumerate(wires):
        wire.send(batches(run, runtime, photos))
    done = [wire.recv() for wire in wires]
    wall = time.perf_counter() - start
    assert [count for count, _ in done] == [photos] * len(wires)
    return Seconds(wall, sum(cpu for _, cpu in done) / len(wires))


def measure(photos: int, rounds: int, kind: str) -> tuple[Seconds, Seconds]:
    """Measure one runtime with the photos, and two with the same number each: the shortest rounds."""
    spawning = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        files = (
            [portrait()] if kind == "portrait" else [(SAMPLES / f"{name}.jpg").read_bytes() for name in SAMPLE_NAMES]
        )
        for number in range(photos):
            (Path(folder) / f"{number:04}.jpg").write_bytes(files[number % len(files)])
        pairs = [spawning.Pipe() for _ in range(2)]
        processes = [spawning.Process(target=work, args=(folder, there), daemon=True) for _, there in pairs]
        os.environ["OMP_NUM_THREADS"] = "1"  # of the processes, which read it when they load torch
        for process in processes:
            process.start()
        wires = [here for here, _ in pairs]
        try:
            timed(wires, "warm-up", photos)
            found = [(timed(wires[:1], f"one-{n}", photos), timed(wires, f"two-{n}", photos)) for n in range(rounds)]
        finally:
            for wire in wires:
                wire.send([])
            for process in processes:
                process.join(20)
    ones, twos = zip(*found)
    return _shortest(ones), _shortest(twos)


def _shortest(rounds: Sequence[Seconds]) -> Seconds:
    return Seconds(min(each.wall for each in rounds), min(each.cpu for each in rounds))


def main(argv: list[str] | None = None) -> int:
    """Print the table of docs/costs.md. -> 1 if two runtimes have less than TARGET times the throughput of one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=10, help="for each runtime in a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=50, help="with one and with two (default: %(default)s)")
    parser.add_argument("--kind", choices=("portrait", "small"), default="portrait", help="1,600 or 250 pixels")
    options = parser.parse_args(argv)
    one, two = measure(options.photos, options.rounds, options.kind)
    single, double = options.photos / one.wall, 2 * options.photos / two.wall
    print(
        "| runtimes | photos/s | photos/s and core | times one | photos per second of CPU time |\n|---|---|---|---|---|"
    )
    print(f"| 1 | {single:.1f} | {single:.1f} | 1 | {options.photos / one.cpu:.1f} |")
    print(f"| 2 | {double:.1f} | {double / 2:.1f} | {double / single:.2f} | {options.photos / two.cpu:.1f} |")
    setup = Setup(1000, ONE_CPU, 1 / single + S3_SECONDS)
    whole = Work(PROJECTED, PROJECTED, BATCH, PROJECTED)
    bill = price(whole, setup)
    print(
        f"\n{PROJECTED:,} photos with 1,000 runtimes: {words(duration(whole, setup))}, ${sum(bill.values()):.2f} "
        f"({json.dumps({name: round(dollars, 2) for name, dollars in bill.items()})}), {setup.seconds:.3f} s a photo"
    )
    return 0 if double >= TARGET * single else 1


if __name__ == "__main__":
    sys.exit(main())
