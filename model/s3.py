"""Files out of an S3 bucket, within seconds or not at all.

botocore signs the requests, and looks for credentials where the environment has none. Its client, which takes a sixth
of a cold start to come up, is left out: all that is needed of S3 here is GET.
"""

from __future__ import annotations

import math
import os
import random
import re
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Iterator, Mapping, NamedTuple
from urllib.parse import quote, urlsplit

from model.errors import ModelUnavailable, SourceUnreachable

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials
    from urllib3.response import HTTPResponse

# Bytes at a time. The deadline is looked at in between, so a peer that sends 10 kB/s overruns it by 6 s and no more.
CHUNK = 1 << 16
MOST_OF_A_REFUSAL = 1 << 16  # bytes that are read of it
LONGEST_PAUSE = 1.0  # seconds before another attempt

NOT_FETCHED = "The model cannot be fetched"
WHY = {
    "AccessDenied": "S3 does not let the service read it",  # nor say that it is missing, without s3:ListBucket
    "NoSuchBucket": "there is no such bucket",
    "NoSuchKey": "a file of it is missing, so publish it first",
}


class Patience(NamedTuple):
    """How long S3 is waited for, in seconds."""

    connect: float
    read: float  # without a byte
    attempts: int  # at a request; an answer that breaks off once it has begun is not asked for again
    total: float  # from then on nothing more is begun, and what goes on is given up


UNHURRIED = Patience(connect=10, read=60, attempts=3, total=math.inf)

# Lambda gives INIT 10 s; what takes longer is begun anew within the first request, which API Gateway gives 29 s. So
# 10 s, about 3 s of imports and `total` have to fit into 29 s together. Within AWS a connection takes milliseconds, the
# first byte some hundred of them and a model of 27 MB about half a second: a bucket that stalls is given up after two
# attempts of 2 s and a pause of up to 1 s, still within INIT, and one that sends under 2 MB/s is as good as down.
SERVING = Patience(connect=1, read=2, attempts=2, total=12)


class Bucket:
    """Reads below one prefix, from the moment it is made until its patience is used up. To be closed."""

    def __init__(self, name: str, prefix: str, patience: Patience) -> None:
        """Raises ModelUnavailable."""
        # Imported in functions because a bundled model needs none of it.
        import urllib3

        self._name, self._prefix, self._patience = name, prefix, patience
        self._deadline = time.monotonic() + patience.total
        self._credentials, self._region = _identity()
        timeout = urllib3.Timeout(connect=patience.connect, read=patience.read)
        self._pool = urllib3.PoolManager(timeout=timeout, retries=False)

    def read(self, file: str, limit: int) -> bytearray:
        """A file of at most `limit` bytes.

        Raises SourceUnreachable where S3 is down, slow or in trouble, ModelUnavailable where it says no.
        """
        data = bytearray()
        with _our_errors(), closing(self._answer(file)) as answer:
            for chunk in answer.stream(CHUNK, decode_content=False):
                data += chunk
                if len(data) > limit:
                    raise ModelUnavailable(f"{NOT_FETCHED}: a file of it is larger than it should be.")
                if time.monotonic() > self._deadline:
                    raise SourceUnreachable(f"{NOT_FETCHED}: S3 sends it too slowly.")
        return data

    def close(self) -> None:
        self._pool.clear()

    def _answer(self, file: str) -> HTTPResponse:
        """With status 200. Trouble that may pass is given another chance after a pause."""
        for attempt in range(1, self._patience.attempts + 1):
            try:
                return self._ask(file)
            except SourceUnreachable:
                if attempt == self._patience.attempts:
                    raise
            time.sleep(random.uniform(0, LONGEST_PAUSE))
        raise AssertionError("there is at least one attempt")

    def _ask(self, file: str) -> HTTPResponse:
        answer = self._get(file)
        home = answer.headers.get("x-amz-bucket-region", self._region)
        if answer.status != 200 and home != self._region:
            answer.close()
            self._region = home
            answer = self._get(file)
        if answer.status != 200:
            with closing(answer):
                raise _refusal(answer.status, answer.read(MOST_OF_A_REFUSAL))
        return answer

    def _get(self, file: str) -> HTTPResponse:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest

        url = _url(self._name, self._prefix + file, self._region, os.environ)
        if not urlsplit(url).hostname:
            raise ModelUnavailable(f"{NOT_FETCHED}: AWS_ENDPOINT_URL is set to something that is no URL.")
        request = AWSRequest("GET", url)
        S3SigV4Auth(self._credentials, "s3", self._region).add_auth(request)
        with _our_errors():
            answer: HTTPResponse = self._pool.request(
                "GET",
                request.url,
                headers=dict(request.headers),
                preload_content=False,
                redirect=False,
                enforce_content_length=True,
            )
        return answer


def _identity() -> tuple[ReadOnlyCredentials, str]:
    """Credentials and region: of the environment, as Lambda gives them, else wherever botocore finds them.

    Raises ModelUnavailable.
    """
    from botocore.credentials import ReadOnlyCredentials

    given = os.environ
    region = given.get("AWS_REGION") or given.get("AWS_DEFAULT_REGION")
    key, secret = given.get("AWS_ACCESS_KEY_ID"), given.get("AWS_SECRET_ACCESS_KEY")
    if key and secret and region:
        return ReadOnlyCredentials(key, secret, given.get("AWS_SESSION_TOKEN")), region
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        session = Session()
        found = session.get_credentials()
        if found is None:
            raise ModelUnavailable(f"{NOT_FETCHED}: there are no AWS credentials here.")
        return found.get_frozen_credentials(), region or session.get_config_variable("region") or "us-east-1"
    except BotoCoreError as error:
        raise ModelUnavailable(f"{NOT_FETCHED}: AWS is set up wrongly here ({type(error).__name__}).") from error


def _url(bucket: str, key: str, region: str, environment: Mapping[str, str]) -> str:
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    path = quote(key)
    if endpoint:
        return f"{endpoint.rstrip('/')}/{bucket}/{path}"
    host = f"s3.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
    # The certificate is not for names with a dot in the bucket's part.
    return f"https://{host}/{bucket}/{path}" if "." in bucket else f"https://{bucket}.{host}/{path}"


@contextmanager
def _our_errors() -> Iterator[None]:
    """What urllib3 raises -> SourceUnreachable."""
    from urllib3.exceptions import HTTPError

    try:
        yield
    except HTTPError as error:
        raise SourceUnreachable(f"{NOT_FETCHED}: S3 cannot be reached ({type(error).__name__}).") from error


def _refusal(status: int, body: bytes) -> ModelUnavailable:
    """S3 has answered, and not with the file."""
    found = re.search(rb"<Code>(\w+)</Code>", body)
    code = found.group(1).decode() if found else str(status)
    if status >= 500 or status == 429:
        return SourceUnreachable(f"{NOT_FETCHED}: S3 has trouble of its own ({code}).")
    return ModelUnavailable(f"{NOT_FETCHED}: {WHY.get(code, 'S3 says no')} ({code}).")
