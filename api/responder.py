"""Requests to responses: selects the dialect, turns errors into responses, and adds the headers that all have."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Callable, Iterable, Sequence

from api.cors import Cors
from api.dialect import Dialect, OtherDialect, Reply
from api.errors import ApiError, TooLarge
from api.lambda_events import Request, Response
from api.problems import Problem, attempt, describe_error

MAX_BYTES = 6_200_000  # of a body: Lambda's responses have at most 6,291,556 bytes, with their headers
HEADERS = {
    "Cache-Control": "no-store",  # responses contain personal data: disable caching
    "X-Content-Type-Options": "nosniff",
}


class Responder:
    """Answers requests of all dialects."""

    def __init__(
        self,
        native: Dialect,
        methods: Iterable[str],
        log_bug: Callable[[str, Exception], None],
        cors: Cors | None = None,
        others: Sequence[OtherDialect] = (),
    ) -> None:
        """native: of requests that are of no other dialect; methods: that pages may use; log_bug: called with the
        request's ID and the exception; cors: None allows any page.
        """
        self._native, self._others = native, others
        self._methods, self._log_bug = ",".join(sorted(methods)), log_bug
        self._cors = cors or Cors()

    def answer(self, request: Request) -> Reply:
        """Respond to a request. Errors of any kind become responses too."""
        origin, has_body = request.headers.get("origin"), request.method != "HEAD"
        if request.method == "OPTIONS":
            preflight = Reply(Response(204, {"Access-Control-Allow-Methods": self._methods}))
            return self._finished(preflight, origin, has_body=has_body)
        log_bug = functools.partial(self._log_bug, request.request_id)
        dialect = self._native

        def answer() -> Reply:
            nonlocal dialect
            dialect = self._dialect(request)
            return _checked(dialect.answer(request))

        found = attempt(answer, log_bug)
        reply = _refusal(dialect, found, request.request_id) if isinstance(found, Problem) else found
        return self._finished(reply, origin, has_body=has_body)

    def refuse(self, error: ApiError, request_id: str) -> Reply:
        """Respond to an event that is not a request."""
        return self._finished(_refusal(self._native, describe_error(error), request_id), None)

    def _dialect(self, request: Request) -> Dialect:
        return next((other.load() for other in self._others if other.matches(request)), self._native)

    def _finished(self, reply: Reply, origin: str | None, *, has_body: bool = True) -> Reply:
        """Add the headers of every response, and remove the body of a response to HEAD."""
        response = reply.response
        headers = {**response.headers, **self._cors.headers(origin), **HEADERS}
        return reply._replace(response=replace(response, headers=headers, body=response.body if has_body else ""))


def _checked(reply: Reply) -> Reply:
    """Return a reply that Lambda passes on, and not an error that says nothing. Raises TooLarge."""
    body = reply.response.body
    # Lambda's response is JSON, in which the body is text, with a backslash before each of these characters.
    if isinstance(body, str) and len(body) + body.count('"') + body.count("\\") > MAX_BYTES:
        raise TooLarge("The response has more than 6 MB: ask for fewer faces, candidates or entries.")
    return reply


def _refusal(dialect: Dialect, problem: Problem, request_id: str) -> Reply:
    response = dialect.encode_problem(problem, request_id)
    return Reply(replace(response, headers={**response.headers, **problem.headers}), problem)
