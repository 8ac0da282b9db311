"""Throughput of `make bulk`: photos a second of one and of two runtimes over the same photos: `make bench-bulk`.

A runtime is a process with one thread, like a function with 1,769 MB, and gets batches of photos as a state machine
sends them. Photos and results are in a local folder, so that no other process takes part. Rounds with one and with two
runtimes alternate, and the shortest of each are compared, because other programs only make a round longer.
CPU time shows whether the runtimes disturb each other even if other programs run. Prints the table of docs/costs.md.
Exits with 1 if two runtimes have less than TARGET times the throughput of one.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from api.batch_events import CLASSIFY
from benchmarks.cost import portrait
from benchmarks.options import parser_of
from scripts.bulk import batch_size
from training.markdown import table

BATCH = batch_size(CLASSIFY)  # photos
TARGET = 1.9  # times the throughput of one runtime
HEADER = ("runtimes", "photos/s", "photos/s and core", "times one", "photos per second of CPU time")


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
    given = {"task": CLASSIFY, "bucket": "bucket", "run": run, "collection": ""}
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


def measure(photos: int, rounds: int, photo: bytes) -> tuple[Seconds, Seconds]:
    """Measure one runtime with so many copies of a photo, and two with as many each: the shortest rounds."""
    spawning = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for number in range(photos):
            (Path(folder) / f"{number:04}.jpg").write_bytes(photo)
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
            for wire, process in zip(wires, processes):
                wire.send([])
                process.join(20)
    one, two = (Seconds(*map(min, zip(*times))) for times in zip(*found))
    return one, two


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--photos", type=int, default=10, help="for each runtime in a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=50, help="with one and with two (default: %(default)s)")
    options = parser.parse_args()
    one, two = measure(options.photos, options.rounds, portrait())
    rows, rates = [], [runtimes * options.photos / seconds.wall for runtimes, seconds in ((1, one), (2, two))]
    for runtimes, rate, seconds in zip((1, 2), rates, (one, two)):
        per_cpu = options.photos / seconds.cpu
        cells = [f"{rate:.1f}", f"{rate / runtimes:.1f}", f"{rate / rates[0]:.2f}", f"{per_cpu:.1f}"]
        rows.append([f"{runtimes}", *cells])
    print(table(HEADER, rows))
    return 0 if rates[1] >= TARGET * rates[0] else 1


if __name__ == "__main__":
    sys.exit(main())
