"""Requests of CompreFace's clients to an app whose collections can change."""

from __future__ import annotations

import base64
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from app import create_app
from settings import Settings
from storage.live import LiveModel
from tests.api.client import ADMIN_KEY, Answer, Client, File, Form

READER_KEY = "the reader's"
CAMERAS, DOORS = "key of the cameras", "key of the doors"
SETTINGS = Settings(
    api_key=READER_KEY,
    admin_key=ADMIN_KEY,
    compreface_keys={CAMERAS: "cameras", DOORS: "doors"},
    metrics=False,
)


class CompreFace(Client):
    """Sends requests below /api/v1. Bodies: as of Client."""

    def __call__(self, method: str, path: str, content: Any = None, **query: str) -> Answer:
        """Send a request. -> status and JSON of the response."""
        return self.send(self.event(method, f"/api/v1{path}", content, **query))

    def error(self, method: str, path: str, content: Any = None, **query: str) -> tuple[int, Any]:
        """Send a request that fails. -> status and code."""
        status, body = self(method, path, content, **query)
        assert set(body) == {"message", "code"} and body["message"]
        return status, body["code"]

    def download(self, path: str) -> tuple[int, str, bytes]:
        """Send a request for a file. -> status, media type and bytes."""
        event = self.event("GET", f"/api/v1{path}")
        answer = self.app.handle(event, SimpleNamespace(aws_request_id="request-1"))
        assert answer["isBase64Encoded"]
        media_type = answer["multiValueHeaders"]["Content-Type"][0]
        return answer["statusCode"], media_type, base64.b64decode(answer["body"])

    def add(self, subject: str, photo: bytes) -> str:
        """Add an example. -> its ID."""
        return str(self.ok("POST", "/recognition/faces", form(photo), subject=subject)["image_id"])

    def subjects(self) -> list[str]:
        """List the subjects."""
        return list(self.ok("GET", "/recognition/subjects")["subjects"])

    def examples(self, **query: str) -> list[tuple[str, str]]:
        """List examples. -> ID and subject of each."""
        faces = self.ok("GET", "/recognition/faces", **query)["faces"]
        return [(face["image_id"], face["subject"]) for face in faces]

    def recognize(self, photo: bytes, **query: str) -> list[dict[str, Any]]:
        """Recognize the faces in a photo. -> the result."""
        return list(self.ok("POST", "/recognition/recognize", form(photo), **query)["result"])


def make_client(live: LiveModel, gallery_uri: str, key: str | None = CAMERAS, **settings: Any) -> CompreFace:
    """Make a client of an app. settings: other than those of SETTINGS."""
    return CompreFace(create_app(replace(SETTINGS, gallery_uri=gallery_uri, **settings), live), key)


def with_key(client: CompreFace, key: str | None) -> CompreFace:
    """Return a client of the same app with another key."""
    return CompreFace(client.app, key)


def form(photo: bytes, **fields: str) -> Form:
    return Form(fields, [File("photo.jpg", photo)])


def in_json(**photos: bytes) -> dict[str, str]:
    """Return photos as fields of a JSON object."""
    return {name: base64.b64encode(photo).decode() for name, photo in photos.items()}


def pair(source: bytes, target: bytes, **fields: str) -> Form:
    """The form of two photos to compare."""
    return Form(fields, [File("1.jpg", source, "source_image"), File("2.jpg", target, "target_image")])


def best(faces: list[dict[str, Any]]) -> list[tuple[str, bool]]:
    """Return the nearest subject of each face, and whether clients take it for this person."""
    return [(face["subjects"][0]["subject"], face["subjects"][0]["similarity"] > 0.6) for face in faces]
