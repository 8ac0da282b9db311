"""Others beside this project, on the same photos in one run: face_recognition (dlib) and facenet-pytorch.

    make bench-peers DATA=lfw-deepfunneled-subset.tgz
    .venv/bin/python -m benchmarks.peers --data lfw-deepfunneled-subset.tgz --people 10

The second is a quick look at ten people. Each system runs in a process of its own (benchmarks/peers/worker.py), knows
people by the photos that the bundled model was trained on and is asked for the val photos of the same split. It takes
the face nearest the centre, since LFW's photos were taken of somebody; where it finds none, a val photo counts as wrong
and a stranger's as not accepted. A face is compared with each person's mean embedding: for facenet-pytorch by cosine,
for face_recognition by distance, with its usual tolerance of 0.6. (By the nearest of all known photos, as its examples
do, it names 79 % instead of 88 % rightly at 1 % of strangers.) Prints a Markdown table. Embeddings stay in build/peers,
and a run goes on where it was interrupted: delete the folder to begin anew.
"""

from __future__ import annotations

import argparse
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

from benchmarks.bundled import ONE_THREAD, ROOT, Scores, as_served, judge, percent, rows_of
from model.recognizer import load_script
from model.store import BUNDLED, fetch
from training.atomic_files import atomic_write
from training.data.dataset import evenly
from training.data.prepare import STRANGER, TRAIN, VAL, Example
from training.evaluation import metrics
from training.evaluation.gallery import Gallery

OUT = ROOT / "build" / "peers"
TIMED = 100  # photos
SAVED = 500  # photos between two writes


def cosine_to_means(known: np.ndarray, labels: np.ndarray, people: int) -> Scores:
    means = Gallery.of([(labels, known)], people).means
    units = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return lambda embeddings: embeddings @ units.T


def distance_to_means(known: np.ndarray, labels: np.ndarray, people: int) -> Scores:
    means = Gallery.of([(labels, known)], people).means
    return lambda embeddings: -np.stack([np.linalg.norm(means - embedding, axis=1) for embedding in embeddings])


class System(NamedTuple):
    """dimensions: of an embedding; threshold: the score from which it takes a face for somebody, if it has one."""

    name: str
    title: str
    python: Path
    dimensions: int
    compare: Callable[[np.ndarray, np.ndarray, int], Scores]
    threshold: float | None


def systems() -> list[System]:
    config = load_script(fetch(BUNDLED)[0])[1]
    here, peers = Path(sys.executable), ROOT / ".venv-peers" / "bin" / "python"
    own = float(np.log(config.threshold / (1 - config.threshold)))
    return [
        System("ours", "this project", here, 512, as_served, own),
        System("dlib", "face_recognition, dlib", peers, 128, distance_to_means, -0.6),
        System("facenet", "facenet-pytorch", here, 512, cosine_to_means, None),
    ]


class Worker:
    """A system in a process of its own. To be closed."""

    def __init__(self, system: System) -> None:
        self._process = subprocess.Popen(
            [str(system.python), "-W", "ignore", "-m", "benchmarks.peers.worker", system.name],
            cwd=ROOT,
            env={**os.environ, **ONE_THREAD},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C leaves it to `close` to end it
        )
        self._name, self._dimensions = system.name, system.dimensions
        self.version = self._answer()["version"]

    def ask(self, photo: str) -> tuple[np.ndarray, float]:
        """The embedding, not a number where there is no face, and the CPU's ms."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{photo}\n")
        self._process.stdin.flush()
        answer = self._answer()
        return np.array(answer["embedding"] or [np.nan] * self._dimensions, np.float32), answer["ms"]

    def finish(self) -> dict[str, float]:
        """What it took: peak memory and disk, MB."""
        return json.loads(self._process.communicate()[0])

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"The process of {self._name} has ended.")
        return json.loads(line)


def embeddings(system: System, rows: Sequence[Example]) -> np.ndarray:
    """float32 [rows, D]; those of an earlier run are not computed again."""
    with closing(Worker(system)) as worker:
        path = OUT / f"{system.name}-{worker.version}.npz"
        known: dict[str, np.ndarray] = {}
        if path.exists():
            with np.load(path) as file:
                known.update(zip(file["digests"].tolist(), file["embeddings"]))
        todo = [row for row in rows if row.digest not in known]
        try:
            for done, row in enumerate(tqdm(todo, desc=system.name, unit=" photos"), start=1):
                known[row.digest] = worker.ask(row.path)[0]
                if done % SAVED == 0:
                    save(path, known)
        finally:
            if todo and known:
                save(path, known)
    return np.stack([known[row.digest] for row in rows])


def save(path: Path, known: dict[str, np.ndarray]) -> None:
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez(file, digests=np.array(list(known)), embeddings=np.stack(list(known.values())))


def accuracy(system: System, rows: Sequence[Example], people: int) -> list[str]:
    """Cells of the table, down to the threshold."""
    if system.compare is as_served:  # what it knows of the train photos lies in the model
        rows = [row for row in rows if row.split != TRAIN]
    found = embeddings(system, rows)
    labels, splits = np.array([row.person for row in rows]), np.array([row.split for row in rows])
    faces = ~np.isnan(found[:, 0])
    train = (splits == TRAIN) & faces
    scores = system.compare(found[train], labels[train], people)
    known, strangers = (
        judge(scores, found[splits == split], labels[splits == split], people) for split in (VAL, STRANGER)
    )
    measured = metrics.measure(known, strangers, len(known))
    cells = [percent(measured["top1"]), percent((~faces[splits == VAL]).mean())]
    cells += [percent(share, 1) for share in measured["named_at_strangers_accepted"].values()]
    if system.threshold is None:
        return [*cells, "it has none", ""]
    accepted = (strangers.top_score >= system.threshold).mean()
    return [*cells, percent(metrics.tpir_at(known, system.threshold), 1), percent(accepted, 1)]


def cost(all_systems: Sequence[System], rows: Sequence[Example]) -> list[list[str]]:
    """Cells of each system: ms a photo, peak MB, MB on the disk. The systems take turns, photo by photo."""
    val = [row for row in rows if row.split == VAL]
    chosen = [val[i].path for i in evenly(len(val), TIMED)]
    with ExitStack() as ends:
        workers = [ends.enter_context(closing(Worker(system))) for system in all_systems]
        times = [[worker.ask(path)[1] for worker in workers] for path in tqdm(chosen, desc="cost", unit=" photos")]
        medians = [statistics.median(column) for column in zip(*times)]
        return [
            [f"{ms:.0f}", f"{took['peak']:.0f}", f"{took['disk']:.0f}"]
            for ms, took in zip(medians, [worker.finish() for worker in workers])
        ]


TITLES = (
    "right name, val photos",
    "no face found in them",
    "named rightly while 10 % of strangers' photos are taken for somebody",
    "the same at 1 %",
    "the same at 0.1 %",
    "at its own threshold: named rightly",
    "the same: strangers' photos taken for somebody",
    "ms of CPU a photo of 250 pixels, one thread (median)",
    "memory at most, MB",
    "packages and weights on the disk, MB, without CUDA",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="archive or folder of LFW, deep-funneled")
    parser.add_argument("--people", type=int, metavar="N", help="only the first N people, for a quick look")
    given = parser.parse_args()
    people, rows = rows_of(given.data, given.people)
    compared = systems()
    columns = [accuracy(system, rows, people) for system in compared]
    columns = [cells + more for cells, more in zip(columns, cost(compared, rows))]
    counts = {split: sum(row.split == split for row in rows) for split in (VAL, STRANGER)}
    print(f"{people:,} people, {counts[VAL]:,} val photos, {counts[STRANGER]:,} of strangers.\n")
    print("| |", " | ".join(system.title for system in compared), "|")
    print("|" + "---|" * (1 + len(compared)))
    for cells in zip(TITLES, *columns):
        print("|", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
