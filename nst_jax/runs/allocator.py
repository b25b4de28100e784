"""Keeps memory that a step has freed for the next step, instead of giving it back to the system.

A step's buffers are hundreds of megabytes, for which glibc asks the system each time anew; every page of them is then
zeroed and mapped again. Kept, they save a tenth to a quarter of a step on a CPU (docs/performance.md).
"""

from __future__ import annotations

import contextlib
import ctypes

#: Whether this process keeps freed memory. Only then it gives it back: the process of a library's user is left alone.
_keeps = False

# glibc's numbers of its options, from <malloc.h>
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -3, -4, -8
#: From so many pixels on large buffers are not kept.
LARGE = 300_000


def keep_freed_memory() -> None:
    """Has glibc, where that is the C library, keep it for the rest of this process.

    That is for a command, before its first step; a library does not do it to the process of its user.
    """
    global _keeps
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_TRIM_THRESHOLD, -1)
        mallopt(M_TOP_PAD, 64 * 2**20)
        _keeps = True


def keep_no_large_memory(pixels: int) -> None:
    """Has glibc give large buffers back at once, if this process keeps memory, for ``LARGE`` pictures.

    There what is kept is in pieces between which the next buffer finds no room: it took up to twice what is needed.
    """
    if not _keeps or pixels < LARGE:
        return
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_MAX, 65536)
        mallopt(M_MMAP_THRESHOLD, 32 * 2**20)  # the most that glibc takes


def give_back_freed_memory() -> None:
    """Has glibc give back what is free now, of a program's compiler hundreds of megabytes, if this process keeps it."""
    if not _keeps:
        return
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def forget_programs(pixels: int) -> None:
    """Gives up compiled programs, if this process keeps memory, before a ``LARGE`` picture is gone through by tiles.

    Those of one size by VGG-19 take some 0.1 GB, and the next size needs none of them. A run of the same size later in
    this process takes them from JAX's cache on the disk, if there is one, or compiles them again.
    """
    if not _keeps or pixels < LARGE:
        return
    import jax  # the commands' start does without

    jax.clear_caches()
    give_back_freed_memory()
