"""Functions under AWS's Lambda emulator, as the benchmarks call them: with S3, with a share of the processor, timed.

The time of a request is the duration that the emulator reports, as Lambda bills it.
"""

from __future__ import annotations

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

from model.store import BUNDLED, POINTER, fetch
from testing.emulator import Emulator
from testing.events import upload
from testing.paths import DATA, SAMPLES
from testing.servers import moto

HANDLERS = {"plain": "benchmarks.plain.handle", "ours": "handler.handle"}
PLAIN_FILE = Path("build/plain.pt")
MODELS, PLAIN, PLAIN_KEY = "models", "plain", "model.pt"  # buckets, and what is in the second


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def portrait() -> Image.Image:
    """A real one of 1665 x 2048 where the data are, else a smaller one enlarged."""
    path = DATA / "photos" / "angelina_jolie.jpg"
    if path.exists():
        return Image.open(path).convert("RGB")
    return Image.open(SAMPLES / "astronaut.jpg").convert("RGB").resize((1665, 2048), Image.Resampling.LANCZOS)


def collage(count: int, width: int, height: int) -> Image.Image:
    """So many faces in one photo, in rows."""
    faces = [Image.open(path).convert("RGB") for path in sorted(SAMPLES.glob("*_0*.jpg"))]
    columns = int(np.ceil(np.sqrt(count * width / height)))
    cell = min(width // columns, height // -(-count // columns))
    photo = Image.new("RGB", (width, height), "gray")
    for i in range(count):
        face = faces[i % len(faces)].resize((cell, cell), Image.Resampling.LANCZOS)
        photo.paste(face, (i % columns * cell, i // columns * cell))
    return photo


def photos() -> dict[str, bytes]:
    """Those that are compared, by what they are called in the tables."""
    large, group = portrait(), DATA / "photos" / "multiface.jpg"
    return {
        "250 px": (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes(),
        "640 px": jpeg(large.resize((520, 640), Image.Resampling.LANCZOS)),
        "1.6 x 2 k": jpeg(large),
        "12 MP": jpeg(large.resize((3122, 3840), Image.Resampling.LANCZOS)),
        "six faces": group.read_bytes() if group.exists() else jpeg(collage(6, 1200, 630)),
    }


def table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows))


def event(photo: bytes, **query: str) -> bytes:
    return json.dumps(upload(photo, **query)).encode()


@contextmanager
def storage() -> Iterator[None]:
    """An S3 with the model of either in it. The environment leads to it, this process's and that of those it starts."""
    if not PLAIN_FILE.exists():
        PLAIN_FILE.parent.mkdir(exist_ok=True)
        home = {"TORCH_HOME": str(DATA / "torch")} if (DATA / "torch").exists() else {}
        command = [sys.executable, "-m", "benchmarks.plain", str(PLAIN_FILE)]
        subprocess.run(command, env={**os.environ, **home}, check=True)
    path, pointer = fetch(BUNDLED)
    with moto() as url:
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
        os.environ.update({"AWS_ENDPOINT_URL": url, "BUCKET": PLAIN, "KEY": PLAIN_KEY, **keys})
        s3 = boto3.client("s3")
        for bucket in (PLAIN, MODELS):
            s3.create_bucket(Bucket=bucket)
        s3.upload_file(str(PLAIN_FILE), PLAIN, PLAIN_KEY)
        s3.upload_file(str(path), MODELS, pointer.file)
        s3.put_object(Bucket=MODELS, Key=POINTER, Body=pointer.to_json().encode())
        yield


class Function(Emulator):
    """One running function, started by its first request. To be closed."""

    def __init__(self, name: str, folder: Path, threads: int, limit: Limit | None = None, **environment: str) -> None:
        """name: one of HANDLERS, or a handler by the name that Lambda gives it; folder: an empty one for its log and
        temporary files; environment: with `python`, where another is to run it.
        """
        folder.mkdir(parents=True)
        given = {"MODEL_URI": f"s3://{MODELS}", "TMPDIR": str(folder), "OMP_NUM_THREADS": str(threads), **environment}
        super().__init__(folder / "log", HANDLERS.get(name, name), **given)
        if limit:
            limit.add(self.process.pid)

    def duration(self, event: bytes) -> float:
        """Milliseconds of a request, the first one's with INIT. Raises AssertionError where it was not answered."""
        answer = self.answer(event)
        assert answer.get("statusCode") == 200, answer
        return float(self._logged(r"\tDuration: ([\d.]+) ms"))

    def init(self) -> float:
        """Milliseconds of INIT, once there has been a request."""
        return float(self._logged(r"INIT REPORT\(durationMs: ([\d.]+)\)"))

    def peak(self) -> float:
        """MB of memory that it has ever held."""
        status = Path(f"/proc/{self.runtime().pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found.group(1)) * 1024 / 1e6

    def _logged(self, pattern: str) -> str:
        return str(re.findall(pattern, self.log.read_text(errors="replace"))[-1])


@contextmanager
def functions(folder: Path, threads: int, limit: Limit | None = None) -> Iterator[dict[str, Function]]:
    """Both, side by side."""
    with ExitStack() as ends:
        yield {name: ends.enter_context(closing(Function(name, folder / name, threads, limit))) for name in HANDLERS}


class Limit:
    """A share of the processors for processes and their children, by a control group: root's to make. To be closed."""

    def __init__(self, processors: float) -> None:
        """Raises OSError where no control groups are to be had."""
        root = Path("/sys/fs/cgroup/cpu")
        self._folder = (root if root.exists() else root.parent) / f"benchmark-{os.getpid()}"
        self._folder.mkdir()
        period = 100_000  # microseconds
        if (self._folder / "cpu.max").exists():
            (self._folder / "cpu.max").write_text(f"{int(processors * period)} {period}")
        else:
            (self._folder / "cpu.cfs_period_us").write_text(str(period))
            (self._folder / "cpu.cfs_quota_us").write_text(str(int(processors * period)))

    def add(self, process: int) -> None:
        (self._folder / "cgroup.procs").write_text(str(process))

    def close(self) -> None:
        self._folder.rmdir()


def drop_file_cache() -> bool:
    """As on a machine that has never run the function. Whether it could be done: it takes root."""
    try:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("1")
    except OSError:
        return False
    return True


def machine() -> str:
    """What it is measured on, and when."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cores, memory = len(os.sched_getaffinity(0)), psutil.virtual_memory().total / 1e9
    name = model.group(1) if model else platform.machine()
    return f"{cores} cores of {name}, {memory:.0f} GB, {platform.system()}, {date.today()}"
