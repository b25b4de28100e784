"""How much memory a run takes and how much there is: what is known, and planned with, before anything runs.

The estimate counts arrays from the network's table; nothing is compiled for it. On a CPU it is within a fifth of the
true peak, less what the process had before, in float32, and of VGG-19 in bfloat16 (tests/runs/test_memory.py); of
``slim`` in bfloat16 it may be a quarter low at 256 px. Of accelerators it has not been measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from nst_jax import layers
from nst_jax.choices import Lowering, Precision
from nst_jax.errors import NSTError
from nst_jax.networks.convolution import way_of
from nst_jax.networks.winograd import SEEN
from nst_jax.pictures.images import fit_size

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
#: How often a painting's pixels are in memory while targets are made of it, and the responses of the layer in work.
PIXEL_COPIES, WORK_COPIES = 3, 1.5
#: Bytes of a response, and of a filter in the basis of the tiles.
BYTES = {"float32": 4, "bfloat16": 2}
#: What is made of a 3×3 filter: at every step turned around for the gradient, or once in the basis of Winograd's tiles.
FILTER_COPIES = {"xla": 9, "winograd": SEEN**2, "strides": 9}
#: Bytes that a CPU's programs take, with what is left from compiling them: of a run, of each of its scales, of each
#: octave of the style after the first, and of each layer by tiles.
PROGRAMS, SCALE = 205 * 2**20, 50 * 2**20
OCTAVE = {"float32": 60 * 2**20, "bfloat16": 130 * 2**20}
TILES = {"float32": 6 * 2**20, "bfloat16": 12 * 2**20}
#: The same, of a style that is a distribution (``slim`` at 256 px, one size); and bytes of each pixel, where those are
#: more. The command at 1536 and 2048 px, ``slim``, took 2.8 and 4.7 GiB beside the interpreter's 0.3.
DISTRIBUTION, DISTRIBUTION_PIXEL = 320 * 2**20, 420
#: The part of the free memory that is planned with.
USABLE = 0.7
#: A run is refused where this part of the estimate is more than is free: then it surely does not fit.
SURELY = 0.8


@dataclasses.dataclass(frozen=True)
class Footprint:
    """What decides how much memory a run takes.

    Attributes:
      network, taps: which layers are run, up to the deepest of ``taps``.
      sizes: (height, width) of each scale, the last one the largest.
      pairs: of images that L-BFGS remembers; 0 for Adam.
      guided: the style layers with guides.
      regions: how many there are at each of those.
      octaves: at how many sizes the style is compared, each a quarter of the pixels of the one before.
      platform: "cpu", "gpu" or "tpu".
      lowering: of the convolutions.
      precision: of the responses.
      remat: whether responses are computed again instead of kept, see ``Network``.
      paintings: (height, width) of each.
      distribution: whether the style is one, with the loss "wasserstein".
      automatic: whether the sizes are as many as the full one has room for.
    """

    network: str
    taps: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    pairs: int
    guided: tuple[str, ...] = ()
    regions: int = 0
    octaves: int = 1
    platform: str = "cpu"
    lowering: Lowering = "cpu"
    precision: Precision = "float32"
    remat: bool = False
    paintings: tuple[tuple[int, int], ...] = ()
    distribution: bool = False
    automatic: bool = False


class Plan(NamedTuple):
    """How a run uses the memory.

    Attributes:
      needed, free: what it takes, and what there is, in bytes.
      precision: of its steps; a smaller one than the fastest where only that fits.
      remat: whether responses are computed again instead of kept, to fit.
    """

    needed: int
    free: int
    precision: Precision
    remat: bool

    def way(self) -> dict[str, Any]:
        """What of it decides the last bits of the picture, as values that JSON knows; ``_replace`` takes it again."""
        return {name: value for name, value in self._asdict().items() if name not in ("needed", "free")}


def plan(footprint: Footprint, free: int, precisions: Sequence[Precision]) -> Plan:
    """How a run is to use the memory: in the first precision that fits, with its responses kept where that fits.

    Raises NSTError, with a size that would do, for one that surely does not fit.
    """

    best = best_way(footprint, free, precisions)
    needed = best.needed
    if SURELY * needed > free:
        height, width = footprint.sizes[-1]
        what = f"{width} x {height} pixels with {footprint.network}"
        if painting_bytes(footprint) > lane_bytes(footprint):
            down, across = max(footprint.paintings, key=max)
            what = f"{len(footprint.paintings)} paintings of up to {across} x {down} pixels with {footprint.network}"
        raise NSTError(
            f"{what} take about {needed / 2**30:.1f} GiB of memory and {free / 2**30:.1f} are free:"
            f" {would_fit(footprint, free, precisions)}"
        )
    return best


def best_way(footprint: Footprint, free: int, precisions: Sequence[Precision]) -> Plan:
    """The first way that fits, or that which takes the least."""
    ways = []
    for precision in precisions:
        for remat in (False, True):
            way = dataclasses.replace(footprint, precision=precision, remat=remat)
            ways.append(Plan(run_bytes(way), free, precision, remat))
            if ways[-1].needed <= free:
                return ways[-1]
    return min(ways)


def would_fit(footprint: Footprint, free: int, precisions: Sequence[Precision]) -> str:
    """Which option would make a run fit into the memory, in words; with ``slim`` where no size does otherwise."""
    if option := fitting_option(footprint, free, precisions):
        return f"{option} would fit"
    small = dataclasses.replace(footprint, network="slim")
    if small != footprint and (option := fitting_option(small, free, precisions)):
        return f"no size would fit, but {option} with --network slim"
    return "no size would fit"


def fitting_option(footprint: Footprint, free: int, precisions: Sequence[Precision]) -> str:
    """The largest size, as an option, with which a run fits: of the paintings, if they take the most. "" for none."""
    height, width = footprint.sizes[-1]
    longest, largest = max(height, width), max(map(max, footprint.paintings), default=0)
    by_paintings = painting_bytes(footprint) > lane_bytes(footprint)
    first, option = (largest, "--style-size") if by_paintings else (longest, "--size")
    for size in range(first // 16 * 16, 0, -16):
        sizes, paintings = footprint.sizes, footprint.paintings
        if not by_paintings:
            fitted = fit_size(height, width, size)
            coarser = tuple(each for each in sizes if max(each) < size)
            sizes = (*coarser, fitted) if footprint.automatic else (fitted,) * len(sizes)
        if by_paintings or largest <= longest:  # those are no larger than the result
            paintings = tuple(fit_size(*each, min(size, max(each))) for each in paintings)
        if best_way(dataclasses.replace(footprint, sizes=sizes, paintings=paintings), free, precisions).needed <= free:
            return f"{option} {size}"
    return ""


def is_exhausted(error: BaseException) -> bool:
    """Whether an error says that the memory has ended, the system's or that of a device."""
    return isinstance(error, MemoryError) or any(
        word in str(error) for word in ("RESOURCE_EXHAUSTED", "Out of memory allocating")
    )


def run_bytes(footprint: Footprint) -> int:
    """About how many bytes a single run takes at its peak, besides what the process had before."""
    network, precision, scales = footprint.network, footprint.precision, len(footprint.sizes)
    filters = 4 * sum(9 * row.inputs * row.channels for row in layers.table(network) if row.kind == "conv")
    work, programs = 0, PROGRAMS + SCALE * scales + OCTAVE[precision] * (footprint.octaves - 1)
    if footprint.distribution:
        programs += max(DISTRIBUTION, DISTRIBUTION_PIXEL * footprint.sizes[-1][0] * footprint.sizes[-1][1])
    for row, size in layers.walk(layers.until(network, footprint.taps), *footprint.sizes[-1]):
        if row.kind == "conv":
            way = way_of(footprint.lowering, size, row.inputs, row.channels, precision)
            work += BYTES[precision] * FILTER_COPIES[way] * row.inputs * row.channels
            if way == "winograd":
                programs += TILES[precision] * min(scales, 2)  # one scale's are compiled while another's are there
    if footprint.platform != "cpu":  # the device has no part in them
        programs = 0
    return programs + filters + work + max(lane_bytes(footprint), painting_bytes(footprint))


def painting_bytes(footprint: Footprint) -> int:
    """About how many bytes it takes to make the targets of the paintings: all pixels, and of one layer after layer."""
    most = 0
    for size in footprint.paintings:
        before = 0
        for row, (height, width) in layers.walk(layers.until(footprint.network, footprint.taps), *size):
            values = height * width * row.channels
            most, before = max(most, before + values), values
    pixels = sum(3 * height * width for height, width in footprint.paintings)
    return int(BYTES["float32"] * (PIXEL_COPIES * pixels + WORK_COPIES * most))


def lane_bytes(footprint: Footprint) -> int:
    """About how many bytes one more run in a batch takes at its peak."""
    copies = RESPONSE_COPIES.get(footprint.platform, RESPONSE_COPIES["gpu"])
    size, taps = footprint.sizes[-1], footprint.taps
    rows = layers.until(footprint.network, taps)
    blocks = [0]  # values of the responses of each block
    kept = grams = regions = 0
    for row, (height, width) in layers.walk(rows, *size):
        values = height * width * row.channels
        blocks[-1] += values
        last = row.kind == "pool" or row is rows[-1]
        kept += values if row.name in taps or last else 0
        guides = footprint.regions if row.name in footprint.guided else 0
        grams += max(1, guides) * row.channels**2 if row.name in taps else 0
        regions += max(0, guides - 1) * values
        if last:
            blocks.append(0)
    responses = copies * sum(blocks)
    if footprint.remat:
        responses = min(responses, kept + BLOCK_COPIES * max(blocks))
    shares = sum(0.25**octave for octave in range(footprint.octaves))
    images = (IMAGE_COPIES + 2 * footprint.pairs) * 3 * size[0] * size[1]
    rest = GUIDED_COPIES * regions * shares + 3 * footprint.octaves * grams + images
    return int(BYTES[footprint.precision] * responses * shares + BYTES["float32"] * rest)
