"""Large collections: search time, memory, cold start, commit time and costs by the number of people.

    python -m benchmarks.scale                              writes docs/scale.md and .png in an hour, takes 16 GB
    python -m benchmarks.scale --people 1000 10000          fewer, and prints the tables instead
    python -m benchmarks.scale search 100000                one size in this process, as JSON
    python -m benchmarks.scale database 100000              the same for PostgreSQL

People are synthetic: their embeddings are drawn around real ones (benchmarks/synthetic.py). All engines search the same
embeddings with one thread. Each size has a process of its own, because memory is measured.
"""

from __future__ import annotations

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
from matplotlib.figure import Figure

from benchmarks import scale_database, scale_engines, synthetic
from benchmarks.bundled import bundled
from benchmarks.functions import Function, event, machine, photos, use_s3
from benchmarks.options import parser_of
from benchmarks.scale_database import PGVECTOR
from benchmarks.scale_engines import CLUSTERED, ENGINES, PARTS, PROBES_OF
from benchmarks.usage import median_ms
from scripts.bulk_plan import PRICES
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
MEASURES = {"search": scale_engines.measure, "database": scale_database.measure}
# Columns of the tables, and how their values are written.
COLUMNS = {
    "service": {
        "collection, MB": "{:,.1f}",
        "start to first answer, ms": "{:,.0f}",
        "503 before it": "{}",
        "warm /classify, ms": "{:,.0f}",
        "peak memory, MB": "{:,.0f}",
        "adding a person, ms": "{:,.0f}",
        "storage, $ a month": "{:.4f}",
    },
    "database": {"database, MB": "{:,.0f}", "import and indexes, s": "{:,.0f}", "adding a person, ms": "{:,.0f}"},
}

Figures = Mapping[str, Mapping[str, Any]]  # by kind: ms, recall, memory, service, database


def measure(people: int) -> Figures:
    """Measure everything with so many people."""
    figures: dict[str, dict[str, Any]] = {}
    for what in MEASURES:
        print(f"{what} of {people:,} people", file=sys.stderr, flush=True)
        for kind, found in in_process(what, people).items():
            figures.setdefault(kind, {}).update(found)
    print(f"the service with {people:,} people", file=sys.stderr, flush=True)
    with conditional_s3() as url, tempfile.TemporaryDirectory() as folder:
        use_s3(url)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        return {**figures, "service": served(people, Path(folder))}


def in_process(what: str, people: int) -> Figures:
    """Measure with so many people in a process of its own. what: a key of MEASURES."""
    command = [sys.executable, "-m", "benchmarks.scale", what, str(people)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    found: Figures = json.loads(done.stdout)
    return found


def served(people: int, folder: Path) -> Mapping[str, Any]:
    """Measure the function with a collection of so many people in a local S3. -> values of COLUMNS."""
    uri, request = f"s3://{BUCKET}/{people}", event(photos()["250 px"])
    blobs = open_blobs(uri, s3_settings_from_env())
    size = synthetic.write(blobs, "people", bundled().gallery.loaded(), people)
    environment: Any = {"GALLERY_URI": uri, "MODEL_URI": "", "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}
    started = time.monotonic()
    with closing(Function("ours", folder / "function", threads=1, **environment)) as function:
        refused = 0
        while function.answer(request)["statusCode"] != 200:
            refused += 1
            assert time.monotonic() - started < PATIENCE, "the collection is never loaded"
            time.sleep(1)
        start = (time.monotonic() - started) * 1000
        time.sleep(people / 100_000)  # what is packed beside the requests
        warm, peak = np.median([function.duration(request) for _ in range(REQUESTS)]), function.peak()
    storage = size / 1e9 * PRICES["s3_gb_month"]
    values = size / 1e6, start, refused, warm, peak, commit_time(Collections(blobs)), storage
    return dict(zip(COLUMNS["service"], values))


def commit_time(collections: Collections) -> float:
    """Median time in ms in which a runtime that has the collection in memory adds a person, without the photo."""
    cohort = bundled().cohort
    revision = collections.read("people", cohort)
    revision.gallery.pack()

    def add(number: int) -> None:
        nonlocal revision
        revision, _ = collections.commit("people", cohort, adding("New", f"new-{number}"), revision)

    return median_ms(add, COMMITS)


def row(figures: Mapping[int, Figures], kind: str, text: str, *key: str) -> list[str]:
    """Format the key, and its figure for each number of people, - if it is not measured."""
    values = [found[kind].get(", ".join(key)) for found in figures.values()]
    return [*key, *("-" if value is None else text.format(value) for value in values)]


def tables(figures: Mapping[int, Figures]) -> list[str]:
    """Return the sections of the page. figures: by number of people."""
    sizes = [f"{people:,}" for people in figures]
    engines = [(engine, part) for engine in (*ENGINES, PGVECTOR) for part in PARTS]
    kinds = [(engine, part, probes) for engine in (CLUSTERED, PGVECTOR) for part in PARTS for probes in PROBES_OF]
    search = [row(figures, "ms", "{:.2f}", *key) for key in engines]
    recall = [row(figures, "recall", "{:.1%}", *key) for key in kinds]
    memory = [row(figures, "memory", "{:,.0f}", engine) for engine in ENGINES]
    sections = [
        f"Measured on {machine()}, prices of {PRICES['as_of']}.",
        "### Search, ms for one face\n\n" + table(["engine", "by", *sizes], search),
        "### Recall of the best person\n\n" + table(["engine", "by", "probes", *sizes], recall),
        "### Memory of the index, MB\n\n" + table(["engine", *sizes], memory),
    ]
    for kind, columns in COLUMNS.items():
        rows = zip(sizes, *(row(figures, kind, text, name)[1:] for name, text in columns.items()))
        sections.append(f"### The {kind}\n\n" + table(["people", *columns], rows))
    return sections


def plot(figures: Mapping[int, Figures]) -> bytes:
    """Draw search time, memory, start and commit time by the number of people. -> PNG file."""
    times = "start to first answer, ms", "warm /classify, ms", "adding a person, ms"
    searches = [
        (f"Search by {part}", "ms", "ms", {f"{name}, {part}": name for name in (*ENGINES, PGVECTOR)}) for part in PARTS
    ]
    panels = [
        *searches,
        ("The service: memory", "MB", "service", {"peak memory, MB": "peak"}),
        ("The service: time", "ms", "service", {name: name.rpartition(",")[0] for name in times}),
    ]
    figure = Figure(figsize=(10, 7), layout="constrained")
    for axes, (title, unit, kind, lines) in zip(figure.subplots(2, 2).flat, panels):
        for name, label in lines.items():
            measured = {people: found[kind][name] for people, found in figures.items() if name in found[kind]}
            if measured:
                axes.plot(list(measured), list(measured.values()), marker="o", label=label)
        axes.set(title=title, xlabel="people", ylabel=unit, xscale="log", yscale="log" if unit == "ms" else "linear")
        if unit == "MB":
            axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return png(figure)


def main(arguments: list[str]) -> int:
    """Run the command line. -> exit status."""
    if arguments and arguments[0] in MEASURES:
        json.dump(MEASURES[arguments[0]](int(arguments[1])), sys.stdout)
        return 0
    parser = parser_of(__doc__)
    parser.add_argument("--people", type=int, nargs="+", help="numbers of people; prints the tables")
    chosen = parser.parse_args(arguments).people
    figures = {people: measure(people) for people in chosen or PEOPLE}
    sections = tables(figures)
    if chosen:
        print("\n\n".join(sections))
        return 0
    text = PAGE.read_text().split(MARK)[0]
    PAGE.write_text(text + "\n\n".join([MARK, "![plots of the tables below](scale.png)", *sections]) + "\n")
    PICTURE.write_bytes(plot(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
