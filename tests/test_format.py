"""docs/format.md: its examples print what it shows, and its fields and limits are those of the code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from model.calibration import TAIL, Calibration, Tail
from model.cohort import ENTRY_WEIGHT, NEAREST, PROBE_WEIGHT
from model.crop import CropSpec
from model.embedding import MOBILE_WEIGHT, EmbeddingSpec
from model.errors import NetworkFormatError
from model.index import LENGTH_EXPONENT
from model.networks import COHORT, FORMAT, MOBILE_WEIGHTS, NetworkConfig, read_arrays, read_config
from model.records import EnrolledFace, Person
from storage import galleries
from storage.galleries import MANIFEST, MANIFEST_BYTES, Manifest
from storage.networks import BUNDLED, FILE, POINTER_BYTES, Pointer
from storage.segments import SEGMENT_ROWS, Segment
from testing.paths import ROOT

TEXT = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, re.DOTALL)
POINTER = Pointer.parse(Path(BUNDLED, "latest.json").read_bytes())
VERSION = Path(BUNDLED, POINTER.version)
COLLECTION = Path(BUNDLED, POINTER.gallery)
DESCRIBED = {
    "latest.json and version.json": (Pointer,),
    "model.pt": (NetworkConfig, CropSpec, EmbeddingSpec, Calibration, Tail),
    "manifest.json": (Manifest, Segment),
}


def section(heading: str) -> str:
    return TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_every_code_block_is_an_example() -> None:
    assert len(EXAMPLES) == TEXT.count("```python") > 0


@pytest.mark.parametrize(("code", "printed"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_example_prints_what_the_page_shows(code: str, printed: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == printed


@pytest.mark.parametrize("heading", DESCRIBED)
def test_every_field_is_described(heading: str) -> None:
    missing = [
        field.name for kind in DESCRIBED[heading] for field in fields(kind) if f"`{field.name}`" not in section(heading)
    ]
    assert missing == []


def test_every_array_and_column_is_described() -> None:
    segment = section("Segments")
    for name in ("embeddings", "nearness", *Person._fields, *EnrolledFace._fields):
        assert f"| `{name}` |" in segment


def test_every_array_of_the_network_is_described() -> None:
    for file, count in ((MOBILE_WEIGHTS, 3), (COHORT, 4)):
        table = section(FILE).split(f"| array of `{file}` |")[1].split("\n\n")[0]
        rows = [line.split(" | ")[0] for line in table.splitlines()[2:]]
        assert len(rows) == count
        described = {name.rstrip("0123456789") for name in re.findall("`(.*?)`", "".join(rows))}
        assert described == {name.rstrip("0123456789") for name in read_arrays(VERSION / FILE, file)}


def test_numbers_of_the_score() -> None:
    text = " ".join(section(FILE).split())
    assert f"minus {PROBE_WEIGHT} times the probe's nearness to the cohort and minus {ENTRY_WEIGHT} times" in text
    assert f"divided by its length to the power of {LENGTH_EXPONENT}." in text
    assert f"with the probability p, at most {TAIL}," in text.lower()
    assert f"((p / {TAIL})^-`shape` - 1) / `shape`" in text
    assert f"[sqrt({1 - MOBILE_WEIGHT}) a, sqrt({MOBILE_WEIGHT}) b]" in text
    assert NEAREST == 10
    assert "the ten most similar strangers" in section("Segments")


def test_entries_of_the_network() -> None:
    with zipfile.ZipFile(VERSION / FILE) as archive:
        entries = [name.split("/", 2) for name in archive.namelist()]
        assert archive.read("archive/version") == b"2\n"
    assert {entry[0] for entry in entries} == {"archive"}
    table = section(FILE).split("| entry |")[1].split("\n\n")[0]
    described = re.findall("`(.*?)`", "".join(line.split(" | ")[0] for line in table.splitlines()))
    assert {name.split("/")[0] for name in described} == {entry[1] for entry in entries}
    extra = {"/".join(entry[1:]) for entry in entries if entry[1] == "extra"}
    assert {name for name in described if name.startswith("extra/")} == extra


def test_limits() -> None:
    for size in (POINTER_BYTES, MANIFEST_BYTES):
        assert f"| {size:,} bytes |" in section("Reading")
    assert f"at most {SEGMENT_ROWS:,} people and {SEGMENT_ROWS:,} faces" in section("Reading")


def test_formats() -> None:
    assert f"| `{FILE}` | `format` {FORMAT} |" in section("Versions of the formats")
    assert f"| `{MANIFEST}` | `format` {galleries.FORMAT} |" in section("Versions of the formats")


def test_unknown_fields() -> None:
    """Ignored in a pointer and a manifest, refused in a network's configuration."""
    manifest = (COLLECTION / MANIFEST).read_bytes()
    assert Pointer.parse(json.dumps({**asdict(POINTER), "later": 1})) == POINTER
    assert Manifest.parse(json.dumps({**json.loads(manifest), "later": 1}).encode()) == Manifest.parse(manifest)
    config = json.loads(read_config(VERSION / FILE).to_json())
    with pytest.raises(NetworkFormatError, match="later"):
        NetworkConfig.parse(json.dumps({**config, "later": 1}))


def test_tree() -> None:
    files = {path.relative_to(BUNDLED).as_posix() for path in Path(BUNDLED).rglob("*") if path.is_file()}
    (segment,) = (COLLECTION / "segments").iterdir()
    for name in files - {"README.md"}:
        shown = name.replace(f"{POINTER.version}/", "").replace(segment.name, f"{segment.name[:8]}....safetensors")
        assert shown in TEXT, name
    assert f"{POINTER.version}/" in TEXT
    assert sum(Path(BUNDLED, name).stat().st_size for name in files) <= 33_000_000
