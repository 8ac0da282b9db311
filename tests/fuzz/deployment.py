"""A service with tiny networks and all keys, for requests in the dialects of other services.

Its collections are in a temporary folder and change from input to input.
"""

from __future__ import annotations

import atexit
import io
import re
import tempfile
from functools import lru_cache
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import UUID

import numpy as np
from aws_lambda_powertools import Logger
from PIL import Image

import app as app_module
from app import App, compose
from model.gallery import Gallery
from service.errors import UnknownCollection
from service.faces import FaceService
from service.galleries import Galleries
from service.people import PeopleService
from service.services import Services
from settings import Settings
from storage.blobs import check_key
from storage.errors import BlobNotFound, CorruptData, StorageError, StorageRefused, StorageUnreachable
from storage.folder import FolderBlobs
from storage.live import LiveModel
from storage.live_collections import LiveCollections
from tests import versions
from tests.fuzz import engine
from tests.fuzz.people import Shapes
from training.publishing.versions import write_version

READER, ADMIN = "key-of-the-readers-7f3a", "key-of-the-administrator-91c2"
KEYS = {"key-of-the-cameras-04d8": "cameras", "key-of-the-doors-b6e5": "doors"}
BUCKETS = ("photos", "more-photos")
FACE, TOKEN = "{face}", "{token}"  # in place of a face's ID and of a token of a page that exist
NOBODY = "11111111-1111-4111-8111-111111111111"

# Objects in each bucket. Others are photos.
ERRORS: dict[str, type[StorageError]] = {
    "missing": BlobNotFound,
    "refused": StorageRefused,
    "large": CorruptData,
    "slow": StorageUnreachable,
}
OBJECTS = ("photo", "photo", "photo", "folder/a b.jpg", "é/%", "broken", "empty", *ERRORS)


class Deployment:
    """The service, and what is remembered of its responses.

    folder: of the collections; token: of the latest listing that goes on; is_unreachable: so was a bucket, in the
    latest request.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.token, self.is_unreachable = folder / "galleries", "none", False
        write_version(folder, lambda path: path.write_bytes(versions.network()), _bundled(), "lfw", None)
        live = LiveModel(lambda: FolderBlobs(folder), refresh=False)
        collections = LiveCollections(lambda: FolderBlobs(self.folder), start=lambda task: task())
        galleries, detector = Galleries(live, collections), Shapes()
        people = PeopleService(galleries, detector, keep_crops=True)
        services = Services(FaceService(galleries, detector), people, galleries)
        self.app = self._compose(services)

    def _compose(self, services: Services) -> App:
        settings = Settings(
            api_key=READER,
            admin_key=ADMIN,
            compreface_keys=KEYS,
            rekognition_buckets=BUCKETS,
            keep_crops=True,
            metrics=False,
        )
        app = compose(settings, services, log=Logger(service="fuzz", level="CRITICAL"))
        first = {"httpMethod": "POST", "path": "/", "requestContext": {}, "headers": {"x-amz-target": "first"}}
        # The first request loads the dialect, which takes the reader of photos from the module.
        with patch.object(app_module, "read_photo", self.read_photo):
            app.handle(first, SimpleNamespace(aws_request_id="request-0"))
        return app

    def read_photo(self, bucket: str, key: str, version: str | None) -> bytes:
        """Return a photo, or raise an error as S3 does."""
        assert bucket in BUCKETS
        check_key(key)
        if key in ERRORS:
            self.is_unreachable = key == "slow"
            raise ERRORS[key](f"{key} in {bucket}")
        contents = {"broken": b"\xff\xd8\xff", "empty": b""}
        return contents.get(key, photo(Random(key)))

    def answer(self, event: dict[str, Any]) -> dict[str, Any]:
        self.is_unreachable = False
        answered = self.app.handle(event, SimpleNamespace(aws_request_id="request-1"))
        token = re.search(r'"NextToken":"([^"]+)"', answered["body"])
        self.token = token[1] if token else self.token
        return answered

    def fill(self, text: str, collection: str | None, random: Random) -> str:
        """Put what exists in place of FACE and TOKEN. collection: of the face, None for the default."""
        faces = self._faces(collection) if FACE in text else ()
        text = re.sub(re.escape(FACE), lambda _: random.choice(faces or (NOBODY,)), text)
        return text.replace(TOKEN, self.token)

    def state(self) -> dict[str, bytes]:
        """Return the manifests of all collections, by the collection's name."""
        return {path.parent.name: path.read_bytes() for path in self.folder.glob("*/manifest.json")}

    def _faces(self, collection: str | None) -> tuple[str, ...]:
        try:
            gallery = self.app.services.galleries.open(collection)().snapshot.gallery
        except UnknownCollection:
            return ()
        return tuple(face.id for face in gallery.faces)


@lru_cache(maxsize=1)
def deployment() -> Deployment:
    temporary = tempfile.TemporaryDirectory()
    atexit.register(temporary.cleanup)
    return Deployment(Path(temporary.name))


def _bundled() -> Gallery:
    """The people that are published with the model. IDs of faces are UUIDs, as in a real version."""
    given = versions.gallery()
    faces = [face._replace(id=str(UUID(int=number))) for number, face in enumerate(given.faces)]
    return Gallery.of(given.spec, given.cohort, given.people, faces, given.embeddings, next_id=given.next_id)


def photo(random: Random) -> bytes:
    """Return a photo with no face, one or two, or one in six times a damaged photo."""
    return engine.damaged_image(random) if random.random() < 1 / 6 else _noise(random.randrange(70))


@lru_cache(maxsize=None)
def _noise(number: int) -> bytes:
    # Sharp edges: blurred faces are not indexed.
    noise = np.random.RandomState(number).randint(0, 256, (20, 20, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((60 + number, 80), resample=0).save(file, "JPEG", quality=70)
    return file.getvalue()
