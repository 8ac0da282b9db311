"""Exceptions to problems that a caller is told: the only table of HTTP statuses and error codes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Mapping, TypeVar

from api.errors import (
    BadParameter,
    BadRequest,
    DialectError,
    EmptyUpload,
    ManagementOff,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    Unauthorized,
)
from model.errors import ImageTooLarge, UnreadableImage, UnsupportedImage
from service.errors import (
    CollectionFull,
    Conflict,
    Exists,
    InvalidRequest,
    ModelUnavailable,
    NoFace,
    NothingEnrolled,
    ReadOnly,
    UnknownCollection,
    UnknownFace,
    UnknownPerson,
    of_storage,
)
from service.results import UNREADABLE, Skipped
from storage.errors import StorageError

INTERNAL = "internal"

# Looked up by the class of an exception and then by its base classes. Exception stands for every bug.
TABLE: dict[type[Exception], tuple[int, str]] = {
    BadRequest: (400, "bad_request"),
    EmptyUpload: (400, "empty_upload"),
    BadParameter: (400, "bad_parameter"),
    InvalidRequest: (400, "bad_parameter"),
    Unauthorized: (401, "unauthorized"),
    ManagementOff: (403, "management_off"),
    NotFound: (404, "not_found"),
    UnknownCollection: (404, "unknown_collection"),
    UnknownPerson: (404, "unknown_person"),
    UnknownFace: (404, "unknown_face"),
    MethodNotAllowed: (405, "method_not_allowed"),
    Conflict: (409, "conflict"),
    Exists: (409, "exists"),
    ReadOnly: (409, "read_only"),
    TooLarge: (413, "too_large"),
    ImageTooLarge: (413, "too_large"),
    UnsupportedImage: (415, "unsupported_media_type"),
    UnreadableImage: (422, "unreadable_image"),
    NoFace: (422, "no_face"),
    NothingEnrolled: (422, ""),  # the reason of the first photo
    Exception: (500, INTERNAL),
    ModelUnavailable: (503, "model_unavailable"),
    CollectionFull: (507, "collection_full"),
}

Result = TypeVar("Result")


@dataclass(frozen=True)
class Problem:
    """An error as callers see it.

    message: a sentence; headers: of the response, besides those of every response; skipped: photos that were not
    enrolled.
    """

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()


def describe_error(error: Exception) -> Problem:
    """Look up an exception. A bug's problem says nothing about the bug."""
    if isinstance(error, DialectError):
        return Problem(error.status, error.code, str(error))
    status, code = next(TABLE[base] for base in type(error).__mro__ if base in TABLE)
    if code == INTERNAL:
        return Problem(status, code, "Something went wrong here, and the log says what.")
    if isinstance(error, NothingEnrolled):
        reason = error.skipped[0].reason
        code = "unreadable_image" if reason == UNREADABLE else reason
        return Problem(status, code, str(error), skipped=error.skipped)
    return Problem(status, code, str(error), _headers(error))


def attempt(
    work: Callable[[], Result],
    log_bug: Callable[[Exception], None],
    let_through: tuple[type[Exception], ...] = (),
) -> Result | Problem:
    """Return the result of `work`, or the problem that kept it from one.

    log_bug: called with every exception that is a bug; let_through: exceptions that the caller handles.
    """
    try:
        return work()
    except let_through:
        raise
    except Exception as caught:
        # A lookup of a use case fails where the collection is in a database.
        error = of_storage(caught) if isinstance(caught, StorageError) else caught
        if isinstance(error, let_through):
            raise error from caught
        problem = describe_error(error)
        if problem.code == INTERNAL:
            log_bug(error)
        return problem


def _headers(error: Exception) -> dict[str, str]:
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": "ApiKey"}
    if isinstance(error, MethodNotAllowed):
        return {"Allow": error.allowed}
    if isinstance(error, (ModelUnavailable, Conflict)):
        return {"Retry-After": str(error.retry_after)}
    return {}
