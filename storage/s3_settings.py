"""Settings of the connection to S3, and retry policies with time limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class S3Settings:
    """Credentials, region and endpoint. botocore looks for missing ones in its configuration files and profiles.

    access_key and secret_key are used only together. endpoint: URL of a server other than AWS's.
    """

    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = None
    session_token: str | None = None
    endpoint: str | None = None

    @property
    def has_keys(self) -> bool:
        return bool(self.access_key and self.secret_key)


class RetryPolicy(NamedTuple):
    """Time limits of one call, in seconds, and the number of attempts."""

    connect: float
    read: float  # without receiving a byte
    attempts: int  # AWS_MAX_ATTEMPTS overrides it for writing and listing, as in botocore
    total: float  # for reading an object; nothing limits writing and listing


DEFAULT_POLICY = RetryPolicy(connect=10, read=60, attempts=3, total=math.inf)

# Lambda limits INIT to 10 s and repeats an initialization that takes longer within the first request, which API Gateway
# limits to 29 s. So 10 s, about 3 s of imports and `total` must fit into 29 s together. Within AWS, a connection takes
# milliseconds, the first byte some hundred milliseconds and a model of 27 MB about half a second. A bucket that stalls
# is given up after two attempts of 2 s and a pause of up to 1 s, still within INIT. One that sends less than 2 MB/s is
# treated as down.
SERVING_POLICY = RetryPolicy(connect=1, read=2, attempts=2, total=12)

# For photos in a bucket, within the 120 s that serverless.yml gives the function.
BULK_POLICY = RetryPolicy(connect=5, read=20, attempts=4, total=60)
