"""versions, rollback: what is published in a folder or under an S3 prefix, and serving an older one of it again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from model.store import FILE, POINTER, Pointer
from training.places import Stored, megabytes, opened
from training.steps import TrainingError, say


@dataclass(frozen=True)
class Version:
    """One published model. created: when its file was written there, ISO 8601, UTC; current: the one served now."""

    version: str
    bytes: int
    created: str
    current: bool


def versions(uri: str) -> list[Version]:
    """Those in a folder or s3://bucket/prefix, oldest first. Raises TrainingError."""
    with opened(uri) as place:
        found = sorted(place.stored(), key=_age)
        current = place.current()
    served = current.version if current else None
    return [Version(one.version, one.bytes, _iso(one.modified), one.version == served) for one in found]


def show(found: list[Version]) -> str:
    """A table to print, without a newline at its end; `*` marks the current version."""
    if not found:
        return "There are no versions."
    sizes = [megabytes(one.bytes) for one in found]
    width = max(map(len, sizes))
    head = f"  {'version':17}  {'size':>{width}}  created"
    rows = [
        f"{'*' if one.current else ' '} {one.version:17}  {size:>{width}}  {one.created}"
        for one, size in zip(found, sizes)
    ]
    return "\n".join([head, *rows])


def rollback(uri: str, version: str) -> Pointer:
    """Point latest.json of a folder or s3://bucket/prefix at a version that is there. Raises TrainingError.

    The pointer is written last: unless it is the writing itself that fails, an error leaves it as it was.
    """
    with opened(uri) as place:
        found = {one.version: one for one in sorted(place.stored(), key=_age)}
        if version not in found:
            there = f"there are {', '.join(found)}" if found else "there are none at all"
            raise TrainingError(f"{uri} has no version {version}: {there}.")
        current = place.current()
        if current and current.version == version:
            say(f"{uri} serves {version} already, nothing is changed")
            return current
        digest = place.sha256(version)
        if not version.endswith(f"-{digest[:8]}"):
            raise TrainingError(
                f"{version}/{FILE} in {uri} is not the file that was published: its checksum starts with {digest[:8]}. "
                f"{POINTER} is as it was."
            )
        one = found[version]
        pointer = Pointer(version, f"{version}/{FILE}", digest, one.bytes, _iso(one.modified))
        place.point(pointer)
    say(f"{uri} now serves {version}, before it was {current.version if current else 'nothing'}")
    return pointer


def _age(one: Stored) -> tuple[datetime, str]:
    return one.modified, one.version


def _iso(when: datetime) -> str:
    return when.isoformat(timespec="seconds")
