"""Scaling of the response time with the number of faces, pixels, people and concurrent functions."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.bundled import bundled
from benchmarks.functions import Function, collage, event, jpeg, photos, portrait
from model.embedding import normalize
from model.gallery import Gallery
from model.records import EnrolledFace, Person
from storage.galleries import now
from training.evaluation.plots import png
from training.markdown import table
from training.publishing.versions import write_version

REPEATS = 10
FACES = (1, 2, 5, 10, 20, 35, 50)
MEGAPIXELS = (0.1, 0.3, 1, 3, 6, 12, 24)
PEOPLE = (610, 6_000, 20_000, 60_000)
RUNTIMES = (1, 2, 4, 8)


class Growth(NamedTuple):
    """Median time by one variable. ms: for each of `values`; others: further table columns, name -> cells."""

    title: str
    unit: str
    values: list[float]
    ms: list[float]
    others: dict[str, list[str]]

    def table(self) -> str:
        """A Markdown section with one row for each value."""
        header = [self.unit, "p50, ms", *self.others]
        rows = [
            [f"{value:,g}", f"{ms:,.0f}", *(column[i] for column in self.others.values())]
            for i, (value, ms) in enumerate(zip(self.values, self.ms))
        ]
        return f"### {self.title}\n\n" + table(header, rows)


def tables(folder: Path, picture: Path) -> list[str]:
    """Run all measurements. Returns Markdown sections; the plots are written to `picture`."""
    results = [faces(folder), pixels(folder), people(folder), runtimes(folder)]
    figure = Figure(figsize=(10, 7), layout="constrained")
    for axes, growth in zip(figure.subplots(2, 2).flat, results):
        axes.plot(growth.values, growth.ms, marker="o")
        axes.set(title=growth.title, xlabel=growth.unit, ylabel="p50, ms", ylim=(0, None))
        axes.grid(alpha=0.3)
    picture.write_bytes(png(figure))
    text = f"This project alone, one thread, p50 of {REPEATS}."
    heading = f"## Scaling\n\n{text}\n\n![plots of the tables below]({picture.name})"
    return [heading, *(growth.table() for growth in results)]


def _durations(function: Function, request: bytes, count: int = REPEATS) -> list[float]:
    """Milliseconds of `count` requests, after one that is not counted."""
    function.duration(request)
    return [function.duration(request) for _ in range(count)]


def faces(folder: Path) -> Growth:
    """Measure photos of 3 megapixels with several faces, all of them identified."""
    ms, found, peaks = [], [], []
    with closing(Function("ours", folder / "faces", threads=1)) as function:
        for count in FACES:
            request = event(jpeg(collage(count, 2000, 1500)), faces="all")
            ms.append(float(np.median(_durations(function, request))))
            answer = json.loads(function.answer(request)["body"])
            found.append(str(answer["faces_detected"]))
            peaks.append(f"{function.peak():,.0f}")
    return Growth("Faces in a photo", "faces", list(FACES), ms, {"found": found, "peak memory, MB": peaks})


def pixels(folder: Path) -> Growth:
    """Measure the portrait at several sizes."""
    ms, sizes, peaks = [], [], []
    large = portrait()
    with closing(Function("ours", folder / "pixels", threads=1)) as function:
        for megapixels in MEGAPIXELS:
            scale = (megapixels * 1e6 / (large.width * large.height)) ** 0.5
            size = (round(large.width * scale), round(large.height * scale))
            photo = jpeg(large.resize(size, Image.Resampling.LANCZOS), quality=90)
            ms.append(float(np.median(_durations(function, event(photo)))))
            sizes.append(f"{len(photo) / 1e6:.2f}")
            peaks.append(f"{function.peak():,.0f}")
    return Growth("Size of the photo", "megapixels", list(MEGAPIXELS), ms, {"MB": sizes, "peak memory, MB": peaks})


def people(folder: Path) -> Growth:
    """Measure models with random embeddings, because the time does not depend on their values."""
    ms, sizes, starts, peaks = [], [], [], []
    request = event(photos()["250 px"])
    snapshot = bundled()
    for count in PEOPLE:
        gallery = _random_gallery(snapshot.gallery.loaded(), count)
        with tempfile.TemporaryDirectory() as models:
            write_version(Path(models), lambda path: shutil.copyfile(snapshot.path, path), gallery, "people", None)
            size = sum(path.stat().st_size for path in Path(models).rglob("galleries/**/*") if path.is_file())
            function = Function("ours", folder / f"people-{count}", threads=1, MODEL_URI=models)
            with closing(function):
                starts.append(f"{function.duration(request):,.0f}")
                ms.append(float(np.median(_durations(function, request))))
                peaks.append(f"{function.peak():,.0f}")
        sizes.append(f"{size / 1e6:.1f}")
    others = {"cold start, ms": starts, "gallery, MB": sizes, "peak memory, MB": peaks}
    return Growth("People in the model", "people", list(PEOPLE), ms, others)


def _random_gallery(like: Gallery, count: int) -> Gallery:
    """People with one face each. Nobody resembles the photo, so that MobileFaceNet decides alone at every size.

    The nearness to the cohort is left out, because it takes no time when serving.
    """
    people = [Person(i, f"Somebody {i}") for i in range(count)]
    faces = [EnrolledFace(str(uuid4()), i, ("0" * 16,), now()) for i in range(count)]
    embeddings = normalize(np.random.RandomState(0).randn(count, like.spec.size))
    return Gallery.of(like.spec, like.cohort, people, faces, embeddings, nearness=np.zeros((count, 2)))


def runtimes(folder: Path) -> Growth:
    """Measure concurrent functions on the CPUs of this machine. On Lambda each function has its own CPU."""
    ms, rates = [], []
    request = event(photos()["250 px"])
    for count in RUNTIMES:
        with ExitStack() as stack, ThreadPoolExecutor(count) as pool:
            concurrent = [Function("ours", folder / f"runtime-{count}-{i}", threads=1) for i in range(count)]
            for function in concurrent:
                stack.enter_context(closing(function)).duration(request)
            started = time.monotonic()
            times = list(pool.map(lambda one: [one.duration(request) for _ in range(4 * REPEATS)], concurrent))
            rates.append(f"{4 * REPEATS * count / (time.monotonic() - started):.1f}")
        ms.append(float(np.median(times)))
    return Growth("Concurrent functions, on this machine", "functions", list(RUNTIMES), ms, {"requests/s": rates})
