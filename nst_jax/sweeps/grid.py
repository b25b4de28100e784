"""Grids of options: every combination of ratios, layers, seeds and styles as the lanes of one sweep.

A lane is a run like any other; its options are a ``Config`` of its own. Plain Python, so that a mistake is answered
without loading JAX.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from nst_jax.choices import check_weight
from nst_jax.errors import NSTError
from nst_jax.options.config import Config

#: More lanes than this are taken for a slip.
MOST_LANES = 1000
#: In a layout, the place of the photograph itself.
PHOTOGRAPH = -1
#: A value of an axis: its label, and what it changes.
Value = tuple[str, dict[str, Any]]
#: The options in which the lanes of one sweep may differ.
VARYING = (
    "content_weight",
    "style_weight",
    "tv_weight",
    "strength",
    "content_layers",
    "style_layers",
    "seed",
    "init",
    "init_noise",
)


@dataclasses.dataclass(frozen=True)
class Lane:
    """One run of a sweep: its options, and which of the sweep's style pictures it takes (from 0)."""

    config: Config
    style: int = 0


@dataclasses.dataclass(frozen=True)
class Grid:
    """Lanes in rows and columns: ``lanes`` row by row, and the labels of rows and columns."""

    lanes: tuple[Lane, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]


def grid(
    config: Config,
    styles: Sequence[str] = (),
    *,
    content_layers: Sequence[tuple[str, ...]] | None = None,
    style_layer_sets: Sequence[tuple[str, ...]] | None = None,
    seeds: Sequence[int] | None = None,
    strengths: Sequence[float] | None = None,
    ratios: Sequence[float] | None = None,
) -> Grid:
    """Every combination of the values given; what is None is as in ``config``.

    Args:
      config: what all lanes have in common.
      styles: a name for each of the style pictures; each is a lane of its own.
      content_layers, style_layer_sets: sets of layers, entries as in ``Config``.
      seeds: of the noise, with which the runs must start.
      strengths: as in ``Config``.
      ratios: α/β; the style weight stays, the content weight follows; not together with a strength.

    The columns are the last of these that has more than one value, the rows all others. Raises NSTError for an empty
    grid, values that come twice or make no difference, and more than ``MOST_LANES`` lanes.
    """
    if ratios is not None and (strengths is not None or config.strength is not None):
        raise NSTError("--ratios and strength both set the ratio of the losses: give one of them")
    if ratios is not None and config.style_weight is None:
        from nst_jax.networks.weights_file import network_in_use  # only here do weights files matter

        config = config.for_network(network_in_use(config.network, config.weights))
    if ratios is not None and not config.style_weight:
        raise NSTError("--ratios are multiples of --style-weight, which is 0: give another one")
    if seeds is not None and len(seeds) > 1 and config.init != "noise" and not config.init_noise:
        raise NSTError(f"--seeds make no difference to a start from {config.init}: add --init noise or --init-noise")
    no_content = not any([config.content_layers] if content_layers is None else content_layers)
    for name, given in (("--ratios", ratios), ("--strengths", strengths)):
        if len(given or ()) > 1 and no_content:
            raise NSTError(f"{name} make no difference without content layers: name some with --content-layers")
    no_style = not any([config.style_layers] if style_layer_sets is None else style_layer_sets)
    if len(styles) > 1 and no_style and config.init != "style" and not config.needs_toned:
        raise NSTError("several --style make no difference without style layers: name some with --style-layers")
    for ratio in ratios or ():
        check_weight("one of --ratios", ratio)
    axes: list[tuple[str, list[Value]]] = [
        ("--style", [(name, {"style": index}) for index, name in enumerate(styles or [""])]),
        ("--content-layers", _axis(content_layers, lambda s: (f"content {_short(s)}", {"content_layers": tuple(s)}))),
        ("--style-layer-sets", _axis(style_layer_sets, lambda s: (f"style {_short(s)}", {"style_layers": tuple(s)}))),
        ("--seeds", _axis(seeds, lambda seed: (f"seed {seed}", {"seed": seed}))),
        ("--strengths", _axis(strengths, lambda s: (f"strength {s:g}", {"strength": s}))),
        ("--ratios", _axis(ratios, lambda r: (f"ratio {r:g}", {"content_weight": r * (config.style_weight or 0)}))),
    ]
    count = math.prod(len(values) for _, values in axes)
    if count > MOST_LANES:
        product = " x ".join(str(len(values)) for _, values in axes if len(values) > 1)
        raise NSTError(f"the grid has {product} lanes; at most {MOST_LANES} are possible in one sweep")
    for flag, values in axes:
        if not values:
            raise NSTError(f"the grid is empty: {flag} has no value")
        changes = [change for _, change in values]
        for index, change in enumerate(changes):
            if change in changes[:index]:
                raise NSTError(f"{flag} has the same value twice ({values[index][0]}): give each once")
    across = max((index for index, (_, values) in enumerate(axes) if len(values) > 1), default=len(axes) - 1)
    axes.append(axes.pop(across))
    lanes, labels = [], []
    for combination in itertools.product(*(values for _, values in axes)):
        own = {key: value for _, change in combination for key, value in change.items()}
        style = own.pop("style")
        lanes.append(Lane(dataclasses.replace(config, **own), style))
        shown = [label for (label, _), (_, values) in zip(combination, axes, strict=True) if len(values) > 1]
        labels.append((", ".join(shown[:-1]), shown[-1] if shown else ""))
    columns = tuple(label for label, _ in axes[-1][1]) if count > 1 else ("",)
    return Grid(tuple(lanes), tuple(row for row, _ in labels[:: len(columns)]), columns)


def _axis(values: Sequence[Any] | None, entry: Callable[[Any], Value]) -> list[Value]:
    """A label and a change of the options for each value; one that changes nothing where there is no such axis."""
    return [("", {})] if values is None else [entry(value) for value in values]


def _short(layers: Sequence[str]) -> str:
    """A set of layers as a label."""
    return " ".join(layers) or "none"


def cumulative(layers: Sequence[str]) -> list[tuple[str, ...]]:
    """The growing sets of the paper's figures 1 and 3: the first layer, the first two, … all."""
    return [tuple(layers[:count]) for count in range(1, len(layers) + 1)]


@dataclasses.dataclass(frozen=True)
class Layout:
    """How lanes are shown.

    Attributes:
      title: of sheet and page.
      cells: lane numbers, row by row; ``PHOTOGRAPH`` stands for the photograph.
      rows, columns: labels, or none.
      captions: what stands below each lane's picture on the sheet, or none.
      paragraphs: (heading, text) of the page.
    """

    title: str
    cells: tuple[tuple[int, ...], ...]
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    paragraphs: tuple[tuple[str, str], ...] = ()

    def label(self, lane: int) -> str:
        """A lane's name on the page."""
        if self.captions:
            return self.captions[lane]
        row = next(index for index, lanes in enumerate(self.cells) if lane in lanes)
        column = self.cells[row].index(lane)
        parts = [self.rows[row] if self.rows else "", self.columns[column] if self.columns else ""]
        return f"lane {lane}: {', '.join(part for part in parts if part)}".removesuffix(": ")


def grid_layout(grid: Grid, title: str) -> Layout:
    """The layout of a grid: its own rows and columns."""
    across = len(grid.columns)
    cells = [tuple(range(start, start + across)) for start in range(0, len(grid.lanes), across)]
    rows = grid.rows if any(grid.rows) else ()
    return Layout(title, tuple(cells), rows, grid.columns if any(grid.columns) else ())
