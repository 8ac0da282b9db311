"""Engines that search a large gallery, side by side in this process."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import Any, Callable, Mapping

import numpy as np

from benchmarks import synthetic
from benchmarks.bundled import bundled
from model import gallery as galleries
from model.embedding import normalize
from model.gallery import Gallery
from model.processor import use_threads
from storage.segments import decode, describe_segment, encode, stored
from training.publishing.index import cluster

FLAT, FAISS, PACKED, CLUSTERED = "numpy float32", "FAISS float16", "packed, exact", "packed, clusters"
ENGINES = (FLAT, FAISS, PACKED, CLUSTERED)
PARTS = ("MobileFaceNet", "both networks")
PROBES_OF = ("people", "strangers")
TOP = 5  # people in an answer
PROBES = 100  # people, and strangers, who are searched
TIMED = 20  # of them, for engines that are slow
CLUSTERED_PEOPLE = 100_000  # from which on clusters are measured

Search = Callable[[np.ndarray], np.ndarray]  # probe [1, numbers] -> IDs [TOP]


def measure(people: int) -> Mapping[str, Any]:
    """Measure all engines. -> for each its times in ms and memory in MB, and the recall with clusters."""
    use_threads(1769)
    parts = []
    for piece in synthetic.pieces(bundled().gallery.loaded(), people):
        data = encode(piece)
        segment = describe_segment("", data, piece)
        parts.append(stored(decode(data, segment, piece.embeddings.shape[1]), data, segment))
    real = bundled().gallery.loaded()
    spec, cohort = real.spec, real.cohort
    faces = probes_of(Gallery(spec, cohort, parts))
    ms: dict[str, float] = {}
    memory: dict[str, float] = {}
    best: dict[str, np.ndarray] = {}
    for engine in ENGINES:
        if engine == CLUSTERED and people < CLUSTERED_PEOPLE:
            continue
        clusters = cluster(Gallery(spec, cohort, parts)) if engine == CLUSTERED else None
        before = _resident()
        search = _prepared(engine, Gallery(spec, cohort, parts, clusters=clusters))
        for part, probes in faces.items():
            for name, cut in probes.items():
                count = len(cut) if engine in (PACKED, CLUSTERED) else min(len(cut), TIMED)
                times, ids = zip(*(_timed(search, cut[[i]]) for i in range(count)))
                best[f"{engine}, {part}, {name}"] = np.array([each[0] for each in ids])
                if name == PROBES_OF[0]:
                    ms[f"{engine}, {part}"] = float(np.median(times))
        memory[engine] = _resident() - before
        del search
    kinds = [f"{part}, {name}" for part in PARTS for name in PROBES_OF]
    clustered = [kind for kind in kinds if f"{CLUSTERED}, {kind}" in best]
    keys = [(f"{CLUSTERED}, {kind}", f"{PACKED}, {kind}") for kind in clustered]
    recall = {key: float(np.mean(best[key] == best[exact])) for key, exact in keys}
    return {"ms": ms, "memory": memory, "recall": recall}


def probes_of(gallery: Gallery) -> Mapping[str, Mapping[str, np.ndarray]]:
    """Return faces to search: by part of the embedding and by whom they show, float32 [faces, numbers] of length 1."""
    spec, random = gallery.spec, np.random.RandomState(1)
    rows = random.choice(len(gallery.ids), min(len(gallery.ids), PROBES), replace=False)
    known = synthetic.photographed(gallery.embeddings_of(np.sort(rows)), spec.mobile, random)
    faces = dict(zip(PROBES_OF, (known, synthetic.drawn(bundled().gallery.loaded(), PROBES, random))))
    return {
        part: {name: normalize(probes[:, numbers]).astype(np.float32) for name, probes in faces.items()}
        for part, numbers in zip(PARTS, (slice(-spec.mobile, None), slice(None)))
    }


def _prepared(engine: str, gallery: Gallery) -> Search:
    if engine == FAISS:
        return _faiss(gallery)
    galleries.FLAT_PEOPLE = 10**9 if engine == FLAT else 0
    gallery.prepare()
    gallery.complete()
    # The engine is chosen at each search.
    flat = galleries.FLAT_PEOPLE

    def search(probe: np.ndarray) -> np.ndarray:
        galleries.FLAT_PEOPLE = flat
        return gallery.search(probe, TOP).ids[0]

    return search


def _faiss(gallery: Gallery) -> Search:
    """Search cosines in float16, without the cohort: what FAISS's own exact scan takes."""
    import faiss

    faiss.omp_set_num_threads(1)
    indexes = {}
    for numbers in (gallery.spec.mobile, gallery.spec.size):
        index: Any = faiss.IndexScalarQuantizer(numbers, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        for start in range(0, len(gallery.ids), 8192):
            rows = np.arange(start, min(start + 8192, len(gallery.ids)))
            means = normalize(gallery.means_of(rows, mobile=numbers == gallery.spec.mobile)).astype(np.float32)
            if not index.is_trained:
                index.train(means)
            index.add(np.ascontiguousarray(means))
        indexes[numbers] = index
    return lambda probe: np.asarray(indexes[probe.shape[1]].search(probe, TOP)[1][0])


def _timed(search: Search, probe: np.ndarray) -> tuple[float, np.ndarray]:
    started = time.perf_counter()
    ids = search(probe)
    return (time.perf_counter() - started) * 1000, ids


def _resident() -> float:
    """Memory of this process that is no file, in MB."""
    ctypes.CDLL(None).malloc_trim(0)
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) * 1024 / 1e6
