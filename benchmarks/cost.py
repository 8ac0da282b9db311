"""What the service costs a month on AWS, from published prices and from milliseconds measured here.

    python -m benchmarks.cost                measures, then prints the tables of the README
    python -m benchmarks.cost --ms 90 60     with your own, at 1,769 and 3,538 MB: `make smoke` or the log tells them

The photo is a portrait of 1,600 pixels, as of a phone. Measured under AWS's Lambda emulator at one thread for 1,769 MB,
which is one virtual CPU, and two for 3,538 MB, which is two.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from model.current import REFRESH
from PIL import Image

from api.telemetry import NAMESPACE
from benchmarks.functions import jpeg
from testing.emulator import Emulator
from testing.events import upload
from testing.paths import SAMPLES

# US dollars in us-east-1 (N. Virginia), x86, the first tier of each, without free tiers; as published in November 2026
# at aws.amazon.com/lambda/pricing, /api-gateway/pricing, /s3/pricing, /ecr/pricing and /cloudwatch/pricing.
DAY = "November 2026, us-east-1"
LAMBDA_GB_SECOND = 0.0000166667
LAMBDA_REQUEST = 0.20e-6
READY_GB_SECOND = 0.0000041667  # provisioned concurrency, whether it is used or not ...
READY_USED_GB_SECOND = 0.0000097222  # ... and in place of LAMBDA_GB_SECOND while it is
GATEWAY_REQUEST = {"rest": 3.50e-6, "http": 1.00e-6, "url": 0.0}
ECR_GB_MONTH, S3_GB_MONTH, S3_GET = 0.10, 0.023, 0.0004e-3
LOG_GB, METRIC_MONTH, ALARM_MONTH = 0.50, 0.30, 0.10

MONTH = 30 * 24 * 3600  # seconds
MEMORY = {1769: 1, 3538: 2}  # MB -> threads
REQUESTS = (1_000, 100_000, 10_000_000)
IMAGE_GB = 0.4  # compressed, without CUDA
LOG_BYTES = 700  # a request's line and Lambda's own three
COLD_SHARE = 0.01  # of the requests start a runtime, as with some traffic all day
METRICS, ALARMS = 14, 4


class Milliseconds(NamedTuple):
    warm: float
    cold: float  # the start and the first answer


def portrait() -> bytes:
    photo = Image.open(SAMPLES / "astronaut.jpg").resize((1600, 1600), Image.Resampling.LANCZOS)
    return jpeg(photo)


def measure(threads: int, requests: int = 30, starts: int = 3) -> Milliseconds:
    """Medians, one request at a time."""
    event = upload(portrait())
    cold: list[float] = []
    warm: list[float] = []
    for _ in range(starts):
        with tempfile.TemporaryDirectory() as folder, closing(
            Emulator(Path(folder) / "log", OMP_NUM_THREADS=str(threads), MODEL_URI="")
        ) as emulator:
            for number in range(1 + requests // starts):
                start = time.perf_counter()
                status, _body = emulator.invoke(event)
                (warm if number else cold).append(1000 * (time.perf_counter() - start))
                assert status == 200
    return Milliseconds(statistics.median(warm), statistics.median(cold))


def month(requests: int, memory: int, ms: Milliseconds, front: str = "rest") -> dict[str, float]:
    """Dollars by service."""
    seconds = requests * ((1 - COLD_SHARE) * ms.warm + COLD_SHARE * ms.cold) / 1000
    looks = min(requests, MONTH / REFRESH) + requests * COLD_SHARE * 2
    return {
        "Lambda": seconds * memory / 1024 * LAMBDA_GB_SECOND + requests * LAMBDA_REQUEST,
        "API Gateway": requests * GATEWAY_REQUEST[front],
        "S3": looks * S3_GET + 0.1 * S3_GB_MONTH,
        "ECR": IMAGE_GB * ECR_GB_MONTH,
        "logs": requests * LOG_BYTES / 1e9 * LOG_GB,
    }


def ready(memory: int, requests: int, ms: Milliseconds) -> tuple[float, float]:
    """Dollars a month that one runtime kept ready adds, and what it saves where it answers everything."""
    used = requests * ms.warm / 1000 * memory / 1024
    saved = used * (LAMBDA_GB_SECOND - READY_USED_GB_SECOND)
    return MONTH * memory / 1024 * READY_GB_SECOND, saved


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ms", type=float, nargs=2, metavar=("1769", "3538"), help="of a warm request, at each memory")
    parser.add_argument("--cold", type=float, default=3000, help="ms of a cold one, with --ms (default: %(default)s)")
    options = parser.parse_args(argv)
    if options.ms:
        times = {memory: Milliseconds(ms, options.cold) for memory, ms in zip(MEMORY, options.ms)}
    else:
        times = {memory: measure(threads) for memory, threads in MEMORY.items()}
    print(f"Prices: {DAY}. A REST API; an HTTP API takes $1.00 instead of $3.50 a million, a function URL nothing.\n")
    print("| requests a month | memory, MB | warm, ms | cold, ms | Lambda | API Gateway | S3 | ECR | logs | **all** |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for requests in REQUESTS:
        for memory, ms in times.items():
            bill = month(requests, memory, ms)
            cells = [f"{requests:,}", f"{memory:,}", f"{ms.warm:.0f}", f"{ms.cold:.0f}"]
            cells += [f"${part:.2f}" for part in bill.values()]
            print("|", " | ".join(cells), f"| **${sum(bill.values()):.2f}** |")
    print("\n| what is added | $ a month |\n|---|---|")
    for memory, ms in times.items():
        fixed, saved = ready(memory, 1_000_000, ms)
        print(
            f"| `warm=1` at {memory:,} MB, less {saved:.2f} for each million requests that it answers | {fixed:.2f} |"
        )
    print(f"| `alarms=...`: {ALARMS} alarms and a metric | {ALARMS * ALARM_MONTH + METRIC_MONTH:.2f} |")
    numbers = f"{METRICS} metrics in `{NAMESPACE}`, if there are requests in every hour"
    print(f"| `metrics=on`: {numbers} | {METRICS * METRIC_MONTH:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
