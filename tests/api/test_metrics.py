"""The lines that CloudWatch makes metrics of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

import handler
from api.metrics import RequestMetrics
from testing.events import recorded, request
from testing.paths import ROOT


@pytest.fixture()
def metrics(monkeypatch: pytest.MonkeyPatch) -> RequestMetrics:
    """Of a process that has answered nothing yet, in place of the handler's."""
    fresh = RequestMetrics(enabled=True)
    monkeypatch.setattr(handler.gateway, "_metrics", fresh)
    return fresh


def ask(event: Any, context: Any, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one line of metrics that a request leaves."""
    handler.handle(event, context)
    (line,) = (line for line in map(json.loads, capsys.readouterr().out.splitlines()) if "_aws" in line)
    return line


def values(line: dict[str, Any]) -> dict[str, float]:
    (described,) = line["_aws"]["CloudWatchMetrics"]
    return {metric["Name"]: line[metric["Name"]][0] for metric in described["Metrics"]}


def units(line: dict[str, Any]) -> dict[str, str]:
    return {metric["Name"]: metric["Unit"] for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]}


@pytest.mark.usefixtures("metrics")
def test_a_known_person(context: Any, capsys: pytest.CaptureFixture[str]) -> None:
    line = ask(recorded("rest-known-person"), context, capsys)
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
    assert (line["service"], line["model_version"]) == ("face-recognition", handler.current.version())
    assert set(line) == {"_aws", "service", "model_version", *values(line)}


@pytest.mark.usefixtures("metrics")
def test_other_outcomes(context: Any, capsys: pytest.CaptureFixture[str]) -> None:
    once = {"Requests": 1}
    cold = ask(request("GET", "/health"), context, capsys)
    assert values(cold) == {**once, "2xx": 1, "ColdStart": 1}
    unknown = values(ask(recorded("rest-stranger"), context, capsys))
    assert (unknown["2xx"], unknown["Unknown"], unknown["Faces"]) == (1, 1, 1)
    assert "ColdStart" not in unknown
    assert "Known" not in unknown
    assert values(ask(recorded("rest-several-faces"), context, capsys))["Faces"] == 2
    assert values(ask(recorded("rest-no-face"), context, capsys)) == {**once, "4xx": 1, "NoFace": 1}
    assert values(ask(recorded("rest-empty-body"), context, capsys)) == {**once, "4xx": 1, "Errors": 1}
    assert values(ask({}, context, capsys)) == {**once, "4xx": 1, "Errors": 1}


@pytest.mark.usefixtures("metrics")
def test_a_bug_is_an_error(context: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler.detector, "detect", lambda _: 1 / 0)
    found = values(ask(recorded("rest-known-person"), context, capsys))
    assert found == {"Requests": 1, "5xx": 1, "Errors": 1, "ColdStart": 1}


def test_without_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    RequestMetrics(enabled=True).publish(503, "model_unavailable", None, 1.0, None)
    assert json.loads(capsys.readouterr().out)["model_version"] == "none"


@pytest.mark.parametrize(("switch", "expected"), [("true", 0), ("false", 1), ("", 1)])
def test_they_can_be_switched_off(switch: str, expected: int) -> None:
    code = "import json, handler; from types import SimpleNamespace as S; handler.handle({}, S(aws_request_id='1'))"
    env = {**os.environ, "POWERTOOLS_METRICS_DISABLED": switch, "MODEL_URI": "/nowhere"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.count("CloudWatchMetrics") == expected
