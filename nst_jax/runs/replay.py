"""A picture made again from its recipe, and compared: bit for bit, and if it differs, what else does."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nst_jax.errors import NSTError
from nst_jax.pictures import images
from nst_jax.runs.machine import Machine, here
from nst_jax.runs.plan import Prepared, prepare
from nst_jax.runs.progress import Progress, Stop
from nst_jax.runs.recipe import Recipe
from nst_jax.runs.report import save, versions
from nst_jax.runs.result import Result
from nst_jax.runs.stylize import paint


def prepare_again(recipe: Recipe) -> Prepared:
    """The run of a recipe, in the way in which it used the memory then. Raises NSTError as ``prepare`` does."""
    if recipe.way.get("more"):
        raise NSTError(
            f"{recipe.picture} was made by a program with terms of its own, which are not in its metadata: run that"
        )
    machine = sharing_machine(recipe.way.get("shards", 1))
    run = prepare(recipe.content, recipe.styles, recipe.config, weights=recipe.weights, machine=machine)
    return run.in_way(recipe.way)


def sharing_machine(shards: int) -> Machine:
    """The machine with so many devices that share a picture, or where it has not so many, with one."""
    try:
        return here(max(1, shards))
    except NSTError:
        return here()


def paint_again(run: Prepared, recipe: Recipe, on_progress: Callable[[Progress], None]) -> Result:
    """Paints it, up to the step at which it was stopped then, if it was."""
    return paint(run, up_to(recipe, on_progress), looks=_whole(recipe.way.get("looks")))


def up_to(recipe: Recipe, on_progress: Callable[[Progress], None]) -> Callable[[Progress], None]:
    """``on_progress`` that raises ``Stop`` where the run of a recipe was stopped."""

    def told(progress: Progress) -> None:
        on_progress(progress)
        if recipe.told.get("ended") == "stopped" and progress.step >= recipe.told["steps"]:
            raise Stop

    return told


def _whole(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


class Comparison(NamedTuple):
    """How a picture made again compares with the first.

    Attributes:
      differing, pixels: how many pixels differ, of how many.
      most, white: by how much at most, of how much.
    """

    differing: int
    pixels: int
    most: int
    white: int


def compare(picture: Path, result: Result) -> Comparison | None:
    """How a result compares with a picture's file, or None where they have other sizes.

    The result is written in the same format with the same settings, so that what a lossy format changes is the same.
    """
    with tempfile.TemporaryDirectory(prefix="nst-") as place:
        again = Path(place) / f"again{picture.suffix}"
        save(again, result, "none")
        depth = result.config.depth
        differing = pixels = most = 0
        for first, second in itertools.zip_longest(*(images.rows_of(path, depth) for path in (picture, again))):
            if first is None or second is None or first.shape != second.shape:
                return None
            apart = np.abs(first.astype(int) - second).max(-1)
            differing, pixels = differing + int((apart > 0).sum()), pixels + apart.size
            most = max(most, int(apart.max()))
    return Comparison(differing, pixels, most, 2**depth - 1)


def changes(told: Mapping[str, Any], result: Result) -> list[str]:
    """What of versions, device and cores is not as it was told, each in a few words."""
    found = []
    cores = {"cores": result.way.get("cores")}
    for key, now in (("versions", versions()), ("device", result.device), ("way", cores)):
        before = told.get(key)
        if not isinstance(before, Mapping):
            found.append(f"{key} not told")
            continue
        found += [
            f"{name} {before.get(name)} then, {value} now" for name, value in now.items() if before.get(name) != value
        ]
    return found
