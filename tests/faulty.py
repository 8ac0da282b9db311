"""An S3 that fails when told to: a proxy before a real one, and the ways in which it can fail."""

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
    status: int
    headers: dict[str, str]
    body: bytes


class Proxy(http.server.ThreadingHTTPServer):
    """faults: what becomes of the answer to a GET of a path that ends like that; asked: the paths of GETs so far.

    write_faults: the same for other methods, after the real one has done what was asked for.
    """

    daemon_threads = False  # so that closing it waits until their sockets are closed

    def __init__(self, upstream: str, port: int = 0) -> None:
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
        fault = next((fault for end, fault in faults.items() if self.path.endswith(end)), None)
        answer = self._upstream(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
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
