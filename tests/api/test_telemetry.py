"""Log lines and CloudWatch metrics of requests."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from typing import Any

import pytest

import handler
from api.problems import Problem
from api.telemetry import Telemetry
from app import App, compose
from settings import Settings
from testing.events import recorded, request, upload
from testing.paths import ROOT, SAMPLES
from tests.services import IDENTIFIED, MODEL, fixed

PHOTO = (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes()
PRIVATE = ["Kofi", "Annan", "secret-name", "Alicia", "none.jpg", base64.b64encode(PHOTO).decode()[100:160]]


@pytest.fixture()
def app() -> App:
    """A new app with the bundled model, before its first request."""
    return compose(Settings(), handler.app.services)


def ask(app: App, event: Any, context: Any, lines: Any) -> dict[str, Any]:
    """Send a request. -> its only line of metrics."""
    app.handle(event, context)
    (line,) = (line for line in lines() if "_aws" in line)
    return line


def values(line: dict[str, Any]) -> dict[str, float]:
    (described,) = line["_aws"]["CloudWatchMetrics"]
    return {metric["Name"]: line[metric["Name"]][0] for metric in described["Metrics"]}


def units(line: dict[str, Any]) -> dict[str, str]:
    return {metric["Name"]: metric["Unit"] for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]}


def test_a_known_person(app: App, context: Any, lines: Any) -> None:
    line = ask(app, recorded("rest-known-person"), context, lines)
    found = values(line)
    assert {name: found.pop(name) for name in ("Requests", "2xx", "Known", "Faces", "ColdStart")} == {
        **dict.fromkeys(("Requests", "2xx", "Known", "Faces", "ColdStart"), 1)
    }
    assert set(found) == {"Decode", "Detect", "Classify", "Total"}
    assert found["Total"] >= found["Decode"] + found["Detect"] + found["Classify"] > 0
    assert {units(line)[name] for name in found} == {"Milliseconds"}
    (described,) = line["_aws"]["CloudWatchMetrics"]
    assert described["Namespace"] == "FaceRecognition"
    assert sorted(described["Dimensions"][0]) == ["model_version", "service"]
    assert (line["service"], line["model_version"]) == ("face-recognition", handler.app.services.galleries.version())
    assert set(line) == {"_aws", "service", "model_version", *values(line)}


def test_other_outcomes(app: App, context: Any, lines: Any) -> None:
    once = {"Requests": 1}
    cold = ask(app, request("GET", "/health"), context, lines)
    assert values(cold) == {**once, "2xx": 1, "ColdStart": 1}
    unknown = values(ask(app, recorded("rest-stranger"), context, lines))
    assert (unknown["2xx"], unknown["Unknown"], unknown["Faces"]) == (1, 1, 1)
    assert "ColdStart" not in unknown
    assert "Known" not in unknown
    assert values(ask(app, recorded("rest-several-faces"), context, lines))["Faces"] == 2
    assert values(ask(app, recorded("rest-no-face"), context, lines)) == {**once, "4xx": 1, "NoFace": 1}
    assert values(ask(app, recorded("rest-empty-body"), context, lines)) == {**once, "4xx": 1, "Errors": 1}
    assert values(ask(app, {}, context, lines)) == {**once, "4xx": 1, "Errors": 1}


def test_a_bug_is_an_error(context: Any, lines: Any) -> None:
    broken = compose(Settings(), fixed(ZeroDivisionError()))
    found = values(ask(broken, recorded("rest-known-person"), context, lines))
    assert found == {"Requests": 1, "5xx": 1, "Errors": 1, "ColdStart": 1}


def test_a_photo_of_a_bucket_counts_as_a_request(lines: Any) -> None:
    telemetry = Telemetry(lambda: MODEL.version)
    telemetry.photo(IDENTIFIED, 12.34)
    telemetry.photo(Problem(422, "no_face", "No face."), 1)
    known, no_face = map(values, lines())
    assert known == {
        **dict.fromkeys(("Requests", "2xx", "Known", "ColdStart", "Faces", "Decode"), 1),
        "Total": 12.3,
    }
    assert no_face == {"Requests": 1, "4xx": 1, "NoFace": 1}


def test_without_a_model(lines: Any) -> None:
    Telemetry(lambda: None).request("request-1", 503, Problem(503, "model_unavailable", "No model."), 1.0)
    answered, metrics = lines()
    assert "model_version" not in answered
    assert metrics["model_version"] == "none"


@pytest.mark.parametrize(("switch", "expected"), [("true", 0), ("false", 1), ("", 1)])
def test_metrics_can_be_switched_off(switch: str, expected: int) -> None:
    code = "import json, handler; from types import SimpleNamespace as S; handler.handle({}, S(aws_request_id='1'))"
    env = {**os.environ, "POWERTOOLS_METRICS_DISABLED": switch, "MODEL_URI": "/nowhere"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.count("CloudWatchMetrics") == expected


def test_event_that_is_not_a_request_is_logged(context: Any, lines: Any) -> None:
    compose(Settings(metrics=False), fixed()).handle({"Records": []}, context)
    (line,) = lines()
    assert (line["message"], line["status"], line["request_id"]) == ("answered", 400, "request-1")
    assert line["model_version"] == MODEL.version
    assert line["ms"] >= 0


def test_log_and_metrics_contain_no_personal_data(app: App, context: Any, lines: Any) -> None:
    part_missing = request("POST", "/classify", b"secret-name " + PHOTO, "multipart/form-data; boundary=x")
    events = [recorded(f"rest-{name}") for name in ("known-person", "stranger", "no-face")]
    events += [upload(PHOTO, "secret-name.jpg"), upload(PHOTO[:2000], "secret-name.jpg"), part_missing]
    statuses = [app.handle(event, context)["statusCode"] for event in events]
    assert statuses == [200, 200, 422, 200, 422, 400]
    written = json.dumps(lines(), ensure_ascii=False)
    assert written.count('"answered"') == 6
    assert written.count('"_aws"') == 6
    for private in PRIVATE:
        assert private not in written


@pytest.mark.parametrize(("uri", "message"), [("", "model loaded"), ("/nowhere", "no model at start")])
def test_start_is_logged(uri: str, message: str) -> None:
    env = {**os.environ, "MODEL_URI": uri}
    done = subprocess.run(
        [sys.executable, "-c", "import handler"], cwd=ROOT, env=env, stdout=subprocess.PIPE, check=True
    )
    (line,) = map(json.loads, done.stdout.splitlines())
    assert line["message"] == message
    assert line.get("model_version") == (None if uri else handler.app.services.galleries.version())
    assert line.get("reason", ".").endswith(".")
