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
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from model.errors import ModelUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

POINTER = "latest.json"
FILE = "model.pt"
CHUNK = 1 << 20  # bytes


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
        """Raises ModelUnavailable."""
        try:
            found = json.loads(text)
            pointer = cls(**{name: found[name] for name in cls.__dataclass_fields__})
        except (ValueError, TypeError, KeyError) as error:
            raise ModelUnavailable(f"{POINTER} is not a pointer to a model: {error!r}.") from error
        # The version becomes a file name, so nothing else may stand in it.
        if not re.fullmatch(r"\d{8}-[0-9a-f]{8}", str(pointer.version)):
            raise ModelUnavailable(f"{POINTER} names a version of unknown form.")
        if pointer.file != f"{pointer.version}/{FILE}":
            raise ModelUnavailable(f"{POINTER} names another file than its version's.")
        return pointer

    @classmethod
    def of(cls, path: Path) -> Pointer:
        """The pointer for a finished model file, dated now."""
        now = datetime.now(timezone.utc)
        digest = sha256(path)
        version = f"{now:%Y%m%d}-{digest[:8]}"
        return cls(version, f"{version}/{FILE}", digest, path.stat().st_size, now.isoformat(timespec="seconds"))

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"


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


def fetch(uri: str) -> tuple[Path, Pointer]:
    """The current model of `uri` as a verified local file. Raises ModelUnavailable."""
    if uri.startswith("s3://"):
        return _fetch_s3(uri)
    return _fetch_folder(Path(uri))


def _fetch_folder(folder: Path) -> tuple[Path, Pointer]:
    try:
        pointer = Pointer.parse((folder / POINTER).read_bytes())
        path = folder / pointer.file
        _verify(path, pointer)
    except OSError as error:
        raise ModelUnavailable(f"No model can be read from the model folder: {error.strerror}.") from error
    return path, pointer


def _fetch_s3(uri: str) -> tuple[Path, Pointer]:
    # Imported here because it takes a quarter of a second that a bundled model does not need.
    from boto3 import client
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        bucket, prefix = split_s3_uri(uri)
        s3: S3Client = client("s3")
        pointer = Pointer.parse(s3.get_object(Bucket=bucket, Key=prefix + POINTER)["Body"].read())
        path = Path(tempfile.gettempdir()) / f"{pointer.version}-{pointer.sha256[:16]}.pt"
        if not (path.exists() and _is_intact(path, pointer)):
            _download(s3, bucket, prefix + pointer.file, path, pointer)
    except (BotoCoreError, ClientError, OSError, ValueError) as error:
        raise ModelUnavailable(f"The model cannot be fetched: {type(error).__name__}.") from error
    return path, pointer


def _download(s3: Any, bucket: str, key: str, path: Path, pointer: Pointer) -> None:
    """To a name of its own first, so that a download cut off never passes for the model."""
    handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            s3.download_fileobj(bucket, key, file)
        _verify(Path(partial), pointer)
        os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)


def _is_intact(path: Path, pointer: Pointer) -> bool:
    return path.stat().st_size == pointer.bytes and sha256(path) == pointer.sha256


def _verify(path: Path, pointer: Pointer) -> None:
    if not _is_intact(path, pointer):
        raise ModelUnavailable("The model file is not the one that was published: its checksum differs.")
