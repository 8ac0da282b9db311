"""Unpack the photos of tar and zip archives."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from tqdm import tqdm

from model.formats import HEAD_BYTES, image_format
from service.results import Skipped
from service.system_files import is_system_name
from training.data.folder_names import LEGACY_ENCODING
from training.data.skipped import ARCHIVED_LINK, DENIED, NOT_A_PHOTO, OUTSIDE, SPECIAL, printable
from training.errors import TrainingError

# Photos are compressed already, so an archive that grows more than this contains something else.
MAX_GROWTH = 10
SLACK = 100_000_000  # bytes that any archive may unpack to
UNPACKED = "unpack it with another program, and give the folder"
# Encodings whose reading of a name is shown, so that the user can choose.
ENCODINGS = ("cp437", "cp850", "cp1252", "shift_jis", "gbk", "cp949", "cp1251", "cp866")
# Compression methods that Python does not read, see section 4.4.5 of PKWARE's APPNOTE.TXT.
METHODS = {6: "Implode", 9: "Deflate64", 20: "Zstandard", 93: "Zstandard", 95: "XZ", 97: "WavPack", 98: "PPMd"}
ENCRYPTED, AES, STORED, DEFLATED, BZIP2, LZMA = 0x1, 99, 0, 8, 12, 14
UTF8_FLAG, UNICODE_PATH = 0x800, 0x7075  # a flag and an extra field with which a zip archive declares names in UTF-8
OTHER_FORMATS = {b"7z\xbc\xaf'\x1c": "7z", b"Rar!\x1a\x07": "RAR", b"(\xb5/\xfd": "Zstandard"}


class Unpacked(NamedTuple):
    """folder: where the photos are; skipped, ignored: what the archive has besides."""

    folder: Path
    skipped: tuple[Skipped, ...]
    ignored: tuple[str, ...]


class _Entry(NamedTuple):
    """A file in an archive. file: None if it cannot be read, for the reason `reason`."""

    name: str
    file: IO[bytes] | None
    reason: str = ""


def unpack(
    archive: Path, target: Path, encoding: str | None = None, max_growth: float = MAX_GROWTH, slack: int = SLACK
) -> Unpacked:
    """Unpack the photos of a tar or zip archive below `target` in the archive's folders.

    Files other than photos, hidden and system files, and paths that lead out of the target are left out. `target` is
    replaced once all photos are unpacked. encoding: of names that are not UTF-8.

    Raises TrainingError if the archive cannot be read, if `encoding` is needed, or if the photos have more than
    `slack` bytes and `max_growth` times the archive's size; OSError if writing fails.
    """
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        limit = max(slack, int(max_growth * archive.stat().st_size))
        unpacking = _Unpacking(archive, partial, limit)
        if not unpacking.run(encoding):
            grown = f"{printable(archive)} unpacks to more than {max_growth:g} times its size"
            raise TrainingError(f"{grown}, so it does not contain photos only.")
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Unpacked(target, tuple(unpacking.skipped), tuple(unpacking.ignored))


class _Unpacking:
    """The photos of one archive, on their way to a folder."""

    def __init__(self, archive: Path, target: Path, limit: int) -> None:
        """limit: bytes."""
        self.skipped: list[Skipped] = []
        self.ignored: list[str] = []
        self._archive, self._target, self._remaining = archive, target, limit

    def run(self, encoding: str | None) -> bool:
        """Unpack the photos, and return False as soon as they have more bytes than the limit."""
        entries = _entries(self._archive, encoding)
        with tqdm(desc=f"unpack {self._archive.name}", unit=" files") as bar:
            while True:
                with _sentences(self._archive):
                    entry = next(entries, None)
                if entry is None:
                    return True
                self._unpack(entry)
                bar.update()
                if self._remaining < 0:
                    return False

    def _unpack(self, entry: _Entry) -> None:
        parts = PurePosixPath(entry.name.replace("\\", "/")).parts
        if any(map(is_system_name, parts)) and ".." not in parts:
            self.ignored.append(f"{printable(self._archive)}:{printable(entry.name)}")
        elif not parts or ".." in parts or parts[0] == "/" or re.fullmatch("[A-Za-z]:", parts[0]):
            self._skip(entry.name, OUTSIDE)
        elif entry.file is None:
            self._skip(entry.name, entry.reason)
        else:
            self._write(entry.name, entry.file, self._target.joinpath(*parts))

    def _write(self, name: str, file: IO[bytes], path: Path) -> None:
        """Write a file if it begins like an image. Raises TrainingError, OSError."""
        with _sentences(self._archive):
            chunk = file.read(HEAD_BYTES)
        if image_format(chunk) is None:
            self._skip(name, NOT_A_PHOTO)
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            out = path.open("wb")
        except OSError as error:
            # A name that is too long here, or that of a file and of a folder. Other errors are those of the disk.
            if error.errno not in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
                raise
            self._skip(name, DENIED, error.strerror or "")
            return
        with out:
            while chunk and self._remaining >= 0:
                out.write(chunk)
                self._remaining -= len(chunk)
                with _sentences(self._archive):
                    chunk = file.read(1 << 20)

    def _skip(self, name: str, reason: str, detail: str = "") -> None:
        self.skipped.append(Skipped(f"{printable(self._archive)}:{printable(name)}", reason, detail))


@contextmanager
def _sentences(archive: Path) -> Iterator[None]:
    """Convert every error of the libraries that read archives to TrainingError."""
    try:
        yield
    except TrainingError:
        raise
    except Exception as error:  # the libraries raise nearly any class for a damaged archive
        if isinstance(error, OSError) and error.strerror:
            raise TrainingError(f"{printable(archive)} cannot be read: {error.strerror}.") from error
        reason = f": {error}" if str(error) else ""
        raise TrainingError(f"{printable(archive)} is damaged or not a tar or zip archive{reason}.") from error


def _entries(archive: Path, encoding: str | None) -> Iterator[_Entry]:
    """Yield the files of an archive. Raises TrainingError, and any error of the libraries."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as pack:
            for info in pack.infolist():
                if not info.is_dir():
                    yield from _zip_entry(pack, info, encoding, archive)
        return
    with archive.open("rb") as file:
        head = file.read(16)
    for signature, kind in OTHER_FORMATS.items():
        if head.startswith(signature):
            raise TrainingError(f"{printable(archive)} is a {kind} archive, which is not read here: {UNPACKED}.")
    with tarfile.open(archive, encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            if not member.isdir():
                name = _text(os.fsencode(member.name), encoding, archive)
                yield _tar_entry(tar, member, name)
        _check_end(tar)


def _check_end(tar: tarfile.TarFile) -> None:
    """Check that the archive ends after its last file. Raises any error of the libraries.

    tarfile takes a damaged header for the end, and does not read the checksum of the compression.
    """
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError("a header is damaged")
    while tar.fileobj.read(1 << 20):
        pass


def _zip_entry(pack: zipfile.ZipFile, info: zipfile.ZipInfo, encoding: str | None, archive: Path) -> Iterator[_Entry]:
    """Yield one file of a zip archive, which is closed afterwards. Raises TrainingError."""
    if info.flag_bits & ENCRYPTED or info.compress_type == AES:
        raise TrainingError(f"{printable(archive)} is encrypted: {UNPACKED}.")
    if info.compress_type not in (STORED, DEFLATED, BZIP2, LZMA):
        method = METHODS.get(info.compress_type, f"method {info.compress_type}")
        raise TrainingError(f"{printable(archive)} is compressed by {method}, which is not read here: {UNPACKED}.")
    with pack.open(info) as file:
        yield _Entry(_zip_name(info, encoding, archive), file)


def _tar_entry(tar: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> _Entry:
    """Return one file of a tar archive. A link stands for the file to which it leads."""
    if not (member.isfile() or member.islnk() or member.issym()):
        return _Entry(name, None, SPECIAL)
    try:
        file = tar.extractfile(member)
    except (KeyError, RecursionError):
        file = None
    return _Entry(name, file, ARCHIVED_LINK)


def _zip_name(info: zipfile.ZipInfo, encoding: str | None, archive: Path) -> str:
    """Return the name of a file. Raises TrainingError if `encoding` is needed."""
    if info.flag_bits & UTF8_FLAG:
        return info.filename
    raw = info.orig_filename.encode("cp437")  # as zipfile has decoded it
    return _text(_unicode_path(info.extra, raw) or raw, encoding, archive)


def _unicode_path(extra: bytes, raw: bytes) -> bytes | None:
    """Return the name in Info-ZIP's extra field for names in UTF-8, if it belongs to this name."""
    while len(extra) >= 4:
        kind, size = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == UNICODE_PATH and int.from_bytes(field[1:5], "little") == zlib.crc32(raw):
            return field[5:]
    return None


def _text(raw: bytes, encoding: str | None, archive: Path) -> str:
    """Decode a name: as UTF-8 if it is, else by `encoding`. Raises TrainingError if the encoding is needed or wrong."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        pass
    if encoding:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError as error:
            raise TrainingError(f"The names in {printable(archive)} are not in {encoding}. {_choices(raw)}") from error
    if raw.replace(b"\\", b"/").rpartition(b"/")[0].isascii():
        return raw.decode(LEGACY_ENCODING, "replace")  # only the name of the file, which does not matter
    raise TrainingError(f"The names in {printable(archive)} are not in UTF-8. {_choices(raw)}")


def _choices(raw: bytes) -> str:
    """Ask for the encoding, and show a name in those that are possible."""
    shown = []
    for encoding in ENCODINGS:
        try:
            name = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if name.isprintable():
            shown.append(f"{encoding} for {name}")
    return f"Choose their encoding by the name that is right, with --zip-encoding: {'; '.join(shown)}."
