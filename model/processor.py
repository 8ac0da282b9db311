"""What torch and the system's allocator do by themselves, and should not on Lambda."""

from __future__ import annotations

import ctypes

import torch

VIRTUAL_CPU = 1769  # MB of memory, as AWS says; Lambda gives processor time in proportion


def use_threads(memory: int) -> None:
    """As many as the function's memory, in MB, pays for in full.

    Whatever the memory, the function sees two processors or more, and torch would use them all. A thread that has used
    up the time for both then leaves the other one waiting, and an answer takes seconds.
    """
    torch.set_num_threads(max(1, memory // VIRTUAL_CPU))


def keep_freed_memory() -> None:
    """Have glibc hand out again what is freed: fresh pages for each tensor take longer than its arithmetic."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's alone
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3  # malloc.h
        mallopt(mmap_threshold, 32 << 20)  # bytes, the most that it takes
        mallopt(trim_threshold, 512 << 20)
