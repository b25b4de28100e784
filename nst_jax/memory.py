"""How much memory a run takes and how much there is: what a sweep's batches are planned from, before anything runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import jax

from nst_jax import layers
from nst_jax.errors import NSTError
from nst_jax.optimize import Method

#: How often each response is in memory at the peak of an evaluation: kept for the gradient, and in work. XLA's own
#: account of VGG-19's step at 128 x 96 px on a CPU says 1.9; a GPU's convolutions want room to work in as well.
RESPONSE_COPIES = 3.0
#: Copies of the image besides L-BFGS's history: points, gradient, direction, and what a step works with.
IMAGE_COPIES = 12
#: The part of the free memory that is planned with.
USABLE = 0.7


def lane_bytes(network: str, taps: Iterable[str], size: tuple[int, int], method: Method) -> int:
    """About how many bytes one run takes at its peak, in float32, besides the network's filters.

    Args:
      network, taps: which layers are run, up to the deepest of ``taps``.
      size: (height, width) of the image.
      method: the optimiser; L-BFGS keeps two images a pair.
    """
    height, width = size
    responses = grams = 0
    taps = tuple(taps)
    for row in layers.until(network, taps):
        if row.kind == "pool":
            height, width = height // 2, width // 2
        responses += height * width * row.channels
        grams += row.channels**2 if row.name in taps else 0
    images = IMAGE_COPIES + (2 * 2 * method.history if method.name == "lbfgs" else 0)  # the state, and its successor
    return int(4 * (RESPONSE_COPIES * responses + 3 * grams + images * 3 * size[0] * size[1]))


def check(network: str, taps: Iterable[str], size: tuple[int, int], method: Method) -> None:
    """Raises NSTError, with a size that would do, for a run at (height, width) that surely does not fit.

    Surely: two thirds of the estimate, which errs on the large side, are more than is free.
    """
    needed, free = lane_bytes(network, taps, size, method) * 2 // 3, free_bytes(jax.devices()[0])
    if needed > free:
        height, width = size
        fits = int(max(size) * (free / needed) ** 0.5) // 16 * 16
        raise NSTError(
            f"{width} x {height} pixels with {network} take about {needed / 2**30:.1f} GiB of memory and"
            f" {free / 2**30:.1f} are free: --size {fits} would fit"
        )


def free_bytes(device: jax.Device) -> int:
    """Bytes that are free: on an accelerator, what its allocator has left; else what the system can give.

    A control group's limit counts. Where nothing can be learnt, it is taken to be 4 GiB.
    """
    told = device.memory_stats() if device.platform != "cpu" else None
    if told and "bytes_limit" in told:
        return told["bytes_limit"] - told.get("bytes_in_use", 0)
    found = [_system_bytes(), _group_bytes()]
    return max(0, min([number for number in found if number is not None], default=4 * 2**30))


def _system_bytes() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return None


def _group_bytes() -> int | None:
    """What is left of the control group's limit, as containers have it; None where there is none."""
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            return int(Path(limit).read_text()) - int(Path(used).read_text())
        except (OSError, ValueError):
            continue
    return None
