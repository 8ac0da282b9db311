"""Read photos from folders and archives that have one folder per person."""

from __future__ import annotations

import os
import shutil
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from model.photo import SUFFIXES
from storage.cache import sha256_of
from training.errors import TrainingError, log
from training.records import digest

# Photos are compressed already, so an archive that grows more than this contains something else.
MAX_GROWTH = 10
SLACK = 100_000_000  # bytes that any archive may unpack to


def display_name(folder: str) -> str:
    """Return the person's name for the name of a folder: Rohit_Sharma -> Rohit Sharma.

    It is in Unicode's composed form (NFC): some programs and file systems decompose letters with marks.
    """
    return unicodedata.normalize("NFC", " ".join(folder.replace("_", " ").split()))


def people_folders(folder: Path) -> dict[str, list[Path]]:
    """Return the paths of each person's photos in a folder with one folder per person, at any depth. Sorted by name.

    Raises TrainingError if there are no photos.
    """
    if not folder.is_dir():
        raise TrainingError(f"{folder} is not a folder.")
    people: dict[str, list[Path]] = {}
    skipped = []
    for path in sorted(folder.rglob("*")):
        if path.name.startswith(".") or path.parent == folder or not path.is_file():
            continue
        if path.suffix.lower() in SUFFIXES:
            people.setdefault(display_name(path.parent.name), []).append(path)
        else:
            skipped.append(path)
    if skipped:
        log(f"files skipped because they are not photos in a supported format: {len(skipped)}, such as {skipped[0]}")
    if not people:
        raise TrainingError(f"{folder} has no photos: it needs one folder per person with {_suffixes()} files.")
    return dict(sorted(people.items()))


def merged_folders(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Merge the `people_folders` of several folders. The same name is the same person. Sorted by name."""
    people: dict[str, list[Path]] = {}
    for folder in folders:
        for name, paths in people_folders(folder).items():
            people.setdefault(name, []).extend(paths)
    return dict(sorted(people.items()))


def fingerprint(source: Path) -> str:
    """Return a digest of an archive's bytes, or of the names, sizes and times of a folder's photos.

    Raises TrainingError if the source does not exist.
    """
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
    """Unpack the photos of a tar or zip archive below `target` in the archive's folders, and return `target`.

    Files other than photos and paths that lead out of the target are skipped. `target` is replaced once all photos are
    unpacked. Raises TrainingError if the archive is damaged or unpacks to more than `slack` bytes and `max_growth`
    times its size, and OSError if writing fails.
    """
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    limit = max(slack, int(max_growth * archive.stat().st_size))
    try:
        if not _unpack_photos(archive, partial, limit):
            raise TrainingError(
                f"{archive} unpacks to more than {max_growth:g} times its size, so it does not contain photos only."
            )
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.filename is None and error.errno:
            raise  # an error of the disk, not of the archive
        raise TrainingError(f"{archive} is damaged or not a tar or zip archive: {error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _unpack_photos(archive: Path, target: Path, limit: int) -> bool:
    """Unpack the photos, and return False as soon as they have more than `limit` bytes."""
    remaining = limit
    for name, file in tqdm(_entries(archive), desc=f"unpack {archive.name}", unit=" files"):
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not name.lower().endswith(SUFFIXES) or len(parts) < 2:
            continue
        if ".." in parts or parts[0] == "/" or ":" in parts[0]:
            log(f"{name}: the path leads out of the archive, skipped")
            continue
        path = target.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            remaining -= _copy(file, out, remaining)
        if remaining < 0:
            return False
    return True


def _copy(file: IO[bytes], out: IO[bytes], limit: int) -> int:
    """Copy a file until its end or a little beyond `limit` bytes, and return the number of bytes copied."""
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
    """Yield the name and content of each file in an archive."""
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
