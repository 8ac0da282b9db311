"""A fake S3 server that responds by a rule, to test any error of any request."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager
from typing import Callable, Iterator, Mapping, NamedTuple, Optional
from urllib.parse import parse_qs, urlsplit


class Answer(NamedTuple):
    status: int
    body: str | bytes = ""
    headers: Mapping[str, str] = {}


CUT = Answer(0)  # closes the connection while the request is being sent

Rule = Callable[[str, str, Mapping[str, str]], Optional[Answer]]  # method, path, headers


def error(status: int, code: str, more: str = "", **headers: str) -> Answer:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>Words.</Message>{more}</Error>'
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def always(answer: Answer) -> Rule:
    return lambda *_: answer


def on(method: str, part: str, answer: Answer) -> Rule:
    """Respond to requests with this method whose path contains `part`."""
    return lambda m, path, _: answer if m == method and part in path else None


def page(*keys: str, after: str = "") -> Answer:
    """Make a page of a listing with objects of 11 bytes. after: the token to request the next page with."""
    token = f"<NextContinuationToken>{after}</NextContinuationToken>" if after else ""
    contents = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-01-01T10:00:00.000Z</LastModified><Size>11</Size></Contents>"
        for key in keys
    )
    more = str(bool(after)).lower()
    return Answer(200, f"<ListBucketResult><IsTruncated>{more}</IsTruncated>{token}{contents}</ListBucketResult>")


def usual(method: str, path: str) -> Answer:
    """Respond as an empty bucket in which everything is allowed."""
    query = parse_qs(urlsplit(path).query, keep_blank_values=True)
    if "uploads" in query:
        return Answer(200, "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>")
    if "list-type" in query:
        return page()
    if method == "GET":
        return error(404, "NoSuchKey")
    return Answer(204 if method == "DELETE" else 200, "", {"ETag": '"0"'})


class Handler(http.server.BaseHTTPRequestHandler):
    server: StubbornS3
    protocol_version = "HTTP/1.1"
    timeout = 10

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        found = self.server.rule(self.command, self.path, dict(self.headers.items()))
        self.server.requests.append(f"{self.command} {self.path}")
        self.rfile.read(length // 2 if found is CUT else length)
        if found is CUT:
            self.close_connection = True
            return
        status, body, headers = found or usual(self.command, self.path)
        content = body if isinstance(body, bytes) else body.encode()
        if self.command == "HEAD" or status == 304:
            content = b""
        self.send_response(status)
        # botocore keeps a connection open while its error is referenced, and pytest holds such a reference.
        if not self.server.keep_alive:
            self.send_header("Connection", "close")
        for name, value in {"Content-Length": str(len(content)), "Content-Type": "application/xml", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


class StubbornS3(http.server.ThreadingHTTPServer):
    """Responds by `rule`, or by `usual` if the rule returns None. requests: all received ones, as "PUT /path"."""

    daemon_threads = False  # so that closing the server waits until their sockets are closed

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[str] = []
        self.connections = 0
        self.keep_alive = False
        self.rule: Rule = lambda *_: None


@contextmanager
def stubborn_s3() -> Iterator[StubbornS3]:
    with StubbornS3() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
