"""A small API Gateway: an HTTP server that converts requests to REST API events and results to responses.

Passes every body as binary. serverless-offline, which `make run` uses, does that for multipart bodies only.
"""

from __future__ import annotations

import base64
import http.server
import json
import threading
from contextlib import contextmanager
from typing import Any, Callable, Collection, Iterator, Mapping
from urllib.parse import parse_qs, urlsplit

from testing.events import recorded

Answer = Callable[[dict], Any]
Routes = Mapping[str, Mapping[str, bool]]  # path of a resource -> method or ANY -> whether it needs a key
EVERY_ROUTE: Routes = {"/": {"ANY": False}, "/{proxy+}": {"ANY": False}}


class GatewayServer(http.server.HTTPServer):
    """An HTTP server that handles one request at a time, because the emulator does."""

    def __init__(
        self, answer: Answer, stage: str = "", routes: Routes = EVERY_ROUTE, keys: Collection[str] = ()
    ) -> None:
        """Listen on a free local port.

        answer: the function, event -> result; stage: first segment of all paths, empty for those of a custom domain;
        keys: of the usage plan, for methods that need one.
        """
        super().__init__(("127.0.0.1", 0), Request)
        self.answer = answer
        self.stage = stage
        self.routes = routes
        self.keys = keys
        self.url = f"http://127.0.0.1:{self.server_port}" + (f"/{stage}" if stage else "")


class Request(http.server.BaseHTTPRequestHandler):
    server: GatewayServer

    def handle_one_request(self) -> None:
        """Accept every method, because the function decides which ones are allowed."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline:
            self.close_connection = True
        elif self.parse_request():
            self.forward()

    def forward(self) -> None:
        """Pass the request to the function and send its result."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        refused = self.refusal()
        if refused:
            self.respond({"statusCode": 403, "multiValueHeaders": {}, "body": json.dumps({"message": refused})})
        else:
            self.respond(self.server.answer(self.event(body)))

    def route(self) -> str | None:
        """The path below the stage, or None if the URL has another first segment."""
        path, stage = urlsplit(self.path).path, self.server.stage
        if not stage:
            return path
        return path[len(stage) + 1 :] if path.startswith(f"/{stage}/") else None

    def refusal(self) -> str:
        """The message with which the gateway itself refuses the request, empty if it passes it on."""
        route = self.route()
        if route is None:
            return "Forbidden"
        methods = self.server.routes.get(resource_of(route), {})
        needs_key = methods.get(self.command, methods.get("ANY"))
        if needs_key is None:
            return "Missing Authentication Token"
        return "Forbidden" if needs_key and self.headers.get("X-Api-Key") not in self.server.keys else ""

    def event(self, body: bytes) -> dict[str, Any]:
        url, route = urlsplit(self.path), self.route() or "/"
        query = parse_qs(url.query, keep_blank_values=True)
        headers = {name: self.headers.get_all(name, []) for name in self.headers}
        event = recorded("rest-health")
        context = event["requestContext"]
        context.update(httpMethod=self.command, path=url.path, resourcePath=resource_of(route))
        context.update(stage=self.server.stage or context["stage"])
        event.update(
            httpMethod=self.command,
            path=route,
            resource=resource_of(route),
            pathParameters=None if route == "/" else {"proxy": route.strip("/")},
            headers={name: values[-1] for name, values in headers.items()},
            multiValueHeaders=headers,
            queryStringParameters={name: values[-1] for name, values in query.items()} or None,
            multiValueQueryStringParameters=query or None,
            body=base64.b64encode(body).decode() or None,
            isBase64Encoded=bool(body),
        )
        return event

    def respond(self, result: dict[str, Any]) -> None:
        text = result.get("body") or ""
        payload = base64.b64decode(text) if result.get("isBase64Encoded") else text.encode()
        self.send_response(int(result["statusCode"]))
        for name, values in result["multiValueHeaders"].items():
            for value in values:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


def resource_of(route: str) -> str:
    return "/" if route == "/" else "/{proxy+}"


@contextmanager
def serving(answer: Answer, **settings: Any) -> Iterator[str]:
    """Serve a function and yield the URL. answer: event -> result; settings: of GatewayServer."""
    with GatewayServer(answer, **settings) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()
