"""openapi.yaml describes the code: facts that are in both are compared, and real responses are validated."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

import handler
from api import forms, uploads
from api.contract import document
from api.dialects import native
from api.dialects.native import LANDMARKS
from api.errors import BadParameter
from api.problems import TABLE
from model import photo
from model.calibration import STRICTNESS
from model.detection import detector
from service.results import IdentifyOptions
from testing.emulator import Emulator
from testing.events import recorded, request, upload
from testing.paths import EVENTS, ROOT, SAMPLES
from tests.gateway import serving
from tests.services import IDENTIFIED, MODEL

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
RECORDED = sorted(path.stem for path in EVENTS.glob("*.json"))
OPTIONS = (
    {"faces": "all"},
    {"faces": "all", "top": "20", "threshold": "1", "strictness": "0.1"},
    {"top": "1", "strictness": "3"},
)
STATUS = {code: status for status, code in TABLE.values()}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and operation."""
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """Follow `$ref` to the object that it names."""
    found: Any = node
    while "$ref" in found:
        found = document()
        for part in node["$ref"][2:].split("/"):
            found = found[part]
        node = found
    return found


def schema_of(response: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a response's JSON body."""
    return resolved(response)["content"]["application/json"]["schema"]


def fields(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of an object, including those of the parts of `allOf`."""
    schema = resolved(schema)
    found = dict(schema.get("properties", {}))
    for part in schema.get("allOf", []):
        found.update(fields(part))
    return found


def undocumented(schema: dict[str, Any], value: Any, place: str = "") -> Iterator[str]:
    """Yield the paths of fields of a body that the schema does not have."""
    schema = resolved(schema)
    if isinstance(value, list) and "items" in schema:
        for item in value:
            yield from undocumented(schema["items"], item, f"{place}[]")
    elif isinstance(value, dict) and not schema.get("additionalProperties"):
        known = fields(schema)
        for name, inner in value.items():
            if name not in known:
                yield f"{place}.{name}"
            else:
                yield from undocumented(known[name], inner, f"{place}.{name}")


def check(schema: dict[str, Any], body: Any) -> None:
    """Validate a body, which may have no field that is not in the schema."""
    contract = Resource.from_contents(document(), DRAFT202012)
    Draft202012Validator(absolute(schema), registry=Registry().with_resource("contract", contract)).validate(body)
    assert list(undocumented(schema, body)) == []


def absolute(node: Any) -> Any:
    """Make references in a schema absolute, so that they can be resolved outside of the document."""
    if isinstance(node, list):
        return [absolute(item) for item in node]
    if isinstance(node, dict):
        return {k: f"contract{v}" if k == "$ref" and v.startswith("#") else absolute(v) for k, v in node.items()}
    return node


def test_paths_and_methods_match_the_router() -> None:
    routes = {(route.path, route.method.lower()) for route in handler.app.router.routes}
    assert {(path, method) for method, path, _ in operations()} == routes


def test_contract_is_served(context: Any) -> None:
    response = handler.handle(request("GET", "/openapi.json"), context)
    assert response["statusCode"] == 200
    assert json.loads(response["body"]) == json.loads(json.dumps(document()))


def test_error_codes_match_the_code() -> None:
    codes = document()["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]["enum"]
    assert sorted(codes) == sorted(STATUS)
    documented = {
        status
        for _, _, operation in operations()
        for status, response in operation["responses"].items()
        if not 200 <= int(status) < 300 and schema_of(response)["$ref"].endswith("/Error")
    }
    # No operation has these two: they are responses to unknown paths and methods.
    assert documented | {"404", "405"} == {str(status) for status in STATUS.values()}
    responses = document()["components"]["responses"].values()
    assert {"Retry-After", "WWW-Authenticate"} <= {name for found in responses for name in found.get("headers", ())}


def test_descriptions_name_the_codes_of_their_status() -> None:
    classify = document()["paths"]["/classify"]["post"]["responses"]
    for code, status in STATUS.items():
        if status not in (404, 405):
            assert f"`{code}`" in resolved(classify[str(status)])["description"]


def test_parameters_match_the_code() -> None:
    operation = document()["paths"]["/classify"]["post"]
    query = {p["name"]: resolved(p["schema"]) for p in map(resolved, operation["parameters"])}
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert {name: resolved(form[name]) for name in query} == query
    assert query["top"]["default"] == IdentifyOptions().top
    assert query["strictness"]["enum"] == list(STRICTNESS)
    assert query["faces"]["default"] == ("all" if IdentifyOptions().all_faces else "largest")
    for name, good, bad in (
        ("top", [query["top"]["minimum"], query["top"]["maximum"]], [0, query["top"]["maximum"] + 1]),
        ("threshold", [query["threshold"]["minimum"], query["threshold"]["maximum"]], [-0.001, 1.001]),
        ("strictness", query["strictness"]["enum"], [0, 0.2, 5]),
        ("faces", query["faces"]["enum"], ["both"]),
    ):
        for value in good:
            assert uploads.parse_options({name: [str(value)]})
        for value in bad:
            with pytest.raises(BadParameter):
                uploads.parse_options({name: [str(value)]})


def test_limits_match_the_code() -> None:
    operation = document()["paths"]["/classify"]["post"]
    text = " ".join(operation["description"].split())
    assert f"at most {uploads.MAX_BYTES / 1e6:.1f} MB and {photo.MAX_PIXELS // 1_000_000} million pixels" in text
    assert f"from {detector.SMALLEST_FACE} pixels and from {detector.SMALLEST_SHARE:.0%}".replace("%", " %") in text
    for kind in photo.SIGNATURES:
        assert {"HEIF": "heic"}.get(kind, kind).lower() in text.lower()
        assert f"image/{ {'HEIF': 'heic'}.get(kind, kind).lower() }" in operation["requestBody"]["content"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert f"At most {forms.MAX_PARTS} parts" in form["description"]
    whole = document()["components"]["schemas"]["Classification"]["allOf"][1]["properties"]
    assert whole["file"]["maxLength"] == forms.MAX_NAME
    face = document()["components"]["schemas"]["Face"]["properties"]
    assert tuple(face["landmarks"]["required"]) == LANDMARKS


def test_public_operations_match_the_router() -> None:
    public = {(method.upper(), path) for method, path, operation in operations() if operation.get("security") == []}
    assert {(route.method, route.path) for route in handler.app.router.routes if route.public} == public
    for _, _, operation in operations():
        assert ("401" in operation["responses"]) == ("security" not in operation)


def test_examples_match_their_schemas() -> None:
    count = 0
    for _, _, operation in operations():
        for status, response in operation["responses"].items():
            content = resolved(response)["content"]["application/json"]
            examples = [example["value"] for example in content.get("examples", {}).values()]
            for example in [*examples, *([content["example"]] if "example" in content else [])]:
                check(content["schema"], example)
                if int(status) >= 400:
                    assert STATUS[example["error"]["code"]] == int(status)
                count += 1
    assert count > 12


def test_example_of_a_wrong_strictness_is_the_message_of_the_code() -> None:
    refused = document()["paths"]["/classify"]["post"]["responses"]["400"]["content"]["application/json"]["examples"]
    with pytest.raises(BadParameter) as caught:
        uploads.parse_options({"strictness": ["2"]})
    assert refused["strictness"]["value"]["error"]["message"] == str(caught.value)


@pytest.mark.parametrize("extrapolated", [False, True])
def test_model_with_and_without_extrapolated_thresholds(extrapolated: bool) -> None:
    info = replace(MODEL, extrapolated=extrapolated)
    health = native.health(info)
    check(schema_of(document()["paths"]["/health"]["get"]["responses"]["200"]), health)
    found = replace(IDENTIFIED, model=info, timings={"decode": 1.0, "detect": 1.0, "classify": 1.0})
    identification = native.identification("x.jpg", found, "request-1", all_faces=True)
    check(schema_of(document()["paths"]["/classify"]["post"]["responses"]["200"]), identification)
    expected = {"extrapolated": True} if extrapolated else {}
    for body in (health, identification):
        assert body["model"] == {"version": MODEL.version, "classes": MODEL.people, **expected}


@pytest.mark.parametrize("name", RECORDED)
def test_responses_to_recorded_events_match(name: str, context: Any) -> None:
    event = recorded(name)
    response = handler.handle(event, context)
    path, method = ("/health", "get") if name == "rest-health" else ("/classify", "post")
    promised = document()["paths"][path][method]["responses"][f"{response['statusCode']:d}"]
    check(schema_of(promised), json.loads(response["body"]))


@pytest.mark.parametrize("query", OPTIONS)
def test_responses_to_all_options_match(query: dict[str, str], context: Any) -> None:
    response = handler.handle(upload((SAMPLES / "Kofi_Annan_0006.jpg").read_bytes(), **query), context)
    body = json.loads(response["body"])
    check(schema_of(document()["paths"]["/classify"]["post"]["responses"]["200"]), body)
    assert ("faces" in body) == (query.get("faces") == "all")


def test_people_match(context: Any) -> None:
    body = json.loads(handler.handle(request("GET", "/people"), context)["body"])
    check(schema_of(document()["paths"]["/people"]["get"]["responses"]["200"]), body)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/classify", 405)])
def test_errors_of_unknown_paths_and_methods_match(method: str, path: str, status: int, context: Any) -> None:
    response = handler.handle(request(method, path), context)
    assert response["statusCode"] == status
    check({"$ref": "#/components/schemas/Error"}, json.loads(response["body"]))


def test_schemathesis_finds_no_violation(tmp_path: Path) -> None:
    """Send requests that the contract allows, and some that it forbids, to the function in the Lambda emulator."""
    tool = ROOT / ".venv-notebook" / "bin" / "schemathesis"  # needs a current Python
    function = Emulator(tmp_path / "log", MODEL_URI="")
    try:
        with serving(function.answer) as url:
            command: list[Any] = [
                tool,
                "--config-file",
                ROOT / "tests" / "schemathesis.toml",
                "run",
                f"{url}/openapi.json",
            ]
            command += ["--url", url, "--max-examples", "200", "--seed", "0", "--continue-on-failure", "--no-color"]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    finally:
        function.close()
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"(\d+) generated, \1 passed", done.stdout)[0]) > 300
