"""Set up torch's threads and glibc's memory allocator for AWS Lambda, where their defaults are slow."""

from __future__ import annotations

import ctypes

import torch

MB_PER_VCPU = 1769  # AWS's figure; Lambda allocates processor time in proportion to the memory


def use_threads(memory: int) -> None:
    """Set the number of torch's threads to the number of full vCPUs of a function. memory: of the function, in MB.

    Every function sees at least two processors, and torch would use them all. Once one thread has used up the time
    for both, the other threads wait for it, and a request takes seconds.
    """
    torch.set_num_threads(max(1, memory // MB_PER_VCPU))


def keep_freed_memory() -> None:
    """Make glibc reuse freed memory: mapping new pages for each tensor takes longer than computing it.

    Does nothing without glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3  # from malloc.h
        mallopt(mmap_threshold, 32 << 20)  # bytes, the maximum
        mallopt(trim_threshold, 512 << 20)
