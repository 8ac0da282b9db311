"""Lambda functions for the benchmarks: they run in AWS's Lambda emulator, with photos and a local S3.

The time of a request is the duration that the emulator reports, which is what Lambda bills.
"""

from __future__ import annotations

import compileall
import io
import json
import os
import platform
import re
import subprocess
import sys
from contextlib import ExitStack, closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Iterator

import boto3
import numpy as np
import psutil
from PIL import Image

from benchmarks import usage
from storage.networks import BUNDLED
from testing.emulator import Emulator
from testing.events import upload
from testing.paths import DATA, ROOT, SAMPLES
from testing.servers import moto
from training.publishing.collections import Access
from training.publishing.publish import publish

HANDLERS = {"baseline": "benchmarks.baseline.handle", "ours": "handler.handle"}
BASELINE_FILE = ROOT / "build/baseline.pt"
MODEL_BUCKET, PEOPLE_BUCKET, BASELINE_BUCKET, BASELINE_KEY = "models", "people", "baseline", "model.pt"
SAMPLE = SAMPLES / "Kofi_Annan_0006.jpg"


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    """Encode an image as a JPEG file."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def scaled(image: Image.Image, width: int, height: int) -> Image.Image:
    """Scale an image to width x height pixels."""
    return image.resize((width, height), Image.Resampling.LANCZOS)


def collage(count: int, width: int, height: int) -> Image.Image:
    """An RGB image of width x height pixels with `count` faces in a grid."""
    faces = [Image.open(path).convert("RGB") for path in sorted(SAMPLES.glob("*_0*.jpg"))]
    columns = int(np.ceil(np.sqrt(count * width / height)))
    cell = min(width // columns, height // -(-count // columns))
    photo = Image.new("RGB", (width, height), "gray")
    for i in range(count):
        photo.paste(scaled(faces[i % len(faces)], cell, cell), (i % columns * cell, i // columns * cell))
    return photo


def photos() -> dict[str, bytes]:
    """JPEG files of the comparison, by their labels in the tables. Without the data folder from sample photos."""
    portrait, group = DATA / "photos" / "angelina_jolie.jpg", DATA / "photos" / "multiface.jpg"
    large = Image.open(portrait if portrait.exists() else SAMPLES / "astronaut.jpg").convert("RGB")
    person = DATA / "photos" / "Rohit_Sharma_0005.jpg"
    return {
        "250 px": SAMPLE.read_bytes(),
        "452 px": person.read_bytes() if person.exists() else jpeg(scaled(large, 452, 452)),
        "640 px": jpeg(scaled(large, 520, 640)),
        "1.6 x 2 k": jpeg(scaled(large, 1665, 2048)),
        "12 MP": jpeg(scaled(large, 3122, 3840)),
        "six faces": group.read_bytes() if group.exists() else jpeg(collage(6, 1200, 630)),
    }


def event(photo: bytes, **query: str) -> bytes:
    """The REST API event of an upload as JSON."""
    return json.dumps(upload(photo, **query)).encode()


def use_s3(url: str) -> None:
    """Set the environment so that this and child processes use a local S3."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ.update({"AWS_ENDPOINT_URL": url, "AWS_EC2_METADATA_DISABLED": "true", **keys})


@contextmanager
def storage() -> Iterator[None]:
    """Run a local S3 that holds both models and a collection of 610 people that can change.

    Sets the environment so that this and child processes use it.
    """
    if not BASELINE_FILE.exists():
        BASELINE_FILE.parent.mkdir(exist_ok=True)
        home = {"TORCH_HOME": str(DATA / "torch")} if (DATA / "torch").exists() else {}
        command = [sys.executable, "-m", "benchmarks.baseline", str(BASELINE_FILE)]
        subprocess.run(command, env={**os.environ, **home}, check=True)
    # As in the image. Where Python may not write byte code, each start would compile all modules.
    for folder in ("api", "service", "storage", "model"):
        compileall.compile_dir(ROOT / folder, quiet=1)
    compileall.compile_dir(ROOT, maxlevels=0, quiet=1)
    with moto() as url:
        use_s3(url)
        os.environ.update(BUCKET=BASELINE_BUCKET, KEY=BASELINE_KEY, GALLERY_URI=f"s3://{PEOPLE_BUCKET}")
        s3 = boto3.client("s3")
        for bucket in (BASELINE_BUCKET, MODEL_BUCKET, PEOPLE_BUCKET):
            s3.create_bucket(Bucket=bucket)
        s3.upload_file(str(BASELINE_FILE), BASELINE_BUCKET, BASELINE_KEY)
        publish(Path(BUNDLED), f"s3://{MODEL_BUCKET}")
        galleries = Access(f"s3://{PEOPLE_BUCKET}", BUNDLED).galleries
        galleries.restore(galleries.snapshot().gallery.loaded(), None)
        yield


class Function(Emulator):
    """One running function. The first request starts it. Close after use."""

    def __init__(self, name: str, folder: Path, threads: int, **environment: str) -> None:
        """Prepare the function.

        name: key of HANDLERS; folder: created for the log and temporary files; environment: variables of the function.
        """
        folder.mkdir(parents=True)
        defaults = {"MODEL_URI": f"s3://{MODEL_BUCKET}", "TMPDIR": str(folder), "OMP_NUM_THREADS": str(threads)}
        super().__init__(folder / "log", HANDLERS[name], **{**defaults, **environment})

    def duration(self, event: bytes) -> float:
        """Duration of a request in milliseconds, including INIT for the first one. Raises AssertionError unless 200."""
        answer = self.answer(event)
        assert answer.get("statusCode") == 200, answer
        return float(self._last_logged(r"\tDuration: ([\d.]+) ms"))

    def init(self) -> float:
        """Duration of INIT in milliseconds. Requires an earlier request."""
        return float(self._last_logged(r"INIT REPORT\(durationMs: ([\d.]+)\)"))

    def peak(self) -> float:
        """Peak resident memory in MB. Requires an earlier request."""
        return usage.peak(self.runtime().pid)

    def _last_logged(self, pattern: str) -> str:
        return str(re.findall(pattern, self.log.read_text(errors="replace"))[-1])


@contextmanager
def functions(folder: Path, threads: int) -> Iterator[dict[str, Function]]:
    """Run the baseline and this project's function side by side."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(closing(Function(name, folder / name, threads))) for name in HANDLERS}


def drop_file_cache() -> bool:
    """Empty the system's file cache, as on a machine that never ran the function. Returns False without root."""
    try:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("1")
    except OSError:
        return False
    return True


def machine() -> str:
    """Processor, memory and operating system of this machine, and the date."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cores, size = len(os.sched_getaffinity(0)), psutil.virtual_memory().total / 1e9
    name = model.group(1) if model else platform.machine()
    return f"{cores} cores of {name}, {size:.0f} GB, {platform.system()}, {date.today()}"
