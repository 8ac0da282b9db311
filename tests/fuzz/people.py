"""Malformed requests about people and collections, to a service whose collections can change.

Its networks and its detector are tiny. Its collections are in a temporary folder and change from input to input, so an
input may fail only after those before it.
"""

from __future__ import annotations

import atexit
import base64
import io
import json
import tempfile
from functools import lru_cache
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
from aws_lambda_powertools import Logger
from PIL import Image

from app import App, compose
from model.detection.detector import Detector
from model.face import Box, Face
from model.photo import Photo
from service.faces import FaceService
from service.galleries import Galleries
from service.people import PeopleService
from service.services import Services
from settings import Settings
from storage.folder import FolderBlobs
from storage.live import LiveModel
from storage.live_collections import LiveCollections
from tests import versions
from tests.fuzz import engine
from training.publishing.versions import write_version

READER, ADMIN = "reader", "admin"
COLLECTIONS = ("people", "people", "people", "team", "a.b", "lfw", "never", "", "..", "x" * 256, "\u202e")
ID, FACE = "{id}", "{face}"  # in paths and in bodies that are text, in place of an ID that exists
# Fields of the JSON objects and forms of each route.
PHOTO = ("image",)
PHOTOS = {"image", "source", "target"}
JSON, FORM, IMAGE = "application/json", "multipart/form-data; boundary=b", "image/png"
ROUTES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    *((("POST", path, PHOTO)) for path in ("/classify", "/detect", "/embed", "/people/{id}/faces")),
    ("POST", "/compare", ("source", "target")),
    ("POST", "/search", ("embedding", "top", "threshold")),
    *(("POST", "/people", ("name", "external_id")),) * 4,
    *(
        ("PATCH", "/people/{id}", fields)
        for fields in (("name",), ("external_id",), ("into",), ("name", "external_id"))
    ),
    *(("GET", path, ()) for path in ("/people", "/people/{id}", "/people/{id}/faces", "/collections")),
    *(("GET", "/collections/{c}", ()), ("PUT", "/collections/{c}", ()), ("PUT", "/collections/{c}", ())),
    *(("DELETE", "/people/{id}", ()), ("DELETE", "/people/{id}/faces/{face}", ()), ("DELETE", "/collections/{c}", ())),
)
TEXTS = (
    *("Ada", "Zoë", "山田", "x" * 255, "Grace Hopper", "محمد علي"),
    *("x" * 256, "", " ", "a\x00b", "\u202e", "\ud800", "e\u0301" * 300, "null"),
)
NUMBERS = (0, 1, -1, 5, 20, 1000, 1001, 0.5, 1.0, 1e300, 10**18, 10**30, float("nan"), float("inf"))
OTHERS: tuple[Any, ...] = (None, True, [], {}, [1], {"a": []}, [[]] * 200)
FIELDS = (
    "name",
    "external_id",
    "into",
    "embedding",
    "collection",
    "image",
    "source",
    "target",
    "top",
    "threshold",
    "x",
)
QUERY = ("collection", "collection", "limit", "after", "top", "threshold", "strictness", "faces", "x")


class Shapes(Detector):
    """Finds no face, one or two in a photo, depending on its width."""

    def __init__(self) -> None:
        """Load nothing."""

    def detect(self, photo: Photo) -> list[Face]:
        width, height = photo.preview().size
        factor = np.array([photo.width / width, photo.height / height])
        face = np.array([[0.35, 0.4], [0.65, 0.4], [0.5, 0.6], [0.4, 0.75], [0.6, 0.75]]) * (width, height) * factor
        left, top, right, bottom = (0.2 * photo.width, 0.1 * photo.height, 0.8 * photo.width, 0.9 * photo.height)
        return [Face(Box(left, top, right, bottom), 0.99, face)] * (0, 1, 1, 1, 1, 1, 2)[photo.width % 7]


@lru_cache(maxsize=1)
def app() -> App:
    """An app with tiny networks and a temporary folder for its collections."""
    temporary = tempfile.TemporaryDirectory()
    atexit.register(temporary.cleanup)
    folder = Path(temporary.name)
    write_version(folder, lambda path: path.write_bytes(versions.network()), versions.gallery(), "lfw", None)
    live = LiveModel(lambda: FolderBlobs(folder), refresh=False)
    collections = LiveCollections(lambda: FolderBlobs(folder / "galleries"), start=lambda task: task())
    galleries, detector = Galleries(live, collections), Shapes()
    services = Services(FaceService(galleries, detector), PeopleService(galleries, detector), galleries)
    log = Logger(service="fuzz", level="CRITICAL")
    return compose(Settings(api_key=READER, admin_key=ADMIN, metrics=False), services, log=log)


def malformed_request(random: Random) -> dict[str, Any]:
    """Make an event of any source: a request to one of ROUTES, of which parts are wrong."""
    method, path, fields = random.choice(ROUTES)
    body, kind, encoded = _body(random, fields)
    # A collection that is deleted too often holds nobody.
    path = path.replace("{c}", random.choice(COLLECTIONS[2:] if method == "DELETE" else COLLECTIONS))
    if random.random() < 0.1:
        path = path.replace(ID, random.choice(engine.MALFORMED)).replace(FACE, random.choice(engine.MALFORMED))
    path += random.choice((*[""] * 12, "/", "//", "/x"))
    if random.random() < 0.05:
        method = random.choice(engine.METHODS)
    headers = {"content-type": kind, "x-api-key": random.choice((*[ADMIN] * 20, READER, "", "\ud800"))}
    if random.random() < 0.05:
        headers[random.choice(engine.NAMES).lower()] = random.choice(engine.MALFORMED)
    query = {random.choice(QUERY): _text(random) for _ in range(random.choice((*[0] * 7, 1, 1, 2)))}
    return engine.event_of(random, method, path, headers, query, body, encoded)


def _body(random: Random, fields: tuple[str, ...]) -> tuple[str, str, bool]:
    """-> body of an event, its content type, and whether it is in base64. fields: of the route."""
    kinds: tuple[str, ...] = (JSON, FORM, FORM, FORM, IMAGE) if (PHOTOS | {"name"}) & set(fields) else (JSON,)
    if not fields or random.random() < 0.1:
        kinds, fields = (JSON, FORM, IMAGE, ""), ()
    if random.random() < 0.1:
        fields = (*fields, *random.sample(FIELDS, 2))
    kind = random.choice(kinds)
    makers = {JSON: _json, FORM: _form, IMAGE: _image}
    data = makers[kind](random, fields) if kind else b""
    if random.random() < 0.1:
        data = engine.mutated(random, data, engine.BODIES)
    sent = random.choice(engine.CONTENT_TYPES) if random.random() < 0.05 else kind
    if kind == JSON and (ID.encode() in data or random.random() < 0.5):
        return data.decode("utf-8", random.choice(engine.ERRORS)), sent, False
    return base64.b64encode(data).decode(), sent, True


def _json(random: Random, fields: tuple[str, ...]) -> bytes:
    if random.random() < 0.05:
        return json.dumps(random.choice((*TEXTS, *NUMBERS, *OTHERS))).encode()
    return json.dumps({name: _value(random, name) for name in fields}).replace(f'"{ID}"', ID).encode()


def _value(random: Random, name: str) -> Any:
    """A value of a JSON field, which often fits its name."""
    if random.random() < 0.1:
        return random.choice((*TEXTS, *NUMBERS, *OTHERS))
    if name == "embedding":
        numbers = (0.5, -1, 1e-300, 7) if random.random() < 0.8 else NUMBERS
        return [random.choice(numbers) for _ in range(random.choice((versions.SIZE, versions.SIZE, 199)))]
    if name in PHOTOS:
        return base64.b64encode(_photo(random)).decode()
    others = {"into": random.choice((ID, random.randrange(9))), "collection": random.choice(COLLECTIONS), "top": 3}
    return others.get(name, random.choice(TEXTS))


def _form(random: Random, fields: tuple[str, ...]) -> bytes:
    texts = [(name, _text(random).encode("utf-8", "replace")) for name in fields if name not in PHOTOS]
    files = [name for name in fields if name in PHOTOS - {"image"}]
    files = files or ["file"] * random.choice((0, 1, 1, 2, 3, 3, 25))
    head = b'; filename="a.png"\r\nContent-Type: image/png'
    parts = [engine.PART % (name.encode(), b"", text) for name, text in texts]
    parts += [engine.PART % (name.encode(), head, _photo(random)) for name in files]
    return b"".join(parts) + b"--b--\r\n"


def _image(random: Random, _: tuple[str, ...]) -> bytes:
    return _photo(random)


def _photo(random: Random) -> bytes:
    if random.random() < 0.2:
        return engine.damaged_image(random)
    size = (random.randrange(20, 60), random.choice((32, 40)))
    noise = np.random.RandomState(random.randrange(2**32)).randint(0, 256, (4, 4, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize(size).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _text(random: Random) -> str:
    several = TEXTS if random.random() < 0.6 else (*COLLECTIONS, *engine.VALUES, *map(str, NUMBERS))
    return random.choice(several)


def check_request(event: dict[str, Any]) -> str | None:
    """Check the response to a request. -> a description of the failure, or None."""
    return engine.check_answer(app(), _filled(event))


def answer(event: dict[str, Any]) -> dict[str, Any]:
    """-> the response to a request."""
    return app().handle(_filled(event), SimpleNamespace(aws_request_id="request-1"))


def _filled(event: dict[str, Any]) -> dict[str, Any]:
    """Put IDs that exist in place of ID and FACE."""
    text = json.dumps(event)
    random = Random(text)
    people = app().services.galleries.open(None)().snapshot.gallery
    key = random.choice(people.people).id if people.people else 0
    faces = people.faces_of(key)
    face = random.choice(faces).id if faces else "none"
    filled: dict[str, Any] = json.loads(text.replace(ID, str(key)).replace(FACE, face))
    return filled
