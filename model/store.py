"""Where models are published: `latest.json` beside `<version>/model.pt`, in a folder or under an S3 prefix.

Versions never change once written and the pointer is written last, so a reader sees the old model or the new one,
never half of one.
"""

from __future__ import annotations

import builtins
import hashlib
import json
import os
import re
import tempfile
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlparse

from model.errors import ModelUnavailable, SourceUnreachable
from model.s3 import UNHURRIED, Bucket, Patience

BUNDLED = str(Path(__file__).parent / "bundled")
POINTER = "latest.json"
FILE = "model.pt"
VERSION = re.compile(r"[0-9]{8}-[0-9a-f]{8}")  # day, and how the checksum begins
CHUNK = 1 << 20  # bytes
POINTER_BYTES = 1 << 16  # at most; it has about 220


@dataclass(frozen=True)
class Pointer:
    """The content of latest.json. file: path of the model below the pointer's folder; created: ISO 8601, UTC."""

    version: str
    file: str
    sha256: str
    bytes: int
    created: str

    @classmethod
    def parse(cls, text: builtins.bytes) -> Pointer:
        """Fields that it does not know are left to those who do. Raises ModelUnavailable."""
        try:
            found = json.loads(text)
            pointer = cls(**{name: found[name] for name in cls.__dataclass_fields__})
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ModelUnavailable(
                f"{POINTER} is not a pointer to a model: {type(error).__name__}, {error}."
            ) from error
        # The version becomes a file name, so nothing else may stand in it.
        if not VERSION.fullmatch(str(pointer.version)):
            raise ModelUnavailable(f"{POINTER} names a version of unknown form.")
        if not (isinstance(pointer.sha256, str) and isinstance(pointer.bytes, int)):
            raise ModelUnavailable(f"{POINTER} says no size or checksum that can be compared.")
        if pointer.file != f"{pointer.version}/{FILE}":
            raise ModelUnavailable(f"{POINTER} names another file than its version's.")
        return pointer

    @classmethod
    def of(cls, path: Path) -> Pointer:
        """The pointer for a finished model file, dated now."""
        now = datetime.now(timezone.utc)
        digest = sha256(path)
        return cls.to(f"{now:%Y%m%d}-{digest[:8]}", digest, path.stat().st_size, now)

    @classmethod
    def to(cls, version: str, sha256: str, bytes: int, created: datetime) -> Pointer:
        return cls(version, f"{version}/{FILE}", sha256, bytes, created.isoformat(timespec="seconds"))

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    def fits(self, path: Path) -> bool:
        """Whether that file is the model it points to. Raises OSError."""
        return path.stat().st_size == self.bytes and sha256(path) == self.sha256


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def split_s3_uri(uri: str) -> tuple[str, str]:
    """s3://bucket/some/prefix -> bucket, "some/prefix/". Raises ValueError."""
    parts = urlparse(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise ValueError(f"{uri!r} is not of the form s3://bucket/prefix")
    prefix = parts.path.strip("/")
    return parts.netloc, f"{prefix}/" if prefix else ""


def fetch(uri: str, patience: Patience = UNHURRIED) -> tuple[Path, Pointer]:
    """The current model of `uri` as a verified local file.

    Raises ModelUnavailable; SourceUnreachable where S3 could not be asked which model is the current one.
    """
    if uri.startswith("s3://"):
        return _fetch_s3(uri, patience)
    return _fetch_folder(Path(uri))


def current(uri: str, patience: Patience = UNHURRIED) -> Pointer:
    """Which model of `uri` is the current one, without fetching it. Raises as `fetch` does."""
    if uri.startswith("s3://"):
        with closing(Bucket(*Copies(uri).source, patience)) as bucket:
            return Pointer.parse(bucket.read(POINTER, POINTER_BYTES))
    try:
        return Pointer.parse((Path(uri) / POINTER).read_bytes())
    except OSError as error:
        raise _unreadable(error) from error


def _fetch_folder(folder: Path) -> tuple[Path, Pointer]:
    pointer = current(str(folder))
    path = folder / pointer.file
    try:
        if not pointer.fits(path):
            raise _changed()
    except OSError as error:
        raise _unreadable(error) from error
    return path, pointer


def _fetch_s3(uri: str, patience: Patience) -> tuple[Path, Pointer]:
    copies = Copies(uri)
    with closing(Bucket(*copies.source, patience)) as bucket:
        pointer = Pointer.parse(bucket.read(POINTER, POINTER_BYTES))
        path = copies.find(pointer)
        if path is None:
            try:
                path = copies.add(pointer, bucket.read(pointer.file, pointer.bytes))
            except SourceUnreachable as error:
                # The pointer has been read, and it has the last word: nothing may be served in place of its version.
                raise ModelUnavailable(str(error)) from error
    return path, pointer


def remember(uri: str, pointer: Pointer) -> None:
    """Note that the version at hand is good to be served, for when S3 cannot be reached. A folder needs no note."""
    if uri.startswith("s3://"):
        # It is of use only some other day, if ever, and today there is a model to serve.
        with suppress(OSError):
            Copies(uri).remember(pointer)


def recall(uri: str) -> tuple[Path, Pointer] | None:
    """The version of an S3 prefix that was remembered last, verified, if it is still here.

    Lambda keeps the temp folder when it starts a function anew after a crash or a timeout.
    """
    return Copies(uri).recall()


class Copies:
    """What was fetched from one S3 prefix, in the temp folder, and a note which version was good to be served."""

    def __init__(self, uri: str) -> None:
        """Raises ModelUnavailable."""
        try:
            self.source = split_s3_uri(uri)
            self._folder = Path(tempfile.gettempdir())
        except ValueError as error:
            raise ModelUnavailable("The address of the model is not of the form s3://bucket/prefix.") from error
        except OSError as error:
            raise _no_room() from error
        self._name = "faces-" + hashlib.sha256("/".join(self.source).encode()).hexdigest()[:16]
        self.note = self._folder / f"{self._name}.json"

    def find(self, pointer: Pointer) -> Path | None:
        """The verified copy of a version, if there is one."""
        path = self._path(pointer)
        try:
            return path if pointer.fits(path) else None
        except OSError:
            return None

    def add(self, pointer: Pointer, data: bytes) -> Path:
        """Raises ModelUnavailable."""
        if hashlib.sha256(data).hexdigest() != pointer.sha256 or len(data) != pointer.bytes:
            raise _changed()
        try:
            self._write(self._path(pointer), data)
        except OSError as error:
            raise _no_room() from error
        return self._path(pointer)

    def remember(self, pointer: Pointer) -> None:
        """Write the note, and remove other versions. Raises OSError."""
        self._write(self.note, json.dumps({"source": self.source, **asdict(pointer)}).encode())
        for path in self._folder.glob(f"{self._name}-*.pt"):
            if path != self._path(pointer):
                path.unlink()

    def recall(self) -> tuple[Path, Pointer] | None:
        try:
            # In a temp folder of many users a note can be anybody's, and it decides what code is run.
            if self.note.stat().st_uid != os.getuid():
                return None
            text = self.note.read_bytes()
            pointer = Pointer.parse(text)
            found = self.find(pointer) if json.loads(text)["source"] == list(self.source) else None
        except (OSError, ModelUnavailable, KeyError):
            return None
        return (found, pointer) if found else None

    def _path(self, pointer: Pointer) -> Path:
        return self._folder / f"{self._name}-{pointer.version}.pt"

    def _write(self, path: Path, data: bytes) -> None:
        """All or nothing, and by a name of its own until then, for others may write the same file."""
        handle, partial = tempfile.mkstemp(dir=self._folder, prefix=f"{self._name}-", suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)


def _changed() -> ModelUnavailable:
    return ModelUnavailable("The model file is not the one that was published: its checksum differs.")


def _unreadable(error: OSError) -> ModelUnavailable:
    return ModelUnavailable(f"No model can be read from the model folder: {error.strerror}.")


def _no_room() -> ModelUnavailable:
    return ModelUnavailable("The model cannot be kept: the temp folder is full or cannot be written to.")
