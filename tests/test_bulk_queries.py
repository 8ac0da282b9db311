"""The queries of docs/bulk.md, with DuckDB, over results that the function has written."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator

import duckdb
import pytest
from PIL import Image

from app import compose, create_app
from settings import Settings
from storage.folder import FolderBlobs
from testing.paths import ROOT, SAMPLES
from tests.services import IDENTIFIED

NAMES = ("Kofi_Annan_0006", "Serena_Williams_0006", "Tony_Blair_0007")
PEOPLE = [SAMPLES / f"{name}.jpg" for name in NAMES]
STRANGER = SAMPLES / "astronaut.jpg"


def statements() -> dict[str, str]:
    """Read the SQL of the document, by the comment in its first line."""
    blocks = re.findall(r"```sql\n-- (.*?)\n(.*?)```", (ROOT / "docs/bulk.md").read_text(encoding="utf-8"), re.DOTALL)
    return dict(blocks)


def side_by_side(*paths: Path) -> bytes:
    """A photo with the persons of several photos."""
    photos = [Image.open(path).convert("RGB").resize((250, 250)) for path in paths]
    whole, file = Image.new("RGB", (250 * len(photos), 250)), io.BytesIO()
    for number, photo in enumerate(photos):
        whole.paste(photo, (250 * number, 0))
    whole.save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The views of the document, over the results of a run. The same photos are there twice, in another batch."""
    bucket = FolderBlobs(tmp_path_factory.mktemp("bucket"))
    kofi, serena, tony = PEOPLE
    photos = {
        "kofi.jpg": kofi.read_bytes(),
        "kofi and serena.jpg": side_by_side(kofi, serena),
        'kofi\'s, "2".jpg': side_by_side(kofi, serena),
        "all.jpg": side_by_side(kofi, serena, tony, STRANGER),
        "stranger.jpg": STRANGER.read_bytes(),
        "broken.jpg": kofi.read_bytes()[:5000],
        "none.jpg": b"no photo",
        "none 2.jpg": b"no photo",
    }
    items = [{"Key": key, "Etag": bucket.put(key, data), "Size": len(data)} for key, data in photos.items()]
    services = create_app(Settings(metrics=False)).services
    app = compose(Settings(metrics=False), services, lambda _: bucket)
    context = SimpleNamespace(aws_request_id="request-1", get_remaining_time_in_millis=lambda: 10**6)
    given = {"task": "classify", "bucket": "my-photos", "run": "RUN", "collection": ""}
    for batch in (items, items[:3]):
        app.on_batch({"BatchInput": given, "Items": batch, "Attempt": 0}, context)
    with duckdb.connect() as connection:
        table = statements()["DuckDB: the table"].replace("results/RUN", f"{bucket.uri}/results/RUN")
        connection.execute(table)
        connection.execute(statements()["DuckDB: the faces"])
        yield connection


def test_all_photos_with_a_person(database: Any) -> None:
    (kofi,) = database.execute("SELECT DISTINCT person FROM faces WHERE name = 'Kofi Annan'").fetchone()
    query = statements()["all photos with person 17"]
    assert "person = 17" in query
    found = database.execute(query.replace("17", str(kofi))).fetchall()
    assert [photo for photo, _ in found] == ["all.jpg", "kofi and serena.jpg", 'kofi\'s, "2".jpg', "kofi.jpg"]
    assert all(0.5 < confidence < 1 for _, confidence in found)


def test_who_appears_with_whom(database: Any) -> None:
    found = database.execute(statements()["who appears with whom"]).fetchall()
    pairs = {frozenset((one, other)): photos for one, other, photos in found}
    assert pairs == {
        frozenset(("Kofi Annan", "Serena Williams")): 3,
        frozenset(("Kofi Annan", "Tony Blair")): 1,
        frozenset(("Serena Williams", "Tony Blair")): 1,
    }
    assert found[0][2] == 3


def test_photos_with_unknown_faces(database: Any) -> None:
    found = database.execute(statements()["photos with unknown faces"]).fetchall()
    assert found == [("all.jpg", 1), ("stranger.jpg", 1)]


def test_failures_by_code(database: Any) -> None:
    found = database.execute(statements()["failures by code"]).fetchall()
    assert found == [("unsupported_media_type", 2), ("unreadable_image", 1)]


def test_both_tables_have_the_same_columns(database: Any) -> None:
    """The table for Athena cannot be run here, so its columns are compared with those of DuckDB."""
    athena, ours = statements()["Athena: the table"], statements()["DuckDB: the table"]
    columns = re.findall(r"^  (\w+)", athena, re.MULTILINE)
    assert columns == re.findall(r"^  (\w+):", ours, re.MULTILINE)
    fields = re.findall(r"(\w+): (?:bigint|string|double|boolean)", athena)
    assert fields == [
        *("predicted_id", "predicted_name", "confidence", "known", "version", "collection", "revision", "code"),
        *("message", "bucket", "key", "etag"),
    ]


def test_fields_of_a_line(database: Any) -> None:
    """A line has the fields of the tables."""
    names = [row[0] for row in database.execute("DESCRIBE photos").fetchall()]
    first = database.execute("SELECT * FROM photos WHERE source.\"key\" = 'kofi.jpg'").fetchone()
    found = dict(zip(names, first))
    assert all(value is not None for name, value in found.items() if name != "error"), json.dumps(names)
    assert found["source"]["bucket"] == "my-photos"
    assert found["gallery"]["collection"] == "lfw"
    assert found["faces"][0]["predicted_name"] == "Kofi Annan"
    assert IDENTIFIED.faces_detected == found["faces_detected"] == 1
