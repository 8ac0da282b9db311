"""Requests of CompreFace's clients: all routes with right and wrong parameters, bodies and keys."""

from __future__ import annotations

import base64
import json
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote

from tests.fuzz import engine
from tests.fuzz.deployment import ADMIN, FACE, KEYS, NOBODY, READER, photo
from tests.fuzz.sending import HOST
from tests.versions import SIZE

PREFIX = "/api/v1"
JSON, FORM = "application/json", "multipart/form-data; boundary=b"


class Endpoint(NamedTuple):
    """files: photos of the form or of the JSON object; fields: of the JSON object; query: names of parameters."""

    method: str
    path: str
    changes: bool = False
    files: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    query: tuple[str, ...] = ()


OPTIONS = ("limit", "prediction_count", "det_prob_threshold", "face_plugins", "status", "detect_faces")
ADD = Endpoint("POST", "/recognition/faces", True, ("file",), query=("subject", "subject", "det_prob_threshold"))
DELETE_ALL = Endpoint("DELETE", "/recognition/subjects", True)
OTHERS = (
    *(ADD,) * 8,
    Endpoint("GET", "/recognition/subjects"),
    Endpoint("POST", "/recognition/subjects", True, fields=("subject",)),
    Endpoint("PUT", "/recognition/subjects/{s}", True, fields=("subject",)),
    Endpoint("DELETE", "/recognition/subjects/{s}", True),
    Endpoint("GET", "/recognition/faces", query=("page", "size", "subject")),
    Endpoint("DELETE", "/recognition/faces", True, query=("subject",) * 4),
    Endpoint("DELETE", "/recognition/faces/{face}", True),
    Endpoint("POST", "/recognition/faces/delete", True, fields=("ids",)),
    Endpoint("GET", "/recognition/faces/{face}/img"),
    Endpoint("GET", "/static/{key}/images/{face}"),
    Endpoint("POST", "/recognition/recognize", files=("file",), query=OPTIONS),
    Endpoint("POST", "/recognition/recognize", files=("file",), query=OPTIONS),
    Endpoint("POST", "/recognition/faces/{face}/verify", files=("file",), query=OPTIONS),
    Endpoint("POST", "/recognition/embeddings/recognize", fields=("embeddings",), query=("prediction_count",)),
    Endpoint("POST", "/detection/detect", files=("file",), query=OPTIONS),
    Endpoint("POST", "/verification/verify", files=("source_image", "target_image"), query=OPTIONS),
)
# People must be added more often than all of them are deleted.
ENDPOINTS = (*OTHERS * 10, DELETE_ALL)
SUBJECTS = ("Ada", "ADA", "ada", "Zoë", "山田 太郎", "a+b", "100%", "a%2Fb", "x" * 50, "O'Neil & Sons", "ß", "İ")
WRONG_SUBJECTS = (
    *("", " ", "x" * 51, "a/b", "a;b", "a\\b", "\ud800", "\x00", "\u202e", "e\u0301" * 300, ".", "..", "x" * 10_000),
    *("undefined", "null", "None", "%", "%2", "%ff", "%00", "{subject}", "*", "\r\nX: y", NOBODY),
)
GOOD = {
    "limit": ("0", "1", "2", "100"),
    "prediction_count": ("1", "2", "1000"),
    "det_prob_threshold": ("0", "0.5", "0.8", "0.80", "1"),
    "face_plugins": ("landmarks", "calculator", "landmarks,calculator", "age, gender,pose,mask", "landmarks2d106"),
    "status": ("true", "false", "True", "False"),
    "detect_faces": ("true", "false"),
    "page": ("0", "1", "2"),
    "size": ("1", "20", "1000"),
    "subject": SUBJECTS,
}
BAD = (
    *("", " ", "undefined", "null", "None", "nan", "inf", "1e999", "-1", "1.5", "0x1", "1_0", "\u0661", "+1", "true"),
    *("\ud800", "\x00", "%", "%zz", "a,b", ",", "1,2", "é", "{}", "'", "999999999", "0.8;1", "9" * 400, "x" * 10_000),
)
SCALARS = (None, True, 0, -1, 0.5, 10**30, 1e300, 1e308, float("nan"), float("inf"), *WRONG_SUBJECTS)
NESTED: tuple[Any, ...] = ([], {}, [None], [[]] * 300, {"a": []}, ["a"] * 200, [[0.5] * SIZE] * 101, [[1e308] * SIZE])
BODIES = (
    *(b"", b"null", b"[]", b"{}", b"1", b"{", b"[" * 100_000, b"\xff", b"\xef\xbb\xbf{}", b'{"file": "A"}', b"--b--"),
)
STRANGERS = (
    *("key-of-nobody-55aa", READER[:-1], f"{ADMIN}x", ADMIN.upper(), "k\u00e9y-of-nobody", "\ud800-key-of-nobody"),
)
# Statuses and codes of errors.
ERRORS = {
    *((400, code) for code in (0, 5, 20, 21, 26, 28, 31, 33, 34, 37, 43)),
    *((404, code) for code in (0, 10, 42, 44)),
    (403, 0),
}


def make_case(random: Random) -> dict[str, Any]:
    """Make a request, see tests/fuzz/dialects.py.

    key: that it has, empty for none; changes: its endpoint changes something; normal: method and path are as they
    should be.
    """
    endpoint = random.choice(ENDPOINTS)
    key = random.choice((*[*KEYS] * 8, *[ADMIN] * 3, *[READER] * 4, *STRANGERS[:1] * 2, *STRANGERS, ""))
    kind, body, fields = _body(random, endpoint)
    query = fields if kind != FORM or random.random() < 0.5 else []
    if kind == FORM and not query:
        body = _form_fields(fields) + body
    headers = {"Host": HOST, random.choice(("x-api-key", "X-Api-Key", "X-API-KEY")): key}
    if not key and random.random() < 0.5:
        headers = {"Host": HOST}
    if kind:
        headers["Content-Type"] = random.choice(engine.CONTENT_TYPES) if random.random() < 0.03 else kind
    path, normal = _path(random, endpoint, key)
    if "{key}" in endpoint.path:
        headers.pop("x-api-key", None)
    other_method = random.random() < 0.03
    return {
        "method": random.choice(engine.METHODS) if other_method else endpoint.method,
        "path": path,
        "decoded": random.random() < 0.3,
        "query": [list(pair) for pair in query],
        "headers": headers,
        "body": body.decode("latin-1"),
        "key": key,
        "changes": endpoint.changes,
        "normal": normal and not other_method,
    }


def _path(random: Random, endpoint: Endpoint, key: str) -> tuple[str, bool]:
    """-> path of the URL, and whether it is as it should be."""
    subject = random.choice(SUBJECTS if random.random() < 0.7 else WRONG_SUBJECTS)
    # Some clients do not encode subjects.
    encoded = quote(subject, safe="", errors="replace") if random.random() < 0.7 else subject
    path = endpoint.path.replace("{s}", encoded).replace("{key}", quote(key, errors="replace"))
    is_plain = subject in SUBJECTS and "%" not in subject
    normal = ("{s}" not in endpoint.path or is_plain) and "{key}" not in endpoint.path
    if random.random() < 0.1:
        path = path.replace(FACE, random.choice((NOBODY, NOBODY.upper(), *engine.MALFORMED)))
        normal = FACE not in endpoint.path and normal
    if random.random() < 0.03:
        return f"{PREFIX}{path}{random.choice(('//', '/x', '%2f', '/..', '/%00', ';a', '.'))}", False
    return f"{PREFIX}{path}{random.choice(('', '', '', '/'))}", normal


def _body(random: Random, endpoint: Endpoint) -> tuple[str, bytes, list[tuple[str, str]]]:
    """-> content type, body, and the parameters."""
    parameters = [(name, _parameter(random, name)) for name in endpoint.query if random.random() < 0.6]
    if random.random() < 0.1:
        parameters += [(random.choice(("x", "", "threshold", "collection", "limit")), random.choice(BAD))]
    kind = random.choice((FORM, FORM, FORM, JSON)) if endpoint.files else JSON if endpoint.fields else ""
    if not kind and random.random() < 0.1:
        kind = random.choice((FORM, JSON))
    makers = {FORM: _form, JSON: _json}
    body = makers[kind](random, endpoint) if kind else b""
    if random.random() < 0.05:
        body = random.choice((random.choice(BODIES), engine.mutated(random, body, engine.BODIES)))
    return kind, body, parameters


def _parameter(random: Random, name: str) -> str:
    several = GOOD[name] if name in GOOD and random.random() < 0.8 else (*BAD, *WRONG_SUBJECTS)
    return random.choice(several)


def _json(random: Random, endpoint: Endpoint) -> bytes:
    content: dict[str, Any] = {name: base64.b64encode(photo(random)).decode() for name in endpoint.files}
    content.update({name: _field(random, name) for name in endpoint.fields})
    if random.random() < 0.1:
        content["api_endpoint"] = "recognition/subjects"
    if content and random.random() < 0.1:
        content[random.choice(list(content))] = random.choice((*SCALARS, *NESTED))
    if content and random.random() < 0.03:
        del content[random.choice(list(content))]
    return json.dumps(content.get("ids") if "ids" in endpoint.fields else content).encode()


def _field(random: Random, name: str) -> Any:
    if name == "ids":
        return [random.choice((FACE, FACE, NOBODY)) for _ in range(random.choice((0, 1, 2, 5)))]
    if name == "embeddings":
        numbers = (0.5, -1, 1e-300, 7) if random.random() < 0.8 else (0, 1e300, 10**400, float("nan"), None, "1", True)
        size = random.choice((SIZE, SIZE, SIZE, 0, 1, SIZE + 1))
        return [[random.choice(numbers) for _ in range(size)] for _ in range(random.choice((0, 1, 1, 2)))]
    return random.choice(SUBJECTS if random.random() < 0.8 else WRONG_SUBJECTS)


def _form(random: Random, endpoint: Endpoint) -> bytes:
    files = endpoint.files
    if random.random() < 0.1:
        files = random.choice(((), ("image",), (*files, *files), (*files, "file"), files * 25))
    head = b'; filename="a.jpg"' + random.choice((b"", b"\r\nContent-Type: image/jpeg"))
    return b"".join(engine.PART % (name.encode(), head, photo(random)) for name in files) + b"--b--\r\n"


def _form_fields(fields: list[tuple[str, str]]) -> bytes:
    encoded = [(name.encode(), value.encode("utf-8", "replace")) for name, value in fields]
    return b"".join(engine.PART % (name, b"", value) for name, value in encoded)


def check(case: dict[str, Any], status: int, body: Any) -> None:
    """Check a response. body: None if there is none, and bytes if it is no JSON. Raises AssertionError."""
    if status >= 400 and body is not None:
        assert set(body) == {"message", "code"}, body
        assert type(body["code"]) is int, body
        assert isinstance(body["message"], str) and body["message"], body
        assert (status, body["code"]) in ERRORS, (status, body)
    else:
        assert status in (200, 201, 204, 400, 403, 404), (status, body)
    if case["method"] == "OPTIONS" or case["event"]:
        return
    key = case["key"]
    if key not in (*KEYS, READER, ADMIN):
        assert status >= 400, f"answered in spite of its key: {body}"
    if not case["normal"]:
        return
    code = body.get("code") if status >= 400 and body is not None else None
    expected = 20 if key == "" else 10 if key not in (*KEYS, READER, ADMIN) else None
    assert expected is None or code == expected, f"code {code} instead of {expected}"
    assert expected is not None or code not in (10, 20), f"refused in spite of its key: {body}"
    if case["changes"]:
        assert (status == 403) == (key == READER), f"{key} and {status}: {body}"
    assert key in (*KEYS, ADMIN) or not case["changes"] or status >= 400, f"a reader may not do this: {body}"
