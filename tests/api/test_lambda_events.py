"""Events of every source. Those that serverless-offline cannot produce follow AWS's documentation."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any, Callable

import pytest

import handler
from api.errors import BadRequest
from api.lambda_events import Request, Response, adapter_for
from api.uploads import read
from service.results import IdentifyOptions
from testing.events import recorded, request
from testing.paths import EVENTS
from tests.test_handler import ask

SOURCES = sorted(path.stem for path in EVENTS.glob("*-known-person.json"))


def parse(event: Any) -> Request:
    return adapter_for(event).parse(event, "request-1")


def with_json(event: dict[str, Any], image: bytes, coded: bool) -> dict[str, Any]:
    """Replace the body by the photo as JSON. coded: encode the body in base64."""
    body = json.dumps({"image": base64.b64encode(image).decode()})
    event.update(body=base64.b64encode(body.encode()).decode() if coded else body, isBase64Encoded=coded)
    for kind, value in (("headers", "application/json"), ("multiValueHeaders", ["application/json"])):
        if kind in event:
            event[kind] = {k: value if k.lower() == "content-type" else v for k, v in event[kind].items()}
    return event


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return ask(recorded("rest-known-person"), SimpleNamespace(aws_request_id="request-1"))[1]


def test_all_sources_are_recorded() -> None:
    assert {source.rpartition("-known")[0] for source in SOURCES} == {
        *("rest", "rest-stage", "rest-domain"),
        *("http", "http-stage", "http-domain", "http-v1", "url"),
        *("alb", "alb-multi"),
    }


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gets_the_same_answer(source: str, context: Any, expected: dict[str, Any]) -> None:
    event = recorded(source)
    if source == "http-known-person":  # recorded without a query
        event["queryStringParameters"] = {"top": "3"}
    status, answer = ask(event, context)
    assert status == 200
    varying = ("timings_ms", "request_id")
    assert {k: v for k, v in answer.items() if k not in varying} == {
        k: v for k, v in expected.items() if k not in varying
    }


@pytest.mark.parametrize("coded", [True, False])
@pytest.mark.parametrize("source", SOURCES)
def test_bodies_with_and_without_base64(source: str, coded: bool, context: Any) -> None:
    """The decoder receives data that is not an image, in either form."""
    status, answer = ask(with_json(recorded(source), b"no image", coded), context)
    assert (status, answer["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("change", [str.lower, str.upper])
@pytest.mark.parametrize("source", SOURCES)
def test_header_names_in_any_case(source: str, change: Callable[[str], str], context: Any) -> None:
    event = with_json(recorded(source), b"no image", True)
    for kind in {"headers", "multiValueHeaders"} & set(event):
        event[kind] = {change(name): value for name, value in event[kind].items()}
    assert ask(event, context)[1]["error"]["code"] == "unsupported_media_type"


@pytest.mark.parametrize(
    ("source", "has", "has_not"),
    [
        ("rest-stage", {"multiValueHeaders"}, {"headers", "cookies", "statusDescription"}),
        ("http-v1", {"multiValueHeaders"}, {"headers", "cookies", "statusDescription"}),
        ("http-stage", {"headers", "cookies"}, {"multiValueHeaders", "statusDescription"}),
        ("url", {"headers", "cookies"}, {"multiValueHeaders", "statusDescription"}),
        ("alb", {"headers", "statusDescription"}, {"multiValueHeaders", "cookies"}),
        ("alb-multi", {"multiValueHeaders", "statusDescription"}, {"headers", "cookies"}),
    ],
)
def test_responses_have_the_shape_of_their_source(source: str, has: set[str], has_not: set[str], context: Any) -> None:
    event = with_json(recorded(f"{source}-known-person"), b"no image", True)
    answer = handler.handle(event, context)
    assert {"statusCode", "body", "isBase64Encoded", *has} <= set(answer)
    assert not has_not & set(answer)
    assert answer.get("statusDescription", "415 Unsupported Media Type") == "415 Unsupported Media Type"
    for name, value in answer.get("headers", {}).items():
        assert isinstance(value, str), name
    for name, values in answer.get("multiValueHeaders", {}).items():
        assert all(isinstance(value, str) for value in values), name
    json.dumps(answer)


@pytest.mark.parametrize("source", SOURCES)
def test_binary_bodies_are_encoded_in_base64(source: str) -> None:
    adapter = adapter_for(recorded(source))
    rendered = adapter.render(Response(200, {"Content-Type": "image/jpeg"}, b"\xff\xd8"))
    assert (rendered["body"], rendered["isBase64Encoded"]) == ("/9g=", True)
    empty = adapter.render(Response(204))
    assert (empty["body"], empty["isBase64Encoded"]) == ("", False)


def test_query_of_a_load_balancer_is_decoded(context: Any) -> None:
    single = with_json(recorded("alb-known-person"), b"", True)
    single["queryStringParameters"] = {"%74op": "%31%31%31", "a": "b+c"}
    assert parse(single).query == {"top": ("111",), "a": ("b c",)}
    several = with_json(recorded("alb-multi-known-person"), b"", True)
    several["multiValueQueryStringParameters"] = {"%74op": ["3", "%31%31%31"], "top": ["4"]}
    assert parse(several).query == {"top": ("3", "111", "4")}
    for event in (single, several):
        assert ask(event, context)[1]["error"]["code"] == "bad_parameter"


@pytest.mark.parametrize(("threshold", "known"), [("0%2E5", True), ("1%2E0", False)])
def test_query_of_a_load_balancer_with_lists_is_decoded(threshold: str, known: bool, context: Any) -> None:
    event = recorded("alb-multi-known-person")
    event["multiValueQueryStringParameters"] = {"threshold": [threshold]}
    status, answer = ask(event, context)
    assert (status, answer["known"]) == (200, known)


@pytest.mark.parametrize("source", SOURCES)
def test_strictness_from_every_source(source: str) -> None:
    event = recorded(source)
    for name in {"queryStringParameters", "multiValueQueryStringParameters"} & set(event):
        event[name] = {"strictness": ["0.1"] if name.startswith("multi") else "0.1"}
    assert read(parse(event)).options == IdentifyOptions(strictness=0.1)


def test_all_query_values_and_the_last_value_of_each_header() -> None:
    event = request("GET", "/health")
    event["multiValueQueryStringParameters"] = {"top": ["5", "3"], "x": [None], "y": None}
    event["queryStringParameters"] = {"top": "3", "z": None, "n": 7}
    assert parse(event).query == {"top": ("5", "3"), "n": ("7",)}
    event["multiValueHeaders"] = {"X-Api-Key": ["a", "b"], "Origin": ["c"], "Via": []}
    event["headers"] = {"origin": "d"}
    assert parse(event).headers == {"x-api-key": "b", "origin": "d"}


NOT_REQUESTS: list[Any] = [
    {},
    [],
    None,
    "hello",
    {"Records": [{"eventSource": "aws:s3", "s3": {"bucket": {"name": "b"}, "object": {"key": "k"}}}]},
    {"version": "0", "source": "aws.events", "detail-type": "Scheduled Event", "resources": ["arn"], "detail": {}},
    {"httpMethod": "GET", "path": "/health"},
    {"httpMethod": "GET", "path": "/health", "requestContext": None},
    {"httpMethod": None, "path": None, "headers": None, "body": None, "requestContext": {"stage": None}},
    {"httpMethod": "GET", "path": None, "requestContext": {}},
    {"httpMethod": "POST", "path": "/classify", "body": {"image": "x"}, "requestContext": {}},
    {"version": "2.0", "requestContext": {}},
    {"version": "2.0", "rawPath": "/health", "requestContext": {"http": {"method": None}}},
    {"version": "2.0", "rawPath": None, "requestContext": {"http": {"method": "GET"}}},
    {"requestContext": {"routeKey": "$connect", "eventType": "CONNECT", "connectionId": "c"}},  # a websocket
]


@pytest.mark.parametrize("event", NOT_REQUESTS, ids=lambda event: json.dumps(event)[:40])
def test_event_that_is_not_a_request(event: Any, context: Any) -> None:
    with pytest.raises(BadRequest):
        adapter_for(event)
    answer = handler.handle(event, context)
    assert answer["statusCode"] == 400
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/json"]
    body = json.loads(answer["body"])
    assert body["error"]["code"] == "bad_request"
    assert body["request_id"] == "request-1"


@pytest.mark.parametrize("source", SOURCES)
def test_fields_may_be_null(source: str, context: Any) -> None:
    """Set all fields to null, except those that identify the request and its route."""
    event = recorded(source)
    kept = {"version", "httpMethod", "path", "rawPath", "requestContext", "resource", "routeKey", "pathParameters"}
    event = {name: value if name in kept else None for name, value in event.items()}
    status, answer = ask(event, context)
    assert (status, answer["error"]["code"]) == (400, "bad_request")


def test_wrong_type_in_place_of_a_mapping_counts_as_empty(context: Any) -> None:
    for wrong in ("text", [], 7):  # type: ignore[var-annotated]
        tables = dict.fromkeys(("headers", "multiValueHeaders", "queryStringParameters", "pathParameters"), wrong)
        event = {"httpMethod": "GET", "path": "/health", "requestContext": {}, **tables}
        found = parse(event)
        assert (found.headers, found.query) == ({}, {})


@pytest.mark.parametrize("source", SOURCES)
def test_headers_and_query_may_hold_nulls(source: str, context: Any) -> None:
    event = with_json(recorded(source), b"no image", True)
    for kind in {"headers", "multiValueHeaders", "queryStringParameters", "multiValueQueryStringParameters"} & set(
        event
    ):
        event[kind] = {**(event[kind] or {}), "x-empty": None}
    assert ask(event, context)[1]["error"]["code"] == "unsupported_media_type"


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/health", "/health"),
        ("/health/", "/health"),
        ("//health", "/health"),
        ("/health//", "/health"),
        ("health", "/health"),
        ("/he%61lth", "/health"),
        ("/%2Fhealth", "/health"),
        ("/dev/health", "/health"),
        ("/dev//health/", "/health"),
        ("/dev", "/dev"),
        ("/develop/health", "/develop/health"),
        ("/health/more", "/health/more"),
        ("/%ff", "/\ufffd"),
        ("", "/"),
        ("/", "/"),
    ],
)
def test_the_route_of_a_path(path: str, route: str) -> None:
    context = {"stage": "dev", "http": {"method": "GET"}}
    rest = {"httpMethod": "GET", "path": path, "requestContext": context}
    http = {"version": "2.0", "rawPath": path, "routeKey": "$default", "requestContext": context}
    assert parse(rest).path == parse(http).path == route


@pytest.mark.parametrize(
    ("path", "resource", "parameters", "route"),
    [
        ("/faces/classify", "/{proxy+}", {"proxy": "classify"}, "/classify"),
        ("/faces/v1/classify", "/{proxy+}", {"proxy": "classify"}, "/classify"),
        ("/faces/dev/classify/", "/{proxy+}", {"proxy": "classify/"}, "/classify"),
        ("/faces/cl%61ssify", "/{proxy+}", {"proxy": "cl%61ssify"}, "/classify"),
        ("/faces/classify", "/classify", None, "/classify"),
        ("/faces/nowhere", "/{proxy+}", {"proxy": "nowhere"}, "/nowhere"),
        ("/classify", "/{proxy+}", {"proxy": "health"}, "/classify"),  # they contradict each other: the path counts
        ("/classify", "/{proxy+}", None, "/classify"),
        ("/classify", "$default", None, "/classify"),
    ],
)
def test_the_route_behind_a_custom_domain(path: str, resource: str, parameters: Any, route: str) -> None:
    rest = {"httpMethod": "GET", "path": path, "resource": resource, "pathParameters": parameters}
    rest["requestContext"] = {"stage": "dev"}
    http = {"version": "2.0", "rawPath": path, "routeKey": f"ANY {resource}", "pathParameters": parameters}
    http["requestContext"] = {"stage": "dev", "http": {"method": "GET"}}
    assert parse(rest).path == parse(http).path == route


def test_parsing_does_not_change_the_event() -> None:
    event = recorded("alb-multi-known-person")
    before = json.dumps(event)
    parse(event)
    assert json.dumps(event) == before
