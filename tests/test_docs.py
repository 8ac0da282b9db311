"""The documents: each command in a ```sh block is run by a test, and what they point to is there."""

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

# Command, and why no test runs it.
NOT_RUN = {
    "make setup": "who runs the tests has run it",
    "make test": "is what runs this",
    'make test ARGS="tests/api -k upload"': "is what runs this",
    "make check": "is what runs this",
}
# Names of files between backticks that are none of ours.
NOT_OURS = {"test.py"}  # docs/security.md: what an advisory is about
OURS = ("api", "benchmarks", "deploy", "docs", "model", "scripts", "tests", "training", "web", ".github")
README_LINES = 250
NAMES = [str(document.relative_to(ROOT)) for document in DOCUMENTS]
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)


def named_by_tests() -> dict[str, str]:
    """First arguments of `documented`, in so many words, and the file that has them."""
    return {
        call.args[0].value: str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "documented"
        if call.args and isinstance(call.args[0], ast.Constant)
    }


def test_every_command_is_run_by_a_test() -> None:
    run = named_by_tests()
    missing = [
        f"{found.document.relative_to(ROOT)}:{found.line}: no test runs `{found.name}`"
        for found in commands()
        if found.name not in run and found.name not in NOT_RUN
    ]
    assert missing == []


def test_what_is_not_run_is_there_and_not_run() -> None:
    assert {found.name for found in commands()} >= set(NOT_RUN)
    assert not set(NOT_RUN) & set(named_by_tests())


def test_every_command_that_a_test_names_is_in_a_document() -> None:
    """Also of tests that are skipped here."""
    for command, path in named_by_tests().items():
        if path != Path(__file__).relative_to(ROOT).as_posix():
            assert documented(command), path


def test_commands_of_a_block() -> None:
    block = '# first\nmake a   # why\nmake b \\\n    C="x # y"\n\nX=1 make "$URL/#top"\n'
    assert list(commands_of(block)) == [(1, "make a"), (2, 'make b C="x # y"'), (5, 'X=1 make "$URL/#top"')]
    loop = "mkdir a\nfor b in c; do\n    mkdir $b\ndone\n"
    assert list(commands_of(loop)) == [(0, loop.strip())]


def test_what_no_document_has() -> None:
    with pytest.raises(AssertionError, match="no document has the command 'make nothing'"):
        documented(" ".join(["make", "nothing"]))


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def links(document: Path) -> Iterator[str]:
    text = re.sub(r"^ *```.*?^ *```$|`[^`]*`", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", text):
        if not re.match(r"[a-z]+:", "".join(target)):
            yield "".join(target)


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    for link in links(document):
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), link


def code(document: Path) -> list[str]:
    return [*inline(document), *(block for _, block in blocks(document))]


@each_document
def test_files_are_there(document: Path) -> None:
    """Those with a path, and programs and settings without one."""
    there = {path.name for folder in OURS for path in (ROOT / folder).rglob("*")}
    there.update(path.name for path in ROOT.iterdir())
    for word in re.findall(r"(?<![\w./:~-])[\w.*-]+(?:/[\w.*-]+)*(?![\w/])", "\n".join(code(document))):
        first, slash, _ = word.partition("/")
        if slash and first in OURS:
            assert any(ROOT.glob(word)), word
        elif re.fullmatch(r"[\w-]+\.(py|ya?ml|toml|ipynb|js)", word) and word not in NOT_OURS:
            assert word in there, word


@each_document
def test_targets_are_there(document: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"\bmake ((?!-)[a-z-]+)", "\n".join(code(document))):
        assert target in targets


@each_document
def test_modules_are_there(document: Path) -> None:
    text = "\n".join(code(document))
    for module in re.findall(r"python\S* -m ([\w.]+)", text):
        assert importlib.util.find_spec(module), module
    for command in re.findall(r"-m training ([a-z]+)", text):
        assert command in COMMANDS


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < README_LINES


def test_the_version_stands_in_four_places() -> None:
    (changelog, *_) = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    citation = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    package = json.loads((ROOT / "package.json").read_text())["version"]
    assert [changelog] * 3 == [package, contract.document()["info"]["version"], citation and citation[1]]
