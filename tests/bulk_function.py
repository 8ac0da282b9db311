"""The function of a batch behind HTTP, for the interpreter in tests/bulk_aws.py: a thread of the test's process."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, Callable, Iterator

from testing.servers import free_port

OnBatch = Callable[[Any, Any], Any]
MINUTES = 120_000  # ms that the function has


class Function:
    """Events are answered by `on_batch`, one at a time. throttled: number of events that Lambda refuses to take."""

    def __init__(self, on_batch: OnBatch) -> None:
        self.on_batch, self.throttled = on_batch, 0
        self.events: list[Any] = []
        self._one = threading.Lock()

    def answer(self, body: bytes) -> tuple[int, bool, bytes]:
        """-> HTTP status, whether the function raised an error, and the result or error as Lambda encodes it."""
        with self._one:
            if self.throttled:
                self.throttled -= 1
                return 429, False, b""
            event = json.loads(body)
            self.events.append(event)
            context = SimpleNamespace(
                aws_request_id=f"request-{len(self.events)}", get_remaining_time_in_millis=lambda: MINUTES
            )
            try:
                return 200, False, json.dumps(self.on_batch(event, context)).encode()
            except Exception as error:  # noqa: BLE001 as Lambda does
                return 200, True, json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)}).encode()


@contextlib.contextmanager
def serving(function: Function) -> Iterator[str]:
    """Yield the function's URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, failed, content = function.answer(body)
            self.send_response(status)
            if failed:
                self.send_header("X-Amz-Function-Error", "Unhandled")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Keep the output of tests free of requests."""

    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
