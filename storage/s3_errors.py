"""The one table of S3 errors: an error code of S3 or an exception of botocore or urllib3 -> StorageError."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
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
from urllib3.exceptions import HTTPError

from storage.errors import (
    BlobConflict,
    BlobNotFound,
    CorruptData,
    Rule,
    StorageError,
    StorageRefused,
    StorageUnreachable,
)

# Fields of the sentences: {uri}, {bucket}, {key}, {error} (S3's code or the library's message), {message} (S3's own),
# {operation}, {action}, {permission}, {region}, {limit}.

DENIED = Rule(
    StorageRefused,
    "The AWS credentials may not {action} {uri} ({error}): they need {permission} there.",
    "S3 denies access",  # also to a missing object, without s3:ListBucket
)
BAD_KEYS = Rule(
    StorageRefused,
    "S3 does not accept the AWS credentials ({error}): check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where they "
    "are temporary, AWS_SESSION_TOKEN.",
    "S3 does not accept the AWS credentials",
)
EXPIRED = Rule(
    StorageRefused, "The AWS credentials have expired ({error}): log in again.", "the AWS credentials have expired"
)
NO_KEYS = Rule(
    StorageRefused,
    "There are no AWS credentials to reach {uri} with ({error}): set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY.",
    "there are no AWS credentials",
)
CLOCK = Rule(
    StorageRefused,
    "The clock of this machine is wrong, so S3 refuses what it signs ({error}): set the clock.",
    "the clock is wrong",
)
NO_BUCKET = Rule(
    BlobNotFound, "There is no bucket {bucket} ({error}): create it, or correct the name.", "there is no such bucket"
)
NO_OBJECT = Rule(BlobNotFound, "There is no object {key} in {uri} ({error}).", "a file is missing")
BAD_BUCKET = Rule(
    StorageRefused,
    "{bucket!r} is not a name that a bucket can have: correct {uri}.",
    "a bucket cannot have such a name",
)
CONFLICT = Rule(
    BlobConflict, "{key} in {uri} was written by another writer first ({error}).", "another writer was first"
)
NO_REGION = Rule(
    StorageRefused,
    "The AWS region is not known: set AWS_DEFAULT_REGION to the one of the bucket {bucket}.",
    "the AWS region is not known",
)
OTHER_REGION = Rule(
    StorageRefused,
    "The bucket {bucket} is in the region {region} ({error}): set AWS_DEFAULT_REGION to {region}, and no "
    "AWS_ENDPOINT_URL of another region.",
    "the bucket is in another region",
)
SOME_OTHER_REGION = Rule(
    StorageRefused,
    "The bucket {bucket} is in another region ({error}): set AWS_DEFAULT_REGION to that one, and no AWS_ENDPOINT_URL "
    "of another region.",
    "the bucket is in another region",
)
NOT_S3 = Rule(
    StorageRefused,
    "What answers for {uri} does not do so as S3 does ({error}): check AWS_ENDPOINT_URL, and any proxy.",
    "the server does not respond as S3 does",
)
TROUBLE = Rule(
    StorageUnreachable,
    "S3 has trouble of its own at the moment ({error}): try again later.",
    "S3 has trouble of its own",
)
DISCONNECTED = Rule(
    StorageUnreachable,
    "The connection to {uri} failed ({error}): check the network, and AWS_ENDPOINT_URL where it is set, and try again.",
    "S3 cannot be reached",
)
SLOW = Rule(
    StorageUnreachable,
    "Reading {key} from {uri} takes too long and was given up: check the network, and try again.",
    "S3 sends it too slowly",
)
TOO_LARGE = Rule(CorruptData, "{key} in {uri} is larger than {limit} bytes.", "a file is larger than it should be")
BAD_SETUP = Rule(StorageRefused, "S3 cannot be reached as it is set up: {error}.", "the AWS settings are wrong")
UNUSABLE = Rule(StorageRefused, "S3 cannot be used for {uri}: {error}.", "the AWS settings are wrong")
REFUSED = Rule(StorageRefused, "S3 refuses {operation} at {uri} ({error}): {message}.", "S3 refuses the request")

# By S3's code. Responses to HEAD, and those of other servers, have only the HTTP status.
CODES = {
    "AccessDenied": DENIED,
    "AllAccessDisabled": DENIED,
    "AccountProblem": DENIED,
    "403": DENIED,
    "NoSuchKey": NO_OBJECT,
    "PutObject NoSuchKey": CONFLICT,  # of If-Match, where the object has been deleted
    "NoSuchBucket": NO_BUCKET,
    "404": NO_BUCKET,
    "PreconditionFailed": CONFLICT,
    "ConditionalRequestConflict": CONFLICT,
    "PermanentRedirect": SOME_OTHER_REGION,
    "IllegalLocationConstraintException": SOME_OTHER_REGION,
    "301": NOT_S3,
    # S3's own trouble has a name, InternalError. botocore gives this number to a response that it cannot parse, too.
    "500": NOT_S3._replace(kind=StorageUnreachable),
    "RequestTimeout": TROUBLE,
    "InvalidAccessKeyId": BAD_KEYS,
    "InvalidToken": BAD_KEYS,
    "SignatureDoesNotMatch": BAD_KEYS,
    "ExpiredToken": EXPIRED,
    "TokenRefreshRequired": EXPIRED,
    "RequestTimeTooSkewed": CLOCK,
}
# The codes of a bucket elsewhere, where S3 names its region. Without one, AuthorizationHeaderMalformed has another
# cause, which S3's message names.
REDIRECTS = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301")

# The first that matches. botocore follows a redirect of every request, which S3 never sends, until Python stops it.
EXCEPTIONS: tuple[tuple[tuple[type[Exception], ...], Rule], ...] = (
    (
        (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, TokenRetrievalError, SSOError),
        NO_KEYS,
    ),
    ((NoRegionError,), NO_REGION),
    ((ParamValidationError,), BAD_BUCKET),
    ((ValueError,), BAD_SETUP),
    ((ConnectionError, HTTPClientError, IncompleteReadError, HTTPError), DISCONNECTED),
    ((RecursionError,), NOT_S3),
    ((BotoCoreError,), UNUSABLE),
)

# Operation: the attempted action, the permission for it. All other operations write.
ACTIONS = {
    "ListObjectsV2": ("list", "s3:ListBucket"),
    "GetObject": ("read from", "s3:GetObject"),
    "HeadObject": ("read from", "s3:GetObject"),
    "DeleteObject": ("delete from", "s3:DeleteObject"),
}
WRITING = ("write to", "s3:PutObject")


@contextmanager
def storage_errors(uri: str, bucket: str, key: str = "", more: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Convert the exceptions of botocore and urllib3. more: further exceptions in the table."""
    try:
        yield
    except (BotoCoreError, ClientError, HTTPError, RecursionError, *more) as error:
        raise convert(error, uri, bucket, key) from error


def convert(error: Exception, uri: str, bucket: str, key: str = "") -> StorageError:
    """Convert an exception by the table. uri: s3://bucket/prefix; key: relative to it."""
    if isinstance(error, ClientError):
        return _convert_refusal(error, uri, bucket, key)
    # botocore wraps it where it is raised within a request.
    if isinstance(error, HTTPClientError) and isinstance(error.kwargs.get("error"), RecursionError):
        error = error.kwargs["error"]
    rule = next(rule for kinds, rule in EXCEPTIONS if isinstance(error, kinds))
    name = type(error).__name__
    # urllib3's messages show addresses of objects.
    text = name if isinstance(error, HTTPError) and not isinstance(error, ValueError) else f"{error}".rstrip(".")
    return rule.error(name, uri=uri, bucket=bucket, key=key, error=text)


def _convert_refusal(error: Any, uri: str, bucket: str, key: str) -> StorageError:
    """Convert an error response of S3. error: a ClientError."""
    found = error.response.get("Error", {})
    code, region = str(found.get("Code", "no code")), region_of(error)
    action, permission = ACTIONS.get(error.operation_name, WRITING)
    return _rule(error, code, region).error(
        code,
        uri=uri,
        bucket=bucket,
        key=key,
        error=code,
        message=found.get("Message", "no reason given").rstrip("."),
        operation=error.operation_name,
        action=action,
        permission=permission,
        region=region,
    )


def _rule(error: Any, code: str, region: str | None) -> Rule:
    if region and code in REDIRECTS:
        return OTHER_REGION
    rule = CODES.get(f"{error.operation_name} {code}") or CODES.get(code)
    if rule:
        return rule
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return TROUBLE if status >= 500 or status == 429 else REFUSED


def region_of(error: Any) -> str | None:
    """Return the region of the bucket from a ClientError. S3 names it if the request went to another region."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return error.response.get("Error", {}).get("Region") or headers.get("x-amz-bucket-region")
