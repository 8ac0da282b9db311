"""Large collections: search time, memory, cold start, commit time and costs by the number of people.

    python -m benchmarks.scale                              writes docs/scale.md and .png in an hour, takes 16 GB
    python -m benchmarks.scale --people 1000 10000          fewer, and prints the tables instead
    python -m benchmarks.scale search 100000                one size in this process, as JSON
    python -m benchmarks.scale database 100000              the same for PostgreSQL

People are synthetic: their embeddings are drawn around real ones (benchmarks/synthetic.py). All engines search the same
embeddings with one thread. Each size has a process of its own, because memory is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Mapping

import boto3
import numpy as np

from benchmarks import scale_database, scale_engines, synthetic
from benchmarks.bundled import bundled
from benchmarks.cost import PRICES_OF, S3_GB_MONTH
from benchmarks.functions import Function, event, machine, photos
from benchmarks.scale_database import PGVECTOR
from benchmarks.scale_engines import CLUSTERED, ENGINES, PARTS, PROBES_OF
from settings import s3_settings_from_env
from storage.blobs import open_blobs
from storage.collections import Collections
from testing.changes import adding
from testing.paths import ROOT
from testing.servers import conditional_s3
from training.evaluation.plots import png
from training.markdown import table

PEOPLE = (1_000, 10_000, 100_000, 300_000, 1_000_000)
PAGE, PICTURE = ROOT / "docs/scale.md", ROOT / "docs/scale.png"
MARK = "<!-- written by `make bench-scale` from here on -->"
BUCKET = "people"
REQUESTS, COMMITS = 20, 5
PATIENCE = 120  # seconds for a collection to be loaded

Figures = Mapping[str, Any]


def in_process(what: str, people: int) -> Figures:
    """Measure with so many people in a process of its own. what: a key of MEASURES."""
    command = [sys.executable, "-m", "benchmarks.scale", what, str(people)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    found: Figures = json.loads(done.stdout)
    return found


def served(people: int, folder: Path) -> Figures:
    """Measure the function with a collection of so many people in a local S3. -> times in ms, sizes in MB."""
    real, uri = bundled().gallery.loaded(), f"s3://{BUCKET}/{people}"
    size = synthetic.write(open_blobs(uri, s3_settings_from_env()), "people", real, people)
    request = event(photos()["250 px"])
    environment: Any = {"GALLERY_URI": uri, "MODEL_URI": "", "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}
    started = time.monotonic()
    with closing(Function("ours", folder / str(people), threads=1, **environment)) as function:
        refused = 0
        while function.answer(request)["statusCode"] != 200:
            refused += 1
            assert time.monotonic() - started < PATIENCE, "the collection is never loaded"
            time.sleep(1)
        start = (time.monotonic() - started) * 1000
        time.sleep(people / 100_000)  # what is packed beside the requests
        warm = float(np.median([function.duration(request) for _ in range(REQUESTS)]))
        figures: dict[str, Any] = {"start": start, "refused": refused, "warm": warm, "peak": function.peak()}
        figures.update(size=size / 1e6, storage=size / 1e9 * S3_GB_MONTH)
    return {**figures, "commit": commit_time(uri), "init": function.init()}


def commit_time(uri: str) -> float:
    """Median time in ms in which a runtime that has the collection in memory adds a person, without the photo."""
    collections = Collections(open_blobs(uri, s3_settings_from_env()))
    snapshot = bundled()
    revision = collections.read("people", snapshot.cohort)
    revision.gallery.pack()
    times = []
    for number in range(COMMITS):
        started = time.perf_counter()
        revision, _ = collections.commit("people", snapshot.cohort, adding("New", f"new-{number}"), revision)
        times.append((time.perf_counter() - started) * 1000)
    return float(np.median(times))


def tables(
    searched: Mapping[int, Figures], functions: Mapping[int, Figures], databases: Mapping[int, Figures]
) -> list[str]:
    """Return the sections of the page."""
    sizes = [f"{people:,}" for people in searched]
    all_engines = {people: _merged(found, databases[people]) for people, found in searched.items()}
    engines = [(engine, part) for engine in (*ENGINES, PGVECTOR) for part in PARTS]
    search = [[*key, *_cells(all_engines, "ms", ", ".join(key), "{:.2f}")] for key in engines]
    kinds = [(engine, part, probes) for engine in (CLUSTERED, PGVECTOR) for part in PARTS for probes in PROBES_OF]
    recall = [[*key, *_cells(all_engines, "recall", ", ".join(key), "{:.1%}")] for key in kinds]
    memory = [[engine, *_cells(searched, "memory", engine, "{:,.0f}")] for engine in ENGINES]
    database = [
        [f"{people:,}", *(text.format(found[name]) for name, (_, text) in DATABASE_COLUMNS.items())]
        for people, found in databases.items()
    ]
    service = [
        [f"{people:,}", *(text.format(found[name]) for name, (_, text) in COLUMNS.items())]
        for people, found in functions.items()
    ]
    return [
        f"Measured on {machine()}, prices of {PRICES_OF}.",
        "### Search, ms for one face\n\n" + table(["engine", "by", *sizes], search),
        "### Recall of the best person\n\n" + table(["engine", "by", "probes", *sizes], recall),
        "### Memory of the index, MB\n\n" + table(["engine", *sizes], memory),
        "### The service\n\n" + table(["people", *(title for title, _ in COLUMNS.values())], service),
        "### The database\n\n" + table(["people", *(title for title, _ in DATABASE_COLUMNS.values())], database),
    ]


def _merged(searched: Figures, database: Figures) -> Figures:
    return {kind: {**searched[kind], **database[kind]} for kind in ("ms", "recall")}


def _cells(searched: Mapping[int, Figures], kind: str, key: str, text: str) -> list[str]:
    return [text.format(found[kind][key]) if key in found[kind] else "-" for found in searched.values()]


def plot(searched: Mapping[int, Figures], functions: Mapping[int, Figures], databases: Mapping[int, Figures]) -> bytes:
    """Draw search time, memory, start and commit time by the number of people. -> PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), layout="constrained")
    (first, second), (third, fourth) = figure.subplots(2, 2)
    for engine in (*ENGINES, PGVECTOR):
        measured_in = databases if engine == PGVECTOR else searched
        for axes, part in zip((first, second), PARTS):
            times = {people: found["ms"].get(f"{engine}, {part}") for people, found in measured_in.items()}
            measured = {people: ms for people, ms in times.items() if ms is not None}
            if measured:
                axes.plot(list(measured), list(measured.values()), marker="o", label=engine)
            axes.set(title=f"Search by {part}", ylabel="ms")
    for axes, names in ((third, ("peak",)), (fourth, ("start", "warm", "commit"))):
        for name in names:
            axes.plot(list(functions), [found[name] for found in functions.values()], marker="o", label=LABELS[name])
    third.set(title="The service: memory", ylabel="MB", ylim=(0, None), xscale="log")
    fourth.set(title="The service: time", ylabel="ms")
    for axes in (first, second, fourth):
        axes.set(xscale="log", yscale="log")
    for axes in (first, second, third, fourth):
        axes.set(xlabel="people")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return png(figure)


# Columns of the service's table, and how their values are written.
COLUMNS = {
    "size": ("collection, MB", "{:,.1f}"),
    "start": ("start to first answer, ms", "{:,.0f}"),
    "refused": ("503 before it", "{}"),
    "warm": ("warm /classify, ms", "{:,.0f}"),
    "peak": ("peak memory, MB", "{:,.0f}"),
    "commit": ("adding a person, ms", "{:,.0f}"),
    "storage": ("storage, $ a month", "{:.4f}"),
}
DATABASE_COLUMNS = {
    "size": ("database, MB", "{:,.0f}"),
    "load": ("import and indexes, s", "{:,.0f}"),
    "commit": ("adding a person, ms", "{:,.0f}"),
}
MEASURES = {"search": scale_engines.measure, "database": scale_database.measure}
LABELS = {"peak": "peak", "start": "start to first answer", "warm": "warm /classify", "commit": "adding a person"}


def main(arguments: list[str]) -> int:
    """Run the command line. -> exit status."""
    if arguments and arguments[0] in MEASURES:
        json.dump(MEASURES[arguments[0]](int(arguments[1])), sys.stdout)
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, nargs="+", help="numbers of people; prints the tables")
    chosen = parser.parse_args(arguments).people
    searched, functions, databases = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for people in chosen or PEOPLE:
            _say(f"search in {people:,} people")
            searched[people] = in_process("search", people)
            _say(f"a database with {people:,} people")
            databases[people] = in_process("database", people)
            with conditional_s3() as url:
                keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
                os.environ.update({"AWS_ENDPOINT_URL": url, **keys})
                boto3.client("s3").create_bucket(Bucket=BUCKET)
                _say(f"the service with {people:,} people")
                functions[people] = served(people, Path(folder))
    sections = tables(searched, functions, databases)
    if chosen:
        print("\n\n".join(sections))
        return 0
    text = PAGE.read_text().split(MARK)[0]
    PAGE.write_text(text + "\n\n".join([MARK, "![plots of the tables below](scale.png)", *sections]) + "\n")
    PICTURE.write_bytes(plot(searched, functions, databases))
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
