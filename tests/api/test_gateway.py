"""What every answer carries, who gets one, and what it leaves in the log."""

from __future__ import annotations

import base64
import json
import logging
import sys
from typing import Any, Callable

import pytest
from aws_lambda_powertools.event_handler.api_gateway import Router

import handler
from api.gateway import Gateway
from model.errors import ModelUnavailable
from testing.events import recorded, request, upload
from testing.paths import SAMPLES

PAGE = "https://page.example"


def gateway(origins: str = "*", api_key: str = "", **options: bool) -> Gateway:
    """A gateway with routes that need no model."""
    router = Router()
    router.post("/classify")(lambda: {"known": True})
    router.get("/health")(lambda: {"status": "ok"})
    router.get("/bug")(lambda: 1 / 0)

    @router.get("/people")
    def people() -> None:
        raise ModelUnavailable("There is no model yet.")

    return Gateway(router, origins, lambda: "20261124-f6b69ad5", api_key, **options)


def http(method: str, path: str, **headers: str) -> dict[str, Any]:
    """An event of an HTTP API, whose answer's headers are the easiest to read."""
    context = {"stage": "$default", "http": {"method": method, "path": path}}
    return {"version": "2.0", "rawPath": path, "headers": headers, "requestContext": context}


def headers_of(answer: dict[str, Any]) -> dict[str, str]:
    many = answer.get("multiValueHeaders", {})
    return {**answer.get("headers", {}), **{name: values[0] for name, values in many.items()}}


EVERYTHING = {
    "an answer": http("GET", "/health"),
    "a preflight": http("OPTIONS", "/classify"),
    "not found": http("GET", "/nowhere"),
    "a wrong method": http("DELETE", "/health"),
    "an error": http("GET", "/people"),
    "REST": request("GET", "/health"),
    "a load balancer": {"httpMethod": "GET", "path": "/health", "requestContext": {"elb": {}}, "headers": {}},
    "no request": {},
}


@pytest.mark.parametrize("event", EVERYTHING.values(), ids=list(EVERYTHING))
def test_nobody_keeps_an_answer_or_guesses_its_type(event: dict[str, Any], context: Any) -> None:
    headers = headers_of(gateway().answer(event, context))
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/health", "/people", "/nowhere", "/classify"])
def test_any_page_may_read_by_default(path: str, context: Any) -> None:
    headers = headers_of(gateway().answer(http("GET", path, origin=PAGE), context))
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Vary" not in headers


@pytest.mark.parametrize("origins", [PAGE, f"{PAGE}/", f"https://other.example, {PAGE}"])
@pytest.mark.parametrize("path", ["/health", "/people", "/nowhere", "/classify"])
def test_only_pages_of_these_origins_may_read(origins: str, path: str, context: Any) -> None:
    front = gateway(origins)
    theirs = headers_of(front.answer(http("GET", path, Origin=PAGE), context))
    assert theirs["Access-Control-Allow-Origin"] == PAGE
    for others in ({"origin": "https://evil.example"}, {"origin": "null"}, {}):
        headers = headers_of(front.answer(http("GET", path, **others), context))
        assert "Access-Control-Allow-Origin" not in headers
        assert headers["Vary"] == theirs["Vary"] == "Origin"


def test_a_star_among_origins_is_all_of_them(context: Any) -> None:
    headers = headers_of(gateway(f"{PAGE}, *").answer(http("GET", "/health", origin=PAGE), context))
    assert headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("front", ["rest", "http", "alb", "alb-multi"])
def test_errors_reach_the_page_through_every_front(front: str, context: Any) -> None:
    event = recorded(f"{front}-known-person")
    event["body"] = None
    for kind, value in (("headers", PAGE), ("multiValueHeaders", [PAGE])):
        if kind in event:
            event[kind] = {**event[kind], "origin": value}
    answer = handler.gateway.answer(event, context)
    assert answer["statusCode"] == 400
    assert headers_of(answer)["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", ["/classify", "/health", "/people", "/nowhere", "/"])
def test_preflights(path: str, context: Any) -> None:
    event = http("OPTIONS", path, origin=PAGE, **{"access-control-request-method": "POST"})
    answer = gateway(PAGE, api_key="secret").answer(event, context)
    headers = headers_of(answer)
    assert (answer["statusCode"], answer["body"]) == (204, "")
    assert headers["Access-Control-Allow-Origin"] == PAGE
    assert headers["Access-Control-Max-Age"] == "600"
    assert {"GET", "HEAD", "POST"} <= set(headers["Access-Control-Allow-Methods"].split(","))
    assert {"Content-Type", "X-Api-Key"} <= set(headers["Access-Control-Allow-Headers"].split(","))


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/classify", "OPTIONS, POST"),
        ("HEAD", "/classify", "OPTIONS, POST"),
        ("PUT", "/classify/", "OPTIONS, POST"),
        ("POST", "/health", "GET, HEAD, OPTIONS"),
        ("DELETE", "//people", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(method: str, path: str, allowed: str, context: Any) -> None:
    answer = gateway().answer(http(method, path), context)
    assert answer["statusCode"] == 405
    assert headers_of(answer)["Allow"] == allowed


@pytest.mark.parametrize("path", ["/", "/nowhere", "/health/more", "/dev/health", "/%2e%2e/health"])
def test_other_paths_are_not_found(path: str, context: Any) -> None:
    answer = gateway().answer(http("GET", path), context)
    assert answer["statusCode"] == 404
    assert json.loads(answer["body"])["error"]["code"] == "not_found"


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/people", 503), ("/nowhere", 404)])
def test_head_is_get_without_the_body(path: str, status: int, context: Any) -> None:
    front = gateway()
    get, head = (front.answer(http(method, path), context) for method in ("GET", "HEAD"))
    assert (head["statusCode"], head["body"]) == (status, "")
    assert headers_of(head) == headers_of(get)


@pytest.mark.parametrize("headers", [{}, {"x-api-key": ""}, {"x-api-key": "secre"}, {"x-api-key": "Secret\ud800é"}])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/classify"), ("GET", "/people"), ("GET", "/nowhere"), ("POST", "/health")]
)
def test_without_the_key(method: str, path: str, headers: dict[str, str], context: Any) -> None:
    answer = gateway(api_key="secret").answer(http(method, path, origin=PAGE, **headers), context)
    assert answer["statusCode"] == 401
    assert json.loads(answer["body"])["error"]["code"] == "unauthorized"
    assert "secret" not in json.dumps(answer)
    assert headers_of(answer)["WWW-Authenticate"] == "ApiKey"
    assert headers_of(answer)["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(("method", "path"), [("GET", "/health"), ("HEAD", "/health/"), ("OPTIONS", "/classify")])
def test_what_needs_no_key(method: str, path: str, context: Any) -> None:
    assert gateway(api_key="secret").answer(http(method, path), context)["statusCode"] in (200, 204)


@pytest.mark.parametrize("name", ["x-api-key", "X-Api-Key", "X-API-KEY"])
def test_with_the_key(name: str, context: Any) -> None:
    front = gateway(api_key="schlüssel")
    assert front.answer(http("POST", "/classify", **{name: "schlüssel"}), context)["statusCode"] == 200
    many = recorded("alb-multi-known-person")
    many["multiValueHeaders"][name] = ["schlüssel"]
    assert front.answer(many, context)["statusCode"] == 200


class CurrentStdout:
    """The log holds on to the stdout of its start, and pytest changes it with each phase of a test."""

    def write(self, text: str) -> None:
        sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


@pytest.fixture()
def lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """What log and metrics have written so far, one dictionary a line."""
    monkeypatch.setattr(handler.gateway.log.handlers[0], "stream", CurrentStdout())
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_event_that_is_no_request_leaves_a_line(context: Any, lines: Any) -> None:
    gateway(metrics=False).answer({"Records": []}, context)
    (line,) = lines()
    assert (line["message"], line["status"], line["request_id"]) == ("answered", 400, "request-1")
    assert line["model_version"] == "20261124-f6b69ad5"
    assert line["ms"] >= 0


PHOTO = (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes()
PRIVATE = ["Kofi", "Annan", "secret-name", "Alicia", "none.jpg", base64.b64encode(PHOTO).decode()[100:160]]
INTERNAL = ["Traceback", ".py", "site-packages", "/work", "/tmp", "ZeroDivision", "line "]


def test_log_and_metrics_name_nobody(context: Any, lines: Any) -> None:
    part_missing = request("POST", "/classify", b"secret-name " + PHOTO, "multipart/form-data; boundary=x")
    events = [recorded(f"rest-{name}") for name in ("known-person", "stranger", "no-face")]
    events += [upload(PHOTO, "secret-name.jpg"), upload(PHOTO[:2000], "secret-name.jpg"), part_missing]
    statuses = [handler.handle(event, context)["statusCode"] for event in events]
    assert statuses == [200, 200, 422, 200, 422, 400]
    written = json.dumps(lines(), ensure_ascii=False)
    assert written.count('"answered"') == 6
    for private in PRIVATE:
        assert private not in written


def test_a_bug_tells_the_caller_nothing_and_the_log_where(
    context: Any, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its message may quote the request, and so may that of the error behind it."""

    def broken(_: object) -> None:
        try:
            raise KeyError(f"secret-name.jpg {base64.b64encode(PHOTO).decode()}")
        except KeyError as error:
            raise ZeroDivisionError("Kofi Annan in secret-name.jpg") from error

    monkeypatch.setattr(handler.detector, "detect", broken)
    answer = handler.handle(upload(PHOTO, "secret-name.jpg"), context)
    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (500, "internal")
    for inside in INTERNAL + PRIVATE:
        assert inside not in answer["body"]
    bug, answered = (line for line in lines() if "_aws" not in line)
    assert (bug["message"], bug["error"], bug["request_id"]) == ("bug", "ZeroDivisionError", "request-1")
    assert "test_gateway.py" in bug["stack"][-1]
    assert any("handler.py" in frame for frame in bug["stack"])
    assert answered["status"] == 500
    for private in PRIVATE:
        assert private not in json.dumps(bug, ensure_ascii=False)


@pytest.mark.parametrize(("level", "there"), [(logging.INFO, False), (logging.DEBUG, True)])
def test_the_message_of_a_bug_is_there_for_who_asks(level: int, there: bool, context: Any, lines: Any) -> None:
    front = gateway(metrics=False)
    before = front.log.log_level
    front.log.setLevel(level)
    try:
        front.answer(http("GET", "/bug"), context)
    finally:
        front.log.setLevel(before)
    assert ("division by zero" in json.dumps(lines())) is there


def test_a_bug_does_not_say_when_to_try_again(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of other libraries have a `retry_after` too, which is about their servers."""

    def broken(_: object) -> None:
        error = ZeroDivisionError()
        error.retry_after = 5  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr(handler.detector, "detect", broken)
    answer = handler.handle(upload(PHOTO), context)
    assert answer["statusCode"] == 500
    assert "Retry-After" not in answer["multiValueHeaders"]


def test_no_debugging_switch_prints_the_photo(
    context: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("POWERTOOLS_DEV", "POWERTOOLS_DEBUG", "POWERTOOLS_LOGGER_LOG_EVENT"):
        monkeypatch.setenv(name, "true")
    gateway().answer(recorded("rest-known-person"), context)
    assert recorded("rest-known-person")["body"][:60] not in "".join(capsys.readouterr())
