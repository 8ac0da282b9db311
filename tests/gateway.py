"""A small API Gateway: an HTTP server that converts requests to REST API events and results to responses.

Passes every body as binary. serverless-offline, which `make run` uses, does that for multipart bodies only.
"""

from __future__ import annotations

import base64
import http.server
import threading
from contextlib import contextmanager
from typing import Any, Callable, Iterator
from urllib.parse import parse_qs, urlsplit

from testing.events import recorded

Answer = Callable[[dict], Any]


class GatewayServer(http.server.HTTPServer):
    """An HTTP server that handles one request at a time, because the emulator does."""

    def __init__(self, answer: Answer) -> None:
        """Listen on a free local port. answer: the function, event -> result."""
        super().__init__(("127.0.0.1", 0), Request)
        self.answer = answer
        self.url = f"http://127.0.0.1:{self.server_port}"


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
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        headers = {name: self.headers.get_all(name, []) for name in self.headers}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        event = recorded("rest-health")
        event.update(
            httpMethod=self.command,
            path=url.path,
            headers={name: values[-1] for name, values in headers.items()},
            multiValueHeaders=headers,
            queryStringParameters={name: values[-1] for name, values in query.items()} or None,
            multiValueQueryStringParameters=query or None,
            body=base64.b64encode(body).decode() or None,
            isBase64Encoded=bool(body),
        )
        result = self.server.answer(event)
        payload = (result.get("body") or "").encode()
        self.send_response(int(result["statusCode"]))
        for name, values in result["multiValueHeaders"].items():
            for value in values:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """Serve a function and yield the URL. answer: event -> result."""
    with GatewayServer(answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()
