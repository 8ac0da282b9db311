"""Recorded events through the whole function, with the bundled model."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handler
from app import App, create_app
from service.results import IdentifyOptions
from settings import Settings, limit_convolution_cache
from storage.folder import FolderBlobs
from storage.networks import BUNDLED, load_current
from testing.events import recorded, request, upload
from testing.paths import ROOT, SAMPLES
from training.data.align import Aligner


def ask(event: dict[str, Any], context: Any, app: App = handler.app) -> tuple[int, dict[str, Any]]:
    answer = app.handle(event, context)
    return int(answer["statusCode"]), json.loads(answer["body"])


def test_known_person(context: Any) -> None:
    status, answer = ask(recorded("rest-known-person"), context)
    assert status == 200
    assert answer["predicted_name"] == "Kofi Annan"
    assert answer["candidates"][0] == {
        "id": answer["predicted_id"],
        "name": "Kofi Annan",
        "confidence": answer["confidence"],
    }
    assert answer["known"] is True
    assert answer["confidence"] > 0.9
    assert len(answer["candidates"]) == 3  # the event asks for top=3
    assert answer["file"] == "Kofi_Annan_0006.jpg"
    assert answer["faces_detected"] == 1
    assert answer["image"] == {"width": 250, "height": 250}
    assert answer["model"] == {"version": handler.app.services.galleries.version(), "classes": 610}
    assert set(answer["timings_ms"]) == {"decode", "detect", "classify"}
    assert answer["request_id"] == "request-1"
    assert "faces" not in answer


def test_box_and_landmarks_lie_on_the_face(context: Any) -> None:
    _, answer = ask(recorded("rest-known-person"), context)
    box = answer["face"]["box"]
    landmarks = answer["face"]["landmarks"]
    assert set(landmarks) == {"left_eye", "right_eye", "nose", "mouth_left", "mouth_right"}
    for x, y in landmarks.values():
        assert box["left"] < x < box["left"] + box["width"]
        assert box["top"] < y < box["top"] + box["height"]
    assert landmarks["left_eye"][0] < landmarks["right_eye"][0]
    assert landmarks["left_eye"][1] < landmarks["mouth_left"][1]


def test_id_matches_the_list_of_people(context: Any) -> None:
    _, answer = ask(recorded("rest-known-person"), context)
    status, listed = ask(request("GET", "/people"), context)
    assert status == 200
    assert listed["count"] == 610 == len(listed["people"])
    assert listed["people"][answer["predicted_id"]] == {
        "id": answer["predicted_id"],
        "name": "Kofi Annan",
        "faces": 1,
    }


@pytest.mark.parametrize("name", ["Jennifer_Aniston_0007", "Serena_Williams_0006", "Tony_Blair_0007"])
def test_other_known_people(name: str, context: Any) -> None:
    _, answer = ask(upload((SAMPLES / f"{name}.jpg").read_bytes()), context)
    assert answer["predicted_name"] == " ".join(name.split("_")[:-1])


def test_stranger(context: Any) -> None:
    status, answer = ask(recorded("rest-stranger"), context)
    assert status == 200
    assert answer["known"] is False
    assert answer["predicted_id"] is None
    assert answer["predicted_name"] is None
    assert len(answer["candidates"]) == 5
    assert answer["confidence"] < 0.5


def test_several_faces(context: Any) -> None:
    status, answer = ask(recorded("rest-several-faces"), context)
    assert status == 200
    assert answer["faces_detected"] == 2
    assert [face["predicted_name"] for face in answer["faces"]] == ["Kofi Annan", "Serena Williams"]
    assert {key: answer[key] for key in answer["faces"][0]} == answer["faces"][0]
    first, second = (face["face"]["box"] for face in answer["faces"])
    assert first["width"] * first["height"] > second["width"] * second["height"]


def test_raw_and_json_bodies(context: Any) -> None:
    data = (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes()
    raw = request("POST", "/classify", data, "image/jpeg")
    coded = json.dumps({"image": base64.b64encode(data).decode()}).encode()
    assert ask(raw, context)[1]["predicted_name"] == "Kofi Annan"
    assert ask(request("POST", "/classify", coded, "application/json"), context)[1]["predicted_name"] == "Kofi Annan"


def test_threshold_sets_known(context: Any) -> None:
    data = (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes()
    assert ask(upload(data, threshold="1"), context)[1]["known"] is False
    stranger = (SAMPLES / "Alicia_Witt_0001.jpg").read_bytes()
    assert ask(upload(stranger, threshold="0"), context)[1]["known"] is True


def test_docker_image_contains_all_imported_modules(tmp_path: Path) -> None:
    """Import the function with only the files that the Dockerfile copies and .dockerignore allows."""
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    stage = (ROOT / "Dockerfile").read_text().partition(" AS code\n")[2].partition("FROM ")[0]
    for sources, target in re.findall(r"^COPY (.+) (\S+)$", stage, re.MULTILINE):
        for source in (found for pattern in sources.split() for found in ROOT.glob(pattern)):
            assert source.relative_to(ROOT).parts[0] in allowed
            if source.is_dir():
                shutil.copytree(source, tmp_path / target)
            else:
                (tmp_path / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(source, tmp_path / target)
    code = "import handler; import api.bulk; print(handler.app.services.galleries.version())"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env={**env, "MODEL_URI": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "None"  # the weights come from another stage


def test_training_and_serving_see_the_same_crop() -> None:
    """The original project normalized differently in training and in serving."""
    snapshot = load_current(FolderBlobs(Path(BUNDLED)))
    for name in ("Kofi_Annan_0006", "astronaut"):
        path = SAMPLES / f"{name}.jpg"
        served = handler.app.services.faces.identify(path.read_bytes(), IdentifyOptions(top=20)).faces[0]
        face = Aligner(snapshot.network.config.crop).align(path)
        found = snapshot.search(face.crop[None], face.landmark_crop[None], np.array([face.reliable]), 20)
        assert [match.id for match in served.candidates] == found.ids[0].tolist()
        assert [match.confidence for match in served.candidates] == pytest.approx(found.confidences[0], abs=1e-6)
        assert served.known == found.known[0]


SETTINGS = {
    "": Settings(),
    "MODEL_URI=s3://models/faces": Settings(model_uri="s3://models/faces"),
    "MODEL_URI=": Settings(),
    "CORS_ORIGIN=https://a.example/, https://b.example": Settings(
        cors_origins=("https://a.example", "https://b.example")
    ),
    "CORS_ORIGIN=https://a.example,*": Settings(),
    "API_KEY=secret": Settings(api_key="secret"),
    "ADMIN_KEY=secret": Settings(admin_key="secret"),
    "GALLERY_URI=s3://people/live": Settings(gallery_uri="s3://people/live"),
    "COLLECTION=team": Settings(collection="team"),
    "COLLECTION=": Settings(),
    "STRICTNESS=0.1": Settings(strictness=0.1),
    "STRICTNESS=3.0": Settings(strictness=3),
    "STRICTNESS=": Settings(strictness=1),
    "POWERTOOLS_METRICS_DISABLED=True": Settings(metrics=False),
    "POWERTOOLS_METRICS_DISABLED=off": Settings(),
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=3538": Settings(memory_mb=3538),
    "OMP_NUM_THREADS=1": Settings(threads_set=True),
}


@pytest.mark.parametrize("variable", SETTINGS)
def test_settings(variable: str) -> None:
    name, _, value = variable.partition("=")
    assert Settings.from_env({name: value}) == SETTINGS[variable]


def test_switch_with_an_invalid_value() -> None:
    with pytest.raises(ValueError, match="POWERTOOLS_METRICS_DISABLED is neither true nor false"):
        Settings.from_env({"POWERTOOLS_METRICS_DISABLED": "perhaps"})


def test_strictness_reaches_the_service() -> None:
    app = create_app(Settings(model_uri="/nowhere", strictness=0.1))
    assert app.services.faces._strictness == 0.1


@pytest.mark.parametrize("value", ["0", "0.2", "5", "-1", "nan", "strict", "1,0"])
def test_strictness_with_an_invalid_value(value: str) -> None:
    with pytest.raises(ValueError, match=r"STRICTNESS is not one of 0\.1, 0\.3, 1, 3\."):
        Settings.from_env({"STRICTNESS": value})


@pytest.mark.parametrize("value", ["..", "a/b", "team 1", "é", "x" * 256])
def test_collection_with_an_invalid_name(value: str) -> None:
    with pytest.raises(ValueError, match="COLLECTION is not 1 to 255 of the characters"):
        Settings.from_env({"COLLECTION": value})


@pytest.mark.parametrize(("given", "expected"), [({}, "128"), ({"LRU_CACHE_CAPACITY": "9"}, "9")])
def test_convolution_cache_is_limited_unless_it_is_set(given: dict[str, str], expected: str) -> None:
    limit_convolution_cache(given)
    assert given == {"LRU_CACHE_CAPACITY": expected}


@pytest.mark.parametrize(
    ("memory", "given", "threads"), [("1769", "", "1"), ("3538", "", "2"), ("1769", "2", "2"), ("", "1", "1")]
)
def test_process_settings(memory: str, given: str, threads: str) -> None:
    """Start a separate process, because the settings would affect other tests."""
    code = "import handler, os, torch; print(torch.get_num_threads(), os.environ['LRU_CACHE_CAPACITY'])"
    others = {name: value for name, value in os.environ.items() if name != "LRU_CACHE_CAPACITY"}
    env = {**others, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memory, "OMP_NUM_THREADS": given, "MODEL_URI": "/nowhere"}
    if not given:
        del env["OMP_NUM_THREADS"]
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{threads} 128"
