"""Where models are published, for those who write there: model/store.py says how it is laid out and reads it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import torch
from botocore.config import Config as ClientConfig
from botocore.exceptions import ClientError
from tqdm import tqdm

from model.errors import ModelUnavailable
from model.recognizer import CONFIG, PEOPLE, Config, Person, people_to_json
from model.store import CHUNK, FILE, POINTER, VERSION, Pointer, sha256, split_s3_uri
from training.atomic_files import atomic_write
from training.errors import TrainingError, log
from training.evaluation.probes import PROBES
from training.publishing.s3_errors import S3_ERRORS, sentence

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Version(NamedTuple):
    """A model that is there. created: when its file was written, in UTC; current: the one that is served."""

    version: str
    bytes: int
    created: datetime
    current: bool = False


class Store(ABC):
    """A folder or an S3 prefix. Use it within `open_store`, which turns what fails into a TrainingError."""

    uri: str

    def versions(self) -> list[Version]:
        """Oldest first."""
        current = self.current()
        served = current.version if current else None
        found = (one._replace(current=one.version == served) for one in self._stored())
        return sorted(found, key=lambda one: (one.created, one.version))

    @abstractmethod
    def _stored(self) -> Iterator[Version]:
        """Every version with a model, in no order, as if none were served."""

    @abstractmethod
    def sha256(self, version: str) -> str:
        """64 hex digits, of the version's file."""

    @abstractmethod
    def point(self, pointer: Pointer) -> None:
        """Write latest.json: readers see the old one or this one."""

    @abstractmethod
    def _latest(self) -> bytes | None:
        """latest.json as it is, None where there is none."""

    def current(self) -> Pointer | None:
        """What is served now. None where nothing is; a broken latest.json is mentioned, for it can be replaced."""
        text = self._latest()
        try:
            return None if text is None else Pointer.parse(text)
        except ModelUnavailable as error:
            log(f"nothing is served from {self.uri}: {error}")
            return None


class FolderStore(Store):
    def __init__(self, path: Path) -> None:
        self.uri = str(path)
        self._path = path

    def _stored(self) -> Iterator[Version]:
        for folder in self._path.iterdir():
            file = folder / FILE
            if VERSION.fullmatch(folder.name) and file.is_file():
                found = file.stat()
                yield Version(folder.name, found.st_size, datetime.fromtimestamp(found.st_mtime, timezone.utc))

    def sha256(self, version: str) -> str:
        return sha256(self._path / version / FILE)

    def point(self, pointer: Pointer) -> None:
        with atomic_write(self._path / POINTER) as partial:
            partial.write_text(pointer.to_json(), encoding="utf-8")

    def _latest(self) -> bytes | None:
        try:
            return (self._path / POINTER).read_bytes()
        except FileNotFoundError:
            return None


class S3Store(Store):
    def __init__(self, uri: str, s3: S3Client) -> None:
        self.uri = uri
        self._s3 = s3
        self._bucket, self._prefix = split_s3_uri(uri)

    def url(self, file: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{file}"

    def holds(self, pointer: Pointer) -> bool:
        # The name holds the start of the checksum: what is there under it is this very model.
        key = self._prefix + pointer.file
        listed = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=1).get("Contents", [])
        return [(entry["Key"], entry["Size"]) for entry in listed] == [(key, pointer.bytes)]

    def _stored(self) -> Iterator[Version]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        for page in pages:
            for entry in page.get("Contents", []):
                version, _, file = entry["Key"][len(self._prefix) :].partition("/")
                if VERSION.fullmatch(version) and file == FILE:
                    yield Version(version, entry["Size"], entry["LastModified"].astimezone(timezone.utc))

    def upload(self, path: Path, pointer: Pointer) -> None:
        with path.open("rb") as file, tqdm(
            total=pointer.bytes, unit="B", unit_scale=True, desc=f"upload {pointer.version}"
        ) as bar:
            self._s3.upload_fileobj(
                file,
                self._bucket,
                self._prefix + pointer.file,
                ExtraArgs={"Metadata": {"sha256": pointer.sha256}},
                Callback=bar.update,
            )

    def sha256(self, version: str) -> str:
        key = f"{self._prefix}{version}/{FILE}"
        noted = self._s3.head_object(Bucket=self._bucket, Key=key)["Metadata"].get("sha256", "")
        if re.fullmatch(r"[0-9a-f]{64}", noted):
            return noted
        answer = self._s3.get_object(Bucket=self._bucket, Key=key)
        log(f"{self.url(f'{version}/{FILE}')} has no checksum: reading {megabytes(answer['ContentLength'])}")
        digest = hashlib.sha256()
        with contextlib.closing(answer["Body"]) as body:
            for chunk in body.iter_chunks(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def point(self, pointer: Pointer) -> None:
        self._s3.put_object(
            Bucket=self._bucket,
            Key=self._prefix + POINTER,
            Body=pointer.to_json().encode(),
            ContentType="application/json",
            CacheControl="no-cache",
        )

    def _latest(self) -> bytes | None:
        try:
            return self._s3.get_object(Bucket=self._bucket, Key=self._prefix + POINTER)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise


def save_version(
    script: torch.jit.ScriptModule, config: Config, people: list[Person], models: Path, probes: str = ""
) -> Pointer:
    """Write a new version below `models`, then the pointer to it. What is cut off leaves the old version in force.

    probes: as of `pack_probes`, or empty.
    """
    extra = torch._C.ExtraFilesMap()
    extra[CONFIG], extra[PEOPLE], extra[PROBES] = config.to_json(), people_to_json(people), probes
    partial = models / ".new"
    partial.mkdir(parents=True, exist_ok=True)
    try:
        script.save(str(partial / FILE), _extra_files=extra)
        pointer = Pointer.of(partial / FILE)
        target = models / pointer.version
        if not target.exists():
            os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    FolderStore(models).point(pointer)
    return pointer


def megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


@contextlib.contextmanager
def open_s3(uri: str) -> Iterator[S3Store]:
    """Raises TrainingError, also for what S3 refuses meanwhile."""
    try:
        split_s3_uri(uri)
    except ValueError as error:
        raise TrainingError(f"{error}.") from error
    try:
        with contextlib.closing(_client()) as s3:
            yield S3Store(uri, s3)
    except S3_ERRORS as error:
        raise TrainingError(sentence(error, uri)) from error


@contextlib.contextmanager
def open_store(uri: str) -> Iterator[Store]:
    """A folder, or s3://bucket/prefix. Raises TrainingError, also for what cannot be read or written meanwhile."""
    if uri.startswith("s3://"):
        with open_s3(uri) as store:
            yield store
        return
    try:
        yield FolderStore(Path(uri))
    except OSError as error:
        raise TrainingError(f"The folder {uri} cannot be used: {error.strerror}.") from error


def _client() -> Any:
    # In seconds; the standard mode makes 3 attempts, or AWS_MAX_ATTEMPTS. A client writes into its Config.
    config = ClientConfig(connect_timeout=10, read_timeout=60, retries={"mode": "standard"})
    try:
        return boto3.client("s3", config=config)
    except ValueError as error:
        raise TrainingError(f"S3 cannot be reached as it is set up: {error}.") from error
