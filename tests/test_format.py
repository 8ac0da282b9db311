"""docs/format.md: its example runs, and its bytes, fields and limits are those of the bundled model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from model.gallery import EnrolledFace, Person
from model.networks import NetworkConfig
from storage.galleries import SEGMENT_ROWS, Manifest
from storage.networks import BUNDLED, Pointer
from testing.paths import ROOT

TEXT = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
(SEGMENT,) = Path(BUNDLED).rglob("segments/*.safetensors")


def section(heading: str) -> str:
    return TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_example_prints_what_the_page_shows() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"prints `{done.stdout.strip()}`" in TEXT


def test_header_of_the_bundled_segment() -> None:
    data = SEGMENT.read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert f"{data[:8].hex(' ')}" in TEXT
    assert f"N = {length}" in TEXT
    (shown,) = re.findall(r"N = \d+\n(\{.*?\}\})\n", TEXT, re.DOTALL)
    assert json.loads(shown) == json.loads(data[8 : 8 + length])


def test_every_field_is_described() -> None:
    described = {
        "latest.json": [field.name for field in fields(Pointer)],
        "model.pt": [field.name for field in fields(NetworkConfig)],
        "manifest.json": [field.name for field in fields(Manifest)],
        "Segments": [*Person._fields, *EnrolledFace._fields],
    }
    for heading, names in described.items():
        for name in names:
            assert f"`{name}`" in section(heading), (heading, name)


def test_limits_and_tree() -> None:
    assert f"at most {SEGMENT_ROWS:,} people and {SEGMENT_ROWS:,} faces" in TEXT
    files = {path.relative_to(BUNDLED).as_posix() for path in Path(BUNDLED).rglob("*") if path.is_file()}
    version = json.loads(Path(BUNDLED, "latest.json").read_text())["version"]
    for name in files - {"README.md"}:
        shown = name.replace(f"{version}/", "").replace(SEGMENT.name, f"{SEGMENT.name[:8]}....safetensors")
        assert shown in TEXT, name
    assert f"{version}/" in TEXT
    assert sum(Path(BUNDLED, name).stat().st_size for name in files) <= 33_000_000
