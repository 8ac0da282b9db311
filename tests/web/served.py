"""The service in this process, with other settings than those of `make run`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator

from app import create_app
from settings import Settings
from tests import gateway

ADMIN_KEY = "administrator"


class Context:
    aws_request_id = "request-1"


@contextmanager
def serving(**settings: Any) -> Iterator[str]:
    """Serve the service and yield its URL. settings: fields of Settings."""
    app = create_app(Settings(metrics=False, **settings))
    with gateway.serving(lambda event: app.handle(event, Context())) as url:
        yield url
