"""Measure collections that change: `python -m benchmarks.changes`. Prints the tables of docs/reliability.md.

Runs against a local S3 (moto) and a folder. Exits with 1 if a change is lost or made twice.
"""

from __future__ import annotations

import io
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import boto3
from PIL import Image

from app import App, create_app
from benchmarks import synthetic
from benchmarks.bundled import bundled
from benchmarks.functions import SAMPLE, Function, event, use_s3
from benchmarks.options import parser_of
from settings import Settings, s3_settings_from_env
from storage.blobs import BlobStore, open_blobs
from storage.collections import Collections
from storage.live_collections import LiveCollections
from testing.changes import COLLECTION, SPEC, adding, cohorts
from testing.events import upload
from testing.paths import ROOT
from testing.servers import conditional_s3
from testing.wrapped_blobs import WrappedBlobs
from training.markdown import table

ADMIN = "an administrator's key"


class Place:
    """A new bucket of the local S3. uri: a prefix in it."""

    def __init__(self, url: str) -> None:
        use_s3(url)
        bucket = f"galleries-{uuid.uuid4()}"
        self.endpoint, self.uri = url, f"s3://{bucket}/galleries"
        boto3.client("s3").create_bucket(Bucket=bucket)

    def open(self) -> BlobStore:
        return open_blobs(self.uri, s3_settings_from_env())


def writers(place: Place, processes: int, count: int) -> list[str]:
    """Let processes add people to one collection. -> a row of the table. Raises AssertionError for a lost change."""
    collections = Collections(place.open())
    collections.create(COLLECTION, SPEC)
    started = time.perf_counter()
    running = [writer(place.uri, place.endpoint, f"writer {i}", count) for i in range(processes)]
    ids = [int(line) for process in running for line in process.communicate()[0].split()]
    seconds = time.perf_counter() - started
    gallery = collections.read(COLLECTION, cohorts).gallery
    names = {f"writer {i} {j}" for i in range(processes) for j in range(count)}
    assert sorted(ids) == [person.id for person in gallery.people] == list(range(processes * count))
    assert {person.name for person in gallery.people} == names and len(gallery.faces) == len(names)
    result = f"{len(ids)} made, 0 lost, 0 doubled; {len(ids) / seconds:.1f} commits/s"
    return [f"{processes} processes, {count} changes each", result]


def writer(uri: str, endpoint: str, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "testing.changes", uri, endpoint, name, str(count)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def kills(uri: str, place: Place, count: int) -> list[str]:
    """Kill writers at random points of a commit. -> a row. Raises AssertionError if a revision cannot be read."""
    collections = Collections(open_blobs(uri, s3_settings_from_env()))
    collections.create(COLLECTION, SPEC)
    made = 0
    for number in range(count):
        process = writer(uri, place.endpoint, f"killed {number}", 1000)
        assert process.stdout is not None
        answered = [int(process.stdout.readline())]
        time.sleep(random.uniform(0, 0.08))
        process.kill()
        answered += [int(line) for line in process.communicate()[0].split()]
        gallery = collections.read(COLLECTION, cohorts).gallery  # checks that everything fits together
        assert set(answered) <= set(gallery.ids.tolist())
        made += len(answered)
        assert len(gallery.people) == len(gallery.faces) >= made
    kind = "S3" if "://" in uri else "a folder"
    return [f"{count} kills, {kind}", f"{count} revisions read, all {made} answered changes in them"]


def runtimes(place: Place, count: int, changes: int) -> list[str]:
    """Count the runtimes that do not see a change with their next request. -> a row."""
    Collections(place.open()).create(COLLECTION, SPEC)
    running = [LiveCollections(place.open) for _ in range(count + 1)]
    late = 0
    for number in range(changes):
        running[0].commit(COLLECTION, cohorts, adding(f"Person {number}", str(number)))
        found = [each.check(COLLECTION, cohorts).result() for each in running[1:]]
        late += sum(each.stale or len(each.revision.gallery.people) <= number for each in found)
    return [f"{changes} changes, {count} other runtimes", f"{late} requests with an older revision"]


def size_of_a_change(place: Place, count: int) -> list[str]:
    """Count the requests and bytes of adding one face to a large collection. -> a row."""
    synthetic.write(place.open(), COLLECTION, bundled().gallery.loaded(), count)
    counted = WrappedBlobs(place.open())
    collections = Collections(counted)
    revision = collections.read(COLLECTION, cohorts)
    worst_requests, worst_bytes, manifest = 0, 0, 0
    for number in range(100):
        counted.operations.clear()
        revision, _ = collections.commit(COLLECTION, cohorts, adding("New", str(number)), revision)
        puts = [each for each in counted.operations if each.name == "put"]
        worst_requests = max(worst_requests, len(counted.operations))
        worst_bytes = max(worst_bytes, sum(each.bytes for each in puts if each.key.endswith(".safetensors")))
        manifest = max(manifest, *(each.bytes for each in puts if each.key.endswith(".json")))
    result = f"at most {worst_requests} requests, {worst_bytes:,} bytes, manifest {manifest:,} bytes"
    return [f"100 faces added to {count:,}", result]


def times(place: Place, repeats: int) -> list[list[str]]:
    """Time requests to one function each, in turn: without collections, with them in S3, and enrolling. -> rows."""
    photo = SAMPLE.read_bytes()
    alone = create_app(Settings(metrics=False))
    ours = create_app(Settings(metrics=False, gallery_uri=place.uri, admin_key=ADMIN, collection="lfw-copy"))
    ours.services.galleries.restore(ours.services.galleries.snapshot().gallery.loaded(), None)
    found: dict[str, list[float]] = {"bundled": [], "S3": []}
    for _ in range(repeats):
        found["bundled"].append(timed(alone, upload(photo)))
        found["S3"].append(timed(ours, upload(photo)))
    enrolled = statistics.median([timed(ours, enrolling(photo, number)) for number in range(repeats)][3:])
    inside, stored = (statistics.median(each[3:]) for each in found.values())
    return [
        ["/classify, bundled collection", f"{inside:.1f} ms"],
        ["/classify, the same collection in S3", f"{stored:.1f} ms"],
        ["POST /people with one photo", f"{enrolled:.1f} ms, {enrolled / stored:.2f} times as long"],
    ]


def enrolling(photo: bytes, number: int) -> dict[str, Any]:
    """Build the event that adds a person with a photo. It is changed in one pixel, so that it is no duplicate."""
    image, file = Image.open(io.BytesIO(photo)).convert("RGB"), io.BytesIO()
    image.putpixel((number % 250, number // 250), (255, number % 256, 0))
    image.save(file, "PNG")
    request = upload(file.getvalue(), name=f"Person {number}")
    request["headers"]["X-Api-Key"] = ADMIN
    return {**request, "path": "/people"}


def timed(app: App, event: dict[str, Any]) -> float:
    """Time a request in ms. Raises AssertionError if it fails."""
    started = time.perf_counter()
    answer = app.handle(event, SimpleNamespace(aws_request_id="request-1"))
    assert answer["statusCode"] in (200, 201), answer["body"]
    return (time.perf_counter() - started) * 1000


def cold_starts(place: Place, folder: Path, count: int, repeats: int) -> list[str]:
    """Compare start and first response with a large collection in S3 to those with the bundled one. -> a row."""
    synthetic.write(place.open(), COLLECTION, bundled().gallery.loaded(), count)
    photo = event(SAMPLE.read_bytes())
    found: dict[str, list[float]] = {"": [], place.uri: []}
    for number in range(repeats):
        for i, (uri, durations) in enumerate(found.items()):
            environment = {"MODEL_URI": "", "GALLERY_URI": uri}
            with closing(Function("ours", folder / f"{i}-{number}", threads=1, **environment)) as function:
                durations.append(function.duration(photo) / 1000)
    inside, stored = (statistics.median(durations) for durations in found.values())
    return [f"start and first response, {count:,} people in S3", f"{stored:.2f} s; bundled 610 people: {inside:.2f} s"]


# Part of the command line -> its rows.
PARTS: dict[str, Callable[[Place, Path], list[list[str]]]] = {
    "writers": lambda place, _: [writers(place, 32, 20)],
    "kills": lambda place, folder: [kills(uri, place, 100) for uri in (str(folder / "galleries"), place.uri)],
    "runtimes": lambda place, _: [runtimes(place, 8, 100)],
    "size": lambda place, _: [size_of_a_change(place, 100_000)],
    "times": lambda place, _: times(place, 60),
    "cold": lambda place, folder: [cold_starts(place, folder, 10_000, 10)],
}


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure (default: everything)")
    with conditional_s3() as url, tempfile.TemporaryDirectory() as folder:
        for part in parser.parse_args().parts or PARTS:
            print(f"{table(['measured', 'result'], PARTS[part](Place(url), Path(folder)))}\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
