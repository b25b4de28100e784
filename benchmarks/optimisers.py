"""Seconds of a step of Adam and of L-BFGS beside the value and gradient alone, in turns.

    python -m benchmarks optimisers --output optimisers.json
    python -m benchmarks optimisers --sizes 512 4096 --variants jax-bfloat16    # on a GPU

The default objective from the photograph on, as ``nst-stylize`` runs it at one size: in chunks that stay on the device.
"over adam" is a step's seconds over Adam's, "500 steps" the seconds that so many take once compiled.
"""

from __future__ import annotations

import argparse
import functools
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import variants
from benchmarks.contenders import objective_of, our_step
from benchmarks.harness import Call, Row, interleaved, table
from benchmarks.pictures import add_pair, add_weights, pictures, weights_of
from benchmarks.variants import plain
from nst_jax.networks.weights import Weights
from nst_jax.optim import minimise
from nst_jax.optim.steps import Method, init
from nst_jax.options.config import Config
from nst_jax.runs.goals import loss_of
from nst_jax.runs.machine import here

COLUMNS = ("network", "variant", "size", "contender", "seconds", "over adam", "500 steps", "first")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_pair(parser)
    add_weights(parser)
    parser.add_argument("--networks", nargs="+", default=["vgg19", "slim"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 512], help="longest sides in pixels")
    parser.add_argument("--variants", nargs="+", choices=variants.OURS, default=["jax-float32"])
    parser.add_argument("--histories", nargs="+", type=int, default=[Config.history], help="pairs of L-BFGS")
    parser.add_argument("--rounds", type=int, default=7, help="turns that count")
    parser.add_argument("--calls", type=int, default=0, help="steps in a turn; 0: 1 on a CPU, else a chunk")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The rows of the table, which it prints as they come."""
    calls = options.calls or here().chunk
    methods = {"adam": Method("adam")} | {f"lbfgs {pairs}": Method("lbfgs", pairs) for pairs in options.histories}
    rows: list[Row] = []
    for network in options.networks:
        weights = weights_of(network, options)
        for variant, size in itertools.product(options.variants, options.sizes):
            shared = (
                weights,
                *pictures(options.content, options.style, size),
                variants.ours(plain(network, size))[variant],
            )
            made: dict[str, Callable[[], Call]] = {"gradient alone": functools.partial(our_step, *shared)}
            for name, method in methods.items():
                made[name] = functools.partial(steps_of, method, *shared, calls)
            latest = interleaved(made, options.rounds, calls)
            adam = latest["adam"].get("seconds")
            for name, row in latest.items():
                if adam and "seconds" in row:
                    row |= {"over adam": row["seconds"] / adam, "500 steps": 500 * row["seconds"]}
                rows.append({"network": network, "variant": variant, "size": size, "contender": name, **row})
            print(table(rows[-len(latest) :], COLUMNS), flush=True)
    return {"calls": calls, "rows": rows}


def steps_of(
    method: Method, weights: Weights, photograph: np.ndarray, painting: np.ndarray, config: Config, calls: int
) -> Call:
    """Steps of a method, one after the other, with their programs for ``calls`` steps compiled."""
    goal, image = objective_of(weights, photograph, painting, config), jnp.asarray(photograph)
    state = init(method, image, 1.0 if method.name == "lbfgs" else config.learning_rate)

    def call(times: int) -> float:
        nonlocal state
        while times:
            length = minimise.chunk_length(times, calls)
            state, terms = minimise.run_chunk(method, loss_of, goal, state, length)
            times -= length
        return float(jax.block_until_ready(terms)["total"][-1])

    call(calls)
    return call
