"""The only reader of the environment."""

from __future__ import annotations

import os

from storage.s3_settings import S3Settings


def s3_settings_from_env() -> S3Settings:
    """Read AWS's own variables. An empty one counts as not set."""
    return S3Settings(
        region=_first("AWS_REGION", "AWS_DEFAULT_REGION"),
        access_key=_first("AWS_ACCESS_KEY_ID"),
        secret_key=_first("AWS_SECRET_ACCESS_KEY"),
        session_token=_first("AWS_SESSION_TOKEN"),
        endpoint=_first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    )


def _first(*names: str) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)
