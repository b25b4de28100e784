"""How much memory a run takes and how much there is: what is known, and planned with, before anything runs.

The estimate counts arrays from the network's table; nothing is compiled for it. On a CPU it is within a fifth of the
true peak, less what the process had before, in float32, and of VGG-19 in bfloat16 (tests/test_memory.py); of ``slim``
in bfloat16 it may be a quarter low at 256 px. Of accelerators it has not been measured.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax

from nst_jax import layers
from nst_jax.errors import NSTError
from nst_jax.networks import convolution
from nst_jax.networks.winograd import SEEN
from nst_jax.optim.steps import Method
from nst_jax.pictures import images

#: How often each response is in memory at the peak of an evaluation: kept for the gradient, and in work. XLA's own
#: account of VGG-19's step on a CPU (jax 0.10) says 1.5 to 1.7; a GPU's convolutions want room to work in as well.
RESPONSE_COPIES = {"cpu": 1.6, "gpu": 3.0, "tpu": 3.0}
#: The same, of the responses of the block that is computed once more, where responses are not kept.
BLOCK_COPIES = 2.2
#: How often the responses at a style layer are in memory once more for each region after the first: XLA's account of a
#: step on a CPU (jax 0.10) says 2.6 to 4.1 where each has its own Gram matrix.
GUIDED_COPIES = 2.7
#: Copies of the image besides L-BFGS's history: points, gradient, direction, and what a step works with.
IMAGE_COPIES = 20
#: Bytes of a response, and of a filter in the basis of the tiles.
BYTES = {"float32": 4, "bfloat16": 2}
#: What is made of a 3×3 filter: at every step turned around for the gradient, or once in the basis of Winograd's tiles.
FILTER_COPIES = {"xla": 9, "winograd": SEEN**2, "strides": 9}
#: Bytes that a CPU's programs take, with what is left from compiling them: of a run, of each of its scales, of each
#: octave of the style after the first, and of each layer by tiles.
PROGRAMS, SCALE = 205 * 2**20, 50 * 2**20
OCTAVE = {"float32": 60 * 2**20, "bfloat16": 110 * 2**20}
TILES = {"float32": 6 * 2**20, "bfloat16": 12 * 2**20}
#: The part of the free memory that is planned with.
USABLE = 0.7
#: A run is refused where this part of the estimate is more than is free: then it surely does not fit.
SURELY = 0.8


#: No layer has guides.
NOWHERE: Mapping[str, int] = {}


class Plan(NamedTuple):
    """How a run uses the memory.

    Attributes:
      needed, free: what it takes, and what there is, in bytes.
      precision: of its steps; a smaller one than the fastest where only that fits.
      remat: whether responses are computed again instead of kept, to fit.
    """

    needed: int
    free: int
    precision: str
    remat: bool


def plan(
    network: str,
    taps: Iterable[str],
    sizes: Sequence[tuple[int, int]],
    method: Method,
    guided: Mapping[str, int] = NOWHERE,
    octaves: int = 1,
    precisions: Sequence[str] = ("float32",),
) -> Plan:
    """How a run over the scales ``sizes`` is to use the memory of the first device, in the first precision that fits.

    Raises NSTError, with a size that would do, for one that surely does not fit.
    """
    taps, free = tuple(taps), free_bytes(jax.devices()[0])

    def planned(sizes: Sequence[tuple[int, int]]) -> Plan:
        """The first that fits, or that which takes the least."""
        ways = [
            Plan(run_bytes(network, taps, sizes, method, remat, guided, octaves, precision), free, precision, remat)
            for precision in precisions
            for remat in (False, True)
        ]
        return next((way for way in ways if way.needed <= free), min(ways))

    best = planned(sizes)
    needed = best.needed
    if SURELY * needed > free:
        height, width = sizes[-1]
        smaller = range(max(height, width) // 16 * 16, 0, -16)
        fits = (size for size in smaller if planned([images.fit_size(height, width, size)] * len(sizes)).needed <= free)
        size = next(fits, None)
        raise NSTError(
            f"{width} x {height} pixels with {network} take about {needed / 2**30:.1f} GiB of memory and"
            f" {free / 2**30:.1f} are free: {f'--size {size} would fit' if size else 'no size would fit'}"
        )
    return best


def run_bytes(
    network: str,
    taps: Iterable[str],
    sizes: Sequence[tuple[int, int]],
    method: Method,
    remat: bool = False,
    guided: Mapping[str, int] = NOWHERE,
    octaves: int = 1,
    precision: str = "float32",
) -> int:
    """About how many bytes a single run takes at its peak, besides what the process had before.

    Args:
      sizes: (height, width) of each scale, the last one the largest.
      network, taps, method, remat, guided, octaves, precision: as ``lane_bytes`` takes them.
    """
    taps = tuple(taps)
    height, width = sizes[-1]
    filters = 4 * sum(9 * row.inputs * row.channels for row in layers.table(network) if row.kind == "conv")
    work, programs = 0, PROGRAMS + SCALE * len(sizes) + OCTAVE[precision] * (octaves - 1)
    for row in layers.until(network, taps):
        if row.kind == "pool":
            height, width = height // 2, width // 2
        else:
            lowering = convolution.choose(height, width, row.inputs, row.channels, precision)
            work += BYTES[precision] * FILTER_COPIES[lowering] * row.inputs * row.channels
            if lowering == "winograd":
                programs += TILES[precision] * min(len(sizes), 2)  # one scale's are compiled while another's run
    if jax.default_backend() != "cpu":  # the device has no part in them
        programs = 0
    return programs + filters + work + lane_bytes(network, taps, sizes[-1], method, remat, guided, octaves, precision)


def lane_bytes(
    network: str,
    taps: Iterable[str],
    size: tuple[int, int],
    method: Method,
    remat: bool = False,
    guided: Mapping[str, int] = NOWHERE,
    octaves: int = 1,
    precision: str = "float32",
) -> int:
    """About how many bytes one more run in a batch takes at its peak.

    Args:
      network, taps: which layers are run, up to the deepest of ``taps``.
      size: (height, width) of the image.
      method: the optimiser; L-BFGS keeps two images a pair.
      remat: whether responses are computed again instead of kept, see ``Network``.
      guided: how many regions there are at each style layer with guides.
      octaves: at how many sizes the style is compared, each a quarter of the pixels of the one before.
      precision: of the responses.
    """
    taps = tuple(taps)
    copies = RESPONSE_COPIES.get(jax.default_backend(), RESPONSE_COPIES["gpu"])
    height, width = size
    blocks: list[int] = []  # values of the responses of each block
    kept = grams = regions = 0
    for block in layers.blocks(layers.until(network, taps)):
        blocks.append(0)
        for row in block:
            if row.kind == "pool":
                height, width = height // 2, width // 2
            values = height * width * row.channels
            blocks[-1] += values
            kept += values if row.name in taps or row is block[-1] else 0
            grams += max(1, guided.get(row.name, 0)) * row.channels**2 if row.name in taps else 0
            regions += max(0, guided.get(row.name, 0) - 1) * values
    responses = min(copies * sum(blocks), kept + BLOCK_COPIES * max(blocks)) if remat else copies * sum(blocks)
    state = IMAGE_COPIES + (2 * method.history if method.name == "lbfgs" else 0)
    shares = sum(0.25**octave for octave in range(octaves))
    rest = GUIDED_COPIES * regions * shares + 3 * octaves * grams + state * 3 * size[0] * size[1]
    return int(BYTES[precision] * responses * shares + BYTES["float32"] * rest)


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
