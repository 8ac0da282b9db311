"""Files out of an S3 bucket, within seconds or not at all."""

from __future__ import annotations

import math
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Iterator, NamedTuple

from model.errors import ModelUnavailable, SourceUnreachable

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_s3 import S3Client

# Bytes at a time. The deadline is looked at in between, so a peer that sends 10 kB/s overruns it by 6 s and no more.
CHUNK = 1 << 16

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
        self._name, self._prefix = name, prefix
        self._deadline = time.monotonic() + patience.total
        self._s3 = _client(patience)

    def read(self, file: str, limit: int) -> bytearray:
        """A file of at most `limit` bytes.

        Raises SourceUnreachable where S3 is down, slow or in trouble, ModelUnavailable where it says no.
        """
        data = bytearray()
        with _our_errors():
            answer = self._s3.get_object(Bucket=self._name, Key=self._prefix + file)
            with closing(answer["Body"]) as body:
                for chunk in body.iter_chunks(CHUNK):
                    data += chunk
                    if len(data) > limit:
                        raise ModelUnavailable(f"{NOT_FETCHED}: a file of it is larger than it should be.")
                    if time.monotonic() > self._deadline:
                        raise SourceUnreachable(f"{NOT_FETCHED}: S3 sends it too slowly.")
        return data

    def close(self) -> None:
        self._s3.close()


def _client(patience: Patience) -> S3Client:
    # botocore is imported in functions because it takes a tenth of a second that a bundled model does not need. boto3
    # would take another 0.03 s, and it keeps its first session: this one reads the credentials anew at each attempt.
    from botocore.config import Config
    from botocore.session import Session

    config = Config(
        connect_timeout=patience.connect,
        read_timeout=patience.read,
        retries={"total_max_attempts": patience.attempts, "mode": "standard"},
        response_checksum_validation="when_required",  # the model's own checksum is verified
    )
    with _our_errors():
        return Session().create_client("s3", config=config)


@contextmanager
def _our_errors() -> Iterator[None]:
    """What botocore raises -> ModelUnavailable or SourceUnreachable."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
    from botocore.exceptions import ConnectionError as NoConnection

    try:
        yield
    except ClientError as error:
        raise _refusal(error) from error
    except (NoConnection, HTTPClientError, IncompleteReadError, RecursionError) as error:
        # botocore follows what redirects every request, as S3 never does, until Python stops it.
        raise SourceUnreachable(f"{NOT_FETCHED}: S3 cannot be reached ({type(error).__name__}).") from error
    except (BotoCoreError, ValueError, TypeError) as error:
        # TypeError and ValueError are how botocore trips over headers and pages that S3 does not send.
        what = f"S3 is set up wrongly here, or something else answers for it ({type(error).__name__})"
        raise ModelUnavailable(f"{NOT_FETCHED}: {what}.") from error


def _refusal(error: ClientError) -> ModelUnavailable:
    """S3 has answered, and not with the file."""
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    code = error.response["Error"].get("Code") or status
    if status >= 500 or status == 429:
        return SourceUnreachable(f"{NOT_FETCHED}: S3 has trouble of its own ({code}).")
    return ModelUnavailable(f"{NOT_FETCHED}: {WHY.get(code, 'S3 says no')} ({code}).")
