"""Measure collections that change: `python -m benchmarks.changes`. Prints the tables of docs/reliability.md.

Runs against a local S3 (moto) and a folder. Exits with 1 if a change is lost or made twice.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from PIL import Image

from app import App, create_app
from model.edit import Edit
from model.embedding import GENERIC, normalize
from model.records import EnrolledFace, Person
from settings import Settings
from storage.blobs import BlobStore, open_blobs
from storage.collections import Collections
from storage.live_collections import LiveCollections
from storage.networks import BUNDLED, load_current
from storage.s3_settings import S3Settings
from testing.changes import COLLECTION, SPEC, adding, cohorts
from testing.emulator import Emulator
from testing.events import upload
from testing.paths import ROOT, SAMPLES
from testing.servers import conditional_s3
from testing.wrapped_blobs import WrappedBlobs
from training.markdown import table

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
ADMIN = "an administrator's key"
PARTS = ("writers", "kills", "runtimes", "size", "times", "cold")
BOX = (1.0, 2.0, 101.5, 121.5)


class Place:
    """A new bucket of the local S3. uri: a prefix in it; environment: variables of processes that use it."""

    def __init__(self, url: str) -> None:
        bucket = f"galleries-{uuid.uuid4()}"
        self.endpoint, self.uri = url, f"s3://{bucket}/galleries"
        self.environment = {**KEYS, "AWS_ENDPOINT_URL": url, "AWS_EC2_METADATA_DISABLED": "true"}
        os.environ.update(self.environment)
        boto3.client("s3").create_bucket(Bucket=bucket)

    def open(self) -> BlobStore:
        return open_blobs(self.uri, S3Settings("us-east-1", "test", "test", endpoint=self.endpoint))


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
    result = f"{len(ids)} made, 0 lost, 0 doubled"
    return [f"{processes} processes, {count} changes each", result, f"{len(ids) / seconds:.1f}"]


def writer(uri: str, endpoint: str, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "testing.changes", uri, endpoint, name, str(count)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def kills(uri: str, place: Place, count: int) -> list[str]:
    """Kill writers at random points of a commit. -> a row. Raises AssertionError if a revision cannot be read."""
    settings = S3Settings("us-east-1", "test", "test", endpoint=place.endpoint)
    collections = Collections(open_blobs(uri, settings))
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
    place_name = "S3" if "://" in uri else "folder"
    return [f"{count} kills, {place_name}", f"{count} revisions read, all {made} answered changes in them"]


def runtimes(place: Place, count: int, changes: int) -> list[str]:
    """Count the runtimes that do not see a change with their next request."""
    Collections(place.open()).create(COLLECTION, SPEC)
    running = [LiveCollections(place.open) for _ in range(count + 1)]
    late = 0
    for number in range(changes):
        running[0].commit(COLLECTION, cohorts, adding(f"Person {number}", str(number)))
        found = [each.check(COLLECTION, cohorts).result() for each in running[1:]]
        late += sum(each.stale or len(each.revision.gallery.people) <= number for each in found)
    return [f"{changes} changes, {count} other runtimes", f"{late} requests with an older revision"]


def times(place: Place, repeats: int) -> list[list[str]]:
    """Time requests to one function each, in turn: without collections, with them in S3, and enrolling."""
    photo = (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes()
    plain = create_app(Settings(metrics=False))
    ours = create_app(Settings(metrics=False, gallery_uri=place.uri, admin_key=ADMIN, collection="lfw-copy"))
    ours.services.galleries.restore(ours.services.galleries.snapshot().gallery.loaded(), None)
    found: dict[str, list[float]] = {"bundled": [], "S3": [], "enrol": []}
    for _ in range(repeats):
        found["bundled"].append(timed(plain, upload(photo)))
        found["S3"].append(timed(ours, upload(photo)))
    for number in range(repeats):
        found["enrol"].append(timed(ours, enrolling(changed(photo, number), number)))
    median = {name: statistics.median(values[3:]) for name, values in found.items()}
    return [
        ["/classify, bundled collection", f"{median['bundled']:.1f}", ""],
        ["/classify, the same collection in S3", f"{median['S3']:.1f}", f"+{median['S3'] - median['bundled']:.1f} ms"],
        ["POST /people with one photo", f"{median['enrol']:.1f}", f"{median['enrol'] / median['S3']:.2f} x"],
    ]


def changed(photo: bytes, number: int) -> bytes:
    """Return a photo with other pixels, which is no duplicate."""
    image = Image.open(io.BytesIO(photo)).convert("RGB")
    image.putpixel((number % 250, number // 250), (255, number % 256, 0))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def enrolling(photo: bytes, number: int) -> dict[str, Any]:
    event = upload(photo)
    event["path"] = event["resource"] = "/people"
    event["queryStringParameters"] = {"name": f"Person {number}"}
    event["multiValueQueryStringParameters"] = {"name": [f"Person {number}"]}
    event.setdefault("headers", {})["X-Api-Key"] = ADMIN
    return event


class Context:
    aws_request_id = "request-1"


def timed(app: App, event: dict[str, Any]) -> float:
    started = time.perf_counter()
    answer = app.handle(event, Context())
    assert answer["statusCode"] in (200, 201), answer["body"]
    return (time.perf_counter() - started) * 1000


def people_in_s3(place: Place, count: int) -> None:
    """Write a collection of random people, with one face each, for the bundled model."""
    spec = load_current(open_blobs(BUNDLED, S3Settings())).network.config.specs[GENERIC]
    random_numbers = np.random.RandomState(0)
    collections = Collections(place.open())
    collections.create(COLLECTION, spec)
    added = tuple(Person(i, f"Person {i}") for i in range(count))
    faces = tuple(
        EnrolledFace(str(uuid.uuid4()), i, (f"{i:016x}",), "2026-01-01T00:00:00+00:00", BOX, 0.9999)
        for i in range(count)
    )
    embeddings = normalize(random_numbers.randn(count, spec.size)).astype(np.float32)
    collections.commit(COLLECTION, cohorts, lambda _: (Edit(added, faces, embeddings), None))


def size_of_a_change(place: Place, count: int) -> list[str]:
    """Count the requests and bytes of adding one face to a large collection."""
    people_in_s3(place, count)
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


def cold_starts(place: Place, folder: Path, count: int, repeats: int) -> list[str]:
    """Compare start and first response with a large collection in S3 to those with the bundled one."""
    people_in_s3(place, count)
    event = json.dumps(upload((SAMPLES / "Kofi_Annan_0006.jpg").read_bytes())).encode()
    variants: dict[str, dict[str, str]] = {"bundled": {}, "S3": {"GALLERY_URI": place.uri, **place.environment}}
    found: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(repeats):
        for name, environment in variants.items():
            emulator = Emulator(folder / f"{name}-{number}.log", "handler.handle", OMP_NUM_THREADS="1", **environment)
            try:
                started = time.perf_counter()
                answer = emulator.answer(event)
                found[name].append(time.perf_counter() - started)
                assert answer["statusCode"] == 200, answer
            finally:
                emulator.close()
    bundled, ours = (statistics.median(values) for values in found.values())
    result = f"{ours:.3f} s, bundled 610: {bundled:.3f} s (+{ours - bundled:.3f} s)"
    return [f"start and first response, {count:,} people in S3", result]


def measure(part: str, url: str, folder: Path, killed: int) -> str:
    """Measure one part. -> a Markdown table. killed: writers, in half of the cases in a folder."""
    place = Place(url)
    if part == "writers":
        return table(["writers", "changes", "commits/s"], [writers(place, 32, 20)])
    if part == "kills":
        rows = [kills(uri, place, killed // 2) for uri in (str(folder / "galleries"), place.uri)]
        return table(["writers killed", "result"], rows)
    if part == "runtimes":
        return table(["freshness", "result"], [runtimes(place, 8, 100)])
    if part == "size":
        return table(["cost of a change", "result"], [size_of_a_change(place, 100_000)])
    if part == "times":
        return table(["request", "p50, ms", "difference"], times(place, 60))
    return table(["cold start", "result"], [cold_starts(place, folder, 10_000, 10)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure (default: everything)")
    parser.add_argument("--kills", type=int, default=200, help="writers to kill (default: %(default)s)")
    options = parser.parse_args()
    with conditional_s3() as url, tempfile.TemporaryDirectory() as folder:
        for part in options.parts or PARTS:
            sys.stdout.write(f"{measure(part, url, Path(folder), options.kills)}\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
