"""Monthly cost of the service on AWS, from published prices (deploy/prices.json) and measured durations.

    python -m benchmarks.cost                measures, then prints the tables of docs/costs.md
    python -m benchmarks.cost --ms 90 60     uses your own durations at 1,769 and 3,538 MB, from `make smoke` or the log

The photo is a portrait of 1,600 x 1,600 pixels, similar to a phone's. It is measured in AWS's Lambda emulator with one
thread for 1,769 MB, which is one virtual CPU, and two threads for 3,538 MB, which is two.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Iterator, NamedTuple

from PIL import Image

from api.telemetry import NAMESPACE
from benchmarks.functions import Function, event, jpeg, scaled
from benchmarks.options import parser_of
from scripts.bulk_plan import ONE_CPU, PRICES
from storage.live import REFRESH
from testing.paths import SAMPLES
from training.markdown import table

MONTH = 30 * 24 * 3600  # seconds
MEMORY = {ONE_CPU: 1, 2 * ONE_CPU: 2}  # MB -> threads
REQUESTS = (1_000, 100_000, 10_000_000)
STARTS, WARM_REQUESTS = 3, 10  # cold starts to measure, and further requests after each
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
    return jpeg(scaled(Image.open(SAMPLES / "astronaut.jpg"), 1600, 1600))


def measure(threads: int) -> Milliseconds:
    """Measure median durations, one request at a time."""
    request, cold, warm = event(portrait()), [], []
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory() as folder, closing(
            Function("ours", Path(folder) / "function", threads, MODEL_URI="")
        ) as function:
            cold.append(function.duration(request))
            warm += [function.duration(request) for _ in range(WARM_REQUESTS)]
    return Milliseconds(statistics.median(warm), statistics.median(cold))


def month(requests: int, memory: int, ms: Milliseconds) -> dict[str, float]:
    """Monthly cost by AWS service in dollars, with a REST API. memory: MB."""
    seconds = requests * ((1 - COLD_SHARE) * ms.warm + COLD_SHARE * ms.cold) / 1000
    # The pointer is read every REFRESH seconds; a cold start reads pointer, network, manifest and segment.
    s3_gets = min(requests, MONTH / REFRESH) + requests * COLD_SHARE * 4
    return {
        "Lambda": seconds * memory / 1024 * PRICES["lambda_gb_second"] + requests * PRICES["lambda_request"],
        "API Gateway": requests * PRICES["gateway_request"]["rest"],
        "S3": s3_gets * PRICES["s3_get"] + 0.1 * PRICES["s3_gb_month"],
        "ECR": IMAGE_GB * PRICES["ecr_gb_month"],
        "logs": requests * LOG_BYTES / 1e9 * PRICES["log_gb"],
    }


def provisioned(memory: int, requests: int, ms: Milliseconds) -> tuple[float, float]:
    """Monthly price of one provisioned runtime, and the saving if it serves all requests, both in dollars."""
    used = requests * ms.warm / 1000 * memory / 1024
    saved = used * (PRICES["lambda_gb_second"] - PRICES["provisioned_used_gb_second"])
    return MONTH * memory / 1024 * PRICES["provisioned_gb_second"], saved


def collections(requests: int, changes: int) -> float:
    """Monthly cost in dollars of collections that change at runtime: every request asks S3 for a newer manifest."""
    return requests * PRICES["s3_get"] + changes * CHANGE_REQUESTS * PRICES["s3_put"]


def alarms() -> float:
    """Monthly cost in dollars of the alarms, and of the metric of one of them."""
    return ALARMS * PRICES["alarm_month"] + PRICES["metric_month"]


def metrics() -> float:
    """Monthly cost in dollars of the service's metrics."""
    return METRICS * PRICES["metric_month"]


def bills(times: dict[int, Milliseconds]) -> str:
    """Format the monthly cost by number of requests and memory. times: by memory in MB."""
    rows = []
    for requests in REQUESTS:
        for memory, ms in times.items():
            bill = month(requests, memory, ms)
            parts = [*(f"${part:.2f}" for part in bill.values()), f"**${sum(bill.values()):.2f}**"]
            rows.append([f"{requests:,}", f"{memory:,}", f"{ms.warm:.0f}", f"{ms.cold:.0f}", *parts])
    return table(["requests a month", "memory, MB", "warm, ms", "cold, ms", *bill, "**total**"], rows)


def options(times: dict[int, Milliseconds]) -> Iterator[tuple[str, str]]:
    """Yield rows with the additional monthly cost of deploy parameters. times: by memory in MB."""
    for memory, ms in times.items():
        fixed, saved = provisioned(memory, 1_000_000, ms)
        yield f"`warm=1` at {memory:,} MB, minus {saved:.2f} for each million requests it serves", f"{fixed:.2f}"
    reads, changes = collections(1_000_000, 0), collections(0, 1000)
    place = "`GALLERY_URI=s3://...`"
    yield f"{place}: a conditional read of the manifest for each of a million requests", f"{reads:.2f}"
    yield f"{place}: a thousand changes, {CHANGE_REQUESTS} requests to S3 each", f"{changes:.2f}"
    yield f"`alarms=...`: {ALARMS} alarms and a metric", f"{alarms():.2f}"
    yield f"`metrics=on`: {METRICS} metrics in `{NAMESPACE}`, with requests in every hour", f"{metrics():.2f}"


def main(argv: list[str] | None = None) -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--ms", type=float, nargs=2, metavar=("1769", "3538"), help="of a warm request, at each memory")
    parser.add_argument("--cold", type=float, default=3000, help="ms of a cold start, with --ms (default: %(default)s)")
    given = parser.parse_args(argv)
    if given.ms:
        times = {memory: Milliseconds(ms, given.cold) for memory, ms in zip(MEMORY, given.ms)}
    else:
        times = {memory: measure(threads) for memory, threads in MEMORY.items()}
    rest, http = (1_000_000 * PRICES["gateway_request"][front] for front in ("rest", "http"))
    print(f"Prices: {PRICES['as_of']}, REST API. HTTP API: ${http:.2f} instead of ${rest:.2f} a million.\n")
    print(f"{bills(times)}\n\n{table(['option', '$ a month'], options(times))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
