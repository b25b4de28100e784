"""Keeps memory that a step has freed for the next step, instead of giving it back to the system.

A step's buffers are hundreds of megabytes, for which glibc asks the system each time anew; every page of them is then
zeroed and mapped again. Kept, they save a tenth to a quarter of a step on a CPU (docs/performance.md).
"""

from __future__ import annotations

import ctypes
import sys

# glibc's numbers of its options, from <malloc.h>
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8


def keep_freed_memory() -> None:
    """Tells glibc, where that is the C library, for the rest of this process; call it before the first step."""
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_ARENA_MAX, 1)
    mallopt(M_TRIM_THRESHOLD, -1)
    mallopt(M_TOP_PAD, 64 * 2**20)
