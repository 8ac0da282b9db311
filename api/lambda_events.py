"""Lambda events to requests, and responses to the dictionary that each event source expects.

adapter         event source                                event
RestApiAdapter  REST API, HTTP API with payload format 1.0  httpMethod, path, resource
HttpApiAdapter  HTTP API with payload format 2.0, function  version 2.0, rawPath, requestContext.http
                URL
AlbAdapter      Application Load Balancer                   httpMethod, path, requestContext.elb
"""

from __future__ import annotations

import base64
import json
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Dict, Mapping, Tuple
from urllib.parse import unquote, unquote_plus

from api.encoding import decode_base64
from api.errors import BadRequest

Event = Mapping[str, Any]
Query = Dict[str, Tuple[str, ...]]


@dataclass(frozen=True)
class Request:
    """An HTTP request, independent of its event source.

    method: upper case; path: decoded, without stage or base path, one slash between segments and none at the end;
    headers: by lower-case name, the last value of each; query: all values of each parameter; text: the body as the
    event holds it, in base64 if is_base64; path_parameters: set by the router; sent_paths: the path as the client may
    have sent it, with stage or base path.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, tuple[str, ...]]
    text: str
    is_base64: bool
    request_id: str
    path_parameters: Mapping[str, str] = field(default_factory=dict)
    sent_paths: tuple[str, ...] = ()

    def body(self) -> bytes:
        """Decode the body. Raises BadRequest."""
        return decode_base64(self.text) if self.is_base64 else self.text.encode("utf-8", "replace")


@dataclass(frozen=True)
class Response:
    """An HTTP response, independent of its event source. body: text, or bytes, which travel as base64."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | bytes = ""

    @classmethod
    def of_json(cls, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        text = json.dumps(content, separators=(",", ":"))
        return cls(status, {"Content-Type": "application/json", **(headers or {})}, text)


class EventAdapter(ABC):
    """One event source, both directions."""

    def parse(self, event: Event, request_id: str) -> Request:
        method, path = self.target(event)
        return Request(
            method=method.upper(),
            path=_route(event, path),
            headers=_headers(event),
            query=self._query(event),
            text=str(event.get("body") or ""),
            is_base64=bool(event.get("isBase64Encoded")),
            request_id=request_id,
            sent_paths=_sent_paths(event, path),
        )

    def render(self, response: Response) -> dict[str, Any]:
        body = response.body
        return {
            "statusCode": response.status,
            "body": base64.b64encode(body).decode() if isinstance(body, bytes) else body,
            "isBase64Encoded": isinstance(body, bytes),
            **self._rendered_headers(response.headers),
        }

    @abstractmethod
    def target(self, event: Event) -> tuple[Any, Any]:
        """Return method and path. An event that is not an HTTP request has something else than text there."""

    def _query(self, event: Event) -> Query:
        return {**_values(event, "queryStringParameters"), **_values(event, "multiValueQueryStringParameters")}

    @abstractmethod
    def _rendered_headers(self, headers: Mapping[str, str]) -> dict[str, Any]: ...


class RestApiAdapter(EventAdapter):
    def target(self, event: Event) -> tuple[Any, Any]:
        return event.get("httpMethod"), event.get("path")

    def _rendered_headers(self, headers: Mapping[str, str]) -> dict[str, Any]:
        return {"multiValueHeaders": {name: [value] for name, value in headers.items()}}


class HttpApiAdapter(EventAdapter):
    def target(self, event: Event) -> tuple[Any, Any]:
        return _mapping(event["requestContext"], "http").get("method"), event.get("rawPath")

    def _rendered_headers(self, headers: Mapping[str, str]) -> dict[str, Any]:
        return {"headers": dict(headers), "cookies": []}


class AlbAdapter(RestApiAdapter):
    def __init__(self, multi_value: bool = False) -> None:
        """multi_value: the target group has multi-value headers on, and expects them in the response too."""
        self._multi_value = multi_value

    def render(self, response: Response) -> dict[str, Any]:
        status = response.status
        return {**super().render(response), "statusDescription": f"{status} {HTTPStatus(status).phrase}"}

    def _query(self, event: Event) -> Query:
        # The load balancer is the only source that passes the query on as it stands in the URL.
        query: Query = {}
        for name, values in super()._query(event).items():
            name = unquote_plus(name)
            query[name] = (*query.get(name, ()), *map(unquote_plus, values))
        return query

    def _rendered_headers(self, headers: Mapping[str, str]) -> dict[str, Any]:
        return super()._rendered_headers(headers) if self._multi_value else {"headers": dict(headers)}


def adapter_for(event: Any) -> EventAdapter:
    """Select the adapter of the event's source. Raises BadRequest for an event that is not an HTTP request."""
    if isinstance(event, Mapping) and isinstance(event.get("requestContext"), Mapping):
        adapter: EventAdapter
        if event.get("version") == "2.0":
            adapter = HttpApiAdapter()
        elif "elb" in event["requestContext"]:
            adapter = AlbAdapter(multi_value=bool(_mapping(event, "multiValueHeaders")))
        else:
            adapter = RestApiAdapter()
        if all(isinstance(text, str) for text in (*adapter.target(event), event.get("body") or "")):
            return adapter
    raise BadRequest("The event is not a request from API Gateway, a function URL or a load balancer.")


def _mapping(event: Event, name: str) -> Event:
    """Return a field, or an empty mapping where it is null or not a mapping."""
    found = event.get(name)
    return found if isinstance(found, Mapping) else {}


def _values(event: Event, name: str) -> Query:
    """Return a field's values by name, one or several each. Null values count as absent."""
    found: Query = {}
    for key, given in _mapping(event, name).items():
        values = given if isinstance(given, (list, tuple)) else (given,)
        present = tuple(str(value) for value in values if value is not None)
        if present:
            found[key] = present
    return found


def _headers(event: Event) -> dict[str, str]:
    """Return the last value of each header, by lower-case name. `headers` precedes `multiValueHeaders`."""
    found = {**_values(event, "multiValueHeaders"), **_values(event, "headers")}
    return {name.lower(): values[-1] for name, values in found.items()}


def _route(event: Event, path: str) -> str:
    """Return the path without what precedes the route: the base path of a custom domain, or the stage."""
    path = _normalize(path)
    # A pattern such as `/{proxy+}`, with its parameters filled in, is the part of the path after the base path.
    pattern = event.get("resource") or str(event.get("routeKey")).partition(" ")[2]
    if pattern == "/":
        return pattern
    parameters = _mapping(event, "pathParameters")
    route = _normalize(re.sub(r"{([^{}+]+)\+?}", lambda found: str(parameters.get(found[1])), str(pattern)))
    if path.endswith(route):
        return route
    stage = f"/{event['requestContext'].get('stage')}"
    return path[len(stage) :] if path.startswith(f"{stage}/") else path


def _sent_paths(event: Event, path: str) -> tuple[str, ...]:
    """List the paths that the client may have sent. Some sources leave out the stage, or the slash at the end."""
    context = event["requestContext"]
    known = (context.get("path"), path, f"/{context.get('stage')}{path}")
    paths = [found.rstrip("/") for found in known if isinstance(found, str)]
    return tuple(dict.fromkeys(each for found in paths for each in (found, f"{found}/")))


def _normalize(path: str) -> str:
    """Decode percent signs; one slash between the segments, one before the first and none after the last."""
    return "/" + "/".join(segment for segment in unquote(path).split("/") if segment)
