"""Comparison with face_recognition (dlib) and facenet-pytorch: accuracy, time and memory on the same photos.

    make bench-peers DATA=lfw-deepfunneled-subset.tgz
    .venv/bin/python -m benchmarks.peers --data lfw-deepfunneled-subset.tgz --people 10

The second command is a quick check with ten people. Each system runs in its own process (benchmarks/peers/worker.py)
and uses the face nearest the centre, which is the person that a photo of LFW is labelled with. A face is compared with
the mean embedding of each person: by cosine for facenet-pytorch, by distance for face_recognition, with its default
tolerance of 0.6. (With the nearest of all photos, as in its examples, TPIR at 1 % FPIR drops from 88 to 79 %.)
Strangers who are in this project's cohort are left out for all systems.

Prints two Markdown tables. In the first one the gallery holds the photos that the bundled model was trained on; probes
are the val photos and the strangers' photos of the same split. A val photo without a detected face counts as wrong, a
stranger's as not accepted. This project searches as the service does, but its time includes both networks for every
face. In the second table galleries of several sizes hold one or two random photos of each person, and all systems have
the best threshold in hindsight; photos without a detected face are left out. `make open-set` measures this project with
the thresholds that it has.

Embeddings are kept in build/peers, so that an interrupted run continues; delete the folder to start again.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np
from tqdm import tqdm

from benchmarks.bundled import Search, as_served, bundled, evaluate_embeddings, own_threshold, percent, rows_of
from benchmarks.options import parser_of
from model.embedding import GENERIC
from model.gallery import Matches
from testing.paths import ROOT
from training.atomic_files import atomic_write
from training.data.dataset import evenly_spaced
from training.data.prepare import STRANGER, TRAIN, VAL, Example
from training.evaluation import metrics
from training.evaluation.gallery import TOP, mean_embeddings, mean_gallery, probes_of
from training.evaluation.metrics import Probes
from training.evaluation.open_set import draw
from training.markdown import table

OUT = ROOT / "build" / "peers"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "DLIB_NUM_THREADS"), "1")
TIMED = 100  # photos for time and memory
PHOTOS, SIZES, DRAWS = (1, 2), (5, 10, 50, 200, 500), 20  # photos of each person, people in the gallery, galleries


def cosine_to_means(known: np.ndarray, labels: np.ndarray, people: int) -> Search:
    """Score by the cosine to each person's mean. known: embeddings float32 [N, D] of the gallery; labels: int64 [N]."""
    means = mean_embeddings([(labels, known)], people, known.shape[1])
    units = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return lambda embeddings: _best(embeddings @ units.T)


def distance_to_means(known: np.ndarray, labels: np.ndarray, people: int) -> Search:
    """Score by the negative Euclidean distance to each person's mean. known, labels: as above."""
    means = mean_embeddings([(labels, known)], people, known.shape[1])
    return lambda embeddings: _best(-np.stack([np.linalg.norm(means - embedding, axis=1) for embedding in embeddings]))


def _best(scores: np.ndarray) -> Matches:
    """Select candidates from scores [N, people]."""
    ids = np.argsort(-scores, axis=1)[:, :TOP]
    return Matches(ids, np.take_along_axis(scores, ids, axis=1))


def both_networks(known: np.ndarray, labels: np.ndarray, people: int) -> Search:
    """Score as this project does where both networks decide. known, labels: as above; the last number is ignored."""
    network = bundled().network
    means = mean_embeddings([(labels, known[:, :-1])], people, known.shape[1] - 1)
    gallery = mean_gallery(
        network.config.specs[GENERIC], network.cohort(GENERIC), [str(i) for i in range(people)], means
    )
    return lambda embeddings: gallery.search(embeddings[:, :-1], TOP)


Compare = Callable[[np.ndarray, np.ndarray, int], Search]


class System(NamedTuple):
    """A system to compare.

    dimensions: of an embedding; compare: search of the people in the bundled model; threshold: its own, a score, None
    if it has none; enrol: search of any people.
    """

    name: str
    title: str
    python: Path
    dimensions: int
    compare: Compare
    threshold: float | None
    enrol: Compare


def systems(people: int) -> list[System]:
    """All systems, this project first. people: in the gallery, on which this project's threshold depends."""
    here, peers = Path(sys.executable), ROOT / ".venv-peers" / "bin" / "python"
    size, threshold = bundled().gallery.spec.size + 1, own_threshold(people)
    return [
        System("ours", "this project", here, size, as_served, threshold, both_networks),
        System("dlib", "face_recognition, dlib", peers, 128, distance_to_means, -0.6, distance_to_means),
        System("facenet", "facenet-pytorch", here, 512, cosine_to_means, None, cosine_to_means),
    ]


class Worker:
    """A system in its own process. Close after use."""

    def __init__(self, system: System) -> None:
        self._process = subprocess.Popen(
            [str(system.python), "-W", "ignore", "-m", "benchmarks.peers.worker", system.name],
            cwd=ROOT,
            env={**os.environ, **ONE_THREAD},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that Ctrl-C does not reach it before `close`
        )
        self._name, self._dimensions = system.name, system.dimensions
        self.version = self._read()["version"]

    def embed(self, photo: str) -> tuple[np.ndarray, float]:
        """The embedding, float32 [D], NaN if no face was found, and the CPU time in ms."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{photo}\n")
        self._process.stdin.flush()
        result = self._read()
        return np.array(result["embedding"] or [np.nan] * self._dimensions, np.float32), result["ms"]

    def finish(self) -> dict[str, float]:
        """End the process. Returns peak memory and disk space in MB, as `peak` and `disk`."""
        return json.loads(self._process.communicate()[0])

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"The process of {self._name} has ended.")
        return json.loads(line)


def embeddings(system: System, rows: Sequence[Example]) -> np.ndarray:
    """Embeddings, float32 [rows, D], NaN without a face. Those of an earlier run are reused."""
    by_digest: dict[str, np.ndarray] = {}
    with closing(Worker(system)) as worker:
        path = OUT / f"{system.name}-{worker.version}.npz"
        if path.exists():
            with np.load(path) as file:
                by_digest.update(zip(file["digests"].tolist(), file["embeddings"]))
        missing = [row for row in rows if row.digest not in by_digest]
        try:
            for row in tqdm(missing, desc=system.name, unit=" photos"):
                by_digest[row.digest] = worker.embed(row.path)[0]
        finally:
            if missing:
                save(path, by_digest)
    return np.stack([by_digest[row.digest] for row in rows])


def save(path: Path, by_digest: dict[str, np.ndarray]) -> None:
    """Write embeddings by the digest of their photo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez(file, digests=np.array(list(by_digest)), embeddings=np.array(list(by_digest.values())))


def accuracy(system: System, rows: Sequence[Example], people: int) -> list[str]:
    """The cells of a system's accuracy: the first rows of TITLES."""
    if system.compare is as_served:  # the model already holds the means of the train photos
        rows = [row for row in rows if row.split != TRAIN]
    found = embeddings(system, rows)
    labels, splits = np.array([row.person for row in rows]), np.array([row.split for row in rows])
    faces = ~np.isnan(found[:, 0])
    train = (splits == TRAIN) & faces
    search = system.compare(found[train], labels[train], people)
    known, strangers = (
        evaluate_embeddings(search, found[splits == split], labels[splits == split]) for split in (VAL, STRANGER)
    )
    measured = metrics.measure(known, strangers, len(known))
    cells = [percent(measured["top1"]), percent((~faces[splits == VAL]).mean())]
    cells += [percent(share, 1) for share in measured["named_at_strangers_accepted"].values()]
    if system.threshold is None:
        return [*cells, "none", ""]
    accepted = (strangers.top_score >= system.threshold).mean()
    return [*cells, percent(metrics.tpir_at(known, system.threshold), 1), percent(accepted, 1)]


def by_size(system: System, rows: Sequence[Example]) -> dict[tuple[int, int], list[str]]:
    """Cells of SIZES for each number of photos and of people: TPIR at 1 % FPIR, and FPIR at the default tolerance."""
    found = embeddings(system, rows)
    faces = np.flatnonzero(~np.isnan(found[:, 0]))
    owners = np.unique([str(Path(rows[i].path).parent) for i in faces], return_inverse=True)[1]
    known = np.unique(owners[[rows[i].person >= 0 for i in faces]])
    probes: dict[tuple[int, int], list[Probes]] = {}
    random = np.random.RandomState(0)
    for photos, size in [(photos, size) for photos in PHOTOS for size in SIZES if size <= len(known)] * DRAWS:
        people = random.permutation(known)[:size]
        drawn = draw(owners, people, owners, photos, random)
        enrolled = np.concatenate(drawn.enrolled)
        count = len(drawn.enrolled)
        search = system.enrol(found[faces[enrolled]], np.repeat(np.arange(count), photos), count)
        searched = search(found[faces[drawn.probes]])
        probes.setdefault((photos, size), []).append(probes_of(searched, drawn.labels))
    return {point: _cells(system, Probes.joined(parts)) for point, parts in probes.items()}


def _cells(system: System, probes: Probes) -> list[str]:
    cells = [percent(metrics.tpir_at_fpir(probes, 0.01), 1)]
    if system.name == "dlib" and system.threshold is not None:
        cells.append(percent((probes.top_score[probes.labels < 0] >= system.threshold).mean(), 1))
    return cells


def cost(all_systems: Sequence[System], rows: Sequence[Example]) -> list[list[str]]:
    """The cells of each system's cost: the last rows of TITLES. The systems take turns, photo by photo."""
    val = [row for row in rows if row.split == VAL]
    chosen = [val[i].path for i in evenly_spaced(len(val), TIMED)]
    with ExitStack() as stack:
        workers = [stack.enter_context(closing(Worker(system))) for system in all_systems]
        times = [[worker.embed(path)[1] for worker in workers] for path in tqdm(chosen, desc="cost", unit=" photos")]
        usages = [worker.finish() for worker in workers]
    figures = ((statistics.median(ms), usage["peak"], usage["disk"]) for ms, usage in zip(zip(*times), usages))
    return [[f"{figure:.0f}" for figure in each] for each in figures]


TITLES = (
    "rank-1 accuracy, val photos",
    "val photos without a detected face",
    "TPIR at 10 % FPIR",
    "TPIR at 1 % FPIR",
    "TPIR at 0.1 % FPIR",
    "TPIR at its own threshold",
    "FPIR at its own threshold",
    "CPU time of a photo of 250 pixels, one thread (median), ms",
    "peak memory, MB",
    "packages and weights on disk without CUDA, MB",
)


def main() -> None:
    parser = parser_of(__doc__, data=True)
    parser.add_argument("--people", type=int, metavar="N", help="only the first N people, for a quick check")
    options = parser.parse_args()
    people, rows = rows_of(options.data, options.people)
    compared = systems(people)
    columns = [accuracy(system, rows, people) for system in compared]
    columns = [cells + cost_cells for cells, cost_cells in zip(columns, cost(compared, rows))]
    counts = {split: sum(row.split == split for row in rows) for split in (VAL, STRANGER)}
    print(f"{people:,} people, {counts[VAL]:,} val photos, {counts[STRANGER]:,} strangers' photos.\n")
    print(table(["", *(system.title for system in compared)], zip(TITLES, *columns)))
    sized = [by_size(system, rows) for system in compared]
    header = ["people", "photos of each", *(f"{system.title}: TPIR at 1 % FPIR" for system in compared)]
    header.insert(4, "FPIR at its tolerance")
    table_rows = [
        [f"{size}", f"{photos}", *(cell for cells in sized for cell in cells[photos, size])]
        for photos, size in sorted(sized[0])
    ]
    print("\n" + table(header, table_rows))


if __name__ == "__main__":
    main()
