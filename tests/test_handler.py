"""The whole way of a request, from recorded events to answers, with the bundled model."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

import handler
from tests.conftest import ROOT, SAMPLES, recorded, request, upload


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


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        ("rest-no-face", 422, "no_face"),
        ("rest-not-an-image", 415, "unsupported_media_type"),
        ("rest-empty-body", 400, "bad_request"),
        ("rest-empty-file", 400, "empty_upload"),
    ],
)
def test_what_cannot_be_answered(event: str, status: int, code: str, context: Any) -> None:
    found, answer = ask(recorded(event), context)
    assert (found, answer["error"]["code"]) == (status, code)
    assert answer["error"]["message"].endswith(".")
    assert answer["request_id"] == "request-1"


def test_cut_short_photo(context: Any) -> None:
    data = (SAMPLES / "astronaut.jpg").read_bytes()
    assert ask(upload(data[: len(data) // 2]), context)[1]["error"]["code"] == "unreadable_image"


def test_http_api_event_gets_the_same_answer(context: Any) -> None:
    rest, http = (ask(recorded(f"{front}-known-person"), context)[1] for front in ("rest", "http"))
    assert rest["predicted_id"] == http["predicted_id"]
    assert rest["confidence"] == http["confidence"]


def test_raw_and_json_bodies(context: Any) -> None:
    data = (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes()
    raw = request("POST", "/classify", data, "image/jpeg")
    coded = json.dumps({"image": base64.b64encode(data).decode()}).encode()
    assert ask(raw, context)[1]["predicted_name"] == "Kofi Annan"
    assert ask(request("POST", "/classify", coded, "application/json"), context)[1]["predicted_name"] == "Kofi Annan"


@pytest.mark.parametrize(
    "query", [{"top": "0"}, {"top": "21"}, {"top": "x"}, {"threshold": "nan"}, {"threshold": "1.1"}, {"faces": "both"}]
)
def test_parameters_out_of_range(query: dict[str, str], context: Any) -> None:
    status, answer = ask(upload(b"x", **query), context)
    assert (status, answer["error"]["code"]) == (400, "bad_parameter")


def test_threshold_decides_who_is_known(context: Any) -> None:
    data = (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes()
    assert ask(upload(data, threshold="1"), context)[1]["known"] is False
    stranger = (SAMPLES / "Alicia_Witt_0001.jpg").read_bytes()
    assert ask(upload(stranger, threshold="0"), context)[1]["known"] is True


def test_sideways_phone_photo_gets_the_same_box(context: Any) -> None:
    """EXIF orientation 6: stored turned left, to be shown turned right."""
    photo = Image.open(SAMPLES / "astronaut.jpg")
    _, upright = ask(upload(_png(photo)), context)
    exif = photo.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    photo.transpose(Image.Transpose.ROTATE_90).save(file, "PNG", exif=exif)
    _, turned = ask(upload(file.getvalue()), context)
    assert turned["image"] == upright["image"]
    assert turned["face"]["box"] == upright["face"]["box"]


def test_health(context: Any) -> None:
    status, answer = ask(request("GET", "/health"), context)
    assert (status, answer["status"]) == (200, "ok")


def test_unknown_paths_and_methods(context: Any) -> None:
    assert ask(request("GET", "/nowhere"), context)[1]["error"]["code"] == "not_found"
    status, answer = ask(request("GET", "/classify"), context)
    assert (status, answer["error"]["code"]) == (405, "method_not_allowed")


def test_pages_elsewhere_may_read_answers_and_errors(context: Any) -> None:
    for event in (request("GET", "/health"), recorded("rest-empty-body")):
        event["headers"] = event["multiValueHeaders"] = {"Origin": ["https://page.example"]}
        event["headers"] = {"Origin": "https://page.example"}
        assert handler.handle(event, context)["multiValueHeaders"]["Access-Control-Allow-Origin"] == ["*"]


def test_a_bug_is_an_answer_that_tells_nothing(
    context: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(handler.detector, "detect", broken)
    status, answer = ask(recorded("rest-known-person"), context)
    assert (status, answer["error"]["code"]) == (500, "internal")
    assert "secret" not in json.dumps(answer)


def test_log_line_names_nobody(context: Any, capsys: pytest.CaptureFixture[str]) -> None:
    handler.gateway.log.handlers[0].stream = sys.stdout
    ask(recorded("rest-known-person"), context)
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (line["status"], line["request_id"], line["model_version"]) == (200, "request-1", handler.current.version())
    assert line["ms"] > 0
    assert "Annan" not in json.dumps(line)


def test_serving_imports_nothing_of_training() -> None:
    heavy = "torchvision", "facenet_pytorch", "matplotlib", "training", "boto3"
    code = f"import handler, sys; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


def test_api_imports_no_torch() -> None:
    code = "import api.answers, api.gateway, api.uploads, sys; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_training_and_serving_see_the_same_tensor(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The original trained with one normalisation and served with another."""
    from model.recognizer import to_tensor
    from training.align import Aligner

    fed: list[np.ndarray] = []
    recognizer = handler.current.get()
    script = recognizer._script
    monkeypatch.setattr(recognizer, "_script", lambda crops: fed.append(crops.numpy()) or script(crops))
    for name in ("Kofi_Annan_0006", "astronaut"):
        path = SAMPLES / f"{name}.jpg"
        ask(upload(path.read_bytes()), context)
        _, trained_on, _ = Aligner(recognizer.config.crop).align(path)
        assert np.array_equal(fed.pop(), to_tensor(trained_on[None]).numpy())


def _png(photo: Image.Image) -> bytes:
    file = io.BytesIO()
    photo.save(file, "PNG")
    return file.getvalue()
