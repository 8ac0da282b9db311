"""Engines that search a large gallery, side by side in this process."""

from __future__ import annotations

from typing import Any, Callable, Iterator, Mapping

import numpy as np

from benchmarks import synthetic
from benchmarks.bundled import bundled
from benchmarks.usage import anonymous, median_ms
from model import gallery as galleries
from model.embedding import normalize
from model.freed_memory import release_freed_memory
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


def measure(people: int) -> Mapping[str, Mapping[str, Any]]:
    """Measure all engines. -> figures by kind, see benchmarks/scale.py."""
    use_threads(1769)
    real, parts = bundled().gallery.loaded(), []
    for piece in synthetic.pieces(real, people):
        data = encode(piece)
        segment = describe_segment("", data, piece)
        parts.append(stored(decode(data, segment, piece.embeddings.shape[1]), data, segment))
    faces = list(probes_of(Gallery(real.spec, real.cohort, parts)))
    ms: dict[str, float] = {}
    memory: dict[str, float] = {}
    best: dict[tuple[str, str, str], np.ndarray] = {}
    for engine in ENGINES:
        if engine == CLUSTERED and people < CLUSTERED_PEOPLE:
            continue
        clusters = cluster(Gallery(real.spec, real.cohort, parts)) if engine == CLUSTERED else None
        before = _resident()
        search = _prepared(engine, Gallery(real.spec, real.cohort, parts, clusters=clusters))
        for part, name, probes in faces:
            count = len(probes) if engine in (PACKED, CLUSTERED) else TIMED
            time_of_one, best[engine, part, name] = search_each(search, probes[:count])
            if name == PROBES_OF[0]:
                ms[f"{engine}, {part}"] = time_of_one
        memory[engine] = _resident() - before
        del search
    recalls = {
        ", ".join(key): recall(ids, best[(PACKED, *key[1:])]) for key, ids in best.items() if key[0] == CLUSTERED
    }
    return {"ms": ms, "memory": memory, "recall": recalls}


def probes_of(gallery: Gallery) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield faces to search: part of the embedding, whom they show, and float32 [faces, numbers] of length 1."""
    spec, random = gallery.spec, np.random.RandomState(1)
    rows = random.choice(len(gallery.ids), min(len(gallery.ids), PROBES), replace=False)
    known = synthetic.photographed(gallery.embeddings_of(np.sort(rows)), spec.mobile, random)
    strangers = synthetic.drawn(bundled().gallery.loaded(), PROBES, random)
    for part, numbers in zip(PARTS, (slice(-spec.mobile, None), slice(None))):
        for name, probes in zip(PROBES_OF, (known, strangers)):
            yield part, name, normalize(probes[:, numbers]).astype(np.float32)


def search_each(search: Search, probes: np.ndarray) -> tuple[float, np.ndarray]:
    """Search faces one by one. -> median time in ms, and the best person of each, int64."""
    best: list[int] = []
    ms = median_ms(lambda row: best.append(search(probes[[row]])[0]), len(probes))
    return ms, np.array(best)


def recall(best: np.ndarray, exact: np.ndarray) -> float:
    """Share of faces for which the best person is found. best, exact: IDs, int64 [faces]."""
    return float(np.mean(best == exact))


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


def _resident() -> float:
    """Memory of this process that is no file, in MB."""
    release_freed_memory(kept=0)
    return anonymous()
