"""Return freed memory to the system, which glibc keeps otherwise: see `keep_freed_memory` in model/processor.py."""

from __future__ import annotations

import ctypes

KEPT = 64 << 20  # bytes. Photos of few people leave less


class _Mallinfo(ctypes.Structure):
    """Figures about glibc's heap, from malloc.h. fordblks: bytes in it that are free."""

    _fields_ = [
        (name, ctypes.c_uint)  # an int in malloc.h, which becomes negative at 2 GB
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def release_freed_memory(kept: int = KEPT) -> None:
    """Return freed memory to the system if there are more than `kept` bytes of it.

    Images and tensors of many sizes leave holes in the heap, in which the next ones do not fit. Without this, the
    process would grow with each of them. Takes 5 to 20 ms, and as long again for pages that are needed again. Does
    nothing without glibc.
    """
    glibc = ctypes.CDLL(None)
    if not hasattr(glibc, "mallinfo"):
        return
    glibc.mallinfo.restype = _Mallinfo
    if glibc.mallinfo().fordblks > kept:
        glibc.malloc_trim(0)
