"""The commands that the documents show. Tests take them from here, so that what is written is what has been tried."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Iterator, Mapping, NamedTuple

from testing.paths import ROOT

_SHOWN = ("README.md", "CONTRIBUTING.md", "docs/*.md", "model/bundled/README.md")
DOCUMENTS = [document for pattern in _SHOWN for document in sorted(ROOT.glob(pattern))]
LOOP = re.compile(r"^(for|while|until|if) ", re.MULTILINE)
COMMENT = re.compile(r"""("(?:\\.|[^"\\])*"|'[^']*')|(?:^|\s+)#.*""")  # but not between quotes
# What git ignores, or somebody who clones does not get. What setup makes is linked to.
NOT_CLONED = (".git", "build", "runs", "models", ".serverless", ".*_cache", ".hypothesis", ".uv", ".node")
MADE = (".venv", ".venv-notebook", ".venv-peers", "node_modules")
# What `make test` sets or hands on, and who runs the tests may have set.
SETTINGS = re.compile(
    "AWS_|MAKE|(MFLAGS|API_KEY|ARGS|CORS_ORIGIN|DATA|IMAGE_URI|MODEL|MODEL_URI|OUT|PEOPLE|PHOTO|PHOTOS_BUCKET|PORT|STAGE"
    "|URL)$"
)


class Command(NamedTuple):
    """line: of the document, from 1 on."""

    text: str
    document: Path
    line: int

    @property
    def name(self) -> str:
        """A block with a loop in it is one command, and goes by its first line."""
        return self.text.partition("\n")[0]


def blocks(document: Path) -> Iterator[tuple[int, str]]:
    """The ```sh blocks: the line that each begins in, and what is in it."""
    text = document.read_text(encoding="utf-8")
    for found in re.finditer(r"^( *)```sh\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        yield text[: found.start(2)].count("\n") + 1, re.sub(rf"^{found[1]}", "", found[2], flags=re.MULTILINE)


def commands_of(block: str) -> Iterator[tuple[int, str]]:
    """Each with the lines before it. Comments are gone and continued lines joined, but for a block with a loop."""
    if LOOP.search(block):
        yield 0, block.strip()
        return
    begun, before = "", 0
    for number, line in enumerate(block.splitlines()):
        before = before if begun else number
        begun += COMMENT.sub(lambda found: found[1] or "", line).strip()
        if begun.endswith("\\"):
            begun = f"{begun[:-1].rstrip()} "
        elif begun:
            yield before, begun
            begun = ""


def commands() -> list[Command]:
    return [
        Command(text, document, line + before)
        for document in DOCUMENTS
        for line, block in blocks(document)
        for before, text in commands_of(block)
    ]


def inline(document: Path) -> list[str]:
    """What stands between backticks in the text, on one line."""
    text = re.sub(r"^ *```.*?^ *```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(found.split()) for found in re.findall(r"`([^`]+)`", text)]


def documented(command: str, replace: Mapping[str, str] | None = None, extra: str = "") -> str:
    """The command as a document has it, in a ```sh block or between backticks, less the comment behind it, to be run.

    replace: what only stands for something, such as a port, and what it is here. extra: what shortens a command that
    takes long, put behind it, as `ARGS="--requests 2"` or an option. tests/test_docs.py looks for calls of this with
    the command in so many words: a command in a block that none names is an error there. Raises AssertionError where
    no document has it.
    """
    shown = {found.name: found.text for found in commands()}
    shown.update((text, text) for document in DOCUMENTS for text in inline(document))
    assert command in shown, f"no document has the command {command!r}"
    text = shown[command]
    for placeholder, value in (replace or {}).items():
        assert placeholder in text, f"{placeholder!r} is not in {text!r}"
        text = text.replace(placeholder, value)
    return f"{text} {extra}".rstrip()


def settings(clone: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of somebody who has set nothing but this, and whose PATH leads to the clone's packages."""
    others = {name: value for name, value in os.environ.items() if not SETTINGS.match(name)}
    path = f"{clone / '.venv/bin'}:{others['PATH']}"
    return {**others, "PATH": path, "NODE_NO_WARNINGS": "1", "SLS_AWS_MONITORING_FREQUENCY": "500", **environment}


def shell(command: str, clone: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it there as a user does, with no settings but those given."""
    return subprocess.run(
        ["bash", "-c", command],
        cwd=clone,
        env=settings(clone, environment),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def begin(command: str, clone: Path, **environment: str) -> subprocess.Popen[str]:
    """The same without waiting for its end, in a session of its own, so that Ctrl-C can reach all that it starts."""
    return subprocess.Popen(
        ["bash", "-c", command],
        cwd=clone,
        env=settings(clone, environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def clone(folder: Path) -> Path:
    """The repository as somebody has it who has cloned it and run `make setup`: commands leave their files there."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_CLONED, *MADE), copy_function=_link_or_copy)
    for name in MADE:
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    return folder


def _link_or_copy(source: str, target: str) -> None:
    """Models are large, and never written to."""
    if source.endswith(".pt"):
        with contextlib.suppress(OSError):  # on another disk
            os.link(source, target)
            return
    shutil.copy2(source, target)
