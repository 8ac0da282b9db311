"""Errors in responses, and bugs, which are described in the log only."""

from __future__ import annotations

import base64
import inspect
import json
import logging
from typing import Any

import pytest

import api.errors
import model.errors
import service.errors
from api.dialects import native
from api.problems import INTERNAL, TABLE, Problem, attempt, describe_error
from app import App, compose
from service.results import (
    DUPLICATE,
    NO_FACE,
    SEVERAL_FACES,
    TOO_SMALL,
    UNREADABLE,
    Identification,
    IdentifyOptions,
    Skipped,
)
from settings import Settings
from testing.events import recorded, upload
from testing.paths import SAMPLES
from tests.services import FixedFaces, around, fixed

PHOTO = (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes()
PRIVATE = ["Kofi", "Annan", "secret-name", base64.b64encode(PHOTO).decode()[100:160]]
INTERNALS = ["Traceback", ".py", "site-packages", "/work", "/tmp", "ZeroDivision", "line "]


def app(error: Exception) -> App:
    return compose(Settings(metrics=False), fixed(error))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (api.errors.BadParameter("`top` is too large."), Problem(400, "bad_parameter", "`top` is too large.")),
        (
            api.errors.Unauthorized("No key."),
            Problem(401, "unauthorized", "No key.", {"WWW-Authenticate": "ApiKey"}),
        ),
        (
            api.errors.MethodNotAllowed("GET, HEAD"),
            Problem(405, "method_not_allowed", "This path takes GET, HEAD.", {"Allow": "GET, HEAD"}),
        ),
        (model.errors.ImageTooLarge("Too many pixels."), Problem(413, "too_large", "Too many pixels.")),
        (service.errors.NoFace("No face."), Problem(422, "no_face", "No face.")),
        (
            service.errors.ModelUnavailable("No model."),
            Problem(503, "model_unavailable", "No model.", {"Retry-After": "5"}),
        ),
        (service.errors.Conflict("Later."), Problem(409, "conflict", "Later.", {"Retry-After": "1"})),
        (service.errors.CollectionFull("Full."), Problem(507, "collection_full", "Full.")),
    ],
    ids=lambda value: value.code if isinstance(value, Problem) else "",
)
def test_errors_with_a_status_and_a_code(error: Exception, expected: Problem) -> None:
    assert describe_error(error) == expected


def test_every_error_of_the_wire_format_and_of_the_service_has_a_status() -> None:
    for module, base, count in (
        (api.errors, api.errors.ApiError, 9),
        (service.errors, service.errors.ServiceError, 12),
    ):
        classes = {found for _, found in inspect.getmembers(module, inspect.isclass) if issubclass(found, base)}
        assert len(classes - {base}) == count
        assert all(set(TABLE) & set(found.__mro__[:2]) for found in classes - {base, api.errors.DialectError})


def test_an_error_that_a_dialect_names() -> None:
    error = api.errors.DialectError("InvalidSignatureException", "The signature is wrong.", 403)
    assert describe_error(error) == Problem(403, "InvalidSignatureException", "The signature is wrong.")


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyError, service.errors.ServiceError])
def test_everything_else_is_a_bug(kind: type[Exception]) -> None:
    problem = describe_error(kind("secret"))
    assert (problem.status, problem.code, problem.headers) == (500, INTERNAL, {})
    assert "secret" not in problem.message


@pytest.mark.parametrize(
    ("reason", "code"),
    [(UNREADABLE, "unreadable_image"), *((same, same) for same in (NO_FACE, SEVERAL_FACES, TOO_SMALL, DUPLICATE))],
)
def test_photos_that_were_not_enrolled(reason: str, code: str) -> None:
    """The reason of the first photo decides the code."""
    skipped = (Skipped("a.jpg", reason), Skipped("b.jpg", NO_FACE))
    problem = describe_error(service.errors.NothingEnrolled(skipped))
    assert (problem.status, problem.code, problem.skipped) == (422, code, skipped)
    body = native.encode_problem(problem, "request-1").body
    assert json.loads(body)["skipped"] == [{"file": "a.jpg", "reason": reason}, {"file": "b.jpg", "reason": NO_FACE}]


def test_subclass_is_treated_as_its_base_class() -> None:
    class Throttled(service.errors.ModelUnavailable):
        retry_after = 30

    assert describe_error(Throttled("Later.")) == Problem(503, "model_unavailable", "Later.", {"Retry-After": "30"})


def test_attempt() -> None:
    bugs: list[Exception] = []

    def fail(error: Exception) -> Any:
        raise error

    assert attempt(lambda: 7, bugs.append) == 7
    found = attempt(lambda: fail(service.errors.NoFace("No face.")), bugs.append)
    assert isinstance(found, Problem)
    assert (found.code, bugs) == ("no_face", [])
    bug = ZeroDivisionError()
    assert attempt(lambda: fail(bug), bugs.append) == describe_error(bug)
    assert bugs == [bug]
    with pytest.raises(KeyError):
        attempt(lambda: fail(KeyError()), bugs.append, let_through=(KeyError,))
    assert bugs == [bug]


class ChainedBug(FixedFaces):
    """Raises an error that quotes the request, in its message and in that of its cause."""

    def identify(self, image: bytes, options: IdentifyOptions) -> Identification:
        try:
            raise KeyError(f"secret-name.jpg {base64.b64encode(image).decode()}")
        except KeyError as error:
            raise ZeroDivisionError("Kofi Annan in secret-name.jpg") from error


def test_bug_is_described_in_the_log_only(context: Any, lines: Any) -> None:
    answer = compose(Settings(), around(ChainedBug())).handle(upload(PHOTO, "secret-name.jpg"), context)
    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (500, INTERNAL)
    for inside in INTERNALS + PRIVATE:
        assert inside not in answer["body"]
    bug, answered = (line for line in lines() if "_aws" not in line)
    assert (bug["message"], bug["error"], bug["request_id"]) == ("bug", "ZeroDivisionError", "request-1")
    assert "test_problems.py" in bug["stack"][-1]
    assert any("routes.py" in frame for frame in bug["stack"])
    assert answered["status"] == 500
    for private in PRIVATE:
        assert private not in json.dumps(bug, ensure_ascii=False)


@pytest.mark.parametrize(("level", "there"), [(logging.INFO, False), (logging.DEBUG, True)])
def test_message_of_a_bug_is_logged_at_debug_level(level: int, there: bool, context: Any, lines: Any) -> None:
    broken = app(ZeroDivisionError("division by zero"))
    before = broken.telemetry.log.log_level
    broken.telemetry.log.setLevel(level)
    try:
        broken.handle(upload(PHOTO), context)
    finally:
        broken.telemetry.log.setLevel(before)
    assert ("division by zero" in json.dumps(lines())) is there


def test_bug_has_no_retry_after(context: Any) -> None:
    """Errors of other libraries may have a `retry_after` that is meant for their own servers."""
    error = ZeroDivisionError()
    error.retry_after = 5  # type: ignore[attr-defined]
    answer = app(error).handle(upload(PHOTO), context)
    assert answer["statusCode"] == 500
    assert "Retry-After" not in answer["multiValueHeaders"]


def test_debugging_switches_do_not_print_the_photo(
    context: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("POWERTOOLS_DEV", "POWERTOOLS_DEBUG", "POWERTOOLS_LOGGER_LOG_EVENT"):
        monkeypatch.setenv(name, "true")
    compose(Settings(), fixed()).handle(recorded("rest-known-person"), context)
    assert recorded("rest-known-person")["body"][:60] not in "".join(capsys.readouterr())
