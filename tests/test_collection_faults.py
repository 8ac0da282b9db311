"""Responses while the store of collections fails, and after it has recovered: a real S3 API behind a faulty proxy."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator

import boto3
import pytest

from app import App, create_app
from settings import Settings
from storage.folder import FolderBlobs
from storage.live import LiveModel
from storage.networks import BUNDLED
from testing.events import request, upload
from testing.paths import SAMPLES
from testing.servers import free_port
from tests.faulty import Fault, Proxy, cuts, refuses, running, says, stalls

ASTRONAUT = (SAMPLES / "astronaut.jpg").read_bytes()
KEY = "administrator"
MANIFEST, SEGMENT = "manifest.json", ".safetensors"
NEVER = 30  # seconds, longer than anybody waits
FAULTS = {
    "stall at the manifest": (MANIFEST, stalls(NEVER)),
    "stall in the manifest": (MANIFEST, stalls(NEVER, after=50)),
    "manifest cut": (MANIFEST, cuts(50)),
    "forbidden": (MANIFEST, refuses(403, "AccessDenied")),
    "S3's own trouble": (MANIFEST, refuses(500, "InternalError")),
    "too many requests": (MANIFEST, refuses(503, "SlowDown")),
    "a gateway's page": (MANIFEST, says(502, b"<!doctype html>")),
    "another manifest": (MANIFEST, says(200, b"{}", ETag='"other"')),
    "stall at a segment": (SEGMENT, stalls(NEVER)),
    "segment cut": (SEGMENT, cuts(50)),
    "segment changed": (SEGMENT, says(200, b"other bytes")),
    "segment missing": (SEGMENT, refuses(404, "NoSuchKey")),
}


@pytest.fixture()
def proxy(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with running(Proxy(s3_environment["AWS_ENDPOINT_URL"])) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.url)
        yield found


@pytest.fixture()
def uri(proxy: Proxy) -> str:
    bucket = f"faulty-{uuid.uuid4()}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/galleries"


MODEL = LiveModel(lambda: FolderBlobs(Path(BUNDLED)), refresh=False)  # loaded once


def app(uri: str) -> App:
    return create_app(Settings(gallery_uri=uri, admin_key=KEY, metrics=False), MODEL)


def ask(function: App, event: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    event = {**event, "headers": {**(event.get("headers") or {}), "X-Api-Key": KEY}}
    answer = function.handle(event, SimpleNamespace(aws_request_id="request-1"))
    return answer["statusCode"], json.loads(answer["body"])


def add(function: App, name: str) -> int:
    return ask(function, request("POST", "/people", json.dumps({"name": name}).encode(), "application/json"))[0]


def enrol(function: App) -> None:
    event = upload(ASTRONAUT, name="Eileen Collins")
    assert ask(function, {**event, "path": "/people"})[0] == 201


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_while_people_are_in_memory(name: str, proxy: Proxy, uri: str) -> None:
    """People in memory are served, the answer says so, and the first one after the fault is up to date."""
    ending, fault = FAULTS[name]
    function, other = app(uri), app(uri)
    enrol(function)
    assert ask(function, upload(ASTRONAUT))[1]["gallery"]["people"] == 1
    assert add(other, "Somebody else") == 201  # so that there is something new to read
    proxy.faults[ending] = fault
    status, answer = ask(function, upload(ASTRONAUT))
    assert (status, answer["predicted_name"]) == (200, "Eileen Collins")
    assert (answer["gallery"]["people"], answer["gallery"]["stale"]) == (1, True)
    proxy.faults.clear()
    status, answer = ask(function, upload(ASTRONAUT))
    assert (status, answer["gallery"]["people"], "stale" in answer["gallery"]) == (200, 2, False)


@pytest.mark.parametrize("name", [name for name in FAULTS if "stall" not in name])
def test_a_fault_while_nothing_is_in_memory(name: str, proxy: Proxy, uri: str) -> None:
    """Nobody is served from another collection instead."""
    ending, fault = FAULTS[name]
    enrol(app(uri))
    proxy.faults[ending] = fault
    function = app(uri)
    for event in (upload(ASTRONAUT), request("GET", "/people")):
        status, answer = ask(function, event)
        assert (status, answer["error"]["code"]) == (503, "model_unavailable")
        assert answer["error"]["message"].startswith("The collection cannot be used: ")
        assert uri.split("/")[2] not in answer["error"]["message"]
    proxy.faults.clear()
    assert ask(function, upload(ASTRONAUT))[1]["predicted_name"] == "Eileen Collins"


def test_s3_that_is_down(proxy: Proxy, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function = app(uri)
    enrol(function)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    nothing_in_memory = app(uri)
    assert ask(nothing_in_memory, upload(ASTRONAUT))[0] == 503
    assert ask(nothing_in_memory, request("GET", "/health"))[0] == 200


@pytest.mark.parametrize(
    ("ending", "fault"),
    [
        (MANIFEST, refuses(500, "InternalError")),
        (MANIFEST, stalls(3)),
        (SEGMENT, refuses(503, "SlowDown")),
        (SEGMENT, refuses(403, "AccessDenied")),
    ],
)
def test_a_change_whose_writes_get_no_answer(ending: str, fault: Fault, proxy: Proxy, uri: str) -> None:
    """It is made once or not at all, and what is answered is true."""
    function = app(uri)
    enrol(function)
    proxy.write_faults[ending] = fault
    status = add(function, "Somebody else")
    assert status in (201, 503)
    proxy.write_faults.clear()
    names = [person["name"] for person in ask(app(uri), request("GET", "/people"))[1]["people"]]
    assert names[0] == "Eileen Collins"
    assert names[1:] in ([["Somebody else"]] if status == 201 else [[], ["Somebody else"]])
    assert add(function, "A third person") == 201
