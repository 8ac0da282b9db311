"""Measure time and memory of requests about one photo, in a process that imports nothing else than the service.

    python -m benchmarks.photo_cost photo.jpg

Sends the photo to the handler several times, in turn for its largest face and for all faces with 20 candidates each.
Prints JSON: `faces` that were found; `largest_ms` and `all_ms`, the least processor time of a request; `peak_mb`, the
largest resident memory of the process; `bytes` of the response about all faces.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from benchmarks import usage
from testing.events import upload
from testing.paths import SAMPLES

QUERIES = {"largest_ms": {}, "all_ms": {"faces": "all", "top": "20"}}


def main(path: str, repeats: int = 3) -> None:
    os.environ.update(OMP_NUM_THREADS="1", POWERTOOLS_METRICS_DISABLED="true")
    import handler  # reads the environment

    context, file = SimpleNamespace(aws_request_id="1"), Path(path).read_bytes()
    handler.handle(upload((SAMPLES / "Kofi_Annan_0006.jpg").read_bytes()), context)
    times: dict[str, list[float]] = {name: [] for name in QUERIES}
    for _ in range(repeats):
        for name, query in QUERIES.items():
            started = time.process_time()
            response = handler.handle(upload(file, **query), context)
            times[name].append((time.process_time() - started) * 1000)
    body = response["body"]
    assert response["statusCode"] == 200, body
    cost = {"faces": len(json.loads(body)["faces"]), "peak_mb": usage.peak(), "bytes": len(body)}
    print(json.dumps({**cost, **{name: min(durations) for name, durations in times.items()}}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
