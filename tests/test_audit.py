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
    ("result", "status", "message"),
    [
        (report("PYSEC-2026-2249", ASSESSED), 0, "1 findings, 0 of them"),
        (report("PYSEC-2099-1", "CVE-2099-12345"), 1, "pillow 10.4.0: CVE-2099-12345, PYSEC-2099-1"),
        ({"dependencies": [{"name": "pillow", "skip_reason": "not found"}]}, 0, "NOT CHECKED"),
        (OSError("no network"), 0, "NOT CHECKED"),
        (subprocess.CalledProcessError(1, "pip"), 0, "NOT CHECKED"),
    ],
)
def test_only_findings_without_a_judgement_fail(
    result: Any, status: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_pip_audit() -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(audit, "run_pip_audit", run_pip_audit)
    assert audit.main() == status
    assert message in "".join(capsys.readouterr())


def test_dependencies_are_checked_too() -> None:
    found = audit.installed_versions(["boto3", "torch", "requests-toolbelt"])
    assert {"urllib3", "certifi", "requests", "numpy", "future"} <= set(found)
    assert found["torch"] == "1.5.0"
    assert "pytest" not in found


def test_judgements_are_about_the_installed_versions() -> None:
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assessed = re.findall(r"^\| \**([\w-]+) (\d[\d.]*)", audit.JUDGEMENTS.read_text(), re.MULTILINE)
    assert {name for name, _ in assessed} >= {"pillow", "torch", "urllib3", "requests"}
    for name, version in assessed:
        assert pins[name] == version, name


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "PPM", "TGA", "PCX", "ICO", "PDF"])
def test_other_decoders_cannot_be_reached(kind: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, kind)
    with pytest.raises(UnsupportedImage):
        decode(file.getvalue())


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("marker", [0xC0, 0xC2, 0xC3, 0xC5, 0xC7, 0xC9, 0xCD, 0xCF, 0xDE])
def test_a_jpeg_cannot_declare_two_widths(marker: int, before: bool) -> None:
    """Pillow allocates memory for the last frame header before the scan; the decoder must not write rows of another."""
    photo = (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes()
    start = photo.index(b"\xff\xc0")
    end = start + 2 + struct.unpack(">H", photo[start + 2 : start + 4])[0]
    other = bytearray(photo[start:end])
    other[1] = marker
    other[7:9] = struct.pack(">H", 8)
    at = start if before else end
    with pytest.raises(UnreadableImage):
        decode(photo[:at] + bytes(other) + photo[at:])
