"""Return freed memory to the system, which glibc keeps otherwise: see `keep_freed_memory` in model/processor.py."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

KEPT = 64 << 20  # bytes. Photos of few people leave less

# Resident bytes that are not in glibc's heap. Released holes stay free in its figures, so these alone would not do.
_other: int | None = None


class _Mallinfo(ctypes.Structure):
    """Figures about glibc's heap, from malloc.h.

    uordblks: bytes in it that are used; hblkhd: bytes of large blocks beside it; fordblks: bytes in it that are free.
    """

    _fields_ = [
        (name, ctypes.c_uint)  # an int in malloc.h, which becomes negative at 2 GB
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def release_freed_memory(kept: int = KEPT) -> None:
    """Return freed memory to the system if more than `kept` bytes of it are resident.

    Images and tensors of many sizes leave holes in the heap, in which the next ones do not fit. Without this, the
    process would grow with each of them. Takes 5 to 20 ms, and as long again for pages that are needed again. Does
    nothing without glibc.
    """
    global _other
    glibc = ctypes.CDLL(None)
    if not hasattr(glibc, "mallinfo"):
        return
    glibc.mallinfo.restype = _Mallinfo
    heap = glibc.mallinfo()
    used, resident = heap.uordblks + heap.hblkhd, _resident()
    if _other is None:
        _other = resident - used - heap.fordblks
    if resident - used - _other > kept:
        glibc.malloc_trim(0)
        _other = _resident() - used


def _resident() -> int:
    """Return the bytes of this process that are in memory, without those of files."""
    pages = Path("/proc/self/statm").read_text().split()
    return (int(pages[1]) - int(pages[2])) * mmap.PAGESIZE
