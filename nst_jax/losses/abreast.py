"""Several parts of a picture in work at once on a CPU, whose cores one part alone does not keep busy."""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar

import jax

P = TypeVar("P")


def in_order(
    find: Callable[[P], Any], parts: Sequence[P], at_once: int, device: jax.Device | None = None
) -> Iterator[Any]:
    """What ``find`` gives of each part, in their order, each in memory; so many are in work ``at_once``.

    Each has a thread, as what one thread gives XLA is done in turn. A thread takes ``device``, and JAX is set as it is
    in this one. What is found and not yet taken is that of one part more at most.
    """
    if min(at_once, len(parts)) <= 1:
        yield from (jax.block_until_ready(find(part)) for part in parts)
        return
    settings = settings_here(device)

    def found(part: P) -> Any:
        with ExitStack() as stack:
            for setting, value in settings:
                stack.enter_context(setting(value))
            return jax.block_until_ready(find(part))

    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(at_once) as threads:
        for part in parts:
            waiting.append(threads.submit(contextvars.copy_context().run, found, part))
            if len(waiting) > at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def settings_here(device: jax.Device | None) -> list[tuple[Callable[[Any], Any], Any]]:
    """This thread's settings of JAX that decide numbers, with ``device``: of each what sets it, and its value.

    A thread knows nothing of the ``with`` in which it was started.
    """
    config: Any = jax.config
    return [
        (jax.enable_x64, config.jax_enable_x64),
        (jax.default_matmul_precision, config.jax_default_matmul_precision),
        (jax.default_device, device),
    ]
