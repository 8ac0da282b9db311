"""What training costs as it grows: seconds and memory for more photos, seconds and file size for more people.

    python -m benchmarks.scale photos --data lfw.tgz 1000 10000
    python -m benchmarks.scale photos --data lfw.tgz --side 96 100000
    python -m benchmarks.scale people 600 6000 60000

Each prints one row of a Markdown table for each number. Memory is what the processes hold for themselves; pages
of files that the system can drop at any time are not counted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

from model.recognizer import Person, load_script
from model.store import BUNDLED, fetch
from training.dataset import Dataset
from training.finetune import Recipe, train_head
from training.prepare import TRAIN
from training.sources import people_folders, unpack
from training.store import save_version
from training.trunk import FEATURES

MB = 1 << 20
PHOTOS_A_PERSON = 4
ENOUGH = 20_000  # photos of an epoch to know its rate


def used(process: psutil.Process) -> int:
    """Bytes that a process and its children hold for themselves, without pages of files."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            memory = one.memory_info()
        except psutil.Error:
            continue
        total += memory.rss - memory.shared
    return total


def watch(*command: str) -> tuple[str, float, float]:
    """What a command prints, its seconds, and its peak MB."""
    started, peak = time.monotonic(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        process = psutil.Process(running.pid)
        while running.poll() is None:
            peak = max(peak, used(process))
            time.sleep(0.2)
        assert running.stdout is not None
        printed = running.stdout.read()
    if running.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return printed, time.monotonic() - started, peak / MB


def step(*arguments: object) -> tuple[float, float]:
    """Seconds and peak MB of one command of the training."""
    return watch(sys.executable, "-m", "training", *map(str, arguments))[1:]


def copies(archive: Path, count: int, folder: Path, side: int | None) -> Path:
    """`count` photos: those of the archive, and then the same ones turned a little and mirrored.

    side: pixels that they are scaled to, for faces are found faster in smaller photos.
    """
    originals = people_folders(unpack(archive, folder / "originals"))
    target, made, around = folder / "copies", 0, 0
    random = np.random.RandomState(0)
    while made < count:
        for name, paths in originals.items():
            person = target / f"{name}_{around}"
            person.mkdir(parents=True, exist_ok=True)
            for path in paths[: count - made]:
                if around == 0 and side is None:
                    os.link(path, person / path.name)
                else:
                    with Image.open(path) as photo:
                        if side:
                            photo.thumbnail((side, side))
                        turned = photo.rotate(random.uniform(-15, 15) * (around > 0), Image.Resampling.BILINEAR)
                        if around % 2:
                            turned = turned.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
                        turned.save(person / path.name, quality=90)
                made += 1
        around += 1
    return target


def photos(archive: Path, counts: list[int], side: int | None) -> None:
    print("| photos | prepare, s per 1,000 | align | features | prepare, peak MB | align | features |")
    print("|---|---|---|---|---|---|---|")
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            data, out = copies(archive, count, Path(folder), side), Path(folder) / "run"
            measured = [
                step("prepare", "--data", data, "--out", out),
                step("align", "--out", out),
                step("features", "--out", out),
            ]
        cells = [f"{seconds / count * 1000:.1f}" for seconds, _ in measured] + [f"{peak:.0f}" for _, peak in measured]
        print(f"| {count:,} | {' | '.join(cells)} |", flush=True)


def people(counts: list[int]) -> None:
    print("| people | photos | head, s per 1,000 photos and epoch | 20 epochs, s | peak MB | model.pt, MB |")
    print("|---|---|---|---|---|---|")
    for count in counts:
        printed, _, peak = watch(sys.executable, "-m", "benchmarks.scale", "head", str(count))
        rate, total = float(printed), count * PHOTOS_A_PERSON
        size = file_size(count) / 1e6
        print(f"| {count:,} | {total:,} | {rate:.2f} | {rate * total / 50:.0f} | {peak:.0f} | {size:.1f} |", flush=True)


def head(count: int) -> float:
    """Seconds for 1,000 photos of one epoch, over random features: the cost does not ask what they mean."""
    total = count * PHOTOS_A_PERSON
    with tempfile.TemporaryDirectory() as folder:
        path, random = f"{folder}/features.npy", np.random.RandomState(0)
        features = np.lib.format.open_memmap(path, "w+", np.float32, (total, FEATURES))
        for start in range(0, total, 1024):
            features[start : start + 1024] = random.rand(*features[start : start + 1024].shape)
        del features
        labels = np.repeat(np.arange(count), PHOTOS_A_PERSON)
        splits = np.full(total, TRAIN)
        splits[ENOUGH:] = "none"
        data = Dataset([str(i) for i in range(count)], labels, splits, np.arange(total))
        started = time.monotonic()
        train_head(np.load(path, mmap_mode="r"), data, Recipe(epochs=1), seed=0)
        return (time.monotonic() - started) / min(total, ENOUGH) * 1000


def file_size(count: int) -> int:
    """Bytes of a model that knows so many people."""
    script, config, _ = load_script(fetch(BUNDLED)[0])
    script.means, script.hubness = torch.zeros(count, script.means.shape[1]), torch.zeros(count)
    known = [Person(i, f"Somebody {i}", ("0" * 16,) * PHOTOS_A_PERSON) for i in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        return save_version(script, config, known, Path(folder)).bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("photos", "people", "head"))
    parser.add_argument("counts", type=int, nargs="+")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--side", type=int, metavar="PIXELS", help="scale photos down to this (default: as they are)")
    arguments = parser.parse_args()
    if arguments.what == "photos":
        photos(arguments.data, arguments.counts, arguments.side)
    elif arguments.what == "people":
        people(arguments.counts)
    else:
        print(head(arguments.counts[0]))


if __name__ == "__main__":
    main()
