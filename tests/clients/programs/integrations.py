"""Requests as programs around cameras send them to CompreFace, made with `requests`."""

from __future__ import annotations

from typing import Any

import requests

from tests.clients.programs.endpoint import READER_KEY, URL, photo

API = f"{URL}api/v1"


def _request(method: str, target: str, key: str, **content: Any) -> dict[str, Any]:
    """Send a request. -> status and JSON."""
    response = requests.request(method, f"{API}{target}", headers={"x-api-key": key}, timeout=60, **content)
    return {"status": response.status_code, **response.json()}


def _file(name: str) -> dict[str, Any]:
    """The file of a form."""
    return {"file": (f"{name}.jpg", photo(name), "image/jpeg")}


def double_take() -> dict[str, Any]:
    """Train, recognize and untrain as Double Take 1.13: options that are not set are the text `undefined`."""
    key = "compreface-key-of-double-take"

    def recognized(name: str, plugins: str) -> dict[str, Any]:
        query = f"?det_prob_threshold=0.8&face_plugins={plugins}"
        return _request("POST", f"/recognition/recognize{query}", key, files=_file(name))

    def names(name: str) -> list[Any]:
        faces = recognized(name, "undefined").get("result", [])
        return [
            [face["subjects"][0]["subject"], face["subjects"][0]["similarity"] * 100 >= 60, face["box"]]
            for face in faces
        ]

    return {
        "trained": _request("POST", "/recognition/faces?subject=kofi annan", key, files=_file("kofi")),
        "trained_threshold": _request(
            "POST", "/recognition/faces?subject=serena&det_prob_threshold=0.8", key, files=_file("serena")
        ),
        "trained_no_face": _request("POST", "/recognition/faces?subject=nobody", key, files=_file("wall")),
        "known": names("kofi-turned"),
        "pair": names("pair-turned"),
        "stranger": names("jennifer"),
        "no_face": recognized("wall", "undefined").get("code"),
        "plugins": recognized("kofi", "mask,gender,age")["result"][0],
        "empty_plugins": recognized("kofi", "")["status"],
        "not_an_image": _request(
            "POST", "/recognition/recognize?face_plugins=undefined", key, files={"file": ("a.jpg", b"none")}
        ),
        "removed": _request("DELETE", "/recognition/faces?subject=kofi annan", key),
        "removed_all": _request("DELETE", "/recognition/faces", key),
    }


def viseron() -> dict[str, Any]:
    """Recognize as Viseron: it reads `subjects[0]` of each face, also of strangers."""
    key = "compreface-key-of-viseron"
    options = "?&limit=0&det_prob_threshold=0.8&prediction_count=1&status=False"

    def best(name: str) -> list[Any]:
        faces = _request("POST", f"/recognition/recognize{options}", key, files=_file(name))["result"]
        return [[face["subjects"][0]["subject"], round(face["subjects"][0]["similarity"], 2) >= 0.5] for face in faces]

    _request("DELETE", "/recognition/subjects", key)
    _request("POST", "/recognition/faces?subject=Kofi", key, files=_file("kofi"))
    found = {"known": best("kofi-turned"), "stranger": best("jennifer")}
    return {**found, "deleted": _request("DELETE", "/recognition/subjects/Kofi", key)}


def double_take_go() -> dict[str, Any]:
    """Ping, train and recognize as double-take-go-reborn: options are form fields."""
    key = "compreface-key-of-double-take-go"
    options = {"limit": "0", "det_prob_threshold": "0.8", "prediction_count": "1", "face_plugins": "landmarks"}
    return {
        "ping": _request("GET", "/recognition/subjects/", key),
        "trained": _request("POST", "/recognition/faces", key, data={"subject": "Kofi Annan"}, files=_file("kofi")),
        "known": _request("POST", "/recognition/recognize", key, data=options, files=_file("kofi-turned")),
        "trailing_slash": _request("POST", "/recognition/recognize/", key, data=options, files=_file("kofi-turned")),
        "deleted": _request("DELETE", "/recognition/subjects/", key),
    }


def errors() -> dict[str, Any]:
    """Send requests that CompreFace refuses. -> status and code of each."""
    key = "compreface-key-of-double-take"

    def refused(method: str, target: str, key: str = key, **content: Any) -> list[int]:
        response = _request(method, target, key, **content)
        assert isinstance(response.get("message"), str), response
        return [response["status"], response["code"]]

    no_key = requests.get(f"{API}/recognition/subjects", timeout=60)
    return {
        "no_key": [no_key.status_code, no_key.json()["code"]],
        "unknown_key": refused("GET", "/recognition/subjects", "another"),
        "unknown_key_text": _request("GET", "/recognition/subjects", "another")["message"],
        "no_file": refused("POST", "/recognition/recognize", data={"limit": "1"}, files={"other": ("a", b"b")}),
        "no_subject": refused("POST", "/recognition/faces", files=_file("kofi")),
        "wrong_limit": refused("POST", "/recognition/recognize?limit=-1", files=_file("kofi")),
        "unknown_subject": refused("PUT", "/recognition/subjects/nobody", json={"subject": "somebody"}),
        "wrong_subject": refused("POST", "/recognition/subjects", json={"subject": "a/b"}),
        "not_base64": refused("POST", "/detection/detect", json={"file": "no image!"}),
        "wrong_method": refused("PATCH", "/recognition/subjects"),
        "reader_changes": _request("POST", "/recognition/subjects", READER_KEY, json={"subject": "x"})["status"],
    }
