"""Indexing faces for clients of Rekognition: what is stored of them."""

from __future__ import annotations

from pathlib import Path

from model.detection.detector import Detector
from service.faces import FaceService
from service.galleries import Galleries
from service.indexing import IndexService
from storage.folder import FolderBlobs
from storage.live import LiveModel
from storage.live_collections import LiveCollections
from testing.paths import SAMPLES
from tests import versions as tiny


def test_crops_of_indexed_faces_are_stored(tmp_path: Path) -> None:
    tiny.write(tmp_path / "models")
    model = LiveModel(lambda: FolderBlobs(tmp_path / "models"), refresh=False)
    galleries = Galleries(model, LiveCollections(lambda: FolderBlobs(tmp_path / "galleries")))
    galleries.create("team")
    index = IndexService(galleries, FaceService(galleries, Detector()), keep_crops=True)
    found = index.index("team", (SAMPLES / "astronaut.jpg").read_bytes(), None, 1, "none")
    (face,) = (each.listed.face for each in found.indexed)
    assert galleries.crop("team", face.id)
