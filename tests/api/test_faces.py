"""Faces through the API: detect, compare, embed and search, and options of /classify in collections that change."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.crowds import Composer, cost
from service import indexing
from service.faces import CHUNK
from service.indexing import EXCESS, IndexService
from tests.api.client import (
    CUT,
    JENNIFER,
    KOFI,
    SERENA,
    TONY,
    WALL,
    Client,
    File,
    Form,
    another,
    jpeg,
    person,
    photos,
    side_by_side,
    tiny,
)

NO_FACE = (422, "no_face")
SIZE = 704


def pair(source: bytes, target: bytes, **fields: str) -> Form:
    return Form(fields, [File("a.jpg", source, "source"), File("b.jpg", target, "target")])


@pytest.fixture()
def three(client: Client) -> Client:
    """With three people, who have two photos each."""
    for name, photo in (("Kofi Annan", KOFI), ("Serena Williams", SERENA), ("Tony Blair", TONY)):
        client.enrol(name, photo, another(photo))
    return client


def test_detect(client: Client) -> None:
    body = client.ok("POST", "/detect", photos(side_by_side(KOFI, SERENA, 200)))
    assert (body["file"], body["faces_detected"], body["image"]) == ("1.jpg", 2, {"width": 450, "height": 250})
    left, right = body["faces"]
    assert left["box"]["left"] < 125 < 250 < right["box"]["left"]
    for face in (left, right):
        quality = face["quality"]
        assert (quality["good"], quality["reasons"]) == (True, [])
        assert quality["size"] == pytest.approx(min(face["box"]["width"], face["box"]["height"]), abs=0.06)
    assert set(body["timings_ms"]) == {"decode", "detect"}


@pytest.mark.parametrize("route", ["/detect", "/classify", "/embed"])
def test_a_photo_whose_end_is_missing(route: str, client: Client) -> None:
    """The answer says so, if at most 2 % of the pixels are missing."""
    client.enrol("Kofi Annan", KOFI)
    assert client.ok("POST", route, KOFI[:-2])["image"] == {"width": 250, "height": 250, "truncated": True}
    assert "truncated" not in client.ok("POST", route, KOFI)["image"]
    assert client.error("POST", route, KOFI[: len(KOFI) // 2]) == (422, "unreadable_image")


def test_detect_in_other_photos(client: Client) -> None:
    nobody = client.ok("POST", "/detect", WALL)
    assert (nobody["faces"], nobody["faces_detected"]) == ([], 0)
    (face,) = client.ok("POST", "/detect", tiny(KOFI))["faces"]
    assert (face["quality"]["good"], "small" in face["quality"]["reasons"]) == (False, True)
    (face,) = client.ok("POST", "/detect", another(KOFI, 40))["faces"]
    assert face["quality"]["reasons"] == ["tilted"]
    assert face["quality"]["roll"] == pytest.approx(-40, abs=5)
    assert client.error("POST", "/detect", CUT) == (422, "unreadable_image")
    assert client.error("POST", "/detect", b"no image") == (415, "unsupported_media_type")
    assert client.error("POST", "/detect") == (400, "bad_request")


def test_compare(client: Client, lfw_small: Path) -> None:
    first, second = (path.read_bytes() for path in sorted((lfw_small / "Abdullah_Gul").iterdir())[:2])
    body = client.ok("POST", "/compare", pair(first, second))
    (face,) = body["faces"]
    assert (face["same"], face["confidence"] > 0.9) == (True, True)
    assert body["model"] == client.ok("GET", "/health")["model"]
    (other,) = client.ok("POST", "/compare", pair(first, KOFI))["faces"]
    assert (other["same"], other["confidence"] < 0.1) == (False, True)
    assert client.ok("POST", "/compare", pair(first, KOFI, threshold="0"))["faces"][0]["same"] is True
    assert client.ok("POST", "/compare", pair(first, second), threshold="1")["faces"][0]["same"] is False
    assert client.ok("POST", "/compare", pair(first, first, strictness="0.1"))["faces"][0]["same"] is True


def test_compare_with_several_faces(client: Client) -> None:
    """The largest face of `source` with each face of `target`, most alike first. The order of the files is free."""
    files = pair(side_by_side(KOFI, SERENA, 200), side_by_side(SERENA, KOFI)).files
    for form in (Form({}, files), Form({}, files[::-1])):
        body = client.ok("POST", "/compare", form)
        assert body["source"]["box"]["left"] < 125
        assert [face["same"] for face in body["faces"]] == [True, False]
        assert body["faces"][0]["box"]["left"] > 250
        assert body["faces"][0]["confidence"] > body["faces"][1]["confidence"]


def test_compare_in_json_and_errors(client: Client) -> None:
    kofi = base64.b64encode(KOFI).decode()
    assert client.ok("POST", "/compare", {"source": kofi, "target": f"data:;base64,{kofi}"})["faces"][0]["same"] is True
    bodies: list[Any] = [{"source": kofi}, {"source": kofi, "target": 1}, photos(KOFI, KOFI), KOFI, None, []]
    for content in bodies:
        assert client.error("POST", "/compare", content) == (400, "bad_request")
    assert client.error("POST", "/compare", {"source": kofi, "target": ""}) == (400, "empty_upload")
    for form in (pair(KOFI, WALL), pair(WALL, KOFI)):
        assert client.error("POST", "/compare", form) == NO_FACE
    assert client.error("POST", "/compare", pair(KOFI, CUT)) == (422, "unreadable_image")
    assert client.error("POST", "/compare", pair(b"no image", KOFI)) == (415, "unsupported_media_type")
    assert client.error("POST", "/compare", pair(b"x" * 4_500_001, KOFI)) == (413, "too_large")
    assert client.error("POST", "/compare", pair(KOFI, KOFI), strictness="2") == (400, "bad_parameter")


def test_embed_and_search(three: Client) -> None:
    """The same candidates as for the photo, and again for the embedding in another scale."""
    photo = another(SERENA, -5)
    embedded = three.ok("POST", "/embed", photo)
    (face,) = embedded["faces"]
    assert embedded["embedding"]["size"] == len(face["embedding"]) == SIZE
    assert np.linalg.norm(face["embedding"]) == pytest.approx(1, abs=1e-5)
    classified = three.ok("POST", "/classify", photo)
    for scale in (1, 1e-3, 1e6):
        content = {"embedding": [number * scale for number in face["embedding"]]}
        found = three.ok("POST", "/search", content)
        for name in ("predicted_id", "predicted_name", "known", "gallery", "model"):
            assert found[name] == classified[name]
        assert [match["id"] for match in found["candidates"]] == [match["id"] for match in classified["candidates"]]
        assert found["confidence"] == pytest.approx(classified["confidence"], abs=0.01)


def test_options_of_search(three: Client) -> None:
    (face,) = three.ok("POST", "/embed", JENNIFER)["faces"]
    content = {"embedding": face["embedding"]}
    stranger = three.ok("POST", "/search", content)
    assert (stranger["known"], stranger["predicted_id"], len(stranger["candidates"])) == (False, None, 3)
    assert len(three.ok("POST", "/search", {**content, "top": 2})["candidates"]) == 2
    assert len(three.ok("POST", "/search", {**content, "top": 2.0}, top="1")["candidates"]) == 1
    assert three.ok("POST", "/search", {**content, "threshold": 0})["known"] is True
    assert three.ok("POST", "/search", {**content, "threshold": 0.99999999, "strictness": 3})["known"] is False
    assert three.ok("POST", "/search", {**content, "collection": "lfw"})["gallery"]["collection"] == "lfw"
    three.ok("PUT", "/collections/empty")
    empty = three.ok("POST", "/search", {**content, "threshold": 0}, collection="empty")
    assert (empty["predicted_id"], empty["confidence"], empty["known"], empty["candidates"]) == (None, 0, False, [])
    for name, values in BAD_OPTIONS.items():
        for value in values:
            assert three.error("POST", "/search", {**content, name: value}) == (400, "bad_parameter")


BAD_OPTIONS: dict[str, list[Any]] = {
    "top": [0, 21, 1.5, True, [1], "x"],
    "threshold": [2, -0.1, float("nan"), float("inf"), None],
    "strictness": [2, "strict"],
    "collection": ["a/b", "", "."],
}
BAD_EMBEDDINGS: dict[str, Any] = {
    "too short": [1.0] * (SIZE - 1),
    "too long": [1.0] * (SIZE + 1),
    "empty": [],
    "zeros": [0.0] * SIZE,
    "underflow": [1e-320] * SIZE,
    "overflow": [1e300] * SIZE,
    "a large integer": [10**400] * SIZE,
    "NaN": [float("nan")] + [1.0] * (SIZE - 1),
    "infinite": [float("inf")] + [1.0] * (SIZE - 1),
    "strings": ["1.0"] * SIZE,
    "booleans": [True] * SIZE,
    "null": [None] * SIZE,
    "nested": [[1.0]] * SIZE,
    "a matrix": [[1.0] * SIZE],
    "an object": {"0": 1.0},
    "a number": 1.0,
    "text": "1.0",
    "nothing": None,
}


@pytest.mark.parametrize("embedding", BAD_EMBEDDINGS.values(), ids=list(BAD_EMBEDDINGS))
def test_embeddings_that_are_not_allowed(embedding: Any, client: Client) -> None:
    assert client.error("POST", "/search", {"embedding": embedding}) == (400, "bad_parameter")


@pytest.mark.parametrize("content", [None, [], "x", b"{", b"\xff"], ids=str)
def test_search_without_an_object(content: Any, client: Client) -> None:
    assert client.error("POST", "/search", content) == (400, "bad_request")


def test_embed_all_faces(client: Client) -> None:
    both = side_by_side(KOFI, SERENA, 200)
    assert len(client.ok("POST", "/embed", both)["faces"]) == 1
    body = client.ok("POST", "/embed", both, faces="all", collection="lfw")
    assert len(body["faces"]) == 2
    names = [client.ok("POST", "/search", {"embedding": face["embedding"]})["predicted_name"] for face in body["faces"]]
    assert names == ["Kofi Annan", "Serena Williams"]
    assert client.error("POST", "/embed", WALL) == NO_FACE


def test_classify_in_a_collection_that_changes(three: Client) -> None:
    group = side_by_side(another(KOFI, -5), JENNIFER)
    body = three.ok("POST", "/classify", group, faces="all", top="2")
    assert {face["predicted_name"] for face in body["faces"]} == {"Kofi Annan", None}
    assert {len(face["candidates"]) for face in body["faces"]} == {2}
    assert body["gallery"]["faces"] == 6
    assert three.ok("POST", "/classify", JENNIFER, threshold="0")["known"] is True
    assert three.ok("POST", "/classify", KOFI, threshold="1")["known"] is False
    for strictness in ("0.1", "0.3", "1", "3"):
        assert three.ok("POST", "/classify", another(TONY, -5), strictness=strictness)["predicted_name"] == "Tony Blair"
    three.ok("PUT", "/collections/empty")
    empty = three.ok("POST", "/classify", group, faces="all", collection="empty", threshold="0")
    assert [(face["known"], face["confidence"], face["candidates"]) for face in empty["faces"]] == [(False, 0, [])] * 2


def crowd(*rows: tuple[int, list[bytes]]) -> bytes:
    """A photo of 2,400 pixels. rows: side of the people's photos in pixels, and the photos, from the left."""
    image, top = Image.new("RGB", (2400, 2400), (90, 110, 130)), 0
    for side, people in rows:
        for i, data in enumerate(people):
            image.paste(Image.open(io.BytesIO(data)).resize((side, side), Image.Resampling.LANCZOS), (i * side, top))
        top += side
    return jpeg(image)


def test_small_faces(three: Client) -> None:
    """Faces of 1.4 % of the photo: requests for all faces find them, and others do not search them."""
    photo = crowd((1200, [KOFI]), (90, [SERENA, TONY]))
    largest, body = three.ok("POST", "/classify", photo), three.ok("POST", "/classify", photo, faces="all")
    assert (largest["faces_detected"], body["faces_detected"]) == (1, 3)
    assert body["faces"][0]["face"] == largest["face"] == body["face"]
    assert {face["predicted_name"] for face in body["faces"]} == {"Kofi Annan", "Serena Williams", "Tony Blair"}
    assert len(three.ok("POST", "/detect", photo)["faces"]) == 3
    assert [len(three.ok("POST", "/embed", photo, faces=which)["faces"]) for which in ("largest", "all")] == [1, 3]
    assert three.ok("POST", "/compare", pair(photo, KOFI))["faces"][0]["same"] is True
    compared = three.ok("POST", "/compare", pair(TONY, photo))["faces"]
    assert [face["same"] for face in compared] == [True, False, False]
    assert compared[0]["box"]["left"] > 90 and compared[0]["box"]["top"] > 1200
    with_bystander = crowd((1200, [JENNIFER]), (90, [SERENA]))
    assert three.ok("POST", "/people", person("Jennifer Aniston", with_bystander))["skipped"] == []


def test_embeddings_of_more_faces_than_fit_into_a_chunk(client: Client) -> None:
    people = [KOFI, SERENA, TONY, JENNIFER]
    count = 2 * CHUNK + 1
    photo = crowd(*((500, [people[i % 4] for i in range(row, min(row + 3, count))]) for row in range(0, count, 3)))
    faces = client.ok("POST", "/embed", photo, faces="all")["faces"]
    places = [3 * int(face["box"]["top"] // 500) + int(face["box"]["left"] // 500) for face in faces]
    assert sorted(places) == list(range(count))
    embeddings = np.array([face["embedding"] for face in faces])
    same = np.array(places)[:, None] % 4 == np.array(places) % 4
    cosines = embeddings @ embeddings.T
    assert cosines[same].min() > 0.9
    assert cosines[~same].max() < 0.6


def test_most_faces_of_a_photo_that_are_indexed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.ok("PUT", "/collections/team")
    services = client.app.services
    photo = crowd((1200, [KOFI]), (90, [SERENA, TONY]))

    def indexed(max_faces: int | None) -> tuple[int, list[tuple[str, ...]]]:
        found = IndexService(services.galleries, services.faces).index("team", photo, None, max_faces, "none")
        return len(found.indexed), [reasons for _, reasons in found.left_out]

    assert indexed(None) == (3, [])
    assert indexed(2) == (2, [(EXCESS,)])
    assert indexed(1) == (1, [])  # small faces are not searched
    monkeypatch.setattr(indexing, "MOST_FACES", 2)
    for max_faces in (None, 3):
        assert indexed(max_faces) == (2, [(EXCESS,)])


def test_memory_and_response_of_a_large_group(lfw_archive: Path) -> None:
    measured = cost(Composer(lfw_archive).compose(384, 0.015).file, repeats=1)
    assert measured["faces"] >= 384
    assert measured["peak_mb"] < 500
    assert measured["bytes"] < 2_000_000  # Lambda allows 6 MB
