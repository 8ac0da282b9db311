"""Fault injection for S3: a proxy in front of a real S3 API, and the faults it can inject into GET responses."""

from __future__ import annotations

import http.client
import http.server
import re
import threading
from contextlib import closing, contextmanager
from typing import Callable, Iterator, NamedTuple
from urllib.parse import urlsplit

PASSED_ON = re.compile("ETag|Last-Modified|Content-Type|x-amz-meta-", re.IGNORECASE)  # of an answer's headers


class Answer(NamedTuple):
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes


class Proxy(http.server.ThreadingHTTPServer):
    """An HTTP proxy.

    faults: of GET requests, by suffix of the path; write_faults: of other methods, after the upstream has executed
    them; asked: paths of GET requests so far; over: set when the server ends.
    """

    daemon_threads = False  # so that closing the server waits for their sockets

    def __init__(self, upstream: str, port: int = 0) -> None:
        """Listen on a local port. upstream: URL of the S3 API; port: 0 for any free one."""
        super().__init__(("127.0.0.1", port), Handler)
        self.upstream = urlsplit(upstream).netloc
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.faults: dict[str, Fault] = {}
        self.write_faults: dict[str, Fault] = {}
        self.asked: list[str] = []
        self.over = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self._pass_on(self.server.faults)

    def do_PUT(self) -> None:
        if self.headers.get("Expect"):
            self.send_response_only(100)
            self.end_headers()
        self._pass_on(self.server.write_faults)

    do_HEAD = do_POST = do_DELETE = do_PUT  # noqa: N815

    def _pass_on(self, faults: dict[str, Fault]) -> None:
        fault = next((fault for suffix, fault in faults.items() if self.path.endswith(suffix)), None)
        answer = self._upstream(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        try:
            if fault:
                fault(self, answer)
            else:
                self.send(answer)
        except ConnectionError:  # the client has given up
            pass

    def send(self, answer: Answer, first: int | None = None) -> None:
        """Send the response with all headers, and the first bytes of its body or all of it."""
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body[:first])

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than the server runs."""
        self.server.over.wait(seconds)

    def _upstream(self, body: bytes) -> Answer:
        headers = {name: value for name, value in self.headers.items() if name != "Expect"}
        with closing(http.client.HTTPConnection(self.server.upstream, timeout=30)) as connection:
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
        passed_on = {name: value for name, value in answer.headers.items() if PASSED_ON.match(name)}
        return Answer(answer.status, {**passed_on, "Content-Length": str(len(content)), "Connection": "close"}, content)

    def log_message(self, *_: object) -> None:
        pass


Fault = Callable[[Handler, Answer], None]


def says(status: int, body: bytes = b"", **headers: str) -> Fault:
    """Send another response instead."""
    answer = Answer(status, {"Content-Length": str(len(body)), "Connection": "close", **headers}, body)
    return lambda handler, _: handler.send(answer)


def refuses(status: int, code: str) -> Fault:
    """Send an error as S3 does."""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>Words.</Message></Error>'
    return says(status, text.encode(), **{"Content-Type": "application/xml"})


def cuts(after: int) -> Fault:
    """Close the connection after that many bytes of the body."""
    return lambda handler, answer: handler.send(answer, after)


def stalls(seconds: float, after: int | None = None) -> Fault:
    """Send nothing for that long, or nothing more after that many bytes of the body."""

    def fault(handler: Handler, answer: Answer) -> None:
        if after is not None:
            handler.send(answer, after)
        handler.pause(seconds)

    return fault


def drips(rate: int) -> Fault:
    """Send the body slowly. rate: bytes per second."""

    def fault(handler: Handler, answer: Answer) -> None:
        handler.send(answer, 0)
        for start in range(0, len(answer.body), rate // 20):
            if handler.server.over.is_set():
                return
            handler.wfile.write(answer.body[start : start + rate // 20])
            handler.pause(0.05)

    return fault


def meanwhile(happens: Callable[[], object]) -> Fault:
    """Call a function before the response is sent."""

    def fault(handler: Handler, answer: Answer) -> None:
        happens()
        handler.send(answer)

    return fault


@contextmanager
def running(proxy: Proxy) -> Iterator[Proxy]:
    """Run a proxy in a thread."""
    with proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.over.set()
            proxy.shutdown()
            thread.join()
