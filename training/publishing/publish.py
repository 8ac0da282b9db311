"""publish, versions, rollback: a model into S3, what is there, and serving an older one again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model.errors import ModelUnavailable
from model.store import FILE, POINTER, Pointer, fetch
from training.errors import TrainingError, log
from training.publishing.store import Version, megabytes, open_s3, open_store


def publish(models: Path, to: str, dry_run: bool = False) -> Pointer:
    """Upload what `models`/latest.json points to, to s3://bucket/prefix, and point to it. Raises TrainingError.

    dry_run: check all that can be checked without writing, and say what would be done. The version is written first and
    the pointer last: unless it is the writing itself that fails, an error leaves the pointer as it was.
    """
    try:
        path, pointer = fetch(str(models))
    except ModelUnavailable as error:
        raise TrainingError(f"{error}") from error
    with open_s3(to) as store:
        there = store.holds(pointer)
        current = store.current()
        before = current.version if current else "nothing"
        if there:
            log(f"{pointer.version} is there already")
        elif dry_run:
            log(f"would upload {megabytes(pointer.bytes)} to {store.url(pointer.file)}")
        else:
            store.upload(path, pointer)
        if current == pointer:
            log(f"{to} serves {pointer.version} already")
        elif dry_run:
            log(f"would point {store.url(POINTER)} from {before} to {pointer.version}")
        else:
            store.point(pointer)
            log(f"{to} now serves {pointer.version}, before it was {before}")
    if dry_run:
        log("dry run: nothing was written")
    return pointer


def versions(uri: str) -> list[Version]:
    """Those in a folder or s3://bucket/prefix, oldest first. Raises TrainingError."""
    with open_store(uri) as store:
        return store.versions()


def table(found: Sequence[Version]) -> str:
    """To print, without a newline at its end; `*` marks the current version."""
    if not found:
        return "There are no versions."
    sizes = [megabytes(one.bytes) for one in found]
    width = max(map(len, sizes))
    head = f"  {'version':17}  {'size':>{width}}  created"
    rows = [
        f"{'*' if one.current else ' '} {one.version:17}  {size:>{width}}  {one.created.isoformat(timespec='seconds')}"
        for one, size in zip(found, sizes)
    ]
    return "\n".join([head, *rows])


def rollback(uri: str, version: str) -> None:
    """Point latest.json of a folder or s3://bucket/prefix at a version that is there. Raises TrainingError.

    The pointer is written last: unless it is the writing itself that fails, an error leaves it as it was.
    """
    with open_store(uri) as store:
        found = {one.version: one for one in store.versions()}
        if version not in found:
            there = f"there are {', '.join(found)}" if found else "there are none at all"
            raise TrainingError(f"{uri} has no version {version}: {there}.")
        if found[version].current:
            log(f"{uri} serves {version} already, nothing is changed")
            return
        digest = store.sha256(version)
        if not version.endswith(f"-{digest[:8]}"):
            raise TrainingError(
                f"{version}/{FILE} in {uri} is not the file that was published: its checksum starts with {digest[:8]}. "
                f"{POINTER} is as it was."
            )
        store.point(Pointer.to(version, digest, found[version].bytes, found[version].created))
    before = next((one.version for one in found.values() if one.current), "nothing that is there")
    log(f"{uri} now serves {version}, before it was {before}")
