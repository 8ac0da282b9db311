"""publish: a version with its network and gallery, into a folder or S3."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from storage.blobs import BlobStore
from storage.cache import CachedStore
from storage.networks import OWN_POINTER, POINTER, Pointer, check_version, read_pointer
from training.errors import log
from training.store import latest, megabytes, open_store, point


def publish(models: Path, to: str, dry_run: bool = False) -> Pointer:
    """Copy the version that `models`/latest.json points to, to s3://bucket/prefix, and point to it. Raises
    TrainingError.

    dry_run: check all that can be checked without writing, and say what would be done. The version is written first and
    the pointer last: any earlier error leaves the pointer as it was. Of two processes that publish at the same time one
    is told that the other was first.
    """
    with open_store(str(models)) as source:
        store = CachedStore(source)
        pointer = read_pointer(store)
        check_version(store, pointer)
        with open_store(to) as target:
            current, etag = latest(target)
            _copy(source, target, pointer, dry_run)
            _serve(target, pointer, current, etag, dry_run)
    if dry_run:
        log("dry run: nothing was written")
    return pointer


def _copy(source: BlobStore, target: BlobStore, pointer: Pointer, dry_run: bool) -> None:
    """Copy the objects that are not there yet, the version's own pointer last."""
    prefix = f"{pointer.version}/"
    there = {entry.key: entry.bytes for entry in target.list(prefix)}
    missing = [entry for entry in source.list(prefix) if there.get(entry.key) != entry.bytes]
    if not missing:
        log(f"{pointer.version} is there already")
        return
    size = sum(entry.bytes for entry in missing)
    if dry_run:
        log(f"would upload {megabytes(size)} to {target.uri}/{prefix}")
        return
    with tqdm(total=size, unit="B", unit_scale=True, desc=f"upload {pointer.version}") as bar:
        for entry in sorted(missing, key=lambda entry: entry.key == prefix + OWN_POINTER):
            path = source.local_path(entry.key)
            if path is None:
                raise AssertionError("versions are published from a folder")
            target.put_file(entry.key, path, bar.update)


def _serve(target: BlobStore, pointer: Pointer, current: Pointer | None, etag: str | None, dry_run: bool) -> None:
    before = current.version if current else "nothing"
    if current == pointer:
        log(f"{target.uri} serves {pointer.version} already")
    elif dry_run:
        log(f"would point {target.uri}/{POINTER} from {before} to {pointer.version}")
    else:
        point(target, pointer, etag)
        log(f"{target.uri} now serves {pointer.version}, before it was {before}")
