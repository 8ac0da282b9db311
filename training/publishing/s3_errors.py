"""What botocore raises -> a sentence that says what to do about it."""

from __future__ import annotations

from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as NoConnectionError

from model.store import split_s3_uri

# botocore follows what redirects every request, as S3 never does, until Python stops it.
S3_ERRORS = (BotoCoreError, ClientError, Boto3Error, RecursionError)

# A HEAD request is refused without a body, so all that is known of it is the HTTP status.
DENIED = ("AccessDenied", "AllAccessDisabled", "AccountProblem", "403")
ELSEWHERE = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301")
ACTIONS = {  # operation: what was tried, the permission for it; anything else is a part of writing
    "ListObjectsV2": ("list", "s3:ListBucket"),
    "GetObject": ("read from", "s3:GetObject"),
    "HeadObject": ("read from", "s3:GetObject"),
}

BAD_KEYS = (
    "S3 does not accept the AWS credentials ({error}): check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where they "
    "are temporary, AWS_SESSION_TOKEN."
)
EXPIRED = "The AWS credentials have expired ({error}): log in again."
NOT_S3 = "What answers for {uri} does not do so as S3 does ({error}): check AWS_ENDPOINT_URL, and any proxy."
CODES = {
    "NoSuchBucket": "There is no bucket {bucket} ({error}): create it, or correct the name.",
    "404": "There is no bucket {bucket} ({error}): create it, or correct the name.",
    # S3's own trouble has a name, InternalError; botocore gives this number to an answer that it cannot parse, too.
    "500": NOT_S3,
    "InvalidAccessKeyId": BAD_KEYS,
    "InvalidToken": BAD_KEYS,
    "SignatureDoesNotMatch": BAD_KEYS,
    "ExpiredToken": EXPIRED,
    "TokenRefreshRequired": EXPIRED,
    "RequestTimeTooSkewed": "The clock of this machine is wrong, so S3 refuses what it signs ({error}): set the clock.",
}

KINDS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    (
        (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, TokenRetrievalError, SSOError),
        "There are no AWS credentials to reach {uri} with ({error}): set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY.",
    ),
    ((NoRegionError,), "The AWS region is not known: set AWS_DEFAULT_REGION to the one of the bucket {bucket}."),
    ((ParamValidationError,), "{bucket!r} is not a name that a bucket can have: correct {uri}."),
    (
        (NoConnectionError, HTTPClientError, IncompleteReadError),
        "The connection to {uri} failed ({error}): check the network, and AWS_ENDPOINT_URL where it is set, and try "
        "again.",
    ),
    ((RecursionError,), NOT_S3),
)


def sentence(error: Exception, uri: str) -> str:
    """For the person who wanted something of `uri`, s3://bucket/prefix."""
    bucket = split_s3_uri(uri)[0]
    if isinstance(error, ClientError):
        return _refusal(error, uri, bucket)
    for kinds, text in KINDS:
        if isinstance(error, kinds):
            return text.format(uri=uri, bucket=bucket, error=f"{error}".rstrip("."))
    return f"S3 cannot be used for {uri}: {error}".rstrip(".") + "."


def _refusal(error: Any, uri: str, bucket: str) -> str:
    """S3 has answered, and the answer is no."""
    found = error.response.get("Error", {})
    code = str(found.get("Code", "no code"))
    http = error.response.get("ResponseMetadata", {})
    region = found.get("Region") or http.get("HTTPHeaders", {}).get("x-amz-bucket-region")
    # Without a region the header is malformed in another way, which S3's own message names.
    if code in ELSEWHERE and (region or code != "AuthorizationHeaderMalformed"):
        where, value = (f"in the region {region}", region) if region else ("in another region", "that one")
        return (
            f"The bucket {bucket} is {where} ({code}): set AWS_DEFAULT_REGION to {value}, and no AWS_ENDPOINT_URL of "
            "another region."
        )
    if code in DENIED:
        action, permission = ACTIONS.get(error.operation_name, ("write to", "s3:PutObject"))
        return f"The AWS credentials may not {action} {uri} ({code}): they need {permission} there."
    if code in CODES:
        return CODES[code].format(uri=uri, bucket=bucket, error=code)
    if http.get("HTTPStatusCode", 0) >= 500:
        return f"S3 has trouble of its own at the moment ({code}): try again later."
    reason = found.get("Message", "no reason given").rstrip(".")
    return f"S3 refuses {error.operation_name} at {uri} ({code}): {reason}."
