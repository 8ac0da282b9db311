"""Errors of the use cases.

ServiceError
├── NoFace             the photo shows no face
└── ModelUnavailable   no network or gallery can be served now
"""

from __future__ import annotations


class ServiceError(Exception):
    """Base class. The message is a sentence for the caller and names no person, bucket or path."""


class NoFace(ServiceError):
    pass


class ModelUnavailable(ServiceError):
    retry_after = 5  # seconds until the next attempt to load
