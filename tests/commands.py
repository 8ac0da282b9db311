"""Commands from the documents. Tests run them as documented, so that documents cannot become outdated."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Iterator, Mapping, NamedTuple

from testing.paths import ROOT

_PATTERNS = ("README.md", "CONTRIBUTING.md", "docs/*.md", "model/bundled/README.md")
DOCUMENTS = [document for pattern in _PATTERNS for document in sorted(ROOT.glob(pattern))]
LOOP = re.compile(r"^(for|while|until|if) ", re.MULTILINE)
COMMENT = re.compile(r"""("(?:\\.|[^"\\])*"|'[^']*')|(?:^|\s+)#.*""")  # except inside quotes
# Not part of a clone. The results of setup are linked instead.
NOT_CLONED = (".git", "build", "runs", "models", ".serverless", ".*_cache", ".hypothesis", ".uv", ".node", ".admin-key")
NOT_CLONED_FROM_ROOT = {"galleries"}  # a version of a model has a folder of this name, too
MADE = (".venv", ".venv-clients", ".venv-notebook", ".venv-peers", "node_modules", "tests/clients/node/node_modules")
# Variables that `make test` or its user may have set.
SETTINGS = re.compile(
    "AWS_|MAKE|(MFLAGS|ADMIN_KEY|API_KEY|ARGS|COLLECTION|COMPREFACE_KEYS|CORS_ORIGIN|DATA|FROM|GALLERY_URI|IMAGE_URI"
    "|KEEP_CROPS|MODEL|MODEL_URI|OUT|PEOPLE|PHOTO|PHOTOS_BUCKET|PORT|REKOGNITION_BUCKETS|STAGE|STRANGERS|STRICTNESS|URL)$"
)


class Command(NamedTuple):
    """A command in a ```sh block. line: in the document, from 1."""

    text: str
    document: Path
    line: int

    @property
    def name(self) -> str:
        """The first line: a block with a loop is one command of several lines."""
        return self.text.partition("\n")[0]


def blocks(document: Path) -> Iterator[tuple[int, str]]:
    """Yield line number and text of each ```sh block."""
    text = document.read_text(encoding="utf-8")
    for match in re.finditer(r"^( *)```sh\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        yield text[: match.start(2)].count("\n") + 1, re.sub(rf"^{match[1]}", "", match[2], flags=re.MULTILINE)


def commands_of(block: str) -> Iterator[tuple[int, str]]:
    """Yield line offset and text of each command, without comments and with continued lines joined.

    A block with a loop is yielded unchanged, as one command.
    """
    if LOOP.search(block):
        yield 0, block.strip()
        return
    command, start = "", 0
    for number, line in enumerate(block.splitlines()):
        start = start if command else number
        command += COMMENT.sub(lambda match: match[1] or "", line).strip()
        if command.endswith("\\"):
            command = f"{command[:-1].rstrip()} "
        elif command:
            yield start, command
            command = ""


def commands() -> list[Command]:
    """All commands in the ```sh blocks of DOCUMENTS."""
    return [
        Command(text, document, line + offset)
        for document in DOCUMENTS
        for line, block in blocks(document)
        for offset, text in commands_of(block)
    ]


def inline(document: Path) -> list[str]:
    """Texts between backticks outside of blocks, each on one line."""
    text = re.sub(r"^ *```.*?^ *```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]


def documented(command: str, replace: Mapping[str, str] | None = None, extra: str = "") -> str:
    """Look up a command in the documents, in a ```sh block or between backticks, and return its text to run.

    command: a string literal, because tests/test_docs.py finds the commands that tests run by searching for calls of
    this function; replace: placeholder, such as a port -> value; extra: appended, for example an option that shortens a
    long run. Raises AssertionError if no document contains the command or the placeholder.
    """
    by_name = {found.name: found.text for found in commands()}
    by_name.update((text, text) for document in DOCUMENTS for text in inline(document))
    assert command in by_name, f"no document has the command {command!r}"
    text = by_name[command]
    for placeholder, value in (replace or {}).items():
        assert placeholder in text, f"{placeholder!r} is not in {text!r}"
        text = text.replace(placeholder, value)
    return f"{text} {extra}".rstrip()


def settings(clone: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a user who set only `environment`, with the clone's packages in PATH."""
    others = {name: value for name, value in os.environ.items() if not SETTINGS.match(name)}
    path = f"{clone / '.venv/bin'}:{others['PATH']}"
    return {**others, "PATH": path, "NODE_NO_WARNINGS": "1", "SLS_AWS_MONITORING_FREQUENCY": "500", **environment}


def shell(command: str, clone: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a clone and wait for its end, at most 15 minutes."""
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
    """Start a command in a clone, in its own session, so that a signal can be sent to all of its processes."""
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
    """Copy the repository to `folder`, in the state after `git clone` and `make setup`."""
    shutil.copytree(ROOT, folder, ignore=_not_cloned, copy_function=_link_or_copy)
    for name in MADE:
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    return folder


def _not_cloned(folder: str, names: list[str]) -> set[str]:
    """Select the entries of a folder that are not part of a clone."""
    selected = shutil.ignore_patterns(*NOT_CLONED, *MADE)(folder, names)
    return selected | NOT_CLONED_FROM_ROOT if Path(folder) == ROOT else selected


def _link_or_copy(source: str, target: str) -> None:
    """Copy a file, but link models, which are large and never written to."""
    if source.endswith(".pt"):
        with contextlib.suppress(OSError):  # another file system
            os.link(source, target)
            return
    shutil.copy2(source, target)
