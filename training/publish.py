"""publish: the model of a folder -> s3://bucket/prefix. The version first, the pointer last."""

from __future__ import annotations

from pathlib import Path

from model.errors import ModelUnavailable
from model.store import POINTER, Pointer, fetch
from training.places import megabytes, opened_bucket
from training.steps import TrainingError, say


def publish(models: Path, to: str, dry_run: bool = False) -> Pointer:
    """Upload what `models`/latest.json points to and point to it. Raises TrainingError.

    dry_run: check all that can be checked without writing, and say what would be done. The pointer is written last:
    unless it is the writing itself that fails, an error leaves it as it was.
    """
    try:
        path, pointer = fetch(str(models))
    except ModelUnavailable as error:
        raise TrainingError(f"{error}") from error
    with opened_bucket(to) as bucket:
        there = bucket.holds(pointer)
        current = bucket.current()
        before = current.version if current else "nothing"
        if there:
            say(f"{pointer.version} is there already")
        elif dry_run:
            say(f"would upload {megabytes(pointer.bytes)} to {bucket.url(pointer.file)}")
        else:
            bucket.upload(path, pointer)
        if current == pointer:
            say(f"{to} serves {pointer.version} already")
        elif dry_run:
            say(f"would point {bucket.url(POINTER)} from {before} to {pointer.version}")
        else:
            bucket.point(pointer)
            say(f"{to} now serves {pointer.version}, before it was {before}")
    if dry_run:
        say("dry run: nothing was written")
    return pointer
