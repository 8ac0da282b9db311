"""Requests to endpoints: routes, keys, CORS, HEAD and OPTIONS, and errors as responses."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Callable, NamedTuple, Sequence

from api.cors import Cors
from api.errors import ApiError, MethodNotAllowed, NotFound
from api.keys import Access, Keys
from api.lambda_events import Request, Response
from api.problems import Problem, attempt, describe_error
from api.telemetry import Outcome

HEADERS = {
    "Cache-Control": "no-store",  # responses contain personal data: disable caching
    "X-Content-Type-Options": "nosniff",
}


class Reply(NamedTuple):
    """A response, and for log and metrics what it is about."""

    response: Response
    outcome: Outcome = None


Endpoint = Callable[[Request], Reply]


@dataclass(frozen=True)
class Route:
    """path: segments in braces, as `/people/{id}`, match any segment; access: who may send such requests.

    A route for GET also takes HEAD.
    """

    method: str
    path: str
    endpoint: Endpoint
    access: Access = Access.READER

    @property
    def methods(self) -> tuple[str, ...]:
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)

    def match(self, path: str) -> dict[str, str] | None:
        """Return the values of the segments in braces, or None if the path is another one."""
        pattern, segments = self.path.split("/"), path.split("/")
        if len(pattern) != len(segments):
            return None
        values: dict[str, str] = {}
        for wanted, segment in zip(pattern, segments):
            if wanted.startswith("{") and segment:
                values[wanted[1:-1]] = segment
            elif wanted != segment:
                return None
        return values


class Router:
    """The routes of the service."""

    def __init__(
        self,
        routes: Sequence[Route],
        encode_problem: Callable[[Problem, str], Response],
        log_bug: Callable[[str, Exception], None],
        cors: Cors | None = None,
        keys: Keys | None = None,
    ) -> None:
        """encode_problem: a problem and the request's ID to a response; log_bug: called with the request's ID and the
        exception; cors: None allows any page; keys: None lets everybody read and nobody change anything.
        """
        # Fixed paths first: `/people/search` is not a person of that ID.
        self.routes = tuple(sorted(routes, key=lambda route: "{" in route.path))
        self._encode_problem, self._log_bug = encode_problem, log_bug
        self._cors = cors or Cors()
        self._keys = keys or Keys()
        self._methods = _list({"OPTIONS"}.union(*(route.methods for route in routes)), ",")

    def answer(self, request: Request) -> Reply:
        """Respond to a request. Errors of any kind become responses too."""
        log_bug = functools.partial(self._log_bug, request.request_id)
        found = attempt(lambda: self._dispatch(request), log_bug)
        reply = self._refusal(found, request.request_id) if isinstance(found, Problem) else found
        return self._finished(reply, request.headers.get("origin"), has_body=request.method != "HEAD")

    def refuse(self, error: ApiError, request_id: str) -> Reply:
        """Respond to an event that is not a request."""
        return self._finished(self._refusal(describe_error(error), request_id), None)

    def _dispatch(self, request: Request) -> Reply:
        if request.method == "OPTIONS":
            return Reply(Response(204, {"Access-Control-Allow-Methods": self._methods}))
        here = [route for route in self.routes if route.match(request.path) is not None]
        route = next((route for route in here if request.method in route.methods), None)
        # Unknown paths need a key too, so that they tell nothing without one.
        self._keys.check(request.headers.get("x-api-key", ""), route.access if route else Access.READER)
        if route:
            return route.endpoint(replace(request, path_parameters=route.match(request.path) or {}))
        if here:
            raise MethodNotAllowed(_list({"OPTIONS"}.union(*(other.methods for other in here)), ", "))
        raise NotFound("Nothing is here: GET /openapi.json tells what there is.")

    def _refusal(self, problem: Problem, request_id: str) -> Reply:
        response = self._encode_problem(problem, request_id)
        return Reply(replace(response, headers={**response.headers, **problem.headers}), problem)

    def _finished(self, reply: Reply, origin: str | None, *, has_body: bool = True) -> Reply:
        """Add the headers of every response, and remove the body of a response to HEAD."""
        response = reply.response
        headers = {**response.headers, **self._cors.headers(origin), **HEADERS}
        return reply._replace(response=replace(response, headers=headers, body=response.body if has_body else ""))


def _list(methods: set[str], separator: str) -> str:
    return separator.join(sorted(methods))
