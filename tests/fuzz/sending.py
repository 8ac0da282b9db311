"""Requests as clients send them, their signatures, and the events that each event source makes of them."""

from __future__ import annotations

import base64
from datetime import datetime, timezone
from typing import Any, Mapping, NamedTuple, Tuple
from urllib.parse import quote, urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from testing.events import recorded

Pairs = Tuple[Tuple[str, str], ...]

HOST = "faces.example.com"


class Sent(NamedTuple):
    """A request of a client. path: of the URL, percent-encoded, with stage or base path; query: names and values."""

    method: str
    path: str
    query: Pairs
    headers: Mapping[str, str]
    body: bytes

    def changed(self, **headers: str | None) -> Sent:
        """Return the request with other headers, without those that are None. Underscores stand for hyphens."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {name: value for name, value in self.headers.items() if name not in given}
        return self._replace(headers={**kept, **{name: value for name, value in given.items() if value is not None}})


class Source(NamedTuple):
    """An event source. event: recorded one; prefix: of paths that clients send, stage or base path."""

    event: str
    prefix: str = ""
    in_path: bool = True  # the event's path has the prefix
    in_context: bool = True  # requestContext.path has the prefix
    has_length: bool = True  # the header Content-Length is passed on
    repeats: bool = True  # repeated parameters stay apart
    decodes: bool = True  # parameters arrive decoded

    @property
    def name(self) -> str:
        return self.event.replace("-known-person", "")


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source("rest-known-person", "/dev", in_path=False, in_context=False),  # serverless-offline
        Source("rest-stage-known-person", "/dev", in_path=False, has_length=False),
        Source("rest-domain-known-person", "/faces", has_length=False),
        Source("http-known-person", repeats=False),
        Source("http-stage-known-person", "/dev", repeats=False),
        Source("http-domain-known-person", "/faces", repeats=False),
        Source("http-v1-known-person", "/dev"),
        Source("url-known-person", repeats=False),
        Source("alb-known-person", repeats=False, decodes=False),
        Source("alb-multi-known-person", decodes=False),
    )
}


def event_from(source: Source, sent: Sent, as_text: bool = False) -> dict[str, Any]:
    """Make the event of a request. as_text: the body is not in base64, which needs one that is UTF-8."""
    event = recorded(source.event)
    below = sent.path[len(source.prefix) :] if sent.path.startswith(source.prefix) else sent.path
    path = sent.path if source.in_path else below
    body = sent.body.decode() if as_text else base64.b64encode(sent.body).decode()
    event.update(body=body, isBase64Encoded=not as_text)
    _route(event, below)
    headers = _headers(event, source, sent.headers)
    values = _values(source, sent.query)
    single = {name: given[-1] for name, given in values.items()}
    if event.get("version") == "2.0":
        event["requestContext"]["http"].update(method=sent.method, path=path)
        event.update(rawPath=path, headers=headers, queryStringParameters=single, rawQueryString=_encoded(sent.query))
        return event
    event["requestContext"].update({"path": sent.path if source.in_context else path} if "resource" in event else {})
    event.update(httpMethod=sent.method, path=path)
    filled = {
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": single or None,
        "multiValueQueryStringParameters": values or None,
    }
    event.update({name: value for name, value in filled.items() if name in event})
    return event


def _route(event: dict[str, Any], below: str) -> None:
    """Set the fields of the route that matched. below: the path below stage or base path."""
    pattern = "/" if below in ("", "/") else "/{proxy+}"
    if "resource" in event:
        event["resource"] = pattern
    elif event.get("routeKey", "").startswith("ANY"):
        event["routeKey"] = f"ANY {pattern}"
    if "pathParameters" in event:
        event["pathParameters"] = None if pattern == "/" else {"proxy": below.strip("/")}


def _headers(event: Mapping[str, Any], source: Source, given: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of the request and those that the source adds."""
    recorded_ones = {name: values[-1] for name, values in event.get("multiValueHeaders", {}).items()}
    added = {
        name: value
        for name, value in {**recorded_ones, **event.get("headers", {})}.items()
        if name.lower() not in {"host", "content-type", "content-length", *map(str.lower, given)}
    }
    lower_case = "resource" not in event
    passed = {name: value for name, value in given.items() if source.has_length or name.lower() != "content-length"}
    return {**added, **({name.lower(): value for name, value in passed.items()} if lower_case else passed)}


def _encoded(query: Pairs) -> str:
    return urlencode(query, quote_via=quote, safe="", errors="replace")


def _values(source: Source, query: Pairs) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in query:
        if not source.decodes:
            name, value = quote(name, safe="", errors="replace"), quote(value, safe="", errors="replace")
        values.setdefault(name, []).append(value)
    return values


class Signature(NamedTuple):
    """How a request is signed. date: seconds since 1970; day: of the scope, None for that of the date; uncovered:
    names of headers that are not signed.
    """

    key_id: str
    secret: str
    date: float
    service: str = "rekognition"
    region: str = "eu-central-1"
    day: str | None = None
    uncovered: tuple[str, ...] = ()


def sign(sent: Sent, signature: Signature) -> Sent:
    """Sign a request with botocore. -> the request with the headers X-Amz-Date and Authorization."""
    date = datetime.fromtimestamp(signature.date, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    url = f"https://{HOST}{sent.path}?{_encoded(sent.query)}"
    request = AWSRequest(sent.method, url, dict(sent.headers), sent.body)
    request.headers["X-Amz-Date"] = date
    request.context["timestamp"] = date if signature.day is None else f"{signature.day}T000000Z"
    signer = _Signer(signature, date)
    canonical = signer.canonical_request(request)
    digits = signer.signature(signer.string_to_sign(request, canonical), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    authorization = f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={names}, Signature={digits}"
    return sent._replace(headers={**sent.headers, "X-Amz-Date": date, "Authorization": authorization})


class _Signer(SigV4Auth):
    """Signs at a given time, and leaves out some headers."""

    def __init__(self, signature: Signature, date: str) -> None:
        super().__init__(Credentials(signature.key_id, signature.secret), signature.service, signature.region)
        self._date, self._uncovered = date, signature.uncovered

    def headers_to_sign(self, request: AWSRequest) -> Any:
        headers = super().headers_to_sign(request)
        for name in self._uncovered:
            del headers[name]
        return headers

    def string_to_sign(self, request: AWSRequest, canonical_request: str) -> str:
        algorithm, _, *rest = super().string_to_sign(request, canonical_request).split("\n")
        return "\n".join([algorithm, self._date, *rest])
