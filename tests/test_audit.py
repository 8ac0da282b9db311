"""`make audit`, and the facts that the assessments in docs/security.md rely on."""

from __future__ import annotations

import io
import re
import struct
import subprocess
from typing import Any

import pytest
from PIL import Image

from model.errors import UnreadableImage, UnsupportedImage
from model.photo import decode
from scripts import audit
from testing.paths import ROOT, SAMPLES

ASSESSED = "CVE-2026-25990"


def report(*names: str) -> dict[str, Any]:
    """A pip-audit report with one finding. names: its IDs."""
    vulnerability = {"id": names[0], "aliases": list(names[1:]), "fix_versions": ["12.1.1"]}
    return {"dependencies": [{"name": "pillow", "version": "10.4.0", "vulns": [vulnerability]}], "fixes": []}


@pytest.mark.parametrize(
    ("found", "status", "message"),
    [
        (report("PYSEC-2026-2249", ASSESSED), 0, "1 findings, 0 of them"),
        (report("PYSEC-2099-1", "CVE-2099-12345"), 1, "pillow 10.4.0: CVE-2099-12345, PYSEC-2099-1"),
        ({"dependencies": [{"name": "pillow", "skip_reason": "not found"}]}, 0, "NOT CHECKED"),
        (OSError("no network"), 0, "NOT CHECKED"),
        (subprocess.CalledProcessError(1, "pip"), 0, "NOT CHECKED"),
    ],
)
def test_only_findings_without_an_assessment_fail(
    found: Any, status: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def result() -> Any:
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(audit, "ask_pip_audit", result)
    assert audit.main() == status
    assert message in "".join(capsys.readouterr())


def test_audited_packages_include_all_dependencies() -> None:
    found = audit.served(["boto3", "torch", "requests-toolbelt"])
    assert {"urllib3", "certifi", "requests", "numpy", "future"} <= set(found)
    assert found["torch"] == "1.5.0"
    assert "pytest" not in found


def test_assessments_cover_the_versions_in_use() -> None:
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assessed = re.findall(r"^\| \**([\w-]+) (\d[\d.]*)", audit.JUDGEMENTS.read_text(), re.MULTILINE)
    assert {name for name, _ in assessed} >= {"pillow", "torch", "urllib3", "requests"}
    for name, version in assessed:
        assert pins[name] == version, name


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "PPM", "TGA", "PCX", "ICO", "PDF"])
def test_other_decoders_are_not_reachable(kind: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, kind)
    with pytest.raises(UnsupportedImage):
        decode(file.getvalue())


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("marker", [0xC0, 0xC2, 0xC3, 0xC5, 0xC7, 0xC9, 0xCD, 0xCF, 0xDE])
def test_jpeg_with_two_widths_is_rejected(marker: int, before: bool) -> None:
    """Pillow allocates memory by the last frame header before the scan; the decoder must not use another header."""
    photo = (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes()
    start = photo.index(b"\xff\xc0")
    end = start + 2 + struct.unpack(">H", photo[start + 2 : start + 4])[0]
    other = bytearray(photo[start:end])
    other[1] = marker
    other[7:9] = struct.pack(">H", 8)
    at = start if before else end
    with pytest.raises(UnreadableImage):
        decode(photo[:at] + bytes(other) + photo[at:])
