"""Lighthouse's rating of the page: `make lighthouse`. Not in `make test`, because it downloads 180 MB."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from testing.paths import ROOT

LIGHTHOUSE = "lighthouse@12.8.2"  # the last version that runs under Node 20
MIN_SCORE = 0.95


@pytest.mark.skipif(not os.getenv("LIGHTHOUSE"), reason="only `make lighthouse` downloads and runs Lighthouse")
@pytest.mark.parametrize("device", ["mobile", "desktop"])
def test_lighthouse(chromium: str, page_url: str, endpoint: str, device: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = ["npx", "--yes", LIGHTHOUSE, f"{page_url}?endpoint={endpoint}", "--quiet", "--output=json"]
    command += [f"--output-path={report}", "--only-categories=performance,accessibility,best-practices"]
    command += ["--chrome-flags=--headless=new --no-sandbox --disable-gpu"]
    command += ["--preset=desktop"] if device == "desktop" else []  # mobile is the default
    environment = {**os.environ, "CHROME_PATH": chromium}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    scores = {name: category["score"] for name, category in json.loads(report.read_text())["categories"].items()}
    print(device, scores)  # noqa: T201
    assert all(score >= MIN_SCORE for score in scores.values())
