"""PostgreSQL with pgvector as the engine of a large collection: search, recall, size and changes."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, Mapping

from benchmarks import synthetic
from benchmarks.bundled import bundled
from benchmarks.scale_engines import PROBES_OF, TOP, probes_of, recall, search_each
from benchmarks.usage import median_ms
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


def measure(people: int) -> Mapping[str, Mapping[str, Any]]:
    """Measure a database with so many people. -> figures by kind, see benchmarks/scale.py."""
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
            found = _search(gallery, collections.check("people", lambda _: real.cohort).result().revision.gallery)
            commit = median_ms(
                lambda number: collections.commit("people", lambda _: real.cohort, adding("New", f"new-{number}")),
                COMMITS,
            )
            size = _size(uri)
            database.close()
    return {**found, "database": {"database, MB": size, "import and indexes, s": load, "adding a person, ms": commit}}


def _search(gallery: Gallery, served: SearchableGallery) -> dict[str, dict[str, float]]:
    ms, recalls = {}, {}
    for part, name, probes in probes_of(gallery):
        time_of_one, best = search_each(lambda probe: served.search(probe, TOP).ids[0], probes)
        recalls[f"{PGVECTOR}, {part}, {name}"] = recall(best, gallery.search(probes, TOP).ids[:, 0])
        if name == PROBES_OF[0]:
            ms[f"{PGVECTOR}, {part}"] = time_of_one
    return {"ms": ms, "recall": recalls}


def _size(uri: str) -> float:
    """Size of the database, in MB."""
    with connect(uri) as connection:
        (size,) = connection.execute("select pg_database_size(current_database())").fetchone() or (0,)
    return int(size) / 1e6
