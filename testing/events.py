"""Lambda events: recorded ones, and others built from them."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

from testing.paths import EVENTS


def recorded(name: str) -> dict[str, Any]:
    """Load an event that serverless-offline created for `curl -F file=@...`. name: file in tests/events."""
    return json.loads((EVENTS / f"{name}.json").read_text())


def upload(data: bytes, filename: str = "photo.jpg", **query: str) -> dict[str, Any]:
    """Build the REST API event of a multipart upload. query: parameters of the URL."""
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
    body = f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + data + f"\r\n--{boundary}--\r\n".encode()
    return request("POST", "/classify", body, f"multipart/form-data; boundary={boundary}", **query)


def request(method: str, path: str, body: bytes = b"", content_type: str = "", **query: str) -> dict[str, Any]:
    """Build a REST API event."""
    event = recorded("rest-health")
    event.update(httpMethod=method, path=path, body=base64.b64encode(body).decode() or None, isBase64Encoded=True)
    headers = {"Content-Type": content_type} if content_type else {}
    event.update(headers=headers, multiValueHeaders={name: [value] for name, value in headers.items()})
    event.update(queryStringParameters=query or None)
    event.update(multiValueQueryStringParameters={name: [value] for name, value in query.items()} or None)
    return event
