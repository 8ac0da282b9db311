"""Photos of LFW, from an archive or folder with a part of it."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from training.data.archives import unpack


@contextmanager
def photos_by_person(data: Path) -> Iterator[dict[str, list[Path]]]:
    """Yield the files <name>/<name>_<number>.jpg by name. Those of an archive are deleted at the end."""
    photos: dict[str, list[Path]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = data if data.is_dir() else unpack(data, Path(folder) / "photos").folder
        for path in sorted(root.rglob("*_[0-9][0-9][0-9][0-9].jpg")):
            photos.setdefault(path.parent.name, []).append(path)
        yield photos
