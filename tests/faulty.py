"""An S3 that fails when told to: a proxy before a real one, and the ways in which it can fail."""

from __future__ import annotations

import http.client
import http.server
import threading
from contextlib import closing, contextmanager
from typing import Callable, Iterator, NamedTuple
from urllib.parse import urlsplit


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Proxy(http.server.ThreadingHTTPServer):
    """faults: what becomes of the answer to a GET of a path that ends like that; asked: the paths so far."""

    daemon_threads = False  # so that closing it waits until their sockets are closed

    def __init__(self, upstream: str, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.upstream = urlsplit(upstream).netloc
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.faults: dict[str, Fault] = {}
        self.asked: list[str] = []
        self.over = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        fault = next((fault for end, fault in self.server.faults.items() if self.path.endswith(end)), None)
        answer = self._upstream()
        try:
            if fault:
                fault(self, answer)
            else:
                self.send(answer)
        except ConnectionError:  # whoever asked has given up
            pass

    def send(self, answer: Answer, first: int | None = None) -> None:
        """The answer, or the first bytes of it, as if they were the start of all."""
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body[:first])

    def pause(self, seconds: float) -> None:
        self.server.over.wait(seconds)

    def _upstream(self) -> Answer:
        with closing(http.client.HTTPConnection(self.server.upstream, timeout=30)) as connection:
            connection.request("GET", self.path, headers=dict(self.headers))
            answer = connection.getresponse()
            body = answer.read()
        return Answer(answer.status, {"Content-Length": str(len(body)), "Connection": "close"}, body)

    def log_message(self, *_: object) -> None:
        pass


Fault = Callable[[Handler, Answer], None]


def says(status: int, body: bytes = b"", **headers: str) -> Fault:
    """Something else in place of the answer."""
    answer = Answer(status, {"Content-Length": str(len(body)), "Connection": "close", **headers}, body)
    return lambda handler, _: handler.send(answer)


def refuses(status: int, code: str) -> Fault:
    """As S3 does."""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>Words.</Message></Error>'
    return says(status, text.encode(), **{"Content-Type": "application/xml"})


def cuts(after: int) -> Fault:
    """Ends the connection in the middle of the body."""
    return lambda handler, answer: handler.send(answer, after)


def stalls(seconds: float, after: int | None = None) -> Fault:
    """Says nothing; or no more, after so many bytes of the body."""

    def fault(handler: Handler, answer: Answer) -> None:
        if after is not None:
            handler.send(answer, after)
        handler.pause(seconds)

    return fault


def drips(rate: int) -> Fault:
    """Sends so many bytes a second."""

    def fault(handler: Handler, answer: Answer) -> None:
        handler.send(answer, 0)
        for start in range(0, len(answer.body), rate // 20):
            if handler.server.over.is_set():
                return
            handler.wfile.write(answer.body[start : start + rate // 20])
            handler.pause(0.05)

    return fault


def meanwhile(happens: Callable[[], object]) -> Fault:
    """Passes the answer on, once something else has happened."""

    def fault(handler: Handler, answer: Answer) -> None:
        happens()
        handler.send(answer)

    return fault


@contextmanager
def running(proxy: Proxy) -> Iterator[Proxy]:
    with proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.over.set()
            proxy.shutdown()
            thread.join()
