"""Dependencies of the wire format: none on torch or botocore, and of the service only its results and errors."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

from testing.paths import ROOT

ALLOWED = {
    "api",
    "model.errors",
    "model.face",
    "service.errors",
    "service.results",
    "storage.blobs",
    "storage.errors",
}
MODULES = sorted((ROOT / "api").rglob("*.py"))
OURS = ("api", "app", "handler", "model", "service", "settings", "storage", "training")
ENVIRONMENT = ("environ", "getenv", "putenv")


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports at run time."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    skipped = {inner for node in for_types for inner in ast.walk(node)}
    for node in set(ast.walk(tree)) - skipped:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_api_imports_only_results_and_errors_of_other_layers(path: Path) -> None:
    ours = {name for name in imports(path) if name.split(".")[0] in OURS}
    assert {name for name in ours if name not in ALLOWED and not name.startswith("api.")} == set()


def test_api_imports_neither_torch_nor_botocore() -> None:
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in MODULES if path.stem != "__init__"]
    # powertools itself imports botocore's top level, half a millisecond, to set a user agent.
    heavy = "torch", "boto3", "botocore.session", "botocore.client", "aws_lambda_powertools.event_handler"
    code = f"import sys, {', '.join(names)}; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    assert not {name for path in MODULES for name in imports(path)} & {"torch", "boto3", "botocore"}


def test_only_settings_reads_the_environment() -> None:
    serving = [*MODULES, *(ROOT / "service").rglob("*.py"), ROOT / "app.py", ROOT / "handler.py"]
    readers = [
        path.relative_to(ROOT)
        for path in serving
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ENVIRONMENT
    ]
    assert readers == []
