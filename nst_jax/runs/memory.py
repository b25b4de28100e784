"""How much memory a run takes and how much there is: what is known, and planned with, before anything runs.

The estimate counts arrays from the network's table; nothing is compiled for it. On a CPU it is within a fifth of the
true peak, less what the process had before, in float32, and of VGG-19 in bfloat16 (tests/runs/test_memory.py); of
``slim`` in bfloat16 it may be a quarter low at 256 px. Of accelerators it has not been measured.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from nst_jax import layers
from nst_jax.choices import Lowering, Precision
from nst_jax.errors import NSTError
from nst_jax.losses.tiles import margin, spans
from nst_jax.networks.convolution import way_of
from nst_jax.networks.winograd import SEEN
from nst_jax.pictures.images import fit_size
from nst_jax.runs.emitters import takes_older_emitters

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
#: The same where responses are those of a tile, which leaves the picture alone: of an image, besides L-BFGS's pairs; on
#: a CPU of its own, whose steps go through them piece by piece, and elsewhere.
TILED_IMAGE_COPIES, TILED_IMAGE_COPIES_ELSEWHERE = 10, 14
#: Sides of tiles in pixels that are tried, the largest first. Beyond, margins are a small part of the work anyway.
SIDES = (1024, 768, 512, 384, 256, 192, 128, 64)
#: What is given up in turn to fit: tiles of so many pixels at least, and so many of L-BFGS's pairs.
LEAST = ((512, 5), (256, 3), (64, 1))
#: How often a painting's pixels are in memory while targets are made of it, and the responses of the layer in work.
PIXEL_COPIES, WORK_COPIES = 3, 1.5
#: Bytes of a response, and of a filter in the basis of the tiles.
BYTES = {"float32": 4, "bfloat16": 2}
#: What is made of a 3×3 filter: at every step turned around for the gradient, or once in the basis of Winograd's tiles.
FILTER_COPIES = {"xla": 9, "winograd": SEEN**2, "strides": 9, "bands": 9}
#: Bytes that a CPU's programs take, with what is left from compiling them: of a run, of each of its scales, of each
#: octave of the style after the first, of each layer by tiles, and of a style that is a distribution. So it is by XLA's
#: older emitters; by the newer ones it is so many times as much.
PROGRAMS, SCALE = 70 * 2**20, 50 * 2**20
OCTAVE = {"float32": 25 * 2**20, "bfloat16": 100 * 2**20}
TILES = {"float32": 3 * 2**20, "bfloat16": 5 * 2**20}
DISTRIBUTION, NEWER_EMITTERS = 42 * 2**20, 2.4
#: Bytes of each pixel of a style that is a distribution, where those are more than its programs'. The command at 1024,
#: 1536 and 2048 px, ``slim``, took 0.85, 1.9 and 3.4 GiB beside the interpreter's 0.4.
DISTRIBUTION_PIXEL = 70
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
      steps: at the largest of the sizes, None where that decides nothing: L-BFGS has one pair less to remember.
      contents: the layers whose responses to the photograph are kept.
      wraps: whether the picture goes on at its other side.
      tile: the side in pixels of the tiles by which the pictures are gone through; 0 for each at once.
      shards: the devices that share the rows of the result; bytes are then those of each.
      at_once: how many tiles are in work at once, where that fits.
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
    steps: int | None = None
    contents: tuple[str, ...] = ()
    wraps: bool = False
    tile: int = 0
    shards: int = 1
    at_once: int = 1


class Way(NamedTuple):
    """How a size is gone through: by tiles of which side, 0 for the whole at once; and the pairs that L-BFGS has."""

    tile: int
    pairs: int


class Plan(NamedTuple):
    """How a run uses the memory.

    Attributes:
      needed, free: what it takes, and what there is, in bytes.
      precision: of its steps; a smaller one than the fastest where only that fits.
      remat: whether responses are computed again instead of kept, to fit.
      tile: the side in pixels of tiles, see ``losses.tiles``; 0 for the whole picture at once.
      pairs: that L-BFGS remembers at the full size.
      whole: the longest side in pixels of a size that goes at once although there are tiles.
    """

    needed: int
    free: int
    precision: Precision
    remat: bool
    tile: int = 0
    pairs: int = 0
    whole: int = 0

    def way(self) -> dict[str, Any]:
        """What of it decides the last bits of the picture, as values that JSON knows; ``_replace`` takes it again."""
        return {name: value for name, value in self._asdict().items() if name not in ("needed", "free")}


def plan(
    footprint: Footprint, free: int, precisions: Sequence[Precision], tile: int | Literal["auto", "off"] = "auto"
) -> Plan:
    """How a run is to use the memory: in the first precision that fits, with its responses kept where that fits.

    Where nothing of that fits it is by tiles, with ``tile`` "off" never, with a number always by such. Raises NSTError,
    with a size that would do, for one that surely does not fit.
    """
    best = best_way(footprint, free, precisions, tile)
    needed = best.needed
    if SURELY * needed > free:
        height, width = footprint.sizes[-1]
        what = f"{width} x {height} pixels with {footprint.network}"
        if painting_bytes(footprint) > lane_bytes(footprint):
            down, across = max(footprint.paintings, key=max)
            what = f"{len(footprint.paintings)} paintings of up to {across} x {down} pixels with {footprint.network}"
        raise NSTError(
            f"{what} take about {needed / 2**30:.1f} GiB of memory and {free / 2**30:.1f} are free:"
            f" {would_fit(footprint, free, precisions, tile)}"
        )
    return best._replace(whole=fitting_whole(footprint, best))


def best_way(
    footprint: Footprint, free: int, precisions: Sequence[Precision], tile: int | Literal["auto", "off"] = "auto"
) -> Plan:
    """The first way that fits, or that which takes the least."""
    least: Plan | None = None
    for way in ways(footprint, precisions, tile):
        found = Plan(run_bytes(way), free, way.precision, way.remat, way.tile, way.pairs)
        if found.needed <= free:
            return found
        least = found if least is None or found.needed < least.needed else least
    assert least is not None, "there is a way at least"
    return least


def ways(
    footprint: Footprint, precisions: Sequence[Precision], tile: int | Literal["auto", "off"]
) -> Iterator[Footprint]:
    """The ways of a run in the order in which they are tried."""
    if tile in ("auto", "off"):
        for precision in precisions:
            for remat in (False, True):
                yield dataclasses.replace(footprint, precision=precision, remat=remat)
    if tile == "off":
        return
    pairs = footprint.pairs if footprint.steps is None else useful(footprint.pairs, footprint.steps)
    tiled = dataclasses.replace(footprint, precision=precisions[0], pairs=pairs)
    for least, fewest in LEAST:
        for pairs in range(tiled.pairs, min(fewest, tiled.pairs) - 1, -1):
            for at_once in range(tiled.at_once, 0, -1):
                sides = SIDES[at_once - 1 :]  # several at once are smaller ones: each takes memory
                for side in (each for each in sides if each >= least) if tile == "auto" else (tile,):
                    yield dataclasses.replace(tiled, tile=side, pairs=pairs, at_once=at_once)


def useful(pairs: int, steps: int) -> int:
    """How many of L-BFGS's pairs are ever there in so many steps."""
    return min(pairs, max(1, steps - 1))


def way_at(footprint: Footprint, plan: Plan, size: tuple[int, int], steps: int) -> Way:
    """How a run goes through its pictures where the result has a (height, width) ``size``: by tiles where it has to."""
    if not plan.tile or max(size) <= max(plan.tile, plan.whole):
        return Way(0, footprint.pairs)
    return Way(plan.tile, useful(plan.pairs, steps))


def tiles_at_once(footprint: Footprint, plan: Plan) -> int:
    """How many tiles a run has in work at once: as many as it may, or one, as the plan has room."""
    way = dataclasses.replace(footprint, precision=plan.precision, tile=plan.tile, pairs=plan.pairs)
    return footprint.at_once if run_bytes(way) <= plan.free else 1


def fitting_whole(footprint: Footprint, plan: Plan) -> int:
    """The longest side of those sizes that go at once where the largest goes by tiles; 0 for none.

    They are those that take no more than the largest: so coarse sizes do not decide how much memory a run takes.
    """
    found = 0
    for size in footprint.sizes if plan.tile and not footprint.tile else ():
        part = max(size) / max(footprint.sizes[-1])
        paintings = tuple((math.ceil(height * part), math.ceil(width * part)) for height, width in footprint.paintings)
        here = dataclasses.replace(footprint, sizes=(size,), paintings=paintings, precision=plan.precision, remat=False)
        found = max(found, max(size)) if run_bytes(here) <= min(plan.needed, plan.free) else found
    return found


def leaner(way: Way, size: tuple[int, int]) -> Way:
    """A way that takes clearly less memory, for where that has ended."""
    side = way.tile or min(SIDES[0], max(size))
    return Way(max(SIDES[-1], side // 2), way.pairs and max(1, way.pairs // 2))


def words(footprint: Footprint, plan: Plan) -> list[str]:
    """What a run gives up of time or of L-BFGS's memory to fit, a few words each."""
    told = ["responses are computed again for the gradient, to fit"] if plan.remat else []
    if plan.tile:
        why = "" if footprint.tile else ", to fit"
        told.append(f"by tiles of {plan.tile} x {plan.tile} pixels{why}")
    if plan.tile and plan.pairs < footprint.pairs:
        enough = footprint.steps is not None and plan.pairs == useful(footprint.pairs, footprint.steps)
        steps = "one step needs" if footprint.steps == 1 else f"{footprint.steps} steps need"
        why = f"as {steps} no more" if enough else "to fit; --optimizer adam needs none"
        told.append(f"lbfgs remembers {counted(plan.pairs)}, not {footprint.pairs}, {why}")
    return told


def counted(pairs: int) -> str:
    """So many of L-BFGS's pairs, in words."""
    return f"{pairs} pair{'s' if pairs != 1 else ''} of steps"


def would_fit(
    footprint: Footprint, free: int, precisions: Sequence[Precision], tile: int | Literal["auto", "off"] = "auto"
) -> str:
    """Which option would make a run fit into the memory, in words; with ``slim`` where no size does otherwise."""
    if option := fitting_option(footprint, free, precisions, tile):
        return f"{option} would fit"
    small = dataclasses.replace(footprint, network="slim")
    if small != footprint and (option := fitting_option(small, free, precisions, tile)):
        return f"no size would fit, but {option} with --network slim"
    return "no size would fit"


def fitting_option(
    footprint: Footprint, free: int, precisions: Sequence[Precision], tile: int | Literal["auto", "off"] = "auto"
) -> str:
    """The largest size, as an option, with which a run fits: of the paintings, if they take the most. "" for none."""
    height, width = footprint.sizes[-1]
    longest, largest = max(height, width), max(map(max, footprint.paintings), default=0)
    by_paintings = painting_bytes(footprint) > lane_bytes(footprint)
    first, option = (largest, "--style-size") if by_paintings else (longest, "--size")

    def fits(size: int) -> bool:
        sizes, paintings = footprint.sizes, footprint.paintings
        if not by_paintings:
            fitted = fit_size(height, width, size)
            coarser = tuple(each for each in sizes if max(each) < size)
            sizes = (*coarser, fitted) if footprint.automatic else (fitted,) * len(sizes)
        if by_paintings or largest <= longest:  # those are no larger than the result
            paintings = tuple(fit_size(*each, min(size, max(each))) for each in paintings)
        smaller = dataclasses.replace(footprint, sizes=sizes, paintings=paintings)
        return best_way(smaller, free, precisions, tile).needed <= free

    sizes = range(16, first + 1, 16)
    count = bisect.bisect_left(sizes, True, key=lambda size: not fits(size))  # larger ones take more
    return f"{option} {sizes[count - 1]}" if count else ""


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
    programs += DISTRIBUTION * footprint.distribution
    for row, size in layers.walk(layers.until(network, footprint.taps), *seen_at_once(footprint)):
        if row.kind == "conv":
            way = way_of(footprint.lowering, size, row.inputs, row.channels, precision)
            work += BYTES[precision] * FILTER_COPIES[way] * row.inputs * row.channels
            if way == "winograd":
                programs += TILES[precision] * min(scales, 2)  # one scale's are compiled while another's are there
    if not takes_older_emitters():
        programs = int(NEWER_EMITTERS * programs)
    if footprint.distribution:
        height, width = seen_at_once(footprint)
        programs += max(0, abreast(footprint) * DISTRIBUTION_PIXEL * height * width - DISTRIBUTION)
    if footprint.platform != "cpu":  # the device has no part in them
        programs = 0
    return programs + filters + work + max(lane_bytes(footprint), painting_bytes(footprint), target_bytes(footprint))


def target_bytes(footprint: Footprint) -> int:
    """About how many bytes it takes to make the photograph's targets for several devices, which one does by tiles."""
    if footprint.shards == 1:
        return 0
    height, width = footprint.sizes[-1]
    rows = layers.until(footprint.network, footprint.taps)
    kept = sum(down * across * row.channels for row, (down, across) in layers.walk(rows, height, width)
               if row.name in footprint.contents)  # fmt: skip
    return int(BYTES["float32"] * PIXEL_COPIES * 3 * height * width + BYTES[footprint.precision] * kept)


def painting_bytes(footprint: Footprint) -> int:
    """About how many bytes it takes to make the targets of the paintings: all pixels, and of one layer after layer."""
    most = 0
    for size in footprint.paintings:
        before = 0
        seen = seen_at_once(footprint, size)
        for row, (height, width) in layers.walk(layers.until(footprint.network, footprint.taps), *seen):
            values = height * width * row.channels
            most, before = max(most, before + values), values
    pixels = sum(3 * height * width for height, width in footprint.paintings)
    return int(BYTES["float32"] * (PIXEL_COPIES * pixels + WORK_COPIES * abreast(footprint) * most))


def seen_at_once(footprint: Footprint, size: tuple[int, int] | None = None) -> tuple[int, int]:
    """(height, width) of what the network sees at once of a picture of such a ``size``, or of the result: a window."""
    height, width = size or footprint.sizes[-1]
    rows, tile = layers.until(footprint.network, footprint.taps), footprint.tile
    if footprint.shards > 1 and size is None:
        height = min(height, -(-height // footprint.shards) + 2 * margin(rows))
    elif footprint.shards > 1:  # paintings are seen by one device, in tiles
        tile = tile or SIDES[0]
    if not tile:
        return height, width
    wraps = footprint.wraps and size is None
    return spans(height, tile, rows, wraps)[0], spans(width, tile, rows, wraps)[0]


def abreast(footprint: Footprint) -> int:
    """How many windows are in work at once."""
    return footprint.at_once if footprint.tile else 1


def image_copies(footprint: Footprint) -> int:
    """How often the image is in memory besides L-BFGS's pairs."""
    if not footprint.tile:
        return IMAGE_COPIES
    by_pieces = footprint.platform == "cpu" and footprint.shards == 1
    return TILED_IMAGE_COPIES if by_pieces else TILED_IMAGE_COPIES_ELSEWHERE


def lane_bytes(footprint: Footprint) -> int:
    """About how many bytes one more run in a batch takes at its peak."""
    copies = RESPONSE_COPIES.get(footprint.platform, RESPONSE_COPIES["gpu"])
    taps = footprint.taps
    size = -(-footprint.sizes[-1][0] // footprint.shards), footprint.sizes[-1][1]
    rows = layers.until(footprint.network, taps)
    blocks = [0]  # values of the responses of each block
    kept = grams = regions = 0
    for row, (height, width) in layers.walk(rows, *seen_at_once(footprint)):
        values = height * width * row.channels
        blocks[-1] += values
        last = row.kind == "pool" or row is rows[-1]
        kept += values if row.name in taps or last else 0
        guides = footprint.regions if row.name in footprint.guided else 0
        grams += max(1, guides) * row.channels**2 if row.name in taps else 0
        regions += max(0, guides - 1) * values
        if last:
            blocks.append(0)
    responses, regions = abreast(footprint) * copies * sum(blocks), abreast(footprint) * regions
    if footprint.remat:
        responses = min(responses, kept + BLOCK_COPIES * max(blocks))
    # the octaves are there together, but the tiles of one after those of another
    shares = 1.0 if footprint.tile else sum(0.25**octave for octave in range(footprint.octaves))
    images = (image_copies(footprint) + 2 * footprint.pairs) * 3 * size[0] * size[1]
    if footprint.tile:
        for row, (height, width) in layers.walk(rows, *size):
            images += height * width * footprint.regions if row.name in footprint.guided else 0
            responses += height * width * row.channels if row.name in footprint.contents else 0
    rest = GUIDED_COPIES * regions * shares + 3 * footprint.octaves * grams + images
    return int(BYTES[footprint.precision] * responses * shares + BYTES["float32"] * rest)
