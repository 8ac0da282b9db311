"""Headers of all responses, CORS, methods, paths and keys."""

from __future__ import annotations

import json
from typing import Any

import pytest

import handler
from api.cors import Cors
from api.dialect import Dialect, Reply
from api.dialects import compreface_results, native
from api.keys import Keys
from api.lambda_events import Request, Response, RestApiAdapter
from api.responder import MAX_BYTES, Responder
from api.router import Route, Router
from app import App, compose
from service.errors import ModelUnavailable
from settings import Settings
from testing.events import recorded, request
from tests.services import fixed

PAGE = "https://page.example"
LAMBDA = 6_291_556  # bytes of a response, at most


def app(origins: str = "*", api_key: str = "") -> App:
    """Make an app that needs no model. Listing its people fails."""
    settings = Settings.from_env({"CORS_ORIGIN": origins, "API_KEY": api_key, "POWERTOOLS_METRICS_DISABLED": "true"})
    return compose(settings, fixed(ModelUnavailable("There is no model yet.")))


def http(method: str, path: str, **headers: str) -> dict[str, Any]:
    """Make an event of an HTTP API, whose responses have one value per header."""
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
def test_caching_and_type_sniffing_are_disabled(event: dict[str, Any], context: Any) -> None:
    headers = headers_of(app().handle(event, context))
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/health", "/people", "/nowhere", "/classify"])
def test_any_page_may_read_by_default(path: str, context: Any) -> None:
    headers = headers_of(app().handle(http("GET", path, origin=PAGE), context))
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Vary" not in headers


@pytest.mark.parametrize("origins", [PAGE, f"{PAGE}/", f"https://other.example, {PAGE}"])
@pytest.mark.parametrize("path", ["/health", "/people", "/nowhere", "/classify"])
def test_only_pages_of_these_origins_may_read(origins: str, path: str, context: Any) -> None:
    ours = app(origins)
    theirs = headers_of(ours.handle(http("GET", path, Origin=PAGE), context))
    assert theirs["Access-Control-Allow-Origin"] == PAGE
    for others in ({"origin": "https://evil.example"}, {"origin": "null"}, {"origin": ""}, {}):
        headers = headers_of(ours.handle(http("GET", path, **others), context))
        assert "Access-Control-Allow-Origin" not in headers
        assert headers["Vary"] == theirs["Vary"] == "Origin"


def test_star_among_origins_allows_all(context: Any) -> None:
    headers = headers_of(app(f"{PAGE}, *").handle(http("GET", "/health", origin=PAGE), context))
    assert headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("source", ["rest", "http", "alb", "alb-multi"])
def test_errors_reach_the_page_through_every_source(source: str, context: Any) -> None:
    event = recorded(f"{source}-known-person")
    event["body"] = None
    for kind, value in (("headers", PAGE), ("multiValueHeaders", [PAGE])):
        if kind in event:
            event[kind] = {**event[kind], "origin": value}
    answer = handler.handle(event, context)
    assert answer["statusCode"] == 400
    assert headers_of(answer)["Access-Control-Allow-Origin"] == "*"


CORS = {
    "Access-Control-Allow-Headers": "Amz-Sdk-Invocation-Id,Amz-Sdk-Request,Authorization,Content-Type,"
    "X-Amz-Content-Sha256,X-Amz-Date,X-Amz-Security-Token,X-Amz-Target,X-Amz-User-Agent,X-Api-Key",
    "Access-Control-Max-Age": "600",
}
COMMON = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
METHODS = {"Access-Control-Allow-Methods": "DELETE,GET,HEAD,OPTIONS,PATCH,POST,PUT"}


@pytest.mark.parametrize("path", ["/classify", "/people", "/nowhere", "/", "/api/v1/recognition/subjects/Ada"])
@pytest.mark.parametrize("source", ["HTTP", "REST", "ALB"])
@pytest.mark.parametrize(
    ("origins", "origin", "expected"),
    [
        ("*", None, {}),
        ("*", PAGE, {"Access-Control-Allow-Origin": "*", **CORS}),
        (PAGE, None, {"Vary": "Origin"}),
        (PAGE, PAGE, {"Access-Control-Allow-Origin": PAGE, **CORS, "Vary": "Origin"}),
        (PAGE, "https://evil.example", {"Vary": "Origin"}),
        (f"https://a.example,{PAGE}", PAGE, {"Access-Control-Allow-Origin": PAGE, **CORS, "Vary": "Origin"}),
    ],
)
def test_preflights(
    path: str, source: str, origins: str, origin: str | None, expected: dict[str, str], context: Any
) -> None:
    """Every path allows preflights without a key. All headers are compared, because browsers depend on each."""
    headers = {"access-control-request-method": "POST", **({"origin": origin} if origin else {})}
    event = http("OPTIONS", path, **headers)
    if source != "HTTP":
        event = {"httpMethod": "OPTIONS", "path": path, "headers": headers, "requestContext": {}}
    if source == "ALB":
        event["requestContext"] = {"elb": {}}
    answer = app(origins, api_key="secret").handle(event, context)
    assert (answer["statusCode"], answer["body"]) == (204, "")
    assert headers_of(answer) == {**expected, **METHODS, **COMMON}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/classify", "OPTIONS, POST"),
        ("HEAD", "/classify", "OPTIONS, POST"),
        ("PUT", "/classify/", "OPTIONS, POST"),
        ("POST", "/health", "GET, HEAD, OPTIONS"),
        ("DELETE", "//people", "GET, HEAD, OPTIONS, POST"),
        ("POST", "/people/7", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("PUT", "/people/7/faces/", "GET, HEAD, OPTIONS, POST"),
        ("GET", "/people/7/faces/1", "DELETE, OPTIONS"),
        ("PATCH", "/collections/team", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("GET", "/embed", "OPTIONS, POST"),
    ],
)
def test_wrong_method_gets_the_allowed_methods(method: str, path: str, allowed: str, context: Any) -> None:
    answer = app().handle(http(method, path), context)
    assert answer["statusCode"] == 405
    assert headers_of(answer)["Allow"] == allowed
    assert json.loads(answer["body"] or "{}").get("error", {}).get("message") in (None, f"This path takes {allowed}.")


@pytest.mark.parametrize("path", ["/", "/nowhere", "/health/more", "/dev/health", "/%2e%2e/health", "/health%0a"])
def test_other_paths_are_not_found(path: str, context: Any) -> None:
    answer = app().handle(http("GET", path), context)
    assert answer["statusCode"] == 404
    assert json.loads(answer["body"])["error"]["code"] == "not_found"


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/people", 503), ("/nowhere", 404)])
def test_head_is_get_without_the_body(path: str, status: int, context: Any) -> None:
    get, head = (app().handle(http(method, path), context) for method in ("GET", "HEAD"))
    assert (head["statusCode"], head["body"]) == (status, "")
    assert headers_of(head) == headers_of(get)


@pytest.mark.parametrize("headers", [{}, {"x-api-key": ""}, {"x-api-key": "secre"}, {"x-api-key": "Secret\ud800é"}])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/classify"), ("GET", "/people"), ("GET", "/nowhere"), ("POST", "/health")]
)
def test_without_the_key(method: str, path: str, headers: dict[str, str], context: Any) -> None:
    answer = app(api_key="secret").handle(http(method, path, origin=PAGE, **headers), context)
    assert answer["statusCode"] == 401
    assert json.loads(answer["body"])["error"]["code"] == "unauthorized"
    assert "secret" not in json.dumps(answer)
    assert headers_of(answer)["WWW-Authenticate"] == "ApiKey"
    assert headers_of(answer)["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/health"), ("HEAD", "/health/"), ("get", "/health"), ("GET", "/openapi.json"), ("OPTIONS", "/classify")],
)
def test_public_routes_need_no_key(method: str, path: str, context: Any) -> None:
    assert app(api_key="secret").handle(http(method, path), context)["statusCode"] in (200, 204)


@pytest.mark.parametrize("name", ["x-api-key", "X-Api-Key", "X-API-KEY"])
def test_with_the_key(name: str, context: Any) -> None:
    ours = compose(Settings(api_key="schlüssel", metrics=False), fixed())
    event = request("POST", "/classify", b"photo", "image/jpeg")
    event["multiValueHeaders"][name] = ["schlüssel"]
    assert ours.handle(event, context)["statusCode"] == 200
    many = recorded("alb-multi-known-person")
    many["multiValueHeaders"][name] = ["schlüssel"]
    assert ours.handle(many, context)["statusCode"] == 200


@pytest.mark.parametrize("dialect", [native, compreface_results])
def test_response_that_lambda_does_not_pass_on(dialect: Any) -> None:
    def size(entries: int) -> tuple[int, int, str]:
        """-> status, bytes of Lambda's response, and body."""
        answering = Dialect(lambda _: Reply.of_json(['"\\'] * entries), dialect.encode_problem)
        responder = Responder(answering, (), lambda request_id, error: None)
        response = responder.answer(Request("GET", "/people", {}, {}, "", False, "request-1")).response
        return response.status, len(json.dumps(RestApiAdapter().render(response))), str(response.body)

    # In JSON, an entry has seven bytes, and in a response that is JSON itself it has thirteen.
    most = MAX_BYTES // 13
    status, passed, _ = size(most)
    assert status == 200
    assert 0.98 * LAMBDA < passed <= LAMBDA
    status, _, body = size(most + 1)
    assert status == (413 if dialect is native else 400)
    assert "more than 6 MB" in body


def test_paths_with_parameters() -> None:
    """A fixed segment takes precedence over a parameter. An empty segment matches neither."""

    def echo(name: str) -> Any:
        return lambda request: Reply(Response.of_json({"route": name, **request.path_parameters}))

    routes = [
        Route("GET", "/people/{id}", echo("one")),
        Route("DELETE", "/people/{id}", echo("delete")),
        Route("POST", "/people/search", echo("search")),
        Route("GET", "/people/{id}/faces/{face}", echo("face")),
    ]
    router = Router(routes, Keys().check_request)
    dialect = Dialect(router.answer, native.encode_problem)
    responder = Responder(dialect, router.methods, lambda request_id, error: None, Cors())

    def ask(method: str, path: str) -> Response:
        return responder.answer(Request(method, path, {}, {}, "", False, "request-1")).response

    assert json.loads(ask("GET", "/people/7").body) == {"route": "one", "id": "7"}
    assert json.loads(ask("GET", "/people/search").body) == {"route": "one", "id": "search"}
    assert json.loads(ask("POST", "/people/search").body) == {"route": "search"}
    assert json.loads(ask("GET", "/people/7/faces/a b").body) == {"route": "face", "id": "7", "face": "a b"}
    assert ask("PUT", "/people/search").headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, POST"
    assert ask("PUT", "/people/7").headers["Allow"] == "DELETE, GET, HEAD, OPTIONS"
    assert ask("OPTIONS", "/people/7").headers["Access-Control-Allow-Methods"] == "DELETE,GET,HEAD,OPTIONS,POST"
    for path in ("/people", "/people/", "/people/7/faces", "/people/7/faces/a/b", "/people/7/photos/a"):
        assert ask("GET", path).status == 404
