"""Tasks done in a thread beside a run: the programs of its coming scales are compiled while others run.

Only shapes are needed for that, and they are known from the start; XLA compiles without Python's lock. What is compiled
is what would be compiled anyway, and lands in JAX's own cache of programs: the numbers are the same without it. What it
is worth stands in docs/architecture.md.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from nst_jax.runs.compiling import count


@contextlib.contextmanager
def ahead(tasks: Sequence[Callable[[], object]]) -> Iterator[Callable[[int], None]]:
    """Does ``tasks`` in turn in one thread; gives a function that waits until the one of a number is done.

    The waiting counts as compiling. A task that raises is done, too: whoever needs its program compiles it himself, and
    meets the error. At the end the task at work is waited for, and the others are dropped.
    """
    with ThreadPoolExecutor(1) as pool:
        futures = [pool.submit(task) for task in tasks]

        def wait(number: int) -> None:
            started = time.perf_counter()
            futures[number].exception()
            count(time.perf_counter() - started)

        try:
            yield wait
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
