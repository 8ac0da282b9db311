"""Signed GET requests to S3, without a client.

botocore signs the requests, and finds credentials if the settings have none. Its client is not used, because creating
it takes a sixth of a cold start.
"""

from __future__ import annotations

import io
import math
import random
import re
import time
from contextlib import closing
from functools import cached_property
from typing import ContextManager, NamedTuple
from urllib.parse import quote

import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.utils import is_valid_endpoint_url, is_valid_ipv6_endpoint_url
from urllib3.response import HTTPResponse

from storage.blobs import Blob
from storage.errors import StorageUnreachable
from storage.s3_errors import SLOW, TOO_LARGE, region_of, storage_errors
from storage.s3_settings import RetryPolicy, S3Settings

# Bytes at a time. The deadline is checked in between, so a server that sends 10 kB/s overruns it by 6 s at most.
CHUNK = 1 << 16
REFUSAL_BYTES = 1 << 16  # of an error response, at most
LONGEST_PAUSE = 1.0  # seconds before another attempt
CONNECTIONS = 10  # kept open, as in botocore


class Location(NamedTuple):
    """An S3 URI. prefix: empty, or with a slash at its end."""

    uri: str
    bucket: str
    prefix: str


class Identity(NamedTuple):
    """Credentials and region for signing. botocore renews credentials that are about to expire."""

    credentials: Credentials
    region: str


class _Wanted(NamedTuple):
    """An object to read. etag: unless it has that one; version: None for the current one."""

    key: str
    etag: str | None
    version: str | None


class ObjectReader:
    """Reads the objects below one prefix. Safe for several threads. Close after use."""

    def __init__(self, location: Location, settings: S3Settings, policy: RetryPolicy) -> None:
        self._location, self._settings, self._policy = location, settings, policy
        self._pool = urllib3.PoolManager(maxsize=CONNECTIONS, retries=False)
        self._bucket_region: str | None = None  # set if S3 has named another region than ours

    def read(
        self,
        key: str,
        etag: str | None = None,
        limit: int | None = None,
        deadline: float | None = None,
        version: str | None = None,
    ) -> Blob | None:
        """Read an object, or return None if it has that ETag. Raises StorageError.

        limit, deadline: as in BlobStore.get; version: ID of the object's version, None for the current one.
        """
        until = min(time.monotonic() + self._policy.total, math.inf if deadline is None else deadline)
        wanted = _Wanted(key, etag, version)
        with closing(self._response(wanted, until)) as response, self._errors(key):
            content = io.BytesIO()
            for chunk in response.stream(CHUNK, decode_content=False):
                content.write(chunk)
                if limit is not None and content.tell() > limit:
                    raise TOO_LARGE.error(key=key, uri=self._location.uri, limit=limit)
                self._time_left(key, until)
        if response.status == 304:
            return None
        return Blob(content.getvalue(), response.headers.get("ETag", "").strip('"'))

    def close(self) -> None:
        self._pool.clear()

    def _errors(self, key: str) -> ContextManager[None]:
        # An endpoint or a region that does not form a URL raises ValueError.
        return storage_errors(self._location.uri, self._location.bucket, key, (ValueError,))

    def _response(self, wanted: _Wanted, until: float) -> HTTPResponse:
        """Request an object: status 200 or 304. Retry after a pause if that may help."""
        for left in reversed(range(self._policy.attempts)):
            try:
                with self._errors(wanted.key):
                    return self._request(wanted, until)
            except StorageUnreachable:
                pause = random.uniform(0, LONGEST_PAUSE)
                if not left or time.monotonic() + pause > until:
                    raise
            time.sleep(pause)
        raise AssertionError("there is at least one attempt")

    def _request(self, wanted: _Wanted, until: float) -> HTTPResponse:
        """Request an object once, or again if S3 names another region. Raises ClientError as botocore's client does."""
        response = self._send(wanted, until)
        if response.status in (200, 304):
            return response
        refusal = _refusal(response)
        region = region_of(refusal)
        if region and region != self._region:
            self._bucket_region = region
            response = self._send(wanted, until)
            if response.status in (200, 304):
                return response
            refusal = _refusal(response)
        raise refusal

    def _send(self, wanted: _Wanted, until: float) -> HTTPResponse:
        left = self._time_left(wanted.key, until)
        headers = {} if wanted.etag is None else {"If-None-Match": f'"{wanted.etag}"'}
        url = self._url(wanted.key)
        if wanted.version is not None:
            url += f"?versionId={quote(wanted.version, safe='')}"
        request = AWSRequest("GET", url, headers=headers)
        S3SigV4Auth(self._identity.credentials.get_frozen_credentials(), "s3", self._region).add_auth(request)
        response: HTTPResponse = self._pool.request(
            "GET",
            request.url,
            headers=dict(request.headers),
            timeout=urllib3.Timeout(connect=min(self._policy.connect, left), read=min(self._policy.read, left)),
            preload_content=False,
            redirect=False,
            enforce_content_length=True,
        )
        return response

    def _url(self, key: str) -> str:
        return object_url(self._location.bucket, self._location.prefix + key, self._region, self._settings.endpoint)

    def _time_left(self, key: str, until: float) -> float:
        """Return the seconds until the deadline. Raises StorageUnreachable if it has passed."""
        left = until - time.monotonic()
        if left <= 0:
            raise SLOW.error(key=key, uri=self._location.uri)
        return left

    @property
    def _region(self) -> str:
        return self._bucket_region or self._identity.region

    @cached_property
    def _identity(self) -> Identity:
        """Credentials and region of the settings, as on Lambda, otherwise those that botocore finds."""
        ours = self._settings
        given = Credentials(ours.access_key, ours.secret_key, ours.session_token) if ours.has_keys else None
        if given and ours.region:
            return Identity(given, ours.region)
        # Imported here because Lambda provides both, and because it is a part of the avoided client.
        from botocore.session import Session

        session = Session()
        credentials = given or session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        return Identity(credentials, ours.region or session.get_config_variable("region") or "us-east-1")


def object_url(bucket: str, name: str, region: str, endpoint: str | None) -> str:
    """Build the URL of an object. name: its full key, with the prefix. Raises ValueError, as botocore's client does."""
    aws = f"https://s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
    base = (endpoint or aws).rstrip("/")
    if not (is_valid_endpoint_url(base) or is_valid_ipv6_endpoint_url(base)):
        raise ValueError(f"Invalid endpoint: {base}")
    # AWS's certificate does not cover host names of buckets with a dot in their name.
    if endpoint or "." in bucket:
        return f"{base}/{bucket}/{quote(name)}"
    return f"https://{bucket}.{base[len('https://') :]}/{quote(name)}"


def _refusal(response: HTTPResponse) -> ClientError:
    """Convert an error response to ClientError, as botocore's client does. Closes the response."""
    with closing(response):
        body = response.read(REFUSAL_BYTES)
    found = {name: re.search(rb"<%b>([^<]+)</%b>" % (name, name), body) for name in (b"Code", b"Message", b"Region")}
    details = {name.decode(): match.group(1).decode(errors="replace") for name, match in found.items() if match}
    return ClientError(
        {
            "Error": {"Code": str(response.status), **details},
            "ResponseMetadata": {
                "HTTPStatusCode": response.status,
                "HTTPHeaders": {name.lower(): value for name, value in response.headers.items()},
            },
        },
        "GetObject",
    )
