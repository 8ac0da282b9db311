"""The whole way of a request, from recorded events to answers, with the bundled model."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import handler
from testing.events import recorded, request, upload
from testing.paths import ROOT, SAMPLES


def ask(event: dict[str, Any], context: Any) -> tuple[int, dict[str, Any]]:
    answer = handler.handle(event, context)
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
    assert answer["model"] == {"version": handler.current.version(), "classes": 610}
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


def test_id_is_the_one_in_the_list_of_people(context: Any) -> None:
    _, answer = ask(recorded("rest-known-person"), context)
    status, listed = ask(request("GET", "/people"), context)
    assert status == 200
    assert listed["count"] == 610 == len(listed["people"])
    assert listed["people"][answer["predicted_id"]] == {"id": answer["predicted_id"], "name": "Kofi Annan"}


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


def test_threshold_decides_who_is_known(context: Any) -> None:
    data = (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes()
    assert ask(upload(data, threshold="1"), context)[1]["known"] is False
    stranger = (SAMPLES / "Alicia_Witt_0001.jpg").read_bytes()
    assert ask(upload(stranger, threshold="0"), context)[1]["known"] is True


def test_serving_imports_nothing_of_training() -> None:
    heavy = "torchvision", "facenet_pytorch", "matplotlib", "training", "boto3", "requests"
    code = f"import handler, sys; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


def test_api_imports_no_torch() -> None:
    code = "import api.answers, api.gateway, api.uploads, sys; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_training_and_serving_see_the_same_tensor(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The original trained with one normalisation and served with another."""
    import torch
    from model.recognizer import to_tensor

    from training.data.align import Aligner

    fed: list[np.ndarray] = []
    recognizer = handler.current.get()
    script = recognizer._script

    def run(crops: torch.Tensor) -> Any:
        fed.append(crops.numpy())
        return script(crops)

    monkeypatch.setattr(recognizer, "_script", run)
    for name in ("Kofi_Annan_0006", "astronaut"):
        path = SAMPLES / f"{name}.jpg"
        ask(upload(path.read_bytes()), context)
        _, trained_on, _ = Aligner(recognizer.config.crop).align(path)
        assert np.array_equal(fed.pop(), to_tensor(trained_on[None]).numpy())
