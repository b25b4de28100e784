"""One value and gradient by tiles, beside that of the whole picture: seconds, in turns, and what the two differ by.

    python -m benchmarks tiles --output tiles.json
    python -m benchmarks tiles --networks slim --sizes 512 --tiles 256 --rounds 1    # a trial

The default preset's objective, at the photograph, as a run on this machine has it: with large buffers given back to the
system, and as many tiles in work at once. "tiles" are those of the full size, "seen" is what all windows together see
over the picture's pixels, "over whole" the seconds over the whole's, "sums" the part of them that the first pass takes,
which only adds up statistics, and "gradient error" the largest difference from the whole's gradient over its largest
value.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contenders import objective_of, value_and_gradient
from benchmarks.harness import Call, Row, interleaved, table
from benchmarks.pictures import add_pair, add_weights, pictures, weights_of
from nst_jax.losses.objective import Objective
from nst_jax.losses.tiles import Tiles
from nst_jax.options.config import Config
from nst_jax.runs.allocator import keep_no_large_memory
from nst_jax.runs.machine import here

COLUMNS = ("network", "size", "tile", "tiles", "seen", "seconds", "over whole", "sums", "gradient error")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_pair(parser)
    add_weights(parser)
    parser.add_argument("--networks", nargs="+", default=["vgg19", "slim"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[2048], help="longest sides in pixels")
    parser.add_argument("--tiles", nargs="+", type=int, default=[512, 768], help="sides of a tile in pixels")
    parser.add_argument("--rounds", type=int, default=3, help="turns that count")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The rows of the table, which it prints as they come."""
    rows: list[Row] = []
    for size in options.sizes:
        photograph, painting = pictures(options.content, options.style, size)
        keep_no_large_memory(photograph.shape[0] * photograph.shape[1])
        for network in options.networks:
            weights = weights_of(network, options)
            goal = objective_of(weights, photograph, painting, Config(network=network, size=size))
            latest = compared(goal, photograph, [0, *options.tiles], options.rounds)
            latest = [{"network": network, "size": size, **row} for row in latest]
            print(table(latest, COLUMNS), flush=True)
            rows += latest
    return {"rows": rows}


def compared(goal: Objective, photograph: np.ndarray, sides: list[int], rounds: int) -> list[Row]:
    """A row for each side of a tile, 0 for the whole picture."""
    image, machine = jnp.asarray(photograph), here()
    tiles = functools.partial(Tiles, loop=machine.platform == "cpu", at_once=machine.at_once(goal.network.name))
    gradients: dict[int, np.ndarray] = {}

    def step(side: int) -> Call:
        evaluate = tiles(side).value_and_gradient if side else value_and_gradient

        def call(times: int) -> float:
            for _ in range(times):
                (total, _), gradient = jax.block_until_ready(evaluate(goal, image))
            gradients[side] = np.asarray(gradient)
            return float(total)

        return call

    def sums(side: int) -> Call:
        def call(times: int) -> float:
            for _ in range(times):
                jax.block_until_ready(tiles(side).statistics(goal, image))
            return 0.0

        return call

    makers: dict[tuple[str, int], Callable[[], Call]] = {
        ("step", side): functools.partial(step, side) for side in sides
    }
    makers |= {("sums", side): functools.partial(sums, side) for side in sides if side}
    told = interleaved(makers, rounds)
    whole = told["step", 0]
    rows = []
    for side in sides:
        row = told["step", side]
        if "seconds" in row and side:
            first = told["sums", side].get("seconds")
            row |= {"sums": first and first / row["seconds"], **grid(goal, side, image.shape[:2])}
            if "seconds" in whole:
                difference = np.abs(gradients[side] - gradients[0]).max() / np.abs(gradients[0]).max()
                row |= {"over whole": row["seconds"] / whole["seconds"], "gradient error": float(difference)}
        rows.append({"tile": side or "whole", **row})
    return rows


def grid(goal: Objective, side: int, size: tuple[int, ...]) -> Row:
    """How many tiles there are, and what they see together, over the picture."""
    parts = Tiles(side).parts(goal.network, goal.taps[0], (size[0], size[1]))
    seen = sum(part.window[0] * part.window[1] for part in parts)
    return {"tiles": len(parts), "seen": seen / (size[0] * size[1])}
