"""Files and megabytes that a cold start and its first response read from disk.

    sudo .venv/bin/python -m benchmarks.start_reads

Empties the system's file cache, starts the function, sends it a photo and counts the pages that are in the cache then,
read-ahead included. Lambda loads the parts of an image that are read, so this is what a cold start waits for. Run it
while nothing else runs, because the file cache is shared. Prints a Markdown table.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Iterator

from testing.paths import ROOT

PACKAGES = Path(sysconfig.get_path("purelib"))
START = """
import handler
from types import SimpleNamespace
from testing.events import upload
from testing.paths import SAMPLES
photo = (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes()
assert handler.handle(upload(photo), SimpleNamespace(aws_request_id="request-1"))["statusCode"] == 200
"""
CUDA = ("libtorch_cuda", "libc10_cuda", "libcudart", "libnv", "libcaffe2_nvrtc")


def group(path: Path) -> str:
    """Name the row of a file."""
    if path.name.startswith(CUDA):
        return "torch, CUDA's part, which the image of `make deploy` does not have"
    if PACKAGES in path.parents:
        name = path.relative_to(PACKAGES).parts[0].partition(".")[0]
        return name if name in ("torch", "numpy") else "other packages"
    if ROOT / "model" / "bundled" in path.parents:
        return "model"
    return "this project" if ROOT in path.parents else "Python"


def files() -> Iterator[Path]:
    """All files that a function could read."""
    code = (ROOT / name for name in ("api", "service", "storage", "model"))
    yield from ROOT.glob("*.py")
    for folder in (PACKAGES, Path(sysconfig.get_path("stdlib")), Path(sys.base_prefix) / "bin", *code):
        yield from (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    yield from Path(sys.base_prefix, "lib").glob("libpython*")


def cached_bytes(path: Path, libc: ctypes.CDLL) -> int:
    """Number of bytes of a file that are in the file cache."""
    size = path.stat().st_size
    if not size:
        return 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, flags=mmap.MAP_PRIVATE) as mapped:
        pages = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
        address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        if libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), pages):
            raise OSError(ctypes.get_errno(), "mincore failed")
        return sum(page & 1 for page in pages) * mmap.PAGESIZE


def main() -> None:
    everything, libc = list(files()), ctypes.CDLL(None, use_errno=True)
    environment = {**os.environ, "MODEL_URI": "", "OMP_NUM_THREADS": "1"}
    # Not by `drop_file_cache` of functions.py: importing that module would read torch and numpy, and keep them mapped.
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("1")
    subprocess.run([sys.executable, "-c", START], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    rows: dict[str, list[int]] = {}
    for path in everything:
        read = cached_bytes(path, libc)
        if read:
            rows.setdefault(group(path), []).append(read)
    print("| | files | MB |\n|---|---|---|")
    for name, sizes in sorted(rows.items(), key=lambda row: -sum(row[1])):
        print(f"| {name} | {len(sizes):,} | {sum(sizes) / 1e6:.1f} |")


if __name__ == "__main__":
    main()
