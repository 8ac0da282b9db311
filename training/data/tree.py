"""The image files below a folder, and all that is skipped there, with the reasons."""

from __future__ import annotations

import os
import stat
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from model.formats import HEAD_BYTES, image_format
from service.results import Skipped
from service.system_files import is_system_name
from training.data.skipped import (
    DEAD_LINK,
    DENIED,
    LINK_AROUND,
    LINK_TWICE,
    NOT_A_PHOTO,
    SPECIAL,
    TOO_DEEP,
    printable,
)

MAX_DEPTH = 32  # levels of folders


@dataclass(frozen=True)
class Tree:
    """photos: paths of the image files below the folder, sorted; ignored: hidden and system files and folders."""

    photos: tuple[Path, ...]
    skipped: tuple[Skipped, ...]
    ignored: tuple[str, ...]


def read_tree(folder: Path) -> Tree:
    """Find the image files below a folder, told by their first bytes.

    Links to folders and files elsewhere are followed. Every folder and file is read once, so links never loop.
    """
    walk = _Walk(folder)
    photos = sorted(path for path in walk.files.values() if walk.is_photo(path))
    return Tree(tuple(photos), tuple(sorted(walk.skipped)), tuple(sorted(walk.ignored)))


class _Walk:
    """All files below a folder. files, folders: the path at which each was found, by its real path."""

    def __init__(self, root: Path) -> None:
        self.files: dict[str, Path] = {}
        self.folders: dict[str, Path] = {}
        self.skipped: list[Skipped] = []
        self.ignored: list[str] = []
        self._links: deque[Path] = deque()
        self._root, self._depth = os.path.realpath(root), len(root.parts)
        self._walk(root, self._root)
        # After the files themselves, so that a link to a photo of another person does not take it from them.
        while self._links:
            self._follow(self._links.popleft())

    def is_photo(self, path: Path) -> bool:
        """Tell whether a file begins like an image. Notes it as skipped if it does not."""
        try:
            with path.open("rb") as file:
                if image_format(file.read(HEAD_BYTES)) is not None:
                    return True
        except OSError as error:
            self._skip(path, DENIED, error.strerror or "")
            return False
        self._skip(path, NOT_A_PHOTO)
        return False

    def _skip(self, path: Path, reason: str, detail: str = "") -> None:
        self.skipped.append(Skipped(printable(path), reason, detail))

    def _walk(self, folder: Path, real: str) -> None:
        """Note the content of a folder. real: its path without links."""
        if real in self.folders:
            self._skip(folder, LINK_TWICE, f"See {printable(self.folders[real])}.")
            return
        if len(folder.parts) - self._depth > MAX_DEPTH:
            self._skip(folder, TOO_DEEP)
            return
        self.folders[real] = folder
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._skip(folder, DENIED, error.strerror or "")
            return
        for entry in entries:
            path = folder / entry.name
            if is_system_name(entry.name):
                self.ignored.append(printable(path))
            elif entry.is_symlink():
                self._links.append(path)
            elif entry.is_dir(follow_symlinks=False):
                self._walk(path, os.path.join(real, entry.name))
            elif entry.is_file(follow_symlinks=False):
                self.files.setdefault(os.path.join(real, entry.name), path)
            else:
                self._skip(path, SPECIAL)

    def _follow(self, link: Path) -> None:
        try:
            mode = os.stat(link).st_mode
            real = os.path.realpath(link)
        except OSError:  # a dead link, or links that lead to each other
            self._skip(link, DEAD_LINK)
            return
        if stat.S_ISDIR(mode):
            if f"{self._root}{os.sep}".startswith(os.path.join(real, "")):
                self._skip(link, LINK_AROUND)
            else:
                self._walk(link, real)
        elif not stat.S_ISREG(mode):
            self._skip(link, SPECIAL)
        elif real in self.files:
            self._skip(link, LINK_TWICE, f"See {printable(self.files[real])}.")
        else:
            self.files[real] = link
