"""The networks as tables of layers, under the paper's names. Plain Python, so that reading a table costs nothing.

``conv4_2`` is the response of the second convolution of the fourth block after its rectifier; ``pool3`` is the output
of the third pooling. The fully connected layers are left out, as in Gatys, Ecker and Bethge (2015), section Methods.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from nst_jax.errors import NSTError, named


@dataclasses.dataclass(frozen=True)
class Layer:
    """One row of a network's table: a 3×3 convolution with its rectifier, or a 2×2 pooling of stride 2.

    A row of a small network may be a stand-in for a layer of a wide one: then a linear map, [channels, stands_for],
    takes its response to the wide layer's channels.
    """

    name: str
    kind: str  # "conv" or "pool"
    inputs: int  # channels in
    channels: int  # channels out
    stands_for: int = 0  # channels of the layer that it stands in for; 0 where it stands for itself


def _vgg(convolutions: Sequence[int], widths: Sequence[int] = (64, 128, 256, 512, 512)) -> tuple[Layer, ...]:
    """The table of a VGG with so many convolutions, of such a width, in each block (Simonyan and Zisserman 2014)."""
    rows = []
    inputs = 3
    for block, (count, width) in enumerate(zip(convolutions, widths, strict=True), start=1):
        for index in range(1, count + 1):
            rows.append(Layer(f"conv{block}_{index}", "conv", inputs, width))
            inputs = width
        rows.append(Layer(f"pool{block}", "pool", width, width))
    return tuple(rows)


def _stand_in(words: str) -> tuple[Layer, ...]:
    """The table of a small network: "NAME:WIDTH", or "NAME:WIDTH:CHANNELS" for a layer that stands for a wider one."""
    rows = []
    inputs, poolings = 3, 0
    for word in words.split():
        if word == "pool":
            poolings += 1
            rows.append(Layer(f"pool{poolings}", "pool", inputs, inputs))
        else:
            name, *widths = word.split(":")
            rows.append(Layer(name, "conv", inputs, *map(int, widths)))
            inputs = rows[-1].channels
    return tuple(rows)


NETWORKS: dict[str, tuple[Layer, ...]] = {
    "vgg16": _vgg((2, 2, 3, 3, 3)),
    "vgg19": _vgg((2, 2, 4, 4, 4)),
    # Ours, which ships with the package; see docs/slim.md. A pooling stands right behind the layer that closes a
    # resolution, so that what only deeper layers see is computed at half the size.
    "slim": _stand_in(
        "conv1_1:16:64 pool conv1_2:24 conv2_1:32:128 pool conv2_2:64 conv3_1:64:256 pool"
        " conv3_2:160 conv3_3:160 conv4_1:160:512 conv4_2:160:512 pool conv5_1:192:512"
    ),
}


def table(network: str) -> tuple[Layer, ...]:
    """The rows of a network, in order. Raises NSTError for an unknown name."""
    if network not in NETWORKS:
        raise NSTError(f"unknown network '{named(network)}': choose one of {', '.join(NETWORKS)}")
    return NETWORKS[network]


def tap_names(network: str) -> tuple[str, ...]:
    """The layers whose responses mean something: all, or those that stand for a wide network's where any does."""
    rows = table(network)
    return tuple(row.name for row in rows if row.stands_for) or tuple(row.name for row in rows)


def until(network: str, taps: Iterable[str]) -> tuple[Layer, ...]:
    """The rows of ``network`` up to and with the deepest of ``taps``; the rest need not run.

    Raises NSTError for a name that is no layer of the network, listing the valid ones.
    """
    rows, valid = table(network), tap_names(network)
    names = [row.name for row in rows]
    deepest = -1
    for tap in taps:
        if tap not in valid:
            raise NSTError(f"unknown layer '{named(tap)}': the layers of {network} are {' '.join(valid)}")
        deepest = max(deepest, names.index(tap))
    return rows[: deepest + 1]


def walk(rows: Sequence[Layer], height: int, width: int) -> Iterator[tuple[Layer, tuple[int, int]]]:
    """Each of the rows with (height, width) of its response to a picture of ``height`` and ``width``."""
    for row in rows:
        if row.kind == "pool":
            height, width = height // 2, width // 2
        yield row, (height, width)


def blocks(rows: Sequence[Layer]) -> list[tuple[Layer, ...]]:
    """The rows in their blocks, each up to and with a pooling; the last one may end without."""
    ends = [index + 1 for index, row in enumerate(rows) if row.kind == "pool" or index + 1 == len(rows)]
    return [tuple(rows[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def smallest_side(network: str, taps: Iterable[str]) -> int:
    """The fewest pixels that a picture's shorter side may have for every tap to keep at least one position."""
    return int(2 ** sum(row.kind == "pool" for row in until(network, taps)))
