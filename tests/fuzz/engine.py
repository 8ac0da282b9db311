"""Generators of malformed requests and damaged photos, and checks that must hold for all of them.

Any input may only raise errors that api/problems.py maps to a status and a code, within two seconds.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import importlib
import io
import json
import re
import time
import warnings
import zlib
from functools import lru_cache
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, Callable

from aws_lambda_powertools import Logger
from PIL import Image
from pillow_heif import register_heif_opener

from api.lambda_events import adapter_for
from api.problems import INTERNAL, TABLE, describe_error
from api.uploads import MAX_BYTES, read
from app import App, compose
from model.calibration import STRICTNESS
from model.photo import MAX_JPEG_PIXELS, MAX_PIXELS, decode
from service.results import DUPLICATE, SEVERAL_FACES, TOO_SMALL
from settings import Settings
from testing.paths import EVENTS, SAMPLES
from tests.services import fixed

REGRESSIONS = Path(__file__).parent / "regressions"
MODULES = ("people", "dialects")  # those with services whose collections change
CODES = {code for _, code in TABLE.values()} | {SEVERAL_FACES, TOO_SMALL, DUPLICATE}
SLOW = 2  # seconds of CPU time, which does not depend on other programs

PART = b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
BODIES = (
    PART % (b"file", b'; filename="x.jpg"\r\nContent-Type: image/jpeg', b"\xff\xd8\xff") + b"--b--\r\n",
    PART % (b"top", b"", b"3") + PART % (b"f", b"; filename*=UTF-8''%C3%A9.jpg", b"data") + b"--b--\r\n",
    PART % (b"threshold", b"\r\nContent-Type: text/plain", b"0.5") + PART % (b"f", b"; filename=x", b"d") + b"--b--",
    b"preamble\r\n" + PART % (b"f", b'; filename="C:\\\\x\\"y"\r\n folded: 1', b"d") + b"--b--\r\nepilogue",
    PART % (b"f", b"\r\nContent-Type: multipart/mixed; boundary=c", b"--c\r\n\r\nx\r\n--c--") + b"--b--\r\n",
    b'{"image": "data:image/png;base64,iVBORw0KGgo=", "top": 3}',
    b'{"image": "/9j_-w"}',
    b"\x89PNG\r\n\x1a\n",
    b"",
)
CONTENT_TYPES = (
    "multipart/form-data; boundary=b",
    'Multipart/Form-Data; charset=utf-8; boundary="b"',
    "application/json",
    "application/json; charset=utf-8",
    "image/heic",
    "",
)
VALUES = ("3", "0.5", "all", "largest", "nan", "inf", "1e999", "0x1", "", "\u0661", "-1", "1_0", "20", "1", "\ud800")
OPTIONS = ("top", "threshold", "strictness", "faces", "x")
TOKENS = tuple(
    b"\r\n|\n|\r|\r\n\r\n|--b|--b--|\r\n--b|\r\n--b--|\r\n--b\r\n|\"|\\|\\\"|;|:|=|*|'|''|%|%00|%0d%0a|/|../|\\..\\|\0|\x7f|\xff"
    b"|\xed\xa0\x80|\xe2\x80\xae|name=|filename=|filename*=UTF-8''|filename*=idna''|filename*0*=|boundary=|form-data|file"
    b"|top|threshold|strictness|faces|Content-Disposition: |Content-Type: |multipart/mixed|text/plain|image/jpeg"
    b'|application/json|{"image": "|"}|[|{|data:|;base64,|NaN|1e999|null|\\ud800|\xef\xbb\xbf'.split(b"|")
)
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(random: Random, data: bytes, others: tuple[bytes, ...]) -> bytes:
    """Change data at one to six random places. others: data that may be spliced in."""
    for _ in range(random.choice((1, 1, 2, 3, 6))):
        at = random.randrange(len(data) + 1)
        span = data[at : at + 1 + random.randrange(2 ** random.randrange(8))]
        other = random.choice(others)
        pieces = (
            b"",
            bytes([random.randrange(256)]),
            bytes(byte ^ 1 << random.randrange(8) for byte in span[:1]),
            random.choice(TOKENS),
            _number(random),
            span * random.choice((2, 3, 300)),
            other[random.randrange(len(other) + 1) :],
        )
        piece = random.choice(pieces)
        # Insert, overwrite, replace the span, or truncate.
        lost = random.choice((0, len(piece), len(piece), len(span), len(data)))
        data = data[:at] + piece + data[at + lost :]
    return data


def _number(random: Random) -> bytes:
    """Return an extreme integer of 1, 2 or 4 bytes, as image headers have them."""
    size = random.choice((1, 2, 4))
    return (random.choice(EXTREMES) % 256**size).to_bytes(size, random.choice(("big", "little")))


def malformed_event(random: Random) -> dict[str, Any]:
    """Make an upload event whose body, content type and encoding do not fit together, as no gateway would send it."""
    body, kind = random.choice(BODIES), random.choice(CONTENT_TYPES)
    if body.startswith((b"--b", b"preamble")) and random.random() < 0.9:
        kind = random.choice(CONTENT_TYPES[:2])
    if random.random() < 0.9:
        body = mutated(random, body, BODIES)
    if random.random() < 0.2:
        kind = mutated(random, kind.encode(), BODIES).decode("utf-8", "surrogateescape")
    encoded = random.random() < 0.8
    text = base64.b64encode(body).decode() if encoded else body.decode("utf-8", random.choice(ERRORS))
    if random.random() < 0.05:
        text = mutated(random, text.encode("utf-8", "replace"), BODIES).decode("latin-1")
    query = {name: random.choice(VALUES) for name in OPTIONS if random.random() < 0.1}
    event: dict[str, Any] = {"body": text, "isBase64Encoded": encoded, "queryStringParameters": query or None}
    event["headers"] = {random.choice(("content-type", "Content-Type")): kind}
    if random.random() < 0.1:
        event["multiValueHeaders"] = {"Content-Type": [kind, kind]}
        event["multiValueQueryStringParameters"] = {name: [value, value] for name, value in query.items()}
        del event["headers"]
    return event


ERRORS = ("replace", "surrogateescape", "ignore")

METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "TRACE", "get", "", "\u0130", "X" * 300)
PATHS = ("/classify", "/health", "/people", "/openapi.json", "/", "", "/dev/classify", "//classify/", "/classify%00")
MALFORMED = (
    "",
    "/",
    "%",
    "%2f..%2f",
    "\x00",
    "\ud800",
    "\u202e",
    "{}",
    "{proxy+}",
    "*",
    "\r\nX: y",
    "'" * 3,
    "9" * 400,
    "\u00e9",
)
NAMES = (
    "Content-Type",
    "origin",
    "X-Api-Key",
    "accept-encoding",
    "Content-Length",
    "Access-Control-Request-Method",
    "",
)


def malformed_request(random: Random) -> dict[str, Any]:
    """Make a whole event of any source, with a random method, path, headers, query and body."""
    upload_event = malformed_event(random)
    method, path = random.choice(METHODS), random.choice(PATHS)
    if random.random() < 0.3:
        path += "".join(random.choice((*MALFORMED, *PATHS)) for _ in range(random.randrange(4)))
    headers = {name.lower(): value for name, value in upload_event.get("headers", {}).items()}
    headers.update({random.choice(NAMES): random.choice(MALFORMED) for _ in range(random.randrange(3))})
    query = {**(upload_event["queryStringParameters"] or {}), random.choice(MALFORMED): random.choice(MALFORMED)}
    return event_of(random, method, path, headers, query, upload_event["body"], upload_event["isBase64Encoded"])


def event_of(
    random: Random, method: str, path: str, headers: dict[str, str], query: dict[str, str], body: str, encoded: bool
) -> dict[str, Any]:
    """Make an event of any source. encoded: the body is in base64."""
    event = copy.deepcopy(random.choice(recorded_events()))
    event.update(body=body, isBase64Encoded=encoded)
    if event.get("version") == "2.0":
        event.update(rawPath=path, headers=headers, queryStringParameters=query)
        event["requestContext"]["http"].update(method=method, path=path)
        return event
    event.update(httpMethod=method, path=path)
    for name, values in (("headers", headers), ("queryStringParameters", query)):
        several = f"multiValue{name[0].upper()}{name[1:]}"
        if name in event:
            event[name] = values if random.random() < 0.9 else None
        if several in event:
            event[several] = {key: [value] * random.choice((1, 1, 2)) for key, value in values.items()}
    return event


@lru_cache(maxsize=1)
def recorded_events() -> tuple[dict[str, Any], ...]:
    return tuple(json.loads(path.read_text()) for path in sorted(EVENTS.glob("*-known-person.json")))


def damaged_image(random: Random) -> bytes:
    images = valid_images()
    data = mutated(random, random.choice(images), images)
    # Otherwise decoding nearly every damaged PNG would stop at its first checksum.
    return _with_checksums(data) if data.startswith(b"\x89PNG") and random.random() < 0.8 else data


def _with_checksums(data: bytes) -> bytes:
    """Correct the checksums of a damaged PNG."""
    at, parts = 8, [data[:8]]
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        parts += [data[at:end], zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")]
        at = end + 4
    return b"".join([*parts, data[at:]])


@lru_cache(maxsize=1)
def valid_images() -> tuple[bytes, ...]:
    """Small photos of every format and mode."""
    register_heif_opener()
    photo = Image.open(SAMPLES / "astronaut.jpg").convert("RGB").resize((48, 40))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a photo"
    clear = photo.copy()
    clear.putalpha(photo.convert("L"))
    frames: dict[str, Any] = {"save_all": True, "append_images": [photo.rotate(90)]}
    wide = photo.convert("I").point(lambda value: value * 256).convert("I;16")
    made: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (photo, "JPEG", {"exif": exif, "icc_profile": b"profile", "comment": "x"}),
        (photo, "JPEG", {"progressive": True}),
        (photo.convert("CMYK"), "JPEG", {}),
        (photo.convert("L"), "JPEG", {"restart_marker_rows": 1}),
        (photo, "PNG", {"exif": exif, "icc_profile": b"profile"}),
        (clear, "PNG", {}),
        (wide, "PNG", {}),
        (photo.convert("P"), "PNG", {"transparency": 3}),
        (photo.convert("1"), "PNG", {"transparency": 0}),
        (clear.convert("LA"), "PNG", {}),
        (photo, "PNG", frames),
        (photo, "WEBP", {"exif": exif, "icc_profile": b"profile"}),
        (clear, "WEBP", {"lossless": True}),
        (photo, "WEBP", frames),
        (photo, "GIF", {"comment": b"x"}),
        (clear, "GIF", {"interlace": False}),
        (photo, "GIF", frames),
        (photo, "HEIF", {"exif": exif, "quality": 50}),
        (clear, "HEIF", {"quality": 50}),
        (photo.convert("L"), "HEIF", {"quality": 50}),
    ]
    return (*(_encoded(*each) for each in made), (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes())


def _encoded(image: Image.Image, kind: str, options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def check_event(event: dict[str, Any]) -> str | None:
    """Check how an event is read. -> a description of the failure, or None."""

    def check() -> None:
        whole = {"httpMethod": "POST", "path": "/classify", "requestContext": {}, **event}
        upload = read(adapter_for(whole).parse(whole, "request-1"))
        assert 0 < len(upload.name) <= 255
        assert not re.search(r"[\x00-\x1f\x7f-\x9f/\\]", upload.name)
        assert upload.name not in (".", "..")
        assert 0 < len(upload.image) <= MAX_BYTES
        assert 1 <= upload.options.top <= 20
        assert upload.options.threshold is None or 0 <= upload.options.threshold <= 1
        assert upload.options.strictness in (None, *STRICTNESS)

    return failure_of(check)


@lru_cache(maxsize=1)
def app() -> App:
    """The whole function with a service that ignores the photo."""
    log = Logger(service="fuzz", level="CRITICAL")  # with the same name it would change the function's own logger
    return compose(Settings(cors_origins=("https://page.example",), metrics=False), fixed(), log=log)


def check_request(event: dict[str, Any]) -> str | None:
    """Check the response to a request. -> a description of the failure, or None."""

    return check_answer(app(), event)


def check_answer(app: App, event: dict[str, Any]) -> str | None:
    """Check an app's response to a request. -> a description of the failure, or None."""

    def check() -> None:
        answer = app.handle(event, SimpleNamespace(aws_request_id="request-1"))
        assert 200 <= answer["statusCode"] < 500, answer
        assert isinstance(answer["body"], str)
        if answer["body"]:
            found = json.loads(answer["body"])
            assert answer["statusCode"] < 400 or found["error"]["code"] in CODES
        check_headers(answer)

    return failure_of(check)


def check_headers(answer: dict[str, Any]) -> None:
    """Check the headers of a response, and that it can be sent. Raises AssertionError."""
    json.dumps(answer).encode()  # as the runtime does
    headers = {**answer.get("headers", {}), **answer.get("multiValueHeaders", {})}
    assert all("\n" not in str(value) for value in headers.values())
    assert headers["Cache-Control"]


def check_image(data: bytes) -> str | None:
    """Check how a photo is decoded. -> a description of the failure, or None."""

    def check() -> None:
        photo = decode(data)
        image = photo.at_scale()
        assert image.mode == "RGB"
        assert 0 < image.width * image.height <= MAX_PIXELS
        assert photo.width * photo.height <= MAX_JPEG_PIXELS
        assert photo.width * photo.height > MAX_PIXELS or image.size == (photo.width, photo.height)

    return failure_of(check)


def failure_of(check: Callable[[], None]) -> str | None:
    """Run a check. -> a description of what it raises or how slow it is, or None."""
    started = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check()
    except Exception as error:  # noqa: BLE001 this looks for bugs
        problem = describe_error(error)
        if problem.code == INTERNAL:
            return f"{error!r}"
        if not problem.message.endswith("."):
            return f"the message of the error is not a sentence: {error!r}"
    spent = time.process_time() - started
    return f"{spent:.1f} s" if spent > SLOW else None


def save(case: dict[str, Any] | bytes, module: str | None = None) -> Path:
    """Save an input, so that the tests check it in every run. module: for which it is, one of MODULES. -> its path."""
    data = case if isinstance(case, bytes) else json.dumps(case, indent=1).encode()
    kind = "image-{}.bin" if isinstance(case, bytes) else "request-{}.json" if _is_whole(case) else "event-{}.json"
    path = REGRESSIONS / (f"{module}-{{}}.json" if module else kind).format(hashlib.sha256(data).hexdigest()[:12])
    path.write_bytes(data)
    return path


def replay(path: Path) -> str | None:
    data = path.read_bytes()
    if path.suffix == ".bin":
        return check_image(data)
    event = json.loads(data)
    kind = path.name.partition("-")[0]
    if kind in MODULES:
        module = importlib.import_module(f"tests.fuzz.{kind}")  # which imports this one
        found: str | None = module.check_request(event)
        return found
    return check_request(event) if _is_whole(event) else check_event(event)


def _is_whole(event: dict[str, Any]) -> bool:
    """Return True for a whole event, False for one that contains only the upload."""
    return "requestContext" in event
