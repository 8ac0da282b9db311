"""Count the objects of a bucket for `make bulk` and `make bulk-enrol`, and calculate their time and price."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable, Iterator, NamedTuple

from api.bucket_photos import MAX_BYTES
from api.photo_keys import OURS, ending, is_photo
from api.uploads import MAX_PHOTOS
from service.system_files import is_system_name

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
PRICES = json.loads((DEPLOY / "prices.json").read_text(encoding="utf-8"))

KINDS_OF_FILES = 1000  # whose endings are counted apart, to limit the memory
PHOTO_SECONDS = 0.15  # of a photo of 1,600 pixels with ONE_CPU, with reading it: docs/costs.md
COLD_SECONDS = 1.0  # of the start of a runtime
ONE_CPU = 1769  # MB of memory
WORKFLOW_GB = 64 / 1024  # of an EXPRESS workflow with small inputs
LISTED = 1000  # objects by one request to S3
PAGE_SECONDS = 0.1  # of such a request, assumed


class Entry(NamedTuple):
    """An object of a listing. size: bytes."""

    key: str
    size: int


@dataclass
class Count:
    """Objects below a prefix. too_large: photos of more bytes than are read; others: by ending."""

    photos: int = 0
    photo_bytes: int = 0
    too_large: int = 0
    others: Counter[str] = field(default_factory=Counter)

    @property
    def objects(self) -> int:
        return self.photos + self.too_large + sum(self.others.values())

    def add(self, entry: Entry) -> None:
        if not is_photo(entry.key):
            kind = _kind(entry.key)
            self.others[kind if kind in self.others or len(self.others) < KINDS_OF_FILES else "more"] += 1
        elif entry.size > MAX_BYTES:
            self.too_large += 1
        else:
            self.photos += 1
            self.photo_bytes += entry.size

    def lines(self) -> Iterator[str]:
        yield f"{self.photos:,} photos, {self.photo_bytes / 1e9:,.2f} GB"
        if self.too_large:
            yield f"{self.too_large:,} photos of more than {MAX_BYTES / 1e6:.0f} MB: their results are errors"
        if self.others:
            kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.others.most_common(5))
            yield f"{sum(self.others.values()):,} other objects, which are not read: {kinds}"


def _kind(key: str) -> str:
    """Name the kind of an object that is no photo."""
    if key.startswith(OURS):
        return "results of this service"
    if key.endswith("/"):
        return "folders"
    if any(map(is_system_name, key.split("/"))):
        return "hidden or of a system"
    return f".{ending(key)}"


@dataclass
class People:
    """Folders of people below a prefix.

    folders: their keys; photos: that are read, at most MAX_PHOTOS of a person; more: further ones; empty: folders
    without a photo; stray: photos outside of folders.
    """

    folders: list[str] = field(default_factory=list)
    photos: int = 0
    more: int = 0
    empty: int = 0
    stray: int = 0

    def lines(self) -> Iterator[str]:
        yield f"{len(self.folders):,} people, {self.photos:,} photos"
        if self.more:
            yield f"{self.more:,} photos are not used: at most {MAX_PHOTOS} of a person are"
        if self.empty:
            yield f"{self.empty:,} folders without a photo"
        if self.stray:
            yield f"{self.stray:,} photos that are in no folder of a person"


def entries(s3: Any, bucket: str, prefix: str) -> Iterator[Entry]:
    """List the objects below a prefix, page by page. Raises BotoCoreError, ClientError."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", ()):
            yield Entry(found["Key"], found["Size"])


def count(found: Iterable[Entry]) -> Count:
    """Count objects in constant memory."""
    total = Count()
    for entry in found:
        total.add(entry)
    return total


def people(found: Iterable[Entry], prefix: str) -> People:
    """Find the folders of people. found: in the order of their keys, as S3 lists them."""
    total, current, photos = People(), None, 0
    for entry in found:
        name, slash, file = entry.key[len(prefix) :].partition("/")
        if not slash:
            total.stray += is_photo(entry.key)
            continue
        if name != current:
            _close(total, f"{prefix}{current}/", photos, begun=current is not None)
            current, photos = name, 0
        photos += is_photo(entry.key) and "/" not in file
    _close(total, f"{prefix}{current}/", photos, begun=current is not None)
    return total


def _close(total: People, folder: str, photos: int, *, begun: bool) -> None:
    if photos:
        total.folders.append(folder)
        total.photos += min(photos, MAX_PHOTOS)
        total.more += max(photos - MAX_PHOTOS, 0)
    else:
        total.empty += begun


class Work(NamedTuple):
    """The size of a run. items: of the map; batch: items of a batch; listed: objects that are listed."""

    photos: int
    items: int
    batch: int
    listed: int


class Setup(NamedTuple):
    """How a run does it. concurrency: runtimes; memory: MB of the function; seconds: for a photo with ONE_CPU."""

    concurrency: int
    memory: int = ONE_CPU
    seconds: float = PHOTO_SECONDS

    @property
    def photo_seconds(self) -> float:
        """The time for a photo. Less than one CPU is slower; more than one is not calculated to be faster."""
        return self.seconds * max(1.0, ONE_CPU / self.memory)


def batches(work: Work) -> int:
    return math.ceil(work.items / work.batch)


def runtimes(work: Work, setup: Setup) -> int:
    return min(setup.concurrency, batches(work))


def duration(work: Work, setup: Setup) -> float:
    """Calculate the seconds that a run takes."""
    return (
        work.photos * setup.photo_seconds / max(runtimes(work, setup), 1)
        + COLD_SECONDS
        + work.listed / LISTED * PAGE_SECONDS
    )


def price(work: Work, setup: Setup) -> dict[str, float]:
    """Calculate the price of a run by AWS service in dollars."""
    number, seconds = batches(work), work.photos * setup.photo_seconds
    starts = runtimes(work, setup) * COLD_SECONDS
    # A duration is rounded up to 0.1 s. The parent workflow has three transitions, the listing is read here, too.
    workflow_seconds = seconds + starts + number * 0.1
    return {
        "Lambda": (seconds + starts) * setup.memory / 1024 * PRICES["lambda_gb_second"]
        + number * PRICES["lambda_request"],
        "Step Functions": number * PRICES["workflow_request"]
        + workflow_seconds * WORKFLOW_GB * PRICES["workflow_gb_second"]
        + 3 * PRICES["workflow_transition"],
        "S3": (work.photos + 2 * number) * PRICES["s3_get"]
        + (number + 2 * math.ceil(work.listed / LISTED)) * PRICES["s3_put"],
    }


def plan_lines(work: Work, setup: Setup) -> Iterator[str]:
    """Describe time and price of a run."""
    yield (
        f"{batches(work):,} batches in {runtimes(work, setup):,} runtimes at once, about {words(duration(work, setup))}"
        f" ({setup.photo_seconds:.2f} s a photo)"
    )
    bill = price(work, setup)
    parts = ", ".join(f"{name} ${dollars:.2f}" for name, dollars in bill.items())
    yield f"${sum(bill.values()):.2f}: {parts} (prices of {PRICES['as_of']})"


def words(seconds: float) -> str:
    """Write a duration: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
