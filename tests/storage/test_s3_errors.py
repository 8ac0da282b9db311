"""Refusals of S3 and exceptions of the libraries as StorageError, through real requests to an S3 that refuses them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Callable, Iterator, NamedTuple

import pytest
from botocore import exceptions as botocore
from urllib3 import exceptions as urllib3

from storage.blobs import BlobStore, open_blobs
from storage.errors import BlobConflict, BlobNotFound, StorageError, StorageRefused, StorageUnreachable
from storage.s3_errors import convert
from storage.s3_settings import RetryPolicy, S3Settings
from tests.stubborn import CUT, Answer, Rule, StubbornS3, always, error, stubborn_s3

ONCE = RetryPolicy(connect=1, read=1, attempts=1, total=5)
BUCKET = "our-bucket"
URI = f"s3://{BUCKET}/faces"
KEY = "some-key"


def get(store: BlobStore) -> object:
    return store.get(KEY)


def put(store: BlobStore) -> object:
    return store.put(KEY, bytes(100_000), if_match="0")


def put_file(store: BlobStore) -> object:
    return store.put_file(KEY, Path(__file__))


def delete(store: BlobStore) -> object:
    return store.delete(KEY)


def listed(store: BlobStore) -> object:
    return list(store.list())


Call = Callable[[BlobStore], object]
ALL = (get, put, put_file, delete, listed)
BOTH = (get, put)  # without the client and with it


class Case(NamedTuple):
    rule: Rule
    kind: type[StorageError]
    sentence: str
    reason: str
    calls: tuple[Call, ...] = BOTH


def refused(code: str, status: int = 403) -> Rule:
    return always(error(status, code))


def html(status: int, **headers: str) -> Rule:
    return always(Answer(status, "<!doctype html><p>Sign in", {"Content-Type": "text/html", **headers}))


ELSEWHERE = "our-bucket is in the region eu-west-1 .*: set AWS_DEFAULT_REGION to eu-west-1, and no AWS_ENDPOINT_URL"
TROUBLE = r"^S3 has trouble of its own at the moment \({}\): try again later\.$"
REFUSES = r"^S3 refuses \w+ at {} \({}\): Words\.$"

CASES = {
    "no right to read": Case(
        refused("AccessDenied"),
        StorageRefused,
        rf"may not read from {URI} \(AccessDenied\): they need s3:GetObject there\.$",
        r"^S3 denies access \(AccessDenied\)$",
        (get,),
    ),
    "no right to write": Case(
        refused("AccessDenied"), StorageRefused, f"may not write to {URI} .*s3:PutObject", "denies", (put, put_file)
    ),
    "no right to delete": Case(
        refused("AccessDenied"), StorageRefused, f"may not delete from {URI} .*s3:DeleteObject", "denies", (delete,)
    ),
    "no right to list": Case(
        refused("AccessDenied"), StorageRefused, f"may not list {URI} .*s3:ListBucket", "denies", (listed,)
    ),
    "an empty 403": Case(
        always(Answer(403)), StorageRefused, rf"may not read from {URI} \(403\)", r"^S3 denies access \(403\)$", (get,)
    ),
    "no bucket": Case(
        refused("NoSuchBucket", 404),
        BlobNotFound,
        rf"^There is no bucket {BUCKET} \(NoSuchBucket\): create it, or correct the name\.$",
        r"^there is no such bucket \(NoSuchBucket\)$",
        ALL,
    ),
    "a page with 404": Case(html(404), BlobNotFound, f"no bucket {BUCKET}", "no such bucket .404"),
    "no object": Case(
        refused("NoSuchKey", 404), BlobNotFound, f"There is no object {KEY} in {URI}", "a file is missing", (get,)
    ),
    "no object for a condition": Case(
        refused("NoSuchKey", 404), BlobConflict, f"{KEY} in {URI} was written", "another writer was first", (put,)
    ),
    "another region": Case(
        always(error(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1")),
        StorageRefused,
        ELSEWHERE,
        "another region",
    ),
    "a header for another region": Case(
        always(error(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>")),
        StorageRefused,
        ELSEWHERE,
        "another region",
    ),
    "a malformed header": Case(
        refused("AuthorizationHeaderMalformed", 400),
        StorageRefused,
        REFUSES.format(URI, "AuthorizationHeaderMalformed"),
        "S3 refuses the request",
    ),
    "some other region": Case(
        refused("IllegalLocationConstraintException", 400),
        StorageRefused,
        "in another region .*AWS_DEFAULT_REGION",
        "another region",
    ),
    "an unknown key": Case(
        refused("InvalidAccessKeyId"),
        StorageRefused,
        "not accept the AWS credentials .*AWS_ACCESS_KEY_ID",
        "not accept",
    ),
    "a wrong secret": Case(
        refused("SignatureDoesNotMatch"), StorageRefused, "AWS_SECRET_ACCESS_KEY", "not accept the AWS credentials"
    ),
    "expired credentials": Case(refused("ExpiredToken", 400), StorageRefused, "have expired .*log in again", "expired"),
    "a wrong clock": Case(refused("RequestTimeTooSkewed"), StorageRefused, "set the clock", "the clock is wrong"),
    "too many requests": Case(
        refused("SlowDown", 503), StorageUnreachable, TROUBLE.format("SlowDown"), "trouble of its own .SlowDown"
    ),
    "internal trouble": Case(
        refused("InternalError", 500), StorageUnreachable, TROUBLE.format("InternalError"), "trouble of its own"
    ),
    "a request that took too long": Case(
        refused("RequestTimeout", 400), StorageUnreachable, TROUBLE.format("RequestTimeout"), "trouble of its own"
    ),
    "any other code": Case(
        refused("OperationAborted", 409),
        StorageRefused,
        REFUSES.format(URI, "OperationAborted"),
        r"^S3 refuses the request \(OperationAborted\)$",
    ),
    "a login page": Case(
        html(200), StorageUnreachable, f"{URI} does not do so as S3 does", "not respond as S3 does", (listed,)
    ),
    "a redirect to elsewhere": Case(
        html(301, Location="https://127.0.0.1/"), StorageRefused, "not do so as S3 does", "not respond as S3 does"
    ),
    "a cut request": Case(
        always(CUT),
        StorageUnreachable,
        f"connection to {URI} failed .*try again",
        r"^S3 cannot be reached \(\w+\)$",
        ALL,
    ),
    "half a response": Case(
        always(Answer(200, "half", {"Content-Length": "11"})),
        StorageUnreachable,
        f"connection to {URI} failed",
        "S3 cannot be reached",
        (get,),
    ),
}


@pytest.fixture()
def stubborn() -> Iterator[StubbornS3]:
    with stubborn_s3() as found:
        yield found


@pytest.fixture()
def settings(stubborn: StubbornS3) -> S3Settings:
    return S3Settings("us-east-1", "test-key", "test-secret", endpoint=stubborn.url)


def failure(call: Call, settings: S3Settings) -> StorageError:
    with pytest.raises(StorageError) as caught, open_blobs(URI, settings, ONCE) as store:
        call(store)
    return caught.value


def check(found: StorageError, kind: type[StorageError], sentence: str, reason: str) -> None:
    """The sentence is one line; the reason names nothing that the operator has set."""
    assert type(found) is kind, found
    assert re.search(sentence, f"{found}"), found
    assert re.search(reason, found.reason), found.reason
    assert "\n" not in f"{found}{found.reason}"
    assert f"{found}".endswith(".")
    assert not re.search(rf"\.$|://|127\.0\.0\.1|{BUCKET}|{KEY}|test-|nobody|eu-west", found.reason), found.reason
    assert found.__cause__ is not None


@pytest.mark.parametrize(
    ("name", "call"),
    [(name, call) for name, case in CASES.items() for call in case.calls],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_refusals(stubborn: StubbornS3, settings: S3Settings, name: str, call: Call) -> None:
    case = CASES[name]
    stubborn.rule = case.rule
    check(failure(call, settings), case.kind, case.sentence, case.reason)
    assert stubborn.requests


# Without reaching S3


@pytest.mark.parametrize("call", ALL)
def test_no_credentials(stubborn: StubbornS3, settings: S3Settings, call: Call) -> None:
    found = failure(call, replace(settings, access_key=None))
    sentence = f"no AWS credentials to reach {URI} .*set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    check(found, StorageRefused, sentence, r"^there are no AWS credentials \(NoCredentialsError\)$")
    assert stubborn.requests == []


@pytest.mark.parametrize("call", BOTH)
def test_an_unknown_profile(settings: S3Settings, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    found = failure(call, replace(settings, access_key=None))
    sentence = r"cannot be used for .*The config profile \(nobody\) could not be found\.$"
    check(found, StorageRefused, sentence, r"^the AWS settings are wrong \(ProfileNotFound\)$")


@pytest.mark.parametrize("call", BOTH)
@pytest.mark.parametrize("endpoint", ["nonsense", "http://", "http://a b/", "http://[::1", "http://a:b/"])
def test_an_endpoint_that_is_no_url(settings: S3Settings, endpoint: str, call: Call) -> None:
    found = failure(call, replace(settings, endpoint=endpoint))
    check(found, StorageRefused, "as it is set up: |cannot be used for ", "the AWS settings are wrong")


@pytest.mark.parametrize("call", BOTH)
def test_a_region_that_is_none(settings: S3Settings, call: Call) -> None:
    found = failure(call, replace(settings, region="no region", endpoint=None))
    check(found, StorageRefused, "as it is set up: .*no region", "the AWS settings are wrong")


@pytest.mark.parametrize("call", BOTH)
def test_nobody_listens(settings: S3Settings, call: Call) -> None:
    found = failure(call, replace(settings, endpoint="http://127.0.0.1:9"))
    check(found, StorageUnreachable, f"connection to {URI} failed", "S3 cannot be reached")


EXCEPTIONS = {
    StorageRefused: [
        botocore.NoCredentialsError(),
        botocore.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
        botocore.CredentialRetrievalError(provider="process", error_msg="x"),
        botocore.TokenRetrievalError(provider="sso", error_msg="x"),
        botocore.UnauthorizedSSOTokenError(),
        botocore.NoRegionError(),
        botocore.ParamValidationError(report="x"),
        botocore.InvalidRegionError(region_name="x y"),
        botocore.ProfileNotFound(profile="nobody"),
        botocore.ConfigParseError(path="nobody"),
        botocore.BotoCoreError(),
        urllib3.LocationParseError("http://a b"),
        ValueError("Invalid endpoint: x"),
        RecursionError("x"),
    ],
    StorageUnreachable: [
        botocore.EndpointConnectionError(endpoint_url="http://x"),
        botocore.ReadTimeoutError(endpoint_url="http://x"),
        botocore.ConnectTimeoutError(endpoint_url="http://x"),
        botocore.ConnectionClosedError(endpoint_url="http://x"),
        botocore.SSLError(endpoint_url="http://x", error="x"),
        botocore.ProxyConnectionError(proxy_url="http://x"),
        botocore.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        botocore.ResponseStreamingError(error="x"),
        urllib3.ProtocolError("x"),
        urllib3.SSLError("x"),
        urllib3.HTTPError("x"),
    ],
}
RAISED = [(kind, error) for kind, errors in EXCEPTIONS.items() for error in errors]


@pytest.mark.parametrize(("kind", "error"), RAISED, ids=lambda value: getattr(value, "__name__", type(value).__name__))
def test_every_exception_has_its_error(kind: type[StorageError], error: Exception) -> None:
    found = convert(error, URI, BUCKET, KEY)
    found.__cause__ = error
    check(found, kind, ".", rf"^[^:/]+ \({type(error).__name__}\)$")
