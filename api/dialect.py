"""Dialects: the interfaces that clients know. Each decodes requests for the same services and encodes their results."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Callable, NamedTuple

from api.lambda_events import Request, Response
from api.problems import Problem
from api.telemetry import Outcome


class Reply(NamedTuple):
    """A response, and for log and metrics what it is about."""

    response: Response
    outcome: Outcome = None

    @classmethod
    def of_json(cls, content: Any, status: int = 200) -> Reply:
        return cls(Response.of_json(content, status))


class Dialect(NamedTuple):
    """answer: raises exceptions; encode_problem: a problem and the request's ID to a response."""

    answer: Callable[[Request], Reply]
    encode_problem: Callable[[Problem, str], Response]


class OtherDialect:
    """A dialect that is loaded when its first request comes: most deployments never need it."""

    def __init__(self, matches: Callable[[Request], bool], load: Callable[[], Dialect]) -> None:
        self.matches = matches
        self.load = lru_cache(maxsize=1)(load)


def is_compreface(request: Request) -> bool:
    """Tell whether a client of CompreFace sent the request."""
    return f"{request.path}/".startswith("/api/v1/")


def is_rekognition(request: Request) -> bool:
    """Tell whether a client of Rekognition sent the request."""
    # Whatever the path: behind a custom domain, an HTTP API does not tell which part of it is the base path.
    return request.method == "POST" and "x-amz-target" in request.headers
