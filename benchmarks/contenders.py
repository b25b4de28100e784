"""One step, a value and gradient of the objective at the photograph, of ours and of PyTorch's, ready to be timed."""

from __future__ import annotations

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
from nst_jax.runs import stylize

value_and_gradient = jax.jit(jax.value_and_grad(stylize.loss_of, argnums=1, has_aux=True))


def objective_of(weights: Weights, photograph: np.ndarray, painting: np.ndarray, config: Config) -> Objective:
    """Our objective of two pictures [H, W, 3] as they are."""
    config = config.for_network(weights.network)
    net = network(weights, config.pooling, config.padding, config.precision)
    return stylize.objective_of(net, photograph, [painting], config)


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
