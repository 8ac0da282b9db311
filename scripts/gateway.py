"""A local API Gateway: an HTTP server that answers as the REST API that serverless.yml deploys.

It passes bodies, headers and paths to the function in the same form, has the same limits, and answers itself where API
Gateway does. Its own errors are also written to standard error, with the reason.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import sys
import threading
from concurrent import futures
from email.message import Message
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

from scripts.proxy_events import HttpRequest, HttpResponse, MalformedResult, event_of, route_of

Answer = Callable[[Any], Any]  # the function: event -> result

MAX_BODY = 10 << 20  # bytes of a request that API Gateway takes
MAX_PAYLOAD = 6_291_556  # bytes of an event or a result, as JSON, that Lambda takes
TIMEOUT = 29.0  # seconds that API Gateway waits for the function
MAX_LINE = 65_536  # bytes
HOP_BY_HOP = ("connection", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
# Of API Gateway's own errors within the API: see deploy/front-rest.yml.
ERROR_HEADERS = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}
FAILED = {"message": "Internal server error"}
TOO_LARGE = Path(__file__).resolve().parent.parent / "deploy" / "too-large.vtl"


class Refused(Exception):
    """The gateway answers itself. Its text is the reason, for the person who runs it."""

    def __init__(
        self, status: int, body: Mapping[str, Any], reason: str, headers: Mapping[str, str] = ERROR_HEADERS
    ) -> None:
        super().__init__(reason)
        self.response = HttpResponse.of_json(status, body, headers)


class Gateway(http.server.ThreadingHTTPServer):
    """Serves a function, which gets one event at a time, as a runtime of Lambda does. Close after use."""

    daemon_threads = True
    request_queue_size = 128  # clients may open many connections at once

    def __init__(
        self,
        answer: Answer,
        stage: str = "",
        port: int = 0,
        seconds: float = TIMEOUT,
        max_payload: int = MAX_PAYLOAD,
    ) -> None:
        """Listen on a local port. Raises OSError if it is in use.

        stage: first segment of all paths, empty for those of a custom domain; port: 0 for a free one; seconds: that the
        function may take; max_payload: bytes of an event or a result.
        """
        self.stage = stage
        self._answer, self._seconds, self._max_payload = answer, seconds, max_payload
        self._turn = threading.Lock()
        # torch keeps threads for each thread that calls it, so all events come from one.
        self._runtime = futures.ThreadPoolExecutor(1)
        super().__init__(("127.0.0.1", port), RequestHandler)
        self.url = f"http://127.0.0.1:{self.server_port}" + (f"/{stage}" if stage else "")

    def server_close(self) -> None:
        super().server_close()
        self._runtime.shutdown()

    def respond(self, request: HttpRequest, route: str) -> HttpResponse:
        """Call the function. route: path below the stage. Raises Refused."""
        event = event_of(request, route, self.stage)
        if len(request.body) > MAX_BODY or len(json.dumps(event)) > self._max_payload:
            raise Refused(413, too_large(event["requestContext"]["requestId"]), "the request is too large for Lambda")
        try:
            result = self._invoke(event)
            if len(json.dumps(result)) > self._max_payload:
                raise MalformedResult("the response is too large for Lambda")
            return HttpResponse.of_result(result)
        except MalformedResult as error:
            raise Refused(502, FAILED, str(error)) from error
        except futures.TimeoutError as error:
            reason = f"no result within {self._seconds:g} s"
            raise Refused(504, {"message": "Endpoint request timed out"}, reason) from error
        except Exception as error:  # a function can raise anything
            raise Refused(502, FAILED, f"{type(error).__name__}: {error}") from error

    def _invoke(self, event: Any) -> Any:
        with self._turn:
            running = self._runtime.submit(self._answer, event)
            try:
                return running.result(self._seconds)
            finally:
                running.cancel()  # if it still waits for an earlier event that takes too long


class RequestHandler(http.server.BaseHTTPRequestHandler):
    """Handles the requests of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or clients wait for a body until they have confirmed the headers
    server: Gateway

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client has gone
            super().handle()

    def handle_one_request(self) -> None:
        """Accept every method, because the function decides which ones are allowed."""
        self.raw_requestline = self.rfile.readline(MAX_LINE + 1)
        if not self.raw_requestline:
            self.close_connection = True
        elif self.parse_request():
            self._send(self._response())

    def _response(self) -> HttpResponse:
        try:
            request = self._read()
            route = route_of(request.path, self.server.stage)
            if route is None:
                # An unknown stage has no error headers.
                url = f"http://{request.header('Host')}/{self.server.stage}{request.path}"
                raise Refused(403, {"message": "Forbidden"}, f"the stage is missing: {url}", {})
            return self.server.respond(request, route)
        except Refused as error:
            path, _, _ = self.path.partition("?")
            self.log_error("%s %s: %d, %s", self.command, path, error.response.status, error)
            return error.response

    def _read(self) -> HttpRequest:
        """Read the request to its end. Raises Refused, and ConnectionError if it is cut short."""
        headers: dict[str, list[str]] = {}
        for name, value in self.headers.items():
            if name.lower() not in HOP_BY_HOP:
                headers.setdefault(name, []).append(value)
        try:
            body = read_body(self.rfile, self.headers)
        except ValueError as error:
            self.close_connection = True
            raise Refused(400, {"message": "Bad Request"}, "the length of the body is not a number") from error
        path, _, query = self.path.partition("?")
        return HttpRequest(self.command, path, query, headers, body, self.client_address[0])

    def _send(self, response: HttpResponse) -> None:
        self.send_response_only(response.status)
        self.send_header("Date", self.date_time_string())
        for name, value in response.headers:
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        has_length = response.status not in (204, 304)
        if has_length:
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if has_length and self.command != "HEAD":
            self.wfile.write(response.body)

    def log_request(self, *_: object) -> None:
        """Log errors only."""

    def log_message(self, format: str, *values: object) -> None:
        print(format % values, file=sys.stderr, flush=True)


def read_body(stream: BufferedIOBase, headers: Message) -> bytes:
    """Read a body. Raises ValueError if its length is not a number, ConnectionError if it is cut short.

    One that is too large is read to its end, because clients read the response only then. Little more than MAX_BODY of
    it is returned.
    """
    body = bytearray()
    for piece in _pieces(stream, headers):
        if len(body) <= MAX_BODY:
            body += piece
    return bytes(body)


def _pieces(stream: BufferedIOBase, headers: Message) -> Iterator[bytes]:
    if "chunked" not in headers.get("Transfer-Encoding", "").lower():
        yield from _exactly(stream, int(headers.get("Content-Length") or 0))
        return
    while True:
        size = int(stream.readline(MAX_LINE).partition(b";")[0], 16)
        if not size:
            break
        yield from _exactly(stream, size)
        stream.readline(MAX_LINE)  # the end of the chunk
    while stream.readline(MAX_LINE).strip():
        pass  # trailers


def _exactly(stream: BufferedIOBase, size: int) -> Iterator[bytes]:
    if size < 0:
        raise ValueError("a negative length")
    while size:
        piece = stream.read(min(size, 1 << 16))
        if not piece:
            raise ConnectionError("the body is cut short")
        size -= len(piece)
        yield piece


def too_large(request_id: str) -> Any:
    """Return the body of the response to a request that is too large, as deploy/front-rest.yml sets it."""
    return json.loads(TOO_LARGE.read_text(encoding="utf-8").replace("$context.requestId", request_id))
