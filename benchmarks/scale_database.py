"""PostgreSQL with pgvector as the engine of a large collection: search, recall, size and changes."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, Iterator, Mapping

import numpy as np

from benchmarks import synthetic
from benchmarks.bundled import bundled
from benchmarks.scale_engines import PROBES_OF, TOP, probes_of
from model.edit import Edit
from model.gallery import Gallery
from model.processor import use_threads
from model.searchable import SearchableGallery
from storage.background import at_once
from storage.postgres.collections import PostgresCollections
from storage.postgres.database import Database, connect
from testing.changes import adding
from testing.postgres import running_postgres

PGVECTOR = "pgvector, HNSW"
COMMITS = 5
# As on a server with 16 GB, which fewer people do not need.
LARGE = 100_000
SETTINGS = {"fsync": "off", "shared_buffers": "4GB", "maintenance_work_mem": "4GB", "max_wal_size": "8GB"}


def measure(people: int) -> Mapping[str, Any]:
    """Measure a database with so many people. -> times in ms and sizes in MB, and the recall of the best person."""
    use_threads(1769)
    real = bundled().gallery.loaded()
    gallery = Gallery(real.spec, real.cohort, list(synthetic.pieces(real, people)))
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        Path(folder).chmod(0o755)  # as root, the server runs as another user
        settings = SETTINGS if people >= LARGE else {}
        with running_postgres(Path(folder) / "data", settings) as server, server.database() as uri:
            database = Database(uri, seconds=None)
            collections = PostgresCollections(database, at_once)
            collections.create("people", real.spec)
            started = time.perf_counter()
            everything = gallery.people, gallery.faces, gallery.embeddings
            collections.commit("people", lambda _: real.cohort, lambda _: (Edit(*everything, next_id=people), None))
            load = time.perf_counter() - started
            served = collections.check("people", lambda _: real.cohort).result().revision.gallery
            found = _searched(gallery, served)
            commit = float(np.median(list(_commit_times(collections, real))))
            size = _size(uri)
            database.close()
    return {**found, "size": size, "load": load, "commit": commit}


def _searched(gallery: Gallery, served: SearchableGallery) -> dict[str, Any]:
    ms: dict[str, float] = {}
    recall: dict[str, float] = {}
    for part, faces in probes_of(gallery).items():
        for name, probes in faces.items():
            times, ids = [], []
            for row in range(len(probes)):
                started = time.perf_counter()
                ids.append(served.search(probes[[row]], TOP).ids[0, 0])
                times.append((time.perf_counter() - started) * 1000)
            exact = gallery.search(probes, TOP).ids[:, 0]
            recall[f"{PGVECTOR}, {part}, {name}"] = float(np.mean(exact == np.array(ids)))
            if name == PROBES_OF[0]:
                ms[f"{PGVECTOR}, {part}"] = float(np.median(times))
    return {"ms": ms, "recall": recall}


def _commit_times(collections: PostgresCollections, real: Gallery) -> Iterator[float]:
    """Times in ms in which a person is added, without the photo."""
    for number in range(COMMITS):
        started = time.perf_counter()
        collections.commit("people", lambda _: real.cohort, adding("New", f"new-{number}"))
        yield (time.perf_counter() - started) * 1000


def _size(uri: str) -> float:
    """Size of the database, in MB."""
    with connect(uri) as connection:
        (size,) = connection.execute("select pg_database_size(current_database())").fetchone() or (0,)
    return int(size) / 1e6
