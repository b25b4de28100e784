"""The sizes of a run: the result's, those of its pyramid with their steps, and the octaves of the style. No arrays."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from nst_jax import layers
from nst_jax.options.config import Complete
from nst_jax.pictures import images
from nst_jax.pictures.images import Picture

#: No picture is halved below this for the style, in pixels: then every layer keeps a position.
SMALLEST_OCTAVE = 32


def full_size(photograph: Picture | None, paintings: Sequence[Picture], config: Complete) -> tuple[int, int]:
    """(height, width) of the result: of the aspect ratio of the photograph, or without one, of the first painting."""
    height, width = (photograph or paintings[0]).pixels.shape[:2]
    return pooled_evenly(images.fit_size(height, width, config.size), config)


def advice(photograph: Picture | None, paintings: Sequence[Picture], config: Complete) -> str:
    """Which option makes the picture larger that is too small for the layers.

    A painting is never enlarged to ``--size``, but by ``--style-scale``.
    """
    least = layers.smallest_side(config.network, config.taps)
    small = [picture for picture in paintings if min(picture.pixels.shape[:2]) < least]
    if not small or (photograph is not None and min(photograph.pixels.shape[:2]) < least):
        return "--size"
    if min(config.style_scale) < 1 or max(small[0].pixels.shape[:2]) >= max(small[0].size):
        return "--style-scale"
    return "--style-size" if config.style_size else "--size"


def pooled_evenly(size: tuple[int, int], config: Complete) -> tuple[int, int]:
    """``size``, or for a result that tiles the nearest one of which no pooling drops a row or a column.

    A row that a pooling drops would be missing at the seam.
    """
    if not config.tileable:
        return size
    least = layers.smallest_side(config.network, config.taps)
    height, width = (max(least, (side + least // 2) // least * least) for side in size)
    return height, width


def evenly_parted(config: Complete) -> int:
    """Of how many rows, or a multiple, a picture's parts are for no pooling and no octave to part a pair of them."""
    return int(layers.smallest_side(config.network, config.taps) * 2 ** (config.style_octaves - 1))


def scale_sizes(full: tuple[int, int], config: Complete) -> list[tuple[int, int]]:
    """(height, width) of each scale, coarse to fine, each ``scale_factor`` times the one before; the last is ``full``.

    Scales at which the network's deepest layer would keep fewer than 2 × 2 positions are left out.
    """
    least, coarsest = 2 * layers.smallest_side(config.network, config.taps), config.coarsest
    sizes = [full]
    for number in itertools.count(1):
        size = images.fit_size(*full, max(1, round(max(full) / config.scale_factor**number)))
        size = pooled_evenly(size, config)
        if min(size) < least or (max(size) < coarsest if config.scales == "auto" else number >= config.scales):
            return sizes
        sizes.insert(0, size)
    raise AssertionError("sizes that become smaller end")


def step_counts(sizes: Sequence[tuple[int, int]], config: Complete) -> list[int]:
    """The steps at each of the scales."""
    given, count = config.coarse_steps, len(sizes)
    steps = [*given[:count], *[given[-1]] * (count - len(given))]
    return steps if config.steps is None else [*steps[:-1], config.steps]


def octaves_at(size: tuple[int, int], paintings: Sequence[tuple[int, ...]], config: Complete) -> int:
    """At how many sizes the style is compared where the result and the paintings have these (height, width).

    At most ``style_octaves``; halved, no side is shorter than ``SMALLEST_OCTAVE``, whatever the layers are, and of a
    result that tiles no pooling may drop a row or a column.
    """
    least = layers.smallest_side(config.network, config.style_layer_weights)
    wanted = config.style_octaves
    for octaves in range(1, wanted):
        small = min([*size, *map(min, paintings)]) >> octaves < SMALLEST_OCTAVE
        if small or (config.tileable and any(side % (least << octaves) for side in size)):
            return octaves
    return wanted
