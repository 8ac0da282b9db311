"""Requests to the events that a REST API sends to a function, and the results of the function to responses.

The format is that of API Gateway's Lambda proxy integration, for an API with the binary media types */*.
"""

from __future__ import annotations

import base64
import json
import re
import time
import uuid
from typing import Any, Mapping, NamedTuple, Sequence
from urllib.parse import parse_qs

# Headers of a function's response that API Gateway renames, because it sets them itself or browsers act on them.
REMAPPED = ("connection", "content-length", "date", "server", "transfer-encoding", "www-authenticate")
STATUS = re.compile("[1-5][0-9][0-9]")


class MalformedResult(Exception):
    """The result of the function is no response."""


class HttpRequest(NamedTuple):
    """A request, as it was sent.

    path: with the stage, still encoded; headers: all values of each name; source: IP address of the client.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, Sequence[str]]
    body: bytes
    source: str

    def header(self, name: str) -> str:
        """Return the last value of a header, in any case, or an empty string."""
        found = [values[-1] for each, values in self.headers.items() if each.lower() == name.lower()]
        return found[-1] if found else ""


class HttpResponse(NamedTuple):
    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    @classmethod
    def of_json(cls, status: int, content: Any, headers: Mapping[str, str]) -> HttpResponse:
        return cls(status, [("Content-Type", "application/json"), *headers.items()], json.dumps(content).encode())

    @classmethod
    def of_result(cls, result: Any) -> HttpResponse:
        """Convert the result of a function. Raises MalformedResult."""
        if not _is_response(result):
            raise MalformedResult(f"the result of the function is malformed: {result!r:.500}")
        text = result.get("body") or ""
        try:
            body = base64.b64decode(text, validate=True) if result.get("isBase64Encoded") else text.encode()
        except ValueError as error:
            raise MalformedResult(f"the body is not base64: {text:.100}") from error
        headers = _headers(result)
        if "content-type" not in (name.lower() for name, _ in headers):
            headers.append(("Content-Type", "application/json"))
        return cls(int(result["statusCode"]), headers, body)


def route_of(path: str, stage: str) -> str | None:
    """Return the path below the stage, or None for a path of another stage. stage: empty for a custom domain."""
    if not stage:
        return path
    first, below = path[: len(stage) + 1], path[len(stage) + 1 :]
    return (below or "/") if first == f"/{stage}" and below[:1] in ("", "/") else None


def resource_of(route: str) -> str:
    """Return the resource of the API that a path below the stage belongs to."""
    return "/{proxy+}" if route.strip("/") else "/"


def event_of(request: HttpRequest, route: str, stage: str) -> dict[str, Any]:
    """Build the event. route: path below the stage."""
    query = parse_qs(request.query, keep_blank_values=True)
    proxy = route.strip("/")
    return {
        "resource": resource_of(route),
        "path": route,
        "httpMethod": request.method,
        "headers": _last(request.headers),
        "multiValueHeaders": dict(request.headers),
        "queryStringParameters": _last(query) or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": {"proxy": proxy} if proxy else None,
        "stageVariables": None,
        "requestContext": _context(request, route, stage),
        "body": base64.b64encode(request.body).decode() or None,
        "isBase64Encoded": bool(request.body),
    }


def _last(values: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {name: found[-1] for name, found in values.items()}


def _context(request: HttpRequest, route: str, stage: str) -> dict[str, Any]:
    now = time.time()
    nobody = ("accessKey", "accountId", "caller", "principalOrgId", "user", "userArn")
    cognito = ("AuthenticationProvider", "AuthenticationType", "IdentityId", "IdentityPoolId")
    return {
        "accountId": "000000000000",
        "apiId": "local",
        "domainName": request.header("Host").partition(":")[0],
        "domainPrefix": "local",
        "extendedRequestId": uuid.uuid4().hex,
        "httpMethod": request.method,
        "identity": {
            **dict.fromkeys([*nobody, *(f"cognito{name}" for name in cognito)]),
            "sourceIp": request.source,
            "userAgent": request.header("User-Agent") or None,
        },
        "path": request.path,
        "protocol": "HTTP/1.1",
        "requestId": str(uuid.uuid4()),
        "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "requestTimeEpoch": int(now * 1000),
        "resourceId": "local",
        "resourcePath": resource_of(route),
        "stage": stage,
    }


def _is_response(result: Any) -> bool:
    if not isinstance(result, dict):
        return False
    single, several = result.get("headers") or {}, result.get("multiValueHeaders") or {}
    return (
        STATUS.fullmatch(str(result.get("statusCode"))) is not None
        and isinstance(result.get("body") or "", str)
        and isinstance(single, dict)
        and isinstance(several, dict)
        and all(isinstance(values, list) for values in several.values())
    )


def _headers(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Merge both fields of headers."""
    single, several = result.get("headers") or {}, result.get("multiValueHeaders") or {}
    pairs = [(name, str(value)) for name, values in several.items() for value in values]
    pairs += [(name, str(value)) for name, value in single.items() if (name, str(value)) not in pairs]
    return [(f"x-amzn-Remapped-{name}" if name.lower() in REMAPPED else name, value) for name, value in pairs]
