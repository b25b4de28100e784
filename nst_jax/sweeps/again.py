"""A picture of a sweep made again: in a program of the same shape, of which the lane has the same place.

What the other lanes are decides no bit of it; how many there are does (docs/sweep.md). So they are copies of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from nst_jax.errors import NSTError
from nst_jax.runs.machine import here
from nst_jax.runs.plan import gather
from nst_jax.runs.progress import Progress
from nst_jax.runs.recipe import Recipe
from nst_jax.runs.result import Result
from nst_jax.sweeps.grid import MOST_LANES
from nst_jax.sweeps.lanes import Batches, Resolved, Sweep

#: The entries of ``Sweep.way`` with their types.
ENTRIES: dict[str, type] = {
    **dict.fromkeys(("count", "position", "devices", "styles", "looks"), int),
    **dict.fromkeys(("content_layers", "style_layers"), list),
}


def prepare_lane_again(recipe: Recipe) -> Sweep:
    """The sweep of which a recipe's picture is the only lane. Raises NSTError for what cannot be made again."""
    lanes, machine = lanes_of(recipe), here()
    config = recipe.config.for_network(recipe.weights.network)
    content_layers, style_layers = (tuple(map(str, lanes[name])) for name in ("content_layers", "style_layers"))
    union = dataclasses.replace(config, content_layers=content_layers, style_layers=style_layers)
    more = lanes["styles"] > 1  # then lanes do not share a painting's targets; of several looks, not the photograph's
    several = recipe.styles * 2 if more else recipe.styles
    looks = ((0, config), (int(more), config)) if lanes["looks"] > 1 else ((0, config),)
    found = gather(recipe.content, several, union, apart=True, masked=bool(lanes.get("masked")))
    precision = recipe.way.get("precision", machine.precisions(union.precision, union.network)[0])
    return Sweep((Resolved(config, 0, 0),), found, looks, recipe.weights, union, precision, machine)


def paint_lane_again(sweep: Sweep, recipe: Recipe, on_progress: Callable[[Progress], None]) -> Result:
    """Paints it. Raises NSTError where there are fewer devices than the sweep had."""
    lanes = lanes_of(recipe)
    devices = sweep.machine.devices[: lanes["devices"]]
    if len(devices) < lanes["devices"]:
        raise NSTError(f"{recipe.picture} was made on {lanes['devices']} devices and there are {len(devices)}")
    plan = Batches(lanes["count"], devices, sweep.lane_bytes(), sweep.machine.free)
    (made,) = sweep.run([0] * lanes["count"], plan, on_progress)
    result: Result = made[lanes["position"]][1]
    return result


def program_of(recipe: Recipe) -> str:
    """Which program had a picture among its lanes: "sweep", "batch", or "" for a picture that was made alone."""
    lanes = recipe.way.get("lanes")
    return str(lanes.get("program")) if isinstance(lanes, dict) else ""


def place_of(recipe: Recipe) -> tuple[int, int]:
    """How many lanes a program had, and which of them the picture was. Raises NSTError for what cannot be."""
    lanes = recipe.way["lanes"]
    count, position = lanes.get("count"), lanes.get("position")
    if not (isinstance(count, int) and isinstance(position, int) and 0 <= position < count <= 2 * MOST_LANES):
        raise NSTError(f"{recipe.picture} tells lanes that cannot be: its metadata was changed")
    return count, position


def lanes_of(recipe: Recipe) -> Mapping[str, Any]:
    """What a picture says of the program in which it was a lane. Raises NSTError for what cannot be."""
    lanes = recipe.way.get("lanes")
    if not isinstance(lanes, dict) or any(not isinstance(lanes.get(name), kind) for name, kind in ENTRIES.items()):
        raise NSTError(f"{recipe.picture} tells a sweep that cannot be read: its metadata was changed")
    count, _ = place_of(recipe)
    if not 0 < lanes["devices"] <= count:
        raise NSTError(f"{recipe.picture} tells a sweep that cannot be: its metadata was changed")
    return lanes
