"""Requests to an app whose collections can change, and photos for them. openapi.yaml must allow each response."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any, Dict, NamedTuple, Sequence, Tuple

from PIL import Image

from api.contract import document
from app import App
from testing.events import request
from testing.paths import SAMPLES
from tests.contract import check, schema_of

ADMIN_KEY = "the administrator's"
NAMES = ("Kofi_Annan_0006", "Serena_Williams_0006", "Tony_Blair_0007", "Jennifer_Aniston_0007")
KOFI, SERENA, TONY, JENNIFER = ((SAMPLES / f"{name}.jpg").read_bytes() for name in NAMES)

Answer = Tuple[int, Dict[str, Any]]


class File(NamedTuple):
    """A file of a form."""

    name: str
    data: bytes
    field: str = "file"


class Form(NamedTuple):
    """A form with text fields and files."""

    fields: dict[str, str]
    files: Sequence[File] = ()

    def encoded(self) -> tuple[bytes, str]:
        """-> body and content type."""
        part = "--limit\r\nContent-Disposition: form-data; name="
        texts = [f'{part}"{name}"\r\n\r\n{value}\r\n'.encode() for name, value in self.fields.items()]
        for name, data, field in self.files:
            head = f'{part}"{field}"; filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
            texts.append(head.encode() + data + b"\r\n")
        return b"".join([*texts, b"--limit--\r\n"]), "multipart/form-data; boundary=limit"


def person(name: str, *photos: bytes, **fields: str) -> Form:
    """The form of a new person. Photos are called 1.jpg, 2.jpg and so on."""
    return Form({"name": name, **fields}, numbered(*photos))


def photos(*data: bytes) -> Form:
    """A form with photos alone, called as in `person`."""
    return Form({}, numbered(*data))


def numbered(*data: bytes) -> list[File]:
    return [File(f"{number}.jpg", each) for number, each in enumerate(data, 1)]


class Client:
    """Sends requests to an app.

    A body is a Form, the bytes of a photo, or anything else as JSON. key: None sends none; headers: of the last
    response.
    """

    def __init__(self, app: App, key: str | None = ADMIN_KEY) -> None:
        self.app, self.key = app, key
        self.headers: dict[str, str] = {}

    def __call__(self, method: str, path: str, content: Any = None, **query: str) -> Answer:
        """Send a request. -> status and JSON of the response, both as the contract promises."""
        status, body = self.send(self.event(method, path, content, **query))
        routes = (route for route in self.app.router.routes if route.match(path.rstrip("/")) is not None)
        route = next(route for route in routes if route.method == method)
        check(schema_of(document()["paths"][route.path][method.lower()]["responses"][str(status)]), body)
        return status, body

    def send(self, event: dict[str, Any]) -> Answer:
        """Send an event of any source. -> status and JSON of the response."""
        answer = self.app.handle(event, SimpleNamespace(aws_request_id="request-1"))
        several = {name: values[-1] for name, values in answer.get("multiValueHeaders", {}).items()}
        self.headers = {**answer.get("headers", {}), **several}
        return int(answer["statusCode"]), json.loads(answer["body"])

    def event(self, method: str, path: str, content: Any = None, **query: str) -> dict[str, Any]:
        """The REST API's event of a request."""
        body, content_type = _encoded(content)
        event = request(method, path, body, content_type, **query)
        if self.key is not None:
            event["headers"]["X-Api-Key"] = self.key
            event["multiValueHeaders"]["X-Api-Key"] = [self.key]
        return event

    def ok(self, method: str, path: str, content: Any = None, **query: str) -> dict[str, Any]:
        """Send a request that succeeds. -> JSON of the response."""
        status, body = self(method, path, content, **query)
        assert 200 <= status < 300, body
        return body

    def error(self, method: str, path: str, content: Any = None, **query: str) -> tuple[int, str]:
        """Send a request that fails. -> status and code."""
        status, body = self(method, path, content, **query)
        return status, body["error"]["code"]

    def enrol(self, name: str, *data: bytes, **query: str) -> int:
        """Add a person. -> the ID."""
        return int(self.ok("POST", "/people", person(name, *data), **query)["id"])


def _encoded(content: Any) -> tuple[bytes, str]:
    if content is None:
        return b"", ""
    if isinstance(content, bytes):
        return content, "image/jpeg"
    return content.encoded() if isinstance(content, Form) else (json.dumps(content).encode(), "application/json")


def another(photo: bytes, degrees: float = 4) -> bytes:
    """Another photo of the same person: the photo turned by some degrees."""
    return jpeg(Image.open(io.BytesIO(photo)).convert("RGB").rotate(degrees, Image.Resampling.BICUBIC))


def side_by_side(left: bytes, right: bytes, width: int = 250) -> bytes:
    """A photo of two people. width: of the right one, in pixels; the left one has 250."""
    both = Image.new("RGB", (250 + width, 250), (90, 90, 90))
    both.paste(Image.open(io.BytesIO(left)).resize((250, 250)))
    both.paste(Image.open(io.BytesIO(right)).resize((width, width)), (250, 0))
    return jpeg(both)


def tiny(photo: bytes) -> bytes:
    """A photo in which the face has about 16 x 21 pixels."""
    small = Image.new("RGB", (120, 120), (90, 90, 90))
    small.paste(Image.open(io.BytesIO(photo)).resize((46, 46), Image.Resampling.LANCZOS), (30, 30))
    return jpeg(small)


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


WALL = jpeg(Image.linear_gradient("L").convert("RGB"))  # no face
CUT = KOFI[:3000]  # unreadable
