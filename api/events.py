"""An event of any front, told apart and cleared of what only that front does.

front     sent by                                      shape
REST      REST API, and HTTP API with format 1.0       httpMethod, path, resource
HTTP      HTTP API, function URL                       version 2.0, rawPath, requestContext.http
BALANCER  load balancer                                httpMethod, path, requestContext.elb
"""

from __future__ import annotations

import re
from typing import Any, Mapping
from urllib.parse import unquote, unquote_plus

from api.errors import BadRequest

REST, HTTP, BALANCER = "rest", "http", "balancer"

Event = Mapping[str, Any]


def front_of(event: Any) -> str:
    """REST, HTTP or BALANCER. Raises BadRequest for an event that is not a request."""
    if isinstance(event, Mapping) and isinstance(event.get("requestContext"), Mapping):
        context = event["requestContext"]
        if event.get("version") == "2.0":
            front, texts = HTTP, [_table(context, "http").get("method"), event.get("rawPath")]
        else:
            front, texts = BALANCER if "elb" in context else REST, [event.get("httpMethod"), event.get("path")]
        if all(isinstance(text, str) for text in [*texts, event.get("body") or ""]):
            return front
    raise BadRequest("The event is not a request from API Gateway, a function URL or a load balancer.")


def plain(event: Event, front: str) -> dict[str, Any]:
    """The event with the route as its path, and with headers and query as texts, one for each name.

    What was sent more than once counts as sent last, as API Gateway has it.
    """
    headers = _last_values(event, "headers", "multiValueHeaders")
    query = _last_values(event, "queryStringParameters", "multiValueQueryStringParameters")
    if front == BALANCER:  # the only one that leaves the query as it stands in the URL
        query = {unquote_plus(name): unquote_plus(value) for name, value in query.items()}
    found = {**event, "headers": headers, "queryStringParameters": query}
    if event.get("multiValueHeaders"):  # the balancer wants its answer in the form in which it asked
        found["multiValueHeaders"] = {name: [value] for name, value in headers.items()}
    if front == HTTP:
        # The resolver would cut the stage off the path whether it is there or not.
        found["requestContext"] = {**event["requestContext"], "stage": "$default"}
        found["rawPath"] = _route(event, event["rawPath"])
    else:
        found["path"] = _route(event, event["path"])
    return found


def _table(event: Event, name: str) -> Event:
    """Empty where it is null, or no table at all."""
    found = event.get(name)
    return found if isinstance(found, Mapping) else {}


def _last_values(event: Event, single: str, multiple: str) -> dict[str, str]:
    several = {name: values[-1] for name, values in _table(event, multiple).items() if values}
    values = {**several, **_table(event, single)}
    return {name: str(value) for name, value in values.items() if value is not None}


def _route(event: Event, path: str) -> str:
    """The path without what stands before the route: a custom domain's base path, or the stage."""
    path = _normal(path)
    # `/{proxy+}` and the like: with its parameters filled in, it is the part of the path that is ours.
    pattern = event.get("resource") or str(event.get("routeKey")).partition(" ")[2]
    parameters = _table(event, "pathParameters")
    ours = _normal(re.sub(r"{([^{}+]+)\+?}", lambda found: str(parameters.get(found[1])), str(pattern)))
    if path.endswith(ours):
        return ours
    stage = f"/{event['requestContext'].get('stage')}"
    return path[len(stage) :] if path.startswith(f"{stage}/") else path


def _normal(path: str) -> str:
    """Percent signs resolved, one slash between the parts, one before the first and none after the last."""
    return "/" + "/".join(part for part in unquote(path).split("/") if part)
