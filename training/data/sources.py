"""Where photos come from: folders and archives, a folder a person."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from model.photo import SUFFIXES
from storage.cache import sha256_of
from training.errors import TrainingError, log
from training.records import digest

# Photos are compressed already: an archive that grows more than this holds something else.
MAX_GROWTH = 10
SLACK = 100_000_000  # bytes that any archive may unpack to


def display(folder: str) -> str:
    """A folder's name as people read it: Rohit_Sharma -> Rohit Sharma."""
    return " ".join(folder.replace("_", " ").split())


def people_folders(folder: Path) -> dict[str, list[Path]]:
    """The photos of each person in a folder that has a folder a person, perhaps some levels down. Sorted.

    Raises TrainingError where there is none.
    """
    if not folder.is_dir():
        raise TrainingError(f"{folder} is not a folder.")
    people: dict[str, list[Path]] = {}
    others = []
    for path in sorted(folder.rglob("*")):
        if path.name.startswith(".") or path.parent == folder or not path.is_file():
            continue
        if path.suffix.lower() in SUFFIXES:
            people.setdefault(display(path.parent.name), []).append(path)
        else:
            others.append(path)
    if others:
        log(f"left out, because they are no photos that can be read here: {len(others)} files, such as {others[0]}")
    if not people:
        raise TrainingError(f"{folder} has no photos: it needs a folder for each person, with {_suffixes()} files.")
    return dict(sorted(people.items()))


def merged_folders(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """`people_folders` of several: one name in two of them is one person. Sorted."""
    people: dict[str, list[Path]] = {}
    for folder in folders:
        for name, paths in people_folders(folder).items():
            people.setdefault(name, []).extend(paths)
    return dict(sorted(people.items()))


def fingerprint(source: Path) -> str:
    """Changes when an archive's bytes do, or a folder's photos in name, size or date. Raises TrainingError."""
    if source.is_dir():
        files = (path for path in sorted(source.rglob("*")) if path.suffix.lower() in SUFFIXES)
        return digest(
            [str(source.resolve())]
            + [[str(f.relative_to(source)), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
        )
    if not source.exists():
        raise TrainingError(f"{source} does not exist.")
    return sha256_of(source)


def unpack(archive: Path, target: Path, max_growth: float = MAX_GROWTH, slack: int = SLACK) -> Path:
    """The photos of a tar or zip archive below `target`, by the archive's folders. Nothing else in it is looked at.

    Names that lead out of the target are left out. Raises TrainingError where the archive is broken, or unpacks to
    more than `slack` bytes and `max_growth` times its size.
    """
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    left = max(slack, int(max_growth * archive.stat().st_size))
    try:
        for name, file in tqdm(_entries(archive), desc=f"unpack {archive.name}", unit=" files"):
            parts = PurePosixPath(name.replace("\\", "/")).parts
            if not name.lower().endswith(SUFFIXES) or len(parts) < 2:
                continue
            if ".." in parts or parts[0] == "/" or ":" in parts[0]:
                log(f"{name}: leads out of the archive, left out")
                continue
            path = partial.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as out:
                left -= _copy(file, out, left)
            if left < 0:
                raise TrainingError(
                    f"{archive} unpacks to more than {max_growth:g} times its size, which photos do not: stopped."
                )
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.filename is None and error.errno:
            raise  # the disk, not the archive
        raise TrainingError(f"{archive} is broken or not a tar or zip archive: {error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _copy(file: IO[bytes], out: IO[bytes], limit: int) -> int:
    """Bytes copied: all that there are, or a little more than `limit`."""
    copied = 0
    while copied <= limit:
        chunk = file.read(1 << 20)
        if not chunk:
            break
        out.write(chunk)
        copied += len(chunk)
    return copied


def _suffixes() -> str:
    return ", ".join(SUFFIXES[:-1]) + f" or {SUFFIXES[-1]}"


def _entries(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each file in an archive."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as pack:
            for info in pack.infolist():
                if not info.is_dir():
                    with pack.open(info) as file:
                        yield info.filename, file
        return
    with tarfile.open(archive) as pack:
        for member in pack:
            content = pack.extractfile(member) if member.isfile() else None
            if content is not None:
                yield member.name, content
