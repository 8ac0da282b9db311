"""Requests in the dialects of Rekognition and CompreFace, well-formed and malformed, through all event sources.

An input is a dictionary, because IDs that exist, tokens and signatures are only known when it is sent:

    dialect           "rekognition" or "compreface"
    source            name of the event source, see tests/fuzz/sending.py
    method, path,     of the request, with tests/fuzz/deployment.py's FACE and TOKEN; path: below stage or base path;
    query, headers,   body: Latin-1
    body
    decoded           the path is decoded in the event
    as_text           the event has the body as text where it is UTF-8, not in base64
    event             fields of the event that are replaced after all others
    ...               more that the dialect's module adds
"""

from __future__ import annotations

import hashlib
import json
import time
from random import Random
from typing import Any
from urllib.parse import quote, unquote

from api.dialect import is_compreface, is_rekognition
from api.errors import BadRequest
from api.lambda_events import adapter_for
from storage.collection_names import is_collection_name
from tests.fuzz import compreface, engine, rekognition
from tests.fuzz.deployment import ADMIN, KEYS, READER, deployment
from tests.fuzz.forgeries import forge
from tests.fuzz.sending import SOURCES, Sent, Signature, event_from, sign

GARBAGE: tuple[Any, ...] = (
    None,
    "",
    "/",
    "\ud800",
    "\x00",
    "%",
    [],
    {},
    1,
    {"": ""},
    {"x-amz-target": None},
    {"\ud800": [1]},
)
EVENT = (
    *("path", "rawPath", "httpMethod", "headers", "multiValueHeaders", "queryStringParameters"),
    *("multiValueQueryStringParameters", "body", "isBase64Encoded", "resource", "pathParameters", "routeKey"),
)
SECRETS = (READER, ADMIN, *KEYS, *compreface.STRANGERS)


def malformed_request(random: Random) -> dict[str, Any]:
    """Make an input of either dialect."""
    dialect = random.choice(("rekognition", "rekognition", "compreface"))
    case = rekognition.make_case(random) if dialect == "rekognition" else compreface.make_case(random)
    event = {random.choice(EVENT): random.choice(GARBAGE)} if random.random() < 0.04 else {}
    common = {"dialect": dialect, "source": random.choice(list(SOURCES)), "as_text": random.random() < 0.3}
    return {**common, **case, "event": event}


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """-> the response to an input."""
    return deployment().answer(event_of(case))


def check_request(case: dict[str, Any]) -> str | None:
    """Check the response to an input. -> a description of the failure, or None."""
    event = event_of(case)
    before = deployment().state()
    return engine.failure_of(lambda: _check(case, event, before))


def event_of(case: dict[str, Any]) -> dict[str, Any]:
    """Make the event of an input: fill in what exists, sign it, and change it after that."""
    random = Random(json.dumps(case))
    source, collection = SOURCES[case["source"]], _collection(case)

    def filled(text: str) -> str:
        return deployment().fill(text, collection, random)

    query = tuple((name, value) for name, value in case["query"])
    path = quote(filled(case["path"]), safe="/%;$-_.+!*'(),~:@&=", errors="replace")
    if case.get("decoded"):
        path = unquote(path)
    sent = Sent(case["method"], source.prefix + path, query, case["headers"], filled(case["body"]).encode("latin-1"))
    if case.get("hashed"):
        digest = hashlib.sha256(sent.body).hexdigest()
        sent = sent.changed(x_amz_content_sha256=digest, content_length=str(len(sent.body)))
    if case.get("signature"):
        signature = dict(case["signature"])
        sent = sign(sent, Signature(date=time.time() - signature.pop("age"), **signature))
    if case.get("forgery"):
        sent = forge(case["forgery"], random, sent)
    return {**event_from(source, sent, case["as_text"] and _is_text(sent.body)), **case["event"]}


def _collection(case: dict[str, Any]) -> str | None:
    """Return the collection that an input is about."""
    if case["dialect"] == "compreface":
        return KEYS.get(case["key"])
    try:
        name = json.loads(case["body"])["CollectionId"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return name if isinstance(name, str) and is_collection_name(name) else None


def _is_text(body: bytes) -> bool:
    try:
        return bool(body.decode())
    except UnicodeDecodeError:
        return False


def _check(case: dict[str, Any], event: dict[str, Any], before: dict[str, bytes]) -> None:
    answered = deployment().answer(event)
    status, body = answered["statusCode"], _content(answered)
    assert 200 <= status < 500 or (status == 500 and deployment().is_unreachable), answered
    told = f"{answered} {body}"
    assert not any(key in told for key in SECRETS), f"a key is in the response: {told[:500]}"
    engine.check_headers(answered)
    after = deployment().state()
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed <= _changeable(case, before.keys() | after.keys()), f"{changed} changed"
    _check_dialect(case, event, status, body)


def _content(answered: dict[str, Any]) -> Any:
    """Return the body: JSON, bytes of an image, or None if there is none."""
    if answered["isBase64Encoded"]:
        assert answered["statusCode"] == 200
        return answered["body"].encode()
    return json.loads(answered["body"], parse_constant=_refuse) if answered["body"] else None


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def _changeable(case: dict[str, Any], names: set[str]) -> set[str]:
    """Return the collections that an input may change. names: of all."""
    if case["dialect"] == "rekognition":
        return names if case["admin"] else set()
    return {KEYS[case["key"]]} if case["key"] in KEYS else {"people"} if case["key"] == ADMIN else set()


def _check_dialect(case: dict[str, Any], event: dict[str, Any], status: int, body: Any) -> None:
    try:
        request = adapter_for(event).parse(event, "request-1")
    except BadRequest:
        assert status == 400
        return
    if request.method == "OPTIONS":
        assert (status, body) == (204, None)
    elif is_compreface(request):
        compreface.check(case, status, body)
    elif is_rekognition(request):
        rekognition.check(case, status, body)
    elif case["dialect"] == "rekognition" and not case["verified"]:
        assert status >= 400, f"answered in spite of its signature: {body}"
