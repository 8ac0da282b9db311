"""The service in this process, with other settings than those of `make run`."""

from __future__ import annotations

import socketserver
import threading
from contextlib import contextmanager
from typing import Any, Iterator

from app import create_app
from settings import Settings
from tests.gateway import GatewayServer

ADMIN_KEY = "administrator"


class ThreadedFront(socketserver.ThreadingMixIn, GatewayServer):
    """Handles connections in threads: browsers open connections ahead of use, and one would block a single thread."""

    daemon_threads = True


class Context:
    aws_request_id = "request-1"


@contextmanager
def serving(**settings: Any) -> Iterator[str]:
    """Serve the service and yield its URL. settings: fields of Settings."""
    app = create_app(Settings(metrics=False, **settings))
    lock = threading.Lock()

    def answer(event: dict) -> dict:
        with lock:
            return app.handle(event, Context())

    with ThreadedFront(answer) as front:
        threading.Thread(target=front.serve_forever, daemon=True).start()
        yield front.url
        front.shutdown()
