"""One step, a value and gradient of the objective at the photograph, of ours and of PyTorch's, ready to be timed."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.harness import Call, Skipped
from benchmarks.variants import TORCH, TorchVariant, ours
from nst_jax.losses.objective import Objective
from nst_jax.networks.vgg import network
from nst_jax.networks.weights import Weights
from nst_jax.options.config import Config
from nst_jax.pictures.sources import as_picture
from nst_jax.runs.goals import Goals, loss_of
from nst_jax.runs.machine import here

value_and_gradient = jax.jit(jax.value_and_grad(loss_of, argnums=1, has_aux=True))


def objective_of(weights: Weights, photograph: np.ndarray, painting: np.ndarray, config: Config) -> Objective:
    """Our objective of two pictures [H, W, 3] as they are, as a run on this machine has it."""
    size, machine = photograph.shape[:2], here()
    complete = dataclasses.replace(config, size=max(size), style_octaves=1).for_network(weights.network)
    precision = machine.precisions(complete.precision, weights.network)[0]
    net = network(weights, complete.pooling, complete.padding, precision, machine.lowering)
    pair = [as_picture(pixels, max(pixels.shape), enlarge=False) for pixels in (photograph, painting)]
    return Goals(net, pair[0], pair[1:], size, complete, [None]).objective(complete)


def our_step(weights: Weights, photograph: np.ndarray, painting: np.ndarray, config: Config) -> Call:
    """Ours, compiled as one program."""
    goal, image = objective_of(weights, photograph, painting, config), jnp.asarray(photograph)

    def call(times: int) -> float:
        for _ in range(times):
            made = value_and_gradient(goal, image)
        (total, _), _ = jax.block_until_ready(made)
        return float(total)

    return call


def torch_step(
    weights: Weights, photograph: np.ndarray, painting: np.ndarray, config: Config, variant: TorchVariant
) -> Call:
    """PyTorch's. Raises Skipped where it is not installed."""
    if importlib.util.find_spec("torch") is None:
        raise Skipped("torch is not installed")
    from benchmarks.torch_reference import TorchObjective  # not above: torch is there for comparisons only

    goal = TorchObjective(weights, photograph, painting, config, variant)
    image = goal.tensor(photograph).requires_grad_()

    def call(times: int) -> float:
        for _ in range(times):
            total, _ = goal.value_and_gradient(image)
        goal.wait()
        return total.item()

    return call


def steps(
    weights: Weights, photograph: np.ndarray, painting: np.ndarray, config: Config, names: Sequence[str]
) -> dict[str, Callable[[], Call]]:
    """The variants named, as ``harness.interleaved`` takes them."""
    mine, pair = ours(config), (photograph, painting)
    return {
        name: functools.partial(our_step, weights, *pair, mine[name])
        if name in mine
        else functools.partial(torch_step, weights, *pair, config, TORCH[name])
        for name in names
    }
