"""Routes: from the method and path of a request to the endpoint that answers it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Sequence

from api.dialect import Reply
from api.errors import MethodNotAllowed, NotFound
from api.keys import Access
from api.lambda_events import Request

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
    """The routes of a dialect."""

    def __init__(self, routes: Sequence[Route], check: Callable[[Request, Access], None]) -> None:
        """check: raises an exception if the request's key does not allow the access."""
        # Fixed paths first: `/people/search` is not a person of that ID.
        self.routes = tuple(sorted(routes, key=lambda route: "{" in route.path))
        self._check = check

    @property
    def methods(self) -> set[str]:
        """Methods of all routes, and OPTIONS."""
        return {"OPTIONS"}.union(*(route.methods for route in self.routes))

    def answer(self, request: Request) -> Reply:
        """Answer a request. Raises NotFound, MethodNotAllowed, and what the check and the endpoint raise."""
        here = [route for route in self.routes if route.match(request.path) is not None]
        route = next((route for route in here if request.method in route.methods), None)
        if route:
            request = replace(request, path_parameters=route.match(request.path) or {})
        # Unknown paths need a key too, so that they tell nothing without one.
        self._check(request, route.access if route else Access.READER)
        if route:
            return route.endpoint(request)
        if here:
            raise MethodNotAllowed(", ".join(sorted({"OPTIONS"}.union(*(other.methods for other in here)))))
        raise NotFound("Nothing is here: GET /openapi.json tells what there is.")
