"""The function as Lambda would start it, with a clock that the test sets."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Callable

from app import create_app
from settings import Settings, s3_settings_from_env
from storage.background import Task
from storage.blobs import BlobStore, open_blobs
from storage.live import RETRY, LiveModel
from storage.s3_settings import RetryPolicy
from testing.events import request

HURRIED = RetryPolicy(connect=1, read=0.6, attempts=2, total=3)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Runtime:
    """A runtime, from INIT on. Tasks beside the requests are done at once, unless `start` does something else."""

    def __init__(
        self, uri: str, start: Callable[[Task], None] = lambda task: task(), policy: RetryPolicy = HURRIED
    ) -> None:
        self.clock, self.policy = Clock(), policy

        def open_store() -> BlobStore:
            return open_blobs(uri, s3_settings_from_env(), self.policy)

        self.app = create_app(Settings(), LiveModel(open_store, seconds=policy.total, clock=self.clock, start=start))

    def health(self) -> tuple[int, str]:
        """Status, and the version that is served or the problem."""
        response = self.app.handle(request("GET", "/health"), SimpleNamespace(aws_request_id="request-1"))
        body = json.loads(response["body"])
        if response["statusCode"] == 200:
            return 200, body["model"]["version"]
        assert body["error"]["code"] == "model_unavailable"
        assert response["multiValueHeaders"]["Retry-After"] == [str(RETRY)]
        return response["statusCode"], body["error"]["message"]
