"""Whatever stands before the function, to one kind of request and back.

REST API, HTTP API, function URL and load balancer each send an event of another shape and want another shape back:
powertools knows the shapes, and what it leaves out is here and in api/events.py.
"""

from __future__ import annotations

import hmac
import json
import time
import traceback
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Callable

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import (
    ALBResolver,
    APIGatewayHttpResolver,
    APIGatewayRestResolver,
    CORSConfig,
    Response,
)
from aws_lambda_powertools.event_handler.api_gateway import ApiGatewayResolver, ResponseBuilder, Router
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from api import answers, events
from api.errors import STATUS, BadRequest, MethodNotAllowed, NotFound, Unauthorized
from api.metrics import SERVICE, RequestMetrics

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler.middlewares import NextMiddleware

# What load balancers and monitors ask, and how to ask at all.
KEYLESS = {(method, path) for method in ("GET", "HEAD") for path in ("/health", "/openapi.json")}
HEADERS = {
    # An answer is about somebody, so nobody on the way keeps it.
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


@dataclass
class Seen:
    """What is known of the request at hand. code: of its error; body: of its answer, before it became text."""

    request_id: str
    code: str | None = None
    body: dict[str, Any] | None = None


class Gateway:
    """The routes, behind whatever front they are reached by."""

    def __init__(
        self,
        router: Router,
        origins: str,
        model_version: Callable[[], str | None],
        api_key: str = "",
        metrics: bool = True,
    ) -> None:
        """origins: of the pages that may read answers, separated by commas, or *; model_version: for log and metrics;
        api_key: what a request has to bring as X-Api-Key, unless empty.
        """
        self.log = Logger(service=SERVICE)
        self._router = router
        self._methods = _methods(router)
        self.model_version = model_version
        self._api_key = api_key.encode()
        self._metrics = RequestMetrics(metrics)
        self._seen = Seen("")
        allowed = _origins(origins)
        self._headers = HEADERS if allowed == ["*"] else {**HEADERS, "Vary": "Origin"}
        cors = CORSConfig(allow_origin=allowed[0], extra_origins=allowed[1:], max_age=600)
        # In debug mode, which an environment variable would turn on, powertools prints whole events, photos and all.
        self._fronts: dict[str, ApiGatewayResolver] = {
            events.REST: APIGatewayRestResolver(cors=cors, debug=False),
            events.HTTP: APIGatewayHttpResolver(cors=cors, debug=False),
            events.BALANCER: ALBResolver(cors=cors, debug=False),
        }
        for front in self._fronts.values():
            self._connect(front)

    def _connect(self, front: ApiGatewayResolver) -> None:
        front.include_router(self._router)
        for (rule, methods, *_), function in self._router._routes.items():
            if "GET" in methods:
                front.route(rule, "HEAD")(function)
        front.use([self._guarded])
        front.exception_handler(Exception)(self._failed)
        front.not_found(self._no_route)

    def answer(self, event: Any, context: Any) -> dict[str, Any]:
        """The front's answer to an event; errors become answers too."""
        started = time.perf_counter()
        self.begin(context.aws_request_id)
        answer = self._resolve(event, context)
        status, seen, ms = int(answer["statusCode"]), self._seen, answers.milliseconds(started)
        self.log.info("answered", request_id=seen.request_id, status=status, ms=ms, model_version=self.model_version())
        self.publish(status, seen.code, seen.body, ms)
        return answer

    def begin(self, request_id: str) -> None:
        """What follows, in the log and in answers, is about this request."""
        self._seen = Seen(request_id)

    def publish(self, status: int, code: str | None, body: dict[str, Any] | None, ms: float) -> None:
        """Metrics of what has been answered, if they are on."""
        self._metrics.publish(status, code, body, ms, self.model_version())

    def _resolve(self, event: Any, context: Any) -> dict[str, Any]:
        try:
            front = events.front_of(event)
        except BadRequest as error:
            refusal: ResponseBuilder[APIGatewayProxyEvent] = ResponseBuilder(self._failed(error))
            return self._finished(refusal.build(APIGatewayProxyEvent({})))
        answer = self._finished(self._fronts[front].resolve(events.plain(event, front), context))
        if front == events.BALANCER:
            answer["statusDescription"] = f"{answer['statusCode']:d} {HTTPStatus(answer['statusCode']).phrase}"
        if self._router.current_event.http_method == "HEAD":
            answer["body"] = ""
        return answer

    def _finished(self, answer: dict[str, Any]) -> dict[str, Any]:
        for name, value in self._headers.items():
            if "multiValueHeaders" in answer:
                answer["multiValueHeaders"][name] = [value]
            else:
                answer["headers"][name] = value
        return answer

    def _guarded(self, app: ApiGatewayResolver, following: NextMiddleware) -> Response[Any]:
        """Around every route, found or not."""
        event = app.current_event
        if self._api_key and event.http_method != "OPTIONS" and (event.http_method, event.path) not in KEYLESS:
            given = event.headers.get("x-api-key") or ""
            if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self._api_key):
                raise Unauthorized("This needs an API key: send it as the header X-Api-Key.")
        response: Response[Any] = following(app)
        self._seen.body = response.body if isinstance(response.body, dict) else None
        return response

    def _no_route(self, _: NotFoundError) -> Response[str]:
        methods = self._methods.get(self._router.current_event.path)
        if methods is None:
            return self._failed(NotFound("Nothing is here: GET /openapi.json tells what there is."))
        response = self._failed(MethodNotAllowed(f"This path takes {methods}."))
        response.headers["Allow"] = methods
        return response

    def _failed(self, error: Exception) -> Response[str]:
        status, code, message = self.explain(error)
        self._seen.code = code
        headers: dict[str, str | list[str]] = {}
        if status == 401:
            headers["WWW-Authenticate"] = "ApiKey"
        if status == 503 and hasattr(error, "retry_after"):  # others' errors, which are bugs here, may have one as well
            headers["Retry-After"] = str(error.retry_after)
        body = answers.failure(code, message, self._seen.request_id)
        return Response(status, "application/json", json.dumps(body), headers)

    def explain(self, error: Exception) -> tuple[int, str, str]:
        """Status, code and message. Of a bug, which is what no error of ours is, the log says what it was."""
        code, message = getattr(error, "code", None), str(error)
        if not isinstance(code, str) or code not in STATUS:
            self._log_bug(error)
            code, message = "internal", "Something went wrong here, and the log says what."
        return STATUS[code], code, message

    def _log_bug(self, error: Exception) -> None:
        """The one place where a bug becomes an answer. What it was stands in the log and nowhere else."""
        stack = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
        self.log.error("bug", request_id=self._seen.request_id, error=type(error).__name__, stack=stack)
        # Its message may quote the request: a file name, a part of the body. Who wants it has to ask for it.
        self.log.debug("bug in full", exc_info=error)


def _origins(text: str) -> list[str]:
    origins = [origin.strip().rstrip("/") for origin in text.split(",")]
    return ["*"] if "*" in origins else origins


def _methods(router: Router) -> dict[str, str]:
    """By path what it takes, as the Allow header has it."""
    found: dict[str, set[str]] = {}
    for rule, methods, *_ in router._routes:
        found.setdefault(rule, {"OPTIONS"}).update(methods, ["HEAD"] if "GET" in methods else [])
    return {rule: ", ".join(sorted(methods)) for rule, methods in found.items()}
