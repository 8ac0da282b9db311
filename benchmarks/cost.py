"""Monthly cost of the service on AWS, from published prices and measured durations.

    python -m benchmarks.cost                measures, then prints the tables of docs/costs.md
    python -m benchmarks.cost --ms 90 60     uses your own durations at 1,769 and 3,538 MB, from `make smoke` or the log

The photo is a portrait of 1,600 x 1,600 pixels, similar to a phone's. It is measured in AWS's Lambda emulator with one
thread for 1,769 MB, which is one virtual CPU, and two threads for 3,538 MB, which is two.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from api.telemetry import NAMESPACE
from benchmarks.functions import jpeg
from storage.live import REFRESH
from testing.emulator import Emulator
from testing.events import upload
from testing.paths import ROOT, SAMPLES

PRICES = json.loads((ROOT / "deploy/prices.json").read_text(encoding="utf-8"))
PRICES_OF: str = PRICES["as_of"]
LAMBDA_GB_SECOND, LAMBDA_REQUEST = PRICES["lambda_gb_second"], PRICES["lambda_request"]
PROVISIONED_GB_SECOND = PRICES["provisioned_gb_second"]  # provisioned concurrency, used or not
PROVISIONED_USED_GB_SECOND = PRICES["provisioned_used_gb_second"]  # in place of LAMBDA_GB_SECOND while it is used
GATEWAY_REQUEST: dict[str, float] = PRICES["gateway_request"]
ECR_GB_MONTH, S3_GB_MONTH = PRICES["ecr_gb_month"], PRICES["s3_gb_month"]
S3_GET, S3_PUT = PRICES["s3_get"], PRICES["s3_put"]
LOG_GB, METRIC_MONTH, ALARM_MONTH = PRICES["log_gb"], PRICES["metric_month"], PRICES["alarm_month"]

MONTH = 30 * 24 * 3600  # seconds
MEMORY = {1769: 1, 3538: 2}  # MB -> threads
REQUESTS = (1_000, 100_000, 10_000_000)
IMAGE_GB = 0.4  # compressed, without CUDA
LOG_BYTES = 700  # per request: one line of the service and three of Lambda
COLD_SHARE = 0.01  # of the requests, typical for light traffic all day
METRICS, ALARMS = 14, 4
CHANGE_REQUESTS = 4  # to S3, for a change of a collection such as one more face; the price of a PUT is the highest


class Milliseconds(NamedTuple):
    """Durations of a request."""

    warm: float
    cold: float  # including INIT


def portrait() -> bytes:
    """JPEG file of 1,600 x 1,600 pixels."""
    photo = Image.open(SAMPLES / "astronaut.jpg").resize((1600, 1600), Image.Resampling.LANCZOS)
    return jpeg(photo)


def measure(threads: int, requests: int = 30, starts: int = 3) -> Milliseconds:
    """Measure median durations, one request at a time. requests: in total; starts: number of cold starts."""
    event = upload(portrait())
    cold: list[float] = []
    warm: list[float] = []
    for _ in range(starts):
        with tempfile.TemporaryDirectory() as folder, closing(
            Emulator(Path(folder) / "log", OMP_NUM_THREADS=str(threads), MODEL_URI="")
        ) as emulator:
            for number in range(1 + requests // starts):
                start = time.perf_counter()
                status, _ = emulator.invoke(event)
                (warm if number else cold).append(1000 * (time.perf_counter() - start))
                assert status == 200
    return Milliseconds(statistics.median(warm), statistics.median(cold))


def month(requests: int, memory: int, ms: Milliseconds, endpoint: str = "rest") -> dict[str, float]:
    """Monthly cost by AWS service in dollars. memory: MB; endpoint: key of GATEWAY_REQUEST."""
    seconds = requests * ((1 - COLD_SHARE) * ms.warm + COLD_SHARE * ms.cold) / 1000
    # The pointer is read every REFRESH seconds; a cold start reads pointer, network, manifest and segment.
    s3_gets = min(requests, MONTH / REFRESH) + requests * COLD_SHARE * 4
    return {
        "Lambda": seconds * memory / 1024 * LAMBDA_GB_SECOND + requests * LAMBDA_REQUEST,
        "API Gateway": requests * GATEWAY_REQUEST[endpoint],
        "S3": s3_gets * S3_GET + 0.1 * S3_GB_MONTH,
        "ECR": IMAGE_GB * ECR_GB_MONTH,
        "logs": requests * LOG_BYTES / 1e9 * LOG_GB,
    }


def warm_month(memory: int) -> float:
    """Monthly price in dollars of one provisioned runtime. memory: MB."""
    return MONTH * memory / 1024 * PROVISIONED_GB_SECOND


def provisioned(memory: int, requests: int, ms: Milliseconds) -> tuple[float, float]:
    """Monthly price of one provisioned runtime, and the saving if it serves all requests, both in dollars."""
    used = requests * ms.warm / 1000 * memory / 1024
    saved = used * (LAMBDA_GB_SECOND - PROVISIONED_USED_GB_SECOND)
    return warm_month(memory), saved


def collections(requests: int, changes: int) -> float:
    """Monthly cost in dollars of collections that change at runtime: every request asks S3 for a newer manifest."""
    return requests * S3_GET + changes * CHANGE_REQUESTS * S3_PUT


def print_bills(times: dict[int, Milliseconds]) -> None:
    """Print the monthly cost by number of requests and memory. times: by memory in MB."""
    print(
        "| requests a month | memory, MB | warm, ms | cold, ms | Lambda | API Gateway | S3 | ECR | logs | **total** |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for requests in REQUESTS:
        for memory, ms in times.items():
            bill = month(requests, memory, ms)
            cells = [f"{requests:,}", f"{memory:,}", f"{ms.warm:.0f}", f"{ms.cold:.0f}"]
            cells += [f"${part:.2f}" for part in bill.values()]
            print("|", " | ".join(cells), f"| **${sum(bill.values()):.2f}** |")


def print_options(times: dict[int, Milliseconds]) -> None:
    """Print the additional monthly cost of deploy parameters. times: by memory in MB."""
    print("\n| option | $ a month |\n|---|---|")
    for memory, ms in times.items():
        fixed, saved = provisioned(memory, 1_000_000, ms)
        print(f"| `warm=1` at {memory:,} MB, minus {saved:.2f} for each million requests it serves | {fixed:.2f} |")
    reads, changes = collections(1_000_000, 0), collections(0, 1000)
    print(
        f"| `GALLERY_URI=s3://...`: a conditional read of the manifest for each of a million requests | {reads:.2f} |"
    )
    print(f"| `GALLERY_URI=s3://...`: a thousand changes, {CHANGE_REQUESTS} requests to S3 each | {changes:.2f} |")
    print(f"| `alarms=...`: {ALARMS} alarms and a metric | {ALARMS * ALARM_MONTH + METRIC_MONTH:.2f} |")
    metrics = f"{METRICS} metrics in `{NAMESPACE}`, with requests in every hour"
    print(f"| `metrics=on`: {metrics} | {METRICS * METRIC_MONTH:.2f} |")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ms", type=float, nargs=2, metavar=("1769", "3538"), help="of a warm request, at each memory")
    parser.add_argument("--cold", type=float, default=3000, help="ms of a cold start, with --ms (default: %(default)s)")
    options = parser.parse_args(argv)
    if options.ms:
        times = {memory: Milliseconds(ms, options.cold) for memory, ms in zip(MEMORY, options.ms)}
    else:
        times = {memory: measure(threads) for memory, threads in MEMORY.items()}
    print(f"Prices: {PRICES_OF}, REST API. HTTP API: $1.00 instead of $3.50 a million; function URL: free.\n")
    print_bills(times)
    print_options(times)
    return 0


if __name__ == "__main__":
    sys.exit(main())
