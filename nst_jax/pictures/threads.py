"""Work on large arrays, in parts, on all cores: NumPy and Pillow let other threads go on while they compute."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def usable_cores() -> int:
    """The processor's cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(work: Callable[[Item], None], items: Iterable[Item]) -> None:
    """Does ``work`` for each of the items, as many at a time as there are cores, and returns when all is done.

    Raises what ``work`` raises for the first item for which it does.
    """
    with ThreadPoolExecutor(usable_cores()) as pool:  # with more they would wait for each other
        for _ in pool.map(work, items):
            pass
