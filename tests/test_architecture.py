"""Dependencies point one way: handler -> startup -> app -> api -> service -> storage -> model; training -> these."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

from testing.paths import ROOT

# The modules of this project that each package may import while it runs, besides its own.
RESULTS = (
    *(
        "service.errors",
        "service.face_results",
        "service.names",
        "service.results",
        "service.system_files",
        "storage.blobs",
        "storage.errors",
        "storage.collection_names",
    ),
    *("model.errors", "model.face", "model.formats"),
)
ALLOWED: dict[str, tuple[str, ...]] = {
    "model": (),
    "storage": ("model",),
    "service": ("storage", "model"),
    "api": (*RESULTS, "model.calibration.STRICTNESS"),
    "app": ("api", "service", "storage", "model", "settings"),
    "startup": ("app", "settings"),
    "handler": ("startup",),
    "settings": (
        "storage.addresses",
        "storage.s3_settings",
        "storage.collection_names",
        "model.calibration.STRICTNESS",
        "model.calibration.DEFAULT_STRICTNESS",
    ),
    "training": ("service", "storage", "model", "settings"),
}
ENVIRONMENT = ("environ", "environb", "getenv", "putenv")
SERVED = ("api", "service", "storage", "model")


def modules(package: str) -> list[Path]:
    folder = ROOT / package
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [ROOT / f"{package}.py"]


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports while it runs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    skipped = {inner for node in for_types for inner in ast.walk(node)}
    for node in set(ast.walk(tree)) - skipped:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # `from package import module` imports the module as well.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


@pytest.mark.parametrize("package", ALLOWED)
def test_dependencies_point_one_way(package: str) -> None:
    allowed = (package, *ALLOWED[package])
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in imports(path)
        if any(is_within(name, ours) for ours in (*ALLOWED, "testing", "tests", "benchmarks", "scripts"))
        and not any(is_within(name, each) for each in allowed)
    ]
    assert wrong == []


def test_only_settings_reads_the_environment() -> None:
    readers = [
        path.relative_to(ROOT)
        for package in ALLOWED
        if package != "settings"
        for path in modules(package)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ENVIRONMENT
    ]
    assert readers == []


def test_nothing_private_of_powertools() -> None:
    for package in (*ALLOWED, "testing", "tests", "benchmarks"):
        for path in modules(package):
            for name in imports(path):
                if name.startswith("aws_lambda_powertools"):
                    assert "._" not in name, path


def test_api_imports_neither_torch_nor_botocore() -> None:
    paths = [path for path in modules("api") if path.stem != "__init__"]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    # powertools itself imports botocore's top level, half a millisecond, to set a user agent.
    heavy = "torch", "boto3", "botocore.session", "botocore.client", "aws_lambda_powertools.event_handler"
    code = f"import sys, {', '.join(names)}; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    assert not {name.split(".")[0] for path in paths for name in imports(path)} & {"torch", "boto3", "botocore"}


def test_other_dialects_are_imported_when_they_are_used() -> None:
    lazy = (
        *("api.dialects.compreface", "api.dialects.rekognition", "api.signatures", "service.enrolled_faces"),
        *("service.external_ids", "service.face_results", "service.lookup", "service.similarity"),
        *("service.indexing", "service.named_people", "service.users"),
    )
    code = f"import sys, app; print([name for name in {lazy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_serving_imports_nothing_that_only_training_needs() -> None:
    heavy = {"torchvision", "facenet_pytorch", "tqdm", "matplotlib", "boto3", "requests"}
    for package in SERVED:
        for path in modules(package):
            assert not heavy & set(_top_level_imports(path)), path


def _top_level_imports(path: Path) -> Iterator[str]:
    """Names of packages that a file imports when it is imported itself."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).split(".")[0]
