"""openapi.yaml and the code say the same: each fact that stands in both is compared, and so are real answers."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

import handler
from api import forms, uploads
from api.contract import document
from api.dialects.native import LANDMARKS
from api.errors import BadParameter
from api.problems import TABLE
from model import photo
from model.detection import detector
from service.results import IdentifyOptions
from testing.emulator import Emulator
from testing.events import recorded, request, upload
from testing.paths import EVENTS, ROOT, SAMPLES
from tests.gateway import serving

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
RECORDED = sorted(path.stem for path in EVENTS.glob("*.json"))
STATUS = {code: status for status, code in TABLE.values()}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    found: Any = node
    while "$ref" in found:
        found = document()
        for part in node["$ref"][2:].split("/"):
            found = found[part]
        node = found
    return found


def schema_of(response: dict[str, Any]) -> dict[str, Any]:
    return resolved(response)["content"]["application/json"]["schema"]


def fields(schema: dict[str, Any]) -> dict[str, Any]:
    """Those of an object, and of the parts that it is made of."""
    schema = resolved(schema)
    found = dict(schema.get("properties", {}))
    for part in schema.get("allOf", []):
        found.update(fields(part))
    return found


def untold(schema: dict[str, Any], value: Any, place: str = "") -> Iterator[str]:
    """What is in an answer and not in the contract."""
    schema = resolved(schema)
    if isinstance(value, list) and "items" in schema:
        for item in value:
            yield from untold(schema["items"], item, f"{place}[]")
    elif isinstance(value, dict) and not schema.get("additionalProperties"):
        known = fields(schema)
        for name, inner in value.items():
            if name not in known:
                yield f"{place}.{name}"
            else:
                yield from untold(known[name], inner, f"{place}.{name}")


def check(schema: dict[str, Any], body: Any) -> None:
    """That an answer is what the contract promises, and has nothing else in it."""
    contract = Resource.from_contents(document(), DRAFT202012)
    Draft202012Validator(absolute(schema), registry=Registry().with_resource("contract", contract)).validate(body)
    assert list(untold(schema, body)) == []


def absolute(node: Any) -> Any:
    """With references that can be followed from anywhere."""
    if isinstance(node, list):
        return [absolute(item) for item in node]
    if isinstance(node, dict):
        return {k: f"contract{v}" if k == "$ref" and v.startswith("#") else absolute(v) for k, v in node.items()}
    return node


def test_paths_and_methods_are_those_of_the_router() -> None:
    routes = {(route.path, route.method.lower()) for route in handler.app.router.routes}
    assert {(path, method) for method, path, _ in operations()} == routes


def test_it_is_served(context: Any) -> None:
    answer = handler.handle(request("GET", "/openapi.json"), context)
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"]) == json.loads(json.dumps(document()))


def test_errors_are_those_of_the_code() -> None:
    codes = document()["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]["enum"]
    assert sorted(codes) == sorted(STATUS)
    told = {
        status
        for _, _, operation in operations()
        for status, response in operation["responses"].items()
        if not 200 <= int(status) < 300 and schema_of(response)["$ref"].endswith("/Error")
    }
    # Those of paths and methods that are not there have no operation to stand with.
    assert told | {"404", "405"} == {str(status) for status in STATUS.values()}
    responses = document()["components"]["responses"].values()
    assert {"Retry-After", "WWW-Authenticate"} <= {name for found in responses for name in found.get("headers", ())}


def test_each_code_stands_with_its_status() -> None:
    classify = document()["paths"]["/classify"]["post"]["responses"]
    for code, status in STATUS.items():
        if status not in (404, 405):
            assert f"`{code}`" in resolved(classify[str(status)])["description"]


def test_parameters_are_those_of_the_code() -> None:
    operation = document()["paths"]["/classify"]["post"]
    query = {p["name"]: resolved(p["schema"]) for p in map(resolved, operation["parameters"])}
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert {name: resolved(form[name]) for name in query} == query
    assert query["top"]["default"] == IdentifyOptions().top
    assert query["faces"]["default"] == ("all" if IdentifyOptions().all_faces else "largest")
    for name, good, bad in (
        ("top", [query["top"]["minimum"], query["top"]["maximum"]], [0, query["top"]["maximum"] + 1]),
        ("threshold", [query["threshold"]["minimum"], query["threshold"]["maximum"]], [-0.001, 1.001]),
        ("faces", query["faces"]["enum"], ["both"]),
    ):
        for value in good:
            assert uploads.parse_options({name: [str(value)]})
        for value in bad:
            with pytest.raises(BadParameter):
                uploads.parse_options({name: [str(value)]})


def test_limits_are_those_of_the_code() -> None:
    operation = document()["paths"]["/classify"]["post"]
    said = " ".join(operation["description"].split())
    assert f"at most {uploads.MAX_BYTES / 1e6:.1f} MB and {photo.MAX_PIXELS // 1_000_000} million pixels" in said
    assert f"from {detector.SMALLEST_FACE} pixels and from {detector.SMALLEST_SHARE:.0%}".replace("%", " %") in said
    for kind in photo.SIGNATURES:
        assert {"HEIF": "heic"}.get(kind, kind).lower() in said.lower()
        assert f"image/{ {'HEIF': 'heic'}.get(kind, kind).lower() }" in operation["requestBody"]["content"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert f"At most {forms.MAX_PARTS} parts" in form["description"]
    whole = document()["components"]["schemas"]["Classification"]["allOf"][1]["properties"]
    assert whole["file"]["maxLength"] == forms.MAX_NAME
    face = document()["components"]["schemas"]["Face"]["properties"]
    assert tuple(face["landmarks"]["required"]) == LANDMARKS


def test_what_needs_no_key_is_said() -> None:
    free = {(method.upper(), path) for method, path, operation in operations() if operation.get("security") == []}
    assert {(route.method, route.path) for route in handler.app.router.routes if route.public} == free
    for _, _, operation in operations():
        assert ("401" in operation["responses"]) == ("security" not in operation)


def test_examples_are_answers_of_that_form() -> None:
    seen = 0
    for _, _, operation in operations():
        for status, response in operation["responses"].items():
            content = resolved(response)["content"]["application/json"]
            examples = [example["value"] for example in content.get("examples", {}).values()]
            for example in [*examples, *([content["example"]] if "example" in content else [])]:
                check(content["schema"], example)
                if int(status) >= 400:
                    assert STATUS[example["error"]["code"]] == int(status)
                seen += 1
    assert seen > 12


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_requests_get_what_is_promised(name: str, context: Any) -> None:
    event = recorded(name)
    answer = handler.handle(event, context)
    path, method = ("/health", "get") if name == "rest-health" else ("/classify", "post")
    response = document()["paths"][path][method]["responses"][f"{answer['statusCode']:d}"]
    check(schema_of(response), json.loads(answer["body"]))


@pytest.mark.parametrize("query", [{"faces": "all"}, {"faces": "all", "top": "20", "threshold": "1"}, {"top": "1"}])
def test_every_choice_gets_what_is_promised(query: dict[str, str], context: Any) -> None:
    answer = handler.handle(upload((SAMPLES / "Kofi_Annan_0006.jpg").read_bytes(), **query), context)
    body = json.loads(answer["body"])
    check(schema_of(document()["paths"]["/classify"]["post"]["responses"]["200"]), body)
    assert ("faces" in body) == (query.get("faces") == "all")


def test_people_are_as_promised(context: Any) -> None:
    body = json.loads(handler.handle(request("GET", "/people"), context)["body"])
    check(schema_of(document()["paths"]["/people"]["get"]["responses"]["200"]), body)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/classify", 405)])
def test_other_paths_and_methods_get_an_error_of_that_form(method: str, path: str, status: int, context: Any) -> None:
    answer = handler.handle(request(method, path), context)
    assert answer["statusCode"] == status
    check({"$ref": "#/components/schemas/Error"}, json.loads(answer["body"]))


def test_schemathesis_finds_no_violation(tmp_path: Path) -> None:
    """Requests of all kinds that the contract allows, and some that it does not, to the function under its runtime."""
    tool = ROOT / ".venv-notebook" / "bin" / "schemathesis"  # it needs a current Python
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
