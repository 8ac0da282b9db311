"""Documents: a test runs each command in a ```sh block, and every link, file, target and module exists."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path
from typing import Iterator

import pytest

from api import contract
from tests.commands import DOCUMENTS, ROOT, blocks, commands, commands_of, documented, inline
from training.options import COMMANDS

# Commands that no test runs -> reason.
NOT_RUN = {
    "make setup": "is run before the tests",
    "make test": "runs these tests",
    'make test ARGS="tests/api -k upload"': "runs these tests",
    "make check": "runs these tests",
    "make open-set DATA=lfw-deepfunneled-subset.tgz": "tests/training/test_pipeline.py runs it on a few people",
    ".venv/bin/python -m benchmarks.transfer --run build/open_set": "as above",
    "make thresholds DATA=lfw-deepfunneled-subset.tgz": "tests/test_thresholds.py runs its parts",
    ".venv/bin/python -m benchmarks.changes": "tests/test_changes.py runs its parts with small numbers",
    "GALLERY_URI=postgresql://recognition@HOST:5432/faces make deploy "
    'ARGS="--param subnets=subnet-0123456789abcdef0,subnet-0123456789abcdef1 '
    '--param securityGroups=sg-0123456789abcdef0"': "tests/test_deploy.py deploys the same without an image",
}
# File names between backticks that are not in this repository.
NOT_OURS = {"test.py"}  # of an advisory in docs/security.md
OURS = (
    *("api", "benchmarks", "deploy", "docs", "model", "scripts", "service", "storage", "testing", "tests", "training"),
    *("web", ".github"),
)
README_LINES = 131
NAMES = [str(document.relative_to(ROOT)) for document in DOCUMENTS]
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)


def commands_in_tests() -> dict[str, str]:
    """Collect the string literals that are first arguments of `documented`, and the test file of each."""
    return {
        call.args[0].value: str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "documented"
        if call.args and isinstance(call.args[0], ast.Constant)
    }


def test_every_command_is_run_by_a_test() -> None:
    tested = commands_in_tests()
    missing = [
        f"{found.document.relative_to(ROOT)}:{found.line}: no test runs `{found.name}`"
        for found in commands()
        if found.name not in tested and found.name not in NOT_RUN
    ]
    assert missing == []


def test_exceptions_are_documented_and_have_no_test() -> None:
    assert {found.name for found in commands()} >= set(NOT_RUN)
    assert not set(NOT_RUN) & set(commands_in_tests())


def test_every_tested_command_is_documented() -> None:
    """Includes the commands of tests that are skipped on this machine."""
    for command, path in commands_in_tests().items():
        if path != Path(__file__).relative_to(ROOT).as_posix():
            assert documented(command), path


def test_commands_of_a_block() -> None:
    block = '# first\nmake a   # why\nmake b \\\n    C="x # y"\n\nX=1 make "$URL/#top"\n'
    assert list(commands_of(block)) == [(1, "make a"), (2, 'make b C="x # y"'), (5, 'X=1 make "$URL/#top"')]
    loop = "mkdir a\nfor b in c; do\n    mkdir $b\ndone\n"
    assert list(commands_of(loop)) == [(0, loop.strip())]


def test_undocumented_command() -> None:
    with pytest.raises(AssertionError, match="no document has the command 'make nothing'"):
        documented(" ".join(["make", "nothing"]))


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def links(document: Path) -> Iterator[str]:
    """Yield the relative links and image sources of a document."""
    text = re.sub(r"^ *```.*?^ *```$|`[^`]*`", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", text):
        if not re.match(r"[a-z]+:|\.\./\.\./actions/", "".join(target)):  # the badge is on GitHub
            yield "".join(target)


@each_document
def test_link_targets_exist(document: Path) -> None:
    for link in links(document):
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), link


def code(document: Path) -> list[str]:
    """Return the texts between backticks and the ```sh blocks of a document."""
    return [*inline(document), *(block for _, block in blocks(document))]


@each_document
def test_files_exist(document: Path) -> None:
    """Paths, and names of programs and settings without a path."""
    names = {path.name for folder in OURS for path in (ROOT / folder).rglob("*")}
    names.update(path.name for path in ROOT.iterdir())
    for word in re.findall(r"(?<![\w./:~-])[\w.*-]+(?:/[\w.*-]+)*(?![\w/])", "\n".join(code(document))):
        first, slash, _ = word.partition("/")
        if slash and first in OURS:
            assert any(ROOT.glob(word)), word
        elif re.fullmatch(r"[\w-]+\.(py|ya?ml|toml|ipynb|js)", word) and word not in NOT_OURS:
            assert word in names, word


@each_document
def test_make_targets_exist(document: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"\bmake ((?!-)[a-z-]+)", "\n".join(code(document))):
        assert target in targets


@each_document
def test_modules_exist(document: Path) -> None:
    text = "\n".join(code(document))
    for module in re.findall(r"python\S* -m ([\w.]+)", text):
        assert importlib.util.find_spec(module), module
    for command in re.findall(r"-m training ([a-z]+)", text):
        assert command in COMMANDS


def test_names_are_defined_in_their_modules() -> None:
    """As in `Commit` (storage/commits.py) of docs/architecture.md."""
    text = " ".join((ROOT / "docs/architecture.md").read_text().split())
    found = re.findall(r"`(?:\w+\.)*(\w+)` \(([\w/]+\.py)\)", text)
    missing = [
        f"{name} in {path}"
        for name, path in found
        if not re.search(rf"^ *(?:def|class) {name}\b|^{name}\b", (ROOT / path).read_text(), re.MULTILINE)
    ]
    assert found and missing == []


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < README_LINES


def test_version_is_the_same_in_four_files() -> None:
    releases = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    citation = re.search(r"^version: (.*)\ndate-released: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert citation and citation.groups() == releases[0]
    package = json.loads((ROOT / "package.json").read_text())["version"]
    assert [releases[0][0]] * 2 == [package, contract.document()["info"]["version"]]
