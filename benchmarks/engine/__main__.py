"""What leaving torch 1.5.0 would give: the same networks on ONNX Runtime and OpenVINO, under a current Python.

    make bench-engine DATA=lfw-deepfunneled-subset.tgz

The same handler answers in all of them, under AWS's Lambda emulator, a request to one after a request to the others; of
the model/ modules only those that use torch are replaced (benchmarks/engine/serving.py). Prints a Markdown table of
medians, with their ratio to torch's: the median of the ratios of neighbouring requests. What is exported, quantized and
embedded stays in build/engine and is not made again: delete the folder to begin anew.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from benchmarks.bundled import ONE_THREAD, ROOT, as_served, judge, percent
from benchmarks.engine.export import OUT, PYTHON, Faces, prepare
from benchmarks.functions import Function, event, machine, photos, table
from benchmarks.peers.worker import CUDA
from model.recognizer import Recognizer
from model.store import BUNDLED, fetch
from training import figures

SERVICE = ["aws-lambda-powertools", "awslambdaric", "boto3", "multipart", "numpy", "pillow", "pillow-heif"]
LEFT_OUT = re.compile(r"caffe2/|torch/(include|share|bin)/|numpy/(.*/)?tests/")  # as the Dockerfile has it


class Engine(NamedTuple):
    """runtime: the package; network: the recognizer's file."""

    title: str
    runtime: str
    network: str

    @property
    def ours(self) -> bool:
        return self.runtime == "torch"

    @property
    def python(self) -> str:
        return sys.executable if self.ours else str(PYTHON)

    def environment(self) -> dict[str, str]:
        return {"ENGINE_MODEL": str(OUT), "ENGINE_RUNTIME": self.runtime, "ENGINE_NETWORK": self.network}


ENGINES = (
    Engine("torch 1.5.0, int8", "torch", ""),
    Engine("ONNX Runtime, int8", "onnxruntime", "int8.onnx"),
    Engine("ONNX Runtime, fp32", "onnxruntime", "recognizer.onnx"),
    Engine("OpenVINO, int8", "openvino", "int8.onnx"),
)


def embeddings(engine: Engine, faces: Faces) -> np.ndarray:
    """float32 [N, 512]; those of an earlier run are not computed again."""
    path = OUT / f"embeddings-{engine.runtime}-{engine.network or 'model'}.npy"
    if path.exists():
        return np.load(path)
    if engine.ours:
        recognizer, crops = Recognizer.load(BUNDLED), np.load(faces.crops)
        found = np.concatenate([recognizer.classify(crops[i : i + 32])[1] for i in range(0, len(crops), 32)])
        np.save(path, found)
        return found
    command = [engine.python, "-m", "benchmarks.engine.serving", str(faces.crops), str(path)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **engine.environment(), **ONE_THREAD}, check=True)
    return np.load(path)


def accuracy(faces: Faces) -> list[list[str]]:
    """Rows of the table."""
    people = len(Recognizer.load(BUNDLED).people)
    scores = as_served(np.zeros((0, 512)), np.zeros(0), people)
    known = faces.labels >= 0
    columns, ours = [], embeddings(ENGINES[0], faces)
    for engine in ENGINES:
        found = embeddings(engine, faces)
        probes = [judge(scores, found[which], faces.labels[which], people) for which in (known, ~known)]
        measured = figures.measure(probes[0], probes[1], len(probes[0]))
        alike = (found * ours).sum(axis=1)
        shares = measured["named_at_strangers_accepted"]
        named = [percent(shares[rate], 1) for rate in ("0.01", "0.001")]
        columns.append([percent(measured["top1"]), *named, f"{alike.mean():.4f}", f"{alike.min():.4f}"])
    titles = ["right name, val photos", "named rightly at 1 % of strangers", "the same at 0.1 %"]
    titles += ["cosine to torch's embeddings: mean", "the same: lowest"]
    return [[title, *cells] for title, cells in zip(titles, zip(*columns))]


class Timed(Function):
    """A function whose answers are looked into."""

    def __init__(self, engine: Engine, folder: Path, threads: int) -> None:
        handler = "ours" if engine.ours else "benchmarks.engine.serving.handle"
        environment = {"MODEL_URI": BUNDLED, "python": engine.python, **engine.environment()}
        super().__init__(handler, folder, threads, None, **environment)

    def who(self, request: bytes) -> tuple[Any, ...]:
        """The name and the face's box, to a pixel of 250."""
        body = json.loads(self.answer(request)["body"])
        edges = [round(250 * edge / body["image"]["width"]) for edge in body["face"]["box"].values()]
        return (body["predicted_name"], *edges)

    def times(self, request: bytes) -> dict[str, float]:
        """Milliseconds of a request, and of its parts as the answer has them."""
        parts = json.loads(self.answer(request)["body"])["timings_ms"]
        return {"all": float(self._logged(r"\tDuration: ([\d.]+) ms")), **parts}


def cells(title: str, times: Sequence[Sequence[float]]) -> list[str]:
    """A row. times: ms of each engine, the first one's being torch's."""
    found = np.array(times)
    ratios = np.median(found / found[0], axis=1)
    medians = np.median(found, axis=1)
    return [title, f"{medians[0]:.0f}", *(f"{ms:.0f} ({ratio:.2f})" for ms, ratio in zip(medians[1:], ratios[1:]))]


def cold(folder: Path, request: bytes, threads: int, starts: int) -> list[list[str]]:
    """Rows: INIT and first answer, and INIT. The engines start in turn, in fresh processes."""
    totals: list[list[float]] = [[] for _ in ENGINES]
    inits: list[list[float]] = [[] for _ in ENGINES]
    for number in range(starts + 1):
        for place, engine in enumerate(ENGINES):
            with closing(Timed(engine, folder / f"cold-{threads}-{number}-{place}", threads)) as function:
                total = function.duration(request)
                if number:  # the first of all reads from disk what the others find in memory
                    totals[place].append(total)
                    inits[place].append(function.init())
    return [cells(f"cold start, threads: {threads}", totals), cells("of that INIT", inits)]


def warm(folder: Path, asked: dict[str, bytes], threads: int, rounds: int) -> list[list[str]]:
    """Rows: of each photo all, detect and classify, and the memory after them."""
    rows = []
    with ExitStack() as ends:
        functions = [
            ends.enter_context(closing(Timed(engine, folder / f"warm-{threads}-{place}", threads)))
            for place, engine in enumerate(ENGINES)
        ]
        for name, request in asked.items():
            said = [function.who(request) for function in functions]
            assert len(set(said)) == 1, f"they see different faces: {said}"
            took = [[function.times(request) for function in functions] for _ in range(rounds + 1)][1:]
            for part in ("all", "detect", "classify"):
                title = f"{name}, threads: {threads}" if part == "all" else f"of that {part}"
                rows.append(cells(title, [[times[place][part] for times in took] for place in range(len(ENGINES))]))
        rows.append(cells(f"memory at most, MB, threads: {threads}", [[function.peak()] for function in functions]))
    return rows


def needed(installed: Mapping[NormalizedName, Distribution], roots: Sequence[str]) -> set[NormalizedName]:
    """What `roots` and all that they require are called."""
    names: set[NormalizedName] = set()
    todo = list(roots)
    while todo:
        name = canonicalize_name(todo.pop())
        if name in names or name not in installed:
            continue
        names.add(name)
        wanted = [Requirement(text) for text in installed[name].requires or ()]
        todo += [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    return names


def disk(engine: Engine) -> float:
    """MB of packages and weights, as they would lie in the image; torch's without CUDA."""
    (site,) = (Path(engine.python).parent.parent / "lib").glob("python3*/site-packages")
    installed = {canonicalize_name(found.metadata["Name"]): found for found in distributions(path=[str(site)])}
    files = [
        Path(str(file.locate()))
        for name in needed(installed, [*SERVICE, engine.runtime])
        for file in installed[name].files or ()
        if not LEFT_OUT.match(str(file)) and not CUDA.search(file.name)
    ]
    if engine.ours:
        files += [*site.glob("facenet_pytorch/data/*.pt"), fetch(BUNDLED)[0]]
    else:
        files += [OUT / name for name in (engine.network, "pnet.onnx", "rnet.onnx", "onet.onnx", "people.json")]
    return sum(path.stat().st_size for path in files if path.is_file()) / 1e6


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="archive or folder of LFW, deep-funneled")
    parser.add_argument("--starts", type=int, default=8, help="(8)")
    parser.add_argument("--rounds", type=int, default=30, help="warm requests of each kind (30)")
    given = parser.parse_args(argv)
    faces = prepare(given.data)
    judged = accuracy(faces)
    asked = {name: event(photo) for name, photo in photos().items() if name in ("250 px", "1.6 x 2 k")}
    rows: list[Any] = []
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        for threads in (1, 2):
            rows += cold(Path(folder), asked["250 px"], threads, given.starts)
            rows += warm(Path(folder), asked, threads, given.rounds)
    rows.append(cells("packages and weights on the disk, MB", [[disk(engine)] for engine in ENGINES]))
    print(f"{machine()}; ms unless it says otherwise, and in brackets times torch's\n")
    print(table(["", *(engine.title for engine in ENGINES)], rows + judged))


if __name__ == "__main__":
    main()
