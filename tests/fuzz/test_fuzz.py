"""A short, deterministic fuzz run over malformed requests and damaged photos. `make fuzz` runs longer."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testing.paths import ROOT
from tests.fuzz import dialects, engine, people, rekognition

short = settings(
    max_examples=200, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)

header_names = st.sampled_from(["Content-Disposition", "content-type", "X", ""]) | st.text(max_size=10)
parameters = st.sampled_from(["name", "filename", "filename*", "filename*0", "boundary"]) | st.text(max_size=5)
values = st.sampled_from([*engine.OPTIONS, "x.jpg", "UTF-8''%41"]) | st.text(max_size=20)
header_values = st.builds(
    lambda kind, given: kind + "".join(f'; {name}="{value}"' for name, value in given),
    st.sampled_from(["form-data", "text/plain", "image/jpeg", "multipart/mixed"]) | st.text(max_size=10),
    st.lists(st.tuples(parameters, values), max_size=4),
)
headers = st.lists(st.builds("{}: {}\r\n".format, header_names, header_values), max_size=4)
parts = st.builds(
    lambda lines, data: "".join(lines).encode("utf-8", "surrogatepass") + b"\r\n" + data,
    headers,
    st.binary(max_size=30) | st.sampled_from([b"3", b"0.5", b"all"]),
)
forms = st.builds(
    lambda given, end: b"".join(b"--b\r\n" + part + b"\r\n" for part in given) + end,
    st.lists(parts, max_size=5),
    st.sampled_from([b"--b--", b"--b--\r\n", b"--b", b""]),
)
bodies = forms | st.binary(max_size=100) | st.text(max_size=50).map(str.encode)
content_types = st.sampled_from(engine.CONTENT_TYPES) | header_values
queries = st.dictionaries(st.sampled_from(engine.OPTIONS), values | st.sampled_from(engine.VALUES))


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner) | st.dictionaries(st.just("image") | st.text(max_size=3), inner)


@pytest.mark.parametrize("path", sorted(engine.REGRESSIONS.glob("*-*")), ids=lambda path: path.name)
def test_regressions(path: Path) -> None:
    assert engine.replay(path) is None


@short
@given(bodies, content_types, queries)
def test_any_form(body: bytes, content_type: str, query: dict[str, str]) -> None:
    event = {
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
        "headers": {"content-type": content_type},
        "queryStringParameters": query,
    }
    assert engine.check_event(event) is None


@short
@given(st.text(max_size=100), content_types, st.booleans(), queries)
def test_any_text(body: str, content_type: str, encoded: bool, query: dict[str, str]) -> None:
    event = {"body": body, "isBase64Encoded": encoded, "headers": {"Content-Type": content_type}}
    assert engine.check_event({**event, "queryStringParameters": query}) is None


@short
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), containers))
def test_any_json(value: Any) -> None:
    event = {"body": json.dumps(value), "isBase64Encoded": False, "headers": {"content-type": "application/json"}}
    assert engine.check_event(event) is None


@short
@given(st.randoms(use_true_random=False))
def test_malformed_events(random: Random) -> None:
    assert engine.check_event(engine.malformed_event(random)) is None


@short
@given(st.randoms(use_true_random=False))
def test_malformed_requests(random: Random) -> None:
    assert engine.check_request(engine.malformed_request(random)) is None


@short
@given(st.randoms(use_true_random=False))
def test_malformed_requests_about_people(random: Random) -> None:
    assert people.check_request(people.malformed_request(random)) is None


def test_requests_about_people_reach_the_collections() -> None:
    """Most are refused, but so many are not that people and faces are added, changed and deleted."""
    answered = [people.answer(people.malformed_request(Random(number)))["statusCode"] for number in range(1000)]
    assert {200, 201, 204, 400, 401, 404, 405, 409, 422} <= set(answered)
    assert sum(status < 300 for status in answered) > 200


@short
@given(st.randoms(use_true_random=False))
def test_malformed_requests_in_other_dialects(random: Random) -> None:
    assert dialects.check_request(dialects.malformed_request(random)) is None


def test_requests_in_other_dialects_reach_the_collections() -> None:
    """As test_requests_about_people_reach_the_collections, with the errors of both dialects."""
    cases = [dialects.malformed_request(Random(number)) for number in range(1000)]
    answered = [(case["dialect"], dialects.answer(case)) for case in cases]
    statuses = {kind: [answer["statusCode"] for dialect, answer in answered if dialect == kind] for kind, _ in answered}
    assert {200, 400} <= set(statuses["rekognition"])
    assert {200, 201, 400, 403, 404} <= set(statuses["compreface"])
    assert all(sum(status < 300 for status in found) > 80 for found in statuses.values())
    errors = " ".join(answer["body"] for _, answer in answered if answer["statusCode"] >= 400)
    for code in (
        *rekognition.SIGNATURE_ERRORS,
        "AccessDeniedException",
        "InvalidParameterException",
        '"code":42',
        '"code":28',
    ):
        assert code in errors


@short
@given(st.randoms(use_true_random=False))
def test_damaged_images(random: Random) -> None:
    assert engine.check_image(engine.damaged_image(random)) is None


@short
@given(st.sampled_from(engine.valid_images()), st.binary(max_size=200), st.integers(0, 60))
def test_image_header_followed_by_random_bytes(image: bytes, rest: bytes, kept: int) -> None:
    assert engine.check_image(image[:kept] + rest) is None


def test_failures_are_detected_and_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "REGRESSIONS", tmp_path)

    def broken(_: object) -> None:
        raise ZeroDivisionError

    whole = {"httpMethod": "GET", "path": "/people", "requestContext": {}}
    assert engine.replay(engine.save(whole, "people")) is None
    assert engine.replay(engine.save(dialects.malformed_request(Random(0)), "dialects")) is None
    with monkeypatch.context() as patched:
        patched.setattr(engine, "read", broken)
        patched.setattr(engine, "decode", broken)
        for case in ({"body": "x"}, b"x"):
            path = engine.save(case)
            assert path.parent == tmp_path
            assert engine.replay(path) == "ZeroDivisionError()"
    assert [engine.replay(path) for path in tmp_path.iterdir()] == [None] * 4


@pytest.mark.parametrize(("kind", "runs"), [("events", 5000), ("images", 1000)])
def test_coverage_guided_inputs(kind: str, runs: int) -> None:
    pytest.importorskip("atheris", reason="atheris is available for Linux only")
    command = [sys.executable, "-m", "tests.fuzz.guided", kind, "--runs", str(runs)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"number_of_executed_units: {runs}" in done.stderr
