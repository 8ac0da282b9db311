"""What API Gateway does for a function with binary media types, as a small server: HTTP to a REST API's event and back.

serverless-offline, which `make run` uses, hands on only multipart bodies as bytes.
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


class Front(http.server.HTTPServer):
    """One request at a time, as the emulator wants it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.answer = answer
        self.url = f"http://127.0.0.1:{self.server_port}"


class Request(http.server.BaseHTTPRequestHandler):
    server: Front

    def handle_one_request(self) -> None:
        """Any method: the function says which it takes."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline:
            self.close_connection = True
        elif self.parse_request():
            self.work()

    def work(self) -> None:
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
        answer = self.server.answer(event)
        payload = (answer.get("body") or "").encode()
        self.send_response(int(answer["statusCode"]))
        for name, values in answer["multiValueHeaders"].items():
            for value in values:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        """The tests have their own output."""


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """The URL at which the function's answers can be had."""
    with Front(answer) as front:
        thread = threading.Thread(target=front.serve_forever)
        thread.start()
        try:
            yield front.url
        finally:
            front.shutdown()
            thread.join()
