"""The verification of signatures, compared with botocore, which signs."""

from __future__ import annotations

import time
from hashlib import sha256
from random import Random
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from api import signatures
from api.dialects.rekognition import ADMIN_ID, READER_ID, authorize
from api.errors import DialectError
from api.keys import Access, Keys
from api.lambda_events import Request, adapter_for
from tests.fuzz.forgeries import FORGERIES, forge
from tests.fuzz.sending import HOST, SOURCES, Sent, Signature, event_from, sign

NOW = 1_795_556_997.0  # 2026-11-24T21:49:57Z
MIDNIGHT = 1_795_564_800.0  # 2026-11-25T00:00:00Z
SECRET = "key of the readers, äöü"
RIGHT = Signature(READER_ID, SECRET, NOW)
MISSING, UNKNOWN = "MissingAuthenticationToken", "UnrecognizedClientException"
INCOMPLETE, INVALID, DENIED = "IncompleteSignatureException", "InvalidSignatureException", "AccessDeniedException"

PATHS = ("", "/", "/a", "/a/b/", "/A-b_c.d~e", "/$x!*'()+,;=:@", "/a%20b/%C3%A9")
TEXTS = ("", "1", "a b", "a+b", "a&b=c", "%", "%41", "~-_.", "é", "山田", "\U0001f642", "/?#", '"')
VALUES = ("plain", "  two   spaces  ", "tab\tand  space", "a,b", "é 山田", "", "x" * 1000, 'a="b c"')
BODIES = (b"", b"{}", b'{"CollectionId": "people"}', '{"a": "é"}'.encode(), bytes(range(256)), b"x" * 100_000)
REGIONS = ("eu-central-1", "us-east-1", "cn-north-1", "local", "region_1")


def generated(random: Random, source: str) -> Sent:
    """Make a request to sign."""
    method = random.choice(("POST", "POST", "POST", "GET", "PUT", "DELETE", "PATCH"))
    names = random.sample(TEXTS[1:], random.choice((0, 0, 1, 2, 4)))
    query = [(name, random.choice(TEXTS)) for name in names]
    if query and SOURCES[source].repeats:
        query += [(query[0][0], random.choice(TEXTS))]
    body = random.choice(BODIES)
    headers = {
        "Host": HOST,
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "RekognitionService.ListFaces",
    }
    headers.update({f"X-Custom-{number}": random.choice(VALUES) for number in range(random.choice((0, 1, 3)))})
    if random.random() < 0.5:  # as the AWS SDK for JavaScript does
        headers.update({"x-amz-content-sha256": sha256(body).hexdigest(), "content-length": str(len(body))})
    return Sent(method, SOURCES[source].prefix + random.choice(PATHS), tuple(query), headers, body)


def target(**headers: str) -> Sent:
    """A request of a client of Rekognition."""
    given = {"Host": HOST, "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "RekognitionService.ListFaces"}
    return Sent("POST", "/dev/", (), {**given, **headers}, b'{"CollectionId": "people"}')


def received(sent: Sent, source: str = "rest-stage") -> Request:
    event = event_from(SOURCES[source], sent)
    return adapter_for(event).parse(event, "request-1")


def verify(request: Request, now: float = NOW, secret: str = SECRET) -> signatures.Scope:
    """Verify a signature for the service `rekognition`. Raises DialectError."""
    scope = signatures.parse_authorization(request)
    signatures.verify(request, scope, secret, "rekognition", clock=lambda: now)
    return scope


def refusal(*arguments: Any, **others: Any) -> str:
    """-> code of the error with which `verify` refuses a request."""
    with pytest.raises(DialectError) as raised:
        verify(*arguments, **others)
    assert raised.value.status == 400
    assert str(raised.value).endswith(".")
    return raised.value.code


@pytest.mark.parametrize("source", SOURCES)
def test_requests_that_botocore_signed(source: str) -> None:
    random = Random(source)
    for _ in range(60):
        sent = generated(random, source)
        signature = RIGHT._replace(region=random.choice(REGIONS), date=NOW + random.uniform(-290, 290))
        scope = verify(received(sign(sent, signature), source))
        assert (scope.access_key_id, scope.region, scope.service) == (READER_ID, signature.region, "rekognition")
        assert {"host", "x-amz-date", "x-amz-target"} <= set(scope.headers)


def test_signature_of_now() -> None:
    sent = target()
    request = AWSRequest(sent.method, f"https://{HOST}{sent.path}", dict(sent.headers), sent.body)
    SigV4Auth(Credentials(READER_ID, SECRET), "rekognition", "eu-central-1").add_auth(request)
    received_one = received(sent._replace(headers=dict(request.headers)))
    scope = signatures.parse_authorization(received_one)
    signatures.verify(received_one, scope, SECRET, "rekognition")


@pytest.mark.parametrize("kind", sorted(FORGERIES.keys() - {"key ID"}))  # a signature does not cover the key's ID
@pytest.mark.parametrize("source", SOURCES)
def test_any_change_is_refused(kind: str, source: str) -> None:
    random = Random(f"{kind}/{source}")
    for _ in range(20):
        forged = forge(kind, random, sign(generated(random, source), RIGHT))
        assert refusal(received(forged, source)) in (MISSING, INCOMPLETE, INVALID)


def test_another_method_is_refused() -> None:
    assert refusal(received(sign(target(), RIGHT)._replace(method="PUT"))) == INVALID


def test_another_secret_is_refused() -> None:
    request = received(sign(target(), RIGHT))
    for secret in ("", SECRET[:-1], f"{SECRET} ", SECRET.upper(), "\U0001f642"):
        assert refusal(request, secret=secret) == INVALID


@pytest.mark.parametrize("service", ["s3", "execute-api", "lambda", "Rekognition", "rekognition2"])
def test_another_service_is_refused(service: str) -> None:
    assert refusal(received(sign(target(), RIGHT._replace(service=service)))) == INVALID


@pytest.mark.parametrize("date", [NOW, MIDNIGHT - 1, MIDNIGHT])
@pytest.mark.parametrize(("skew", "accepted"), [(-301, False), (-299, True), (0, True), (299, True), (301, False)])
def test_clocks_may_differ_by_five_minutes(date: float, skew: float, accepted: bool) -> None:
    request = received(sign(target(), RIGHT._replace(date=date)))
    if accepted:
        verify(request, date + skew)
    else:
        assert refusal(request, date + skew) == INVALID


@pytest.mark.parametrize("day", ["20261123", "20261125", "20251124"])
def test_day_of_the_scope_is_that_of_the_date(day: str) -> None:
    assert refusal(received(sign(target(), RIGHT._replace(day=day)))) == INVALID
    verify(received(sign(target(), RIGHT._replace(day="20261124"))))


@pytest.mark.parametrize("name", ["host", "x-amz-date", "x-amz-target"])
def test_headers_that_must_be_signed(name: str) -> None:
    assert refusal(received(sign(target(), RIGHT._replace(uncovered=(name,))))) == INVALID


def test_other_headers_need_not_be_signed() -> None:
    sent = sign(target(), RIGHT._replace(uncovered=("content-type",)))
    verify(received(sent.changed(Content_Type="text/plain", User_Agent="another")))


def test_length_is_known_where_the_source_drops_it() -> None:
    sent = sign(target(**{"Content-Length": "26"}), RIGHT)
    assert "Content-Length" not in received(sent).headers
    verify(received(sent))
    assert refusal(received(sent._replace(body=sent.body + b" "))) == INVALID


@pytest.mark.parametrize("digest", ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "0" * 64])
def test_body_must_be_signed(digest: str) -> None:
    assert refusal(received(sign(target(**{"X-Amz-Content-Sha256": digest}), RIGHT))) == INVALID


@pytest.mark.parametrize(
    "date", ["", "today", "20261124", "20261124T214957", "2026-11-24T21:49:57Z", "20261124T2149\u06657Z"]
)
def test_dates_of_another_form_are_refused(date: str) -> None:
    assert refusal(received(sign(target(), RIGHT).changed(X_Amz_Date=date))) == INVALID


@pytest.mark.parametrize("given", [None, ""])
def test_without_a_signature(given: str | None) -> None:
    assert refusal(received(target() if given is None else target(Authorization=given))) == MISSING


SCOPE = f"Credential={READER_ID}/20261124/eu-central-1/rekognition/aws4_request"
REST = f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}"


@pytest.mark.parametrize(
    "given",
    [
        "AWS4-HMAC-SHA256",
        "Bearer token",
        "Basic dXNlcjpwYXNzd29yZA==",
        f"{SCOPE}, {REST}",
        f"AWS4-HMAC-SHA1 {SCOPE}, {REST}",
        f"AWS4-HMAC-SHA256 {SCOPE}, SignedHeaders=host;x-amz-date",
        f"AWS4-HMAC-SHA256 {SCOPE}, Signature={'0' * 64}",
        f"AWS4-HMAC-SHA256 {REST}",
        f"AWS4-HMAC-SHA256 {SCOPE}, SignedHeaders=, Signature={'0' * 64}",
        f"AWS4-HMAC-SHA256 {SCOPE}, SignedHeaders=host, Signature={'0' * 63}",
        f"AWS4-HMAC-SHA256 {SCOPE}, SignedHeaders=host, Signature={'A' * 64}",
        f"AWS4-HMAC-SHA256 {SCOPE}/more, {REST}",
        f"AWS4-HMAC-SHA256 {SCOPE.replace('20261124', '2026-11-24')}, {REST}",
        f"AWS4-HMAC-SHA256 {SCOPE.replace(READER_ID, '')}, {REST}",
    ],
)
def test_header_that_is_not_a_signature(given: str) -> None:
    assert refusal(received(target(Authorization=given))) == INCOMPLETE


@pytest.mark.parametrize("path", ["\ud800", "/dev/\udfff/", "/\x00", "/%", "\U0001f642"])
def test_any_path_can_be_refused(path: str) -> None:
    assert refusal(received(sign(target(), RIGHT)._replace(path=path))) == INVALID


@pytest.mark.parametrize("value", ["\ud800", "\x00", "\n", "\x85"])
def test_any_header_and_parameter_can_be_refused(value: str) -> None:
    signed = sign(target(**{"X-Custom": "a"}), RIGHT)
    assert refusal(received(signed.changed(X_Custom=value))) == INVALID
    assert refusal(received(signed._replace(query=((value, value),)), "rest")) == INVALID


def test_surrogates_in_a_parameter() -> None:
    event = event_from(SOURCES["rest"], sign(target(), RIGHT))
    event["multiValueQueryStringParameters"] = {"\ud800": ["\ud800"]}
    assert refusal(adapter_for(event).parse(event, "request-1")) == INVALID


READER_KEY, ADMIN_KEY = "the reader's", "the administrator's"
# Who signs: ID of the access key and secret, None for an unsigned request.
SIGNERS = {
    "nobody": None,
    "reader": (READER_ID, READER_KEY),
    "forged reader": (READER_ID, ADMIN_KEY),
    "administrator": (ADMIN_ID, ADMIN_KEY),
    "forged administrator": (ADMIN_ID, READER_KEY),
    "administrator without secret": (ADMIN_ID, ""),
    "reader without secret": (READER_ID, ""),
    "stranger": ("AKIDEXAMPLE", ADMIN_KEY),
}
DEPLOYMENTS = [Keys(), Keys(READER_KEY), Keys("", ADMIN_KEY), Keys(READER_KEY, ADMIN_KEY)]
# By signer, for each of DEPLOYMENTS: code of the refusal of reading and of changing, "" where it is allowed.
OUTCOMES = {
    "nobody": [("", MISSING), (MISSING, MISSING), ("", MISSING), (MISSING, MISSING)],
    "reader": [("", DENIED), ("", DENIED), ("", DENIED), ("", DENIED)],
    "forged reader": [("", DENIED), (INVALID, INVALID), ("", DENIED), (INVALID, INVALID)],
    "reader without secret": [("", DENIED), (INVALID, INVALID), ("", DENIED), (INVALID, INVALID)],
    "administrator": [(UNKNOWN, UNKNOWN), (UNKNOWN, UNKNOWN), ("", ""), ("", "")],
    "forged administrator": [(UNKNOWN, UNKNOWN), (UNKNOWN, UNKNOWN), (INVALID, INVALID), (INVALID, INVALID)],
    "administrator without secret": [(UNKNOWN, UNKNOWN), (UNKNOWN, UNKNOWN), (INVALID, INVALID), (INVALID, INVALID)],
    "stranger": [("", DENIED), (UNKNOWN, UNKNOWN), ("", DENIED), (UNKNOWN, UNKNOWN)],
}


@pytest.mark.parametrize("signer", SIGNERS)
@pytest.mark.parametrize("deployment", range(len(DEPLOYMENTS)))
def test_who_may_read_and_change(signer: str, deployment: int) -> None:
    identity, keys = SIGNERS[signer], DEPLOYMENTS[deployment]
    sent = target() if identity is None else sign(target(), Signature(*identity, date=time.time()))
    codes = outcome(sent, Access.READER, keys), outcome(sent, Access.ADMIN, keys)
    assert codes == OUTCOMES[signer][deployment]


def outcome(sent: Sent, access: Access, keys: Keys) -> str:
    """-> code with which a request is refused, "" if it is allowed."""
    try:
        authorize(received(sent), access, keys)
    except DialectError as error:
        return error.code
    return ""


def test_open_reading_refuses_what_is_no_signature() -> None:
    assert outcome(target(Authorization="Bearer token"), Access.READER, Keys()) == INCOMPLETE


def test_old_signature_of_the_administrator_is_refused() -> None:
    sent = sign(target(), Signature(ADMIN_ID, ADMIN_KEY, time.time() - 400))
    assert outcome(sent, Access.READER, Keys("", ADMIN_KEY)) == INVALID
