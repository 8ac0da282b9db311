"""Whatever stands before the function, to one kind of request and back.

REST API, HTTP API, Function URL and load balancer each send an event of another shape and want another shape back.
"""

from __future__ import annotations

import json
import time
from typing import Any, Callable, Mapping

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import (
    ALBResolver,
    APIGatewayHttpResolver,
    APIGatewayRestResolver,
    CORSConfig,
    Response,
)
from aws_lambda_powertools.event_handler.api_gateway import ApiGatewayResolver, Router
from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from api.errors import STATUS, MethodNotAllowed, NotFound

RETRY_AFTER = 5  # seconds after which a missing model is worth another try

Event = Mapping[str, Any]


class Gateway:
    """The routes, behind whatever front they are reached by."""

    def __init__(self, router: Router, origin: str, model_version: Callable[[], str | None]) -> None:
        """origin: of the pages that may read answers, or *; model_version: for the log."""
        self.log = Logger(service="face-recognition")
        self._router = router
        self._model_version = model_version
        cors = CORSConfig(allow_origin=origin, allow_headers=["content-type"], max_age=600)
        self._rest = APIGatewayRestResolver(cors=cors)
        self._http = APIGatewayHttpResolver(cors=cors)
        self._balancer = ALBResolver(cors=cors)
        for front in (self._rest, self._http, self._balancer):
            front.include_router(router)
            front.exception_handler(Exception)(self._failed)
            front.not_found(self._no_route)

    def answer(self, event: Event, context: Any) -> dict[str, Any]:
        """The front's answer to an event; errors become answers too."""
        started = time.perf_counter()
        answer = self._front(event).resolve(dict(event), context)
        self.log.info(
            "answered",
            request_id=context.aws_request_id,
            status=answer["statusCode"],
            ms=round((time.perf_counter() - started) * 1000, 1),
            model_version=self._model_version(),
        )
        return answer

    def _front(self, event: Event) -> ApiGatewayResolver:
        if event.get("version") == "2.0":
            return self._http
        return self._balancer if "elb" in event["requestContext"] else self._rest

    def _no_route(self, _: NotFoundError) -> Response[str]:
        paths = {route[0] for route in self._router._routes}
        if self._rest.current_event.path.rstrip("/") in paths:
            return self._failed(MethodNotAllowed("This path does not take that method."))
        return self._failed(NotFound("Nothing is here: try POST /classify, GET /people or GET /health."))

    def _failed(self, error: Exception) -> Response[str]:
        code, message = getattr(error, "code", None), str(error)
        if not isinstance(code, str) or code not in STATUS:
            # The one place where a bug becomes an answer; what it was stands in the log and nowhere else.
            self.log.exception("bug", exc_info=error)
            code, message = "internal", "Something went wrong here, and the log says what."
        headers: dict[str, str | list[str]] = {}
        if code == "model_unavailable":
            headers["Retry-After"] = str(RETRY_AFTER)
        body = {"error": {"code": code, "message": message}, "request_id": self._rest.lambda_context.aws_request_id}
        return Response(STATUS[code], "application/json", json.dumps(body), headers)
