"""openapi.yaml describes the code: facts that are in both are compared, and real responses are validated."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from jsonschema import ValidationError

import handler
from api import forms, parameters, uploads
from api.contract import document
from api.dialects import native
from api.dialects.native import LANDMARKS
from api.errors import BadParameter
from api.keys import Access
from api.problems import TABLE
from model import formats, photo
from model.calibration import STRICTNESS
from model.detection import detector
from service import addition
from service.errors import SENTENCES
from service.results import DUPLICATE, MAX_LISTED, SEVERAL_FACES, TOO_SMALL, IdentifyOptions
from testing.emulator import Emulator
from testing.events import recorded, request, upload
from testing.paths import EVENTS, ROOT, SAMPLES
from tests.contract import check, operations, resolved, schema_of
from tests.gateway import serving
from tests.services import IDENTIFIED, MODEL

RECORDED = sorted(path.stem for path in EVENTS.glob("*.json"))
OPTIONS = (
    {"faces": "all"},
    {"faces": "all", "top": "20", "threshold": "1", "strictness": "0.1"},
    {"top": "1", "strictness": "3"},
)
PHOTO_CODES = (SEVERAL_FACES, TOO_SMALL, DUPLICATE)  # reasons why no photo was enrolled, which are codes as well
FOREIGN = "exists"  # code of an error that only requests of other dialects can have
STATUS = {**{code: status for status, code in TABLE.values() if code}, **dict.fromkeys(PHOTO_CODES, 422)}
del STATUS[FOREIGN]


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
    named: set[str] = set()
    for _, _, operation in operations():
        for status, response in operation["responses"].items():
            codes = STATUS.keys() & set(re.findall("`([a-z_]+)`", resolved(response)["description"]))
            assert {STATUS[code] for code in codes} == ({int(status)} if int(status) >= 400 else set())
            named |= codes
    assert named == STATUS.keys() - {"not_found", "method_not_allowed"}


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
            assert parameters.parse_options({name: [str(value)]})
        for value in bad:
            with pytest.raises(BadParameter):
                parameters.parse_options({name: [str(value)]})


def test_limits_match_the_code() -> None:
    operation = document()["paths"]["/classify"]["post"]
    text = " ".join(operation["description"].split())
    assert f"at most {uploads.MAX_BYTES / 1e6:.1f} MB and {photo.MAX_PIXELS // 1_000_000} million pixels" in text
    assert f"from {detector.SMALLEST_FACE} pixels and from {detector.SMALLEST_SHARE:.0%}".replace("%", " %") in text
    for kind in formats.SIGNATURES:
        assert {"HEIF": "heic"}.get(kind, kind).lower() in text.lower()
        assert f"image/{ {'HEIF': 'heic'}.get(kind, kind).lower() }" in operation["requestBody"]["content"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert f"At most {forms.MAX_PARTS} parts" in form["description"]
    whole = document()["components"]["schemas"]["Classification"]["allOf"][1]["properties"]
    assert whole["file"]["maxLength"] == forms.MAX_NAME
    face = document()["components"]["schemas"]["Face"]["properties"]
    assert tuple(face["landmarks"]["required"]) == LANDMARKS


def test_limits_of_collections_match_the_code() -> None:
    paths, responses = document()["paths"], document()["components"]["responses"]
    full = " ".join(responses["CollectionFull"]["description"].split())
    limits = f"{addition.MAX_PEOPLE:,} people or {addition.MAX_FACES:,} faces, or the person more than"
    assert f"{limits} {addition.MAX_FACES_OF_ONE:,} faces" in full
    schemas = document()["components"]["schemas"]
    collection = schemas["Collection"]["properties"]
    assert collection["people"]["maximum"] == addition.MAX_PEOPLE
    assert collection["faces"]["maximum"] == addition.MAX_FACES
    assert schemas["Person"]["properties"]["faces"]["maxItems"] == addition.MAX_FACES_OF_ONE
    limit, _ = paths["/people"]["get"]["parameters"]
    assert limit["schema"]["maximum"] == limit["schema"]["default"] == MAX_LISTED
    for path in ("/people", "/people/{id}/faces"):
        form = paths[path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
        assert form["file"]["maxItems"] == uploads.MAX_PHOTOS
    size = handler.app.services.galleries.snapshot().gallery.spec.size
    embedding = paths["/search"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"][
        "embedding"
    ]
    assert embedding["minItems"] == embedding["maxItems"] == size
    assert schemas["Skipped"]["items"]["properties"]["reason"]["enum"] == list(SENTENCES)


@pytest.mark.parametrize(
    "text", ["", " ", "Zoë", "a\nb", "a\u2028", "\u202ea", "\u200ea", "x" * 255, "x" * 256, "\u3000", "0"]
)
def test_names_match_the_code(text: str) -> None:
    for name in ("Name", "ExternalId"):
        assert is_allowed(name, text) == succeeds(lambda: parameters.check_text("name", text))


@pytest.mark.parametrize("text", ["", "a", ".", "..", "..a", "a b", "é", "A-b_9.c", "a/b", "x" * 255, "x" * 256])
def test_names_of_collections_match_the_code(text: str) -> None:
    assert is_allowed("CollectionName", text) == succeeds(lambda: parameters.check_collection(text))


@pytest.mark.parametrize("key", [0, 7, 10**18 - 1, 10**18])
def test_ids_match_the_code(key: int) -> None:
    assert is_allowed("Id", key) == (parameters.parse_id(str(key)) == key)


def is_allowed(schema: str, value: Any) -> bool:
    return succeeds(lambda: check({"$ref": f"#/components/schemas/{schema}"}, value))


def succeeds(work: Callable[[], object]) -> bool:
    try:
        work()
    except (BadParameter, ValidationError):
        return False
    return True


def test_who_may_send_a_request() -> None:
    found = {(route.method, route.path): route.access for route in handler.app.router.routes}
    schemes: dict[Access, Any] = {Access.PUBLIC: [], Access.READER: None, Access.ADMIN: [{"adminKey": []}]}
    assert document()["security"] == [{}, {"apiKey": []}]
    for method, path, operation in operations():
        access = found[method.upper(), path]
        assert operation.get("security") == schemes[access]
        assert ("401" in operation["responses"]) == (access is not Access.PUBLIC)
        assert ("403" in operation["responses"]) == (access is Access.ADMIN)


def texts() -> Iterator[str]:
    """Yield a pattern for each text in the code, in which anything may stand for the values of an f-string."""
    for path in (path for folder in ("api", "service", "storage", "model") for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else None for part in node.values]
                if len("".join(part or "" for part in parts)) > 10:
                    yield "".join(".+" if part is None else re.escape(part) for part in parts)
            elif isinstance(node, ast.Constant):
                yield re.escape(str(node.value))


def test_examples_match_their_schemas() -> None:
    count = 0
    in_the_code = re.compile("|".join(texts()))
    for _, _, operation in operations():
        for status, response in operation["responses"].items():
            content = resolved(response)["content"]["application/json"]
            examples = [example["value"] for example in content.get("examples", {}).values()]
            for example in [*examples, *([content["example"]] if "example" in content else [])]:
                check(content["schema"], example)
                if int(status) >= 400:
                    assert STATUS[example["error"]["code"]] == int(status)
                    assert in_the_code.fullmatch(example["error"]["message"]), example
                count += 1
    assert count > 12


def test_example_of_a_wrong_strictness_is_the_message_of_the_code() -> None:
    refused = document()["paths"]["/classify"]["post"]["responses"]["400"]["content"]["application/json"]["examples"]
    with pytest.raises(BadParameter) as caught:
        parameters.parse_options({"strictness": ["2"]})
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
    config = ROOT / "tests" / "schemathesis.toml"
    function = Emulator(tmp_path / "log", MODEL_URI="", GALLERY_URI=str(tmp_path / "galleries"), ADMIN_KEY="secret")
    try:
        with serving(function.answer) as url:
            command: list[Any] = [tool, "--config-file", config, "run", f"{url}/openapi.json", "--url", url]
            command += ["-H", "X-Api-Key: secret", "--max-examples", "60", "--seed", "0", "--continue-on-failure"]
            command += ["--no-color"]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    finally:
        function.close()
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"(\d+) generated, \1 passed", done.stdout)[0]) > 1500
