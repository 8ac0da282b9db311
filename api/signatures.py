"""Verification of signed requests: AWS Signature Version 4, as AWS's SDKs and CLI send it in the header Authorization.

The algorithm is that of AWS's IAM User Guide, "Signature Version 4 for API requests". botocore signs, but does not
verify, and takes a tenth of a second to import. The tests compare with it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from typing import Callable, Mapping, NamedTuple, Sequence
from urllib.parse import quote

from api.errors import DialectError
from api.lambda_events import Request

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_SKEW = 300  # seconds between the clocks of client and service, and so the longest time for a replay
REQUIRED = {"host", "x-amz-date"}  # headers that must be signed, besides X-Amz-Target
_HEADER = re.compile(
    rf"{ALGORITHM} +Credential=(?P<key>[^/,\s]+)/(?P<day>\d{{8}})/(?P<region>[^/,\s]+)/(?P<service>[^/,\s]+)"
    r"/aws4_request *, *"
    r"SignedHeaders=(?P<headers>[a-z0-9;_.\-]+) *, *Signature=(?P<signature>[0-9a-f]{64})"
)
TIME = "%Y%m%dT%H%M%SZ"
_DATE = re.compile(r"\d{8}T\d{6}Z")


class Scope(NamedTuple):
    """The content of the header Authorization. headers: names of those that are signed."""

    access_key_id: str
    day: str
    region: str
    service: str
    headers: Sequence[str]
    signature: str


def parse_authorization(request: Request) -> Scope:
    """Read the header Authorization. Raises DialectError."""
    given = request.headers.get("authorization", "")
    if not given:
        raise DialectError("MissingAuthenticationToken", "The request has no signature.")
    found = _HEADER.fullmatch(given.strip())
    if not found:
        raise DialectError("IncompleteSignatureException", "The header Authorization is not a signature of version 4.")
    headers = tuple(found["headers"].split(";"))
    return Scope(found["key"], found["day"], found["region"], found["service"], headers, found["signature"])


def verify(request: Request, scope: Scope, secret: str, service: str, clock: Callable[[], float] = time.time) -> None:
    """Verify the signature of a request. Raises DialectError if it is not valid now, for this service and secret."""
    date = request.headers.get("x-amz-date", "")
    needed = REQUIRED | {"x-amz-target"} & set(request.headers)
    if scope.service != service:
        raise _invalid(f"The signature is for another service than {service}.")
    if not needed <= set(scope.headers):
        raise _invalid(f"The signature does not cover {', '.join(sorted(needed - set(scope.headers)))}.")
    now = clock()
    if not _is_current(date, scope.day, now):
        ours = time.strftime(TIME, time.gmtime(now))
        raise _invalid(f"The signature is of another time. It is {ours} here, and {MAX_SKEW} seconds may differ.")
    body = request.body()
    digest = hashlib.sha256(body).hexdigest()
    if request.headers.get("x-amz-content-sha256", digest) != digest:
        raise _invalid("The body differs from the one that was signed.")
    headers = {"content-length": str(len(body)), **request.headers}  # some gateways drop the length
    if not set(scope.headers) <= set(headers):
        raise _invalid("A signed header is missing.")
    key = _signing_key(secret, scope)
    expected = [
        _signature(key, date, scope, _canonical(request, path, headers, scope, digest)) for path in request.sent_paths
    ]
    # All are compared, in constant time.
    if not sum(hmac.compare_digest(each, scope.signature) for each in expected):
        raise _invalid("The signature does not fit the request and the secret access key.")


def _is_current(date: str, day: str, now: float) -> bool:
    """date: as in 20261130T162251Z."""
    if not _DATE.fullmatch(date) or not date.startswith(day):
        return False
    earliest, latest = (time.strftime(TIME, time.gmtime(now + skew)) for skew in (-MAX_SKEW, MAX_SKEW))
    return earliest <= date <= latest


def _canonical(request: Request, path: str, headers: Mapping[str, str], scope: Scope, digest: str) -> str:
    """Return the canonical request. digest: of the body."""
    pairs = sorted((_encoded(name), _encoded(value)) for name, values in request.query.items() for value in values)
    query = "&".join(f"{name}={value}" for name, value in pairs)
    lines = [f"{name}:{' '.join(headers[name].split())}" for name in scope.headers]
    return "\n".join(
        [
            request.method,
            quote(path, safe="/-_.~", errors="replace"),
            query,
            *lines,
            "",
            ";".join(scope.headers),
            digest,
        ]
    )


def _signature(key: bytes, date: str, scope: Scope, canonical: str) -> str:
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
    text = "\n".join([ALGORITHM, date, f"{scope.day}/{scope.region}/{scope.service}/aws4_request", digest])
    return _hmac(key, text).hex()


def _signing_key(secret: str, scope: Scope) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (scope.day, scope.region, scope.service, "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~", errors="replace")


def _invalid(message: str) -> DialectError:
    return DialectError("InvalidSignatureException", message)
