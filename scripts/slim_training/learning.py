"""One iteration: the student learns a lesson, and the batch's pictures move on under it."""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from jaxtyping import Array

from nst_jax.choices import Pooling
from nst_jax.losses.pixels import total_variation
from slim_training import lbfgs, lesson, revival, student
from slim_training.student import Moments, Params
from slim_training.teacher import Lesson

#: What is learnt and saved: the parameters, their running mean (which is exported), the learner's state.
State = tuple[Params, Params, Any]


#: The part of the rate by which biases learn: at the whole of it they silence filters for good.
BIAS_RATE = 0.15


def _matrices(params: Params) -> Any:
    """Which parameters Muon orthogonalises, as matrices from all inputs to the outputs: all but the biases."""
    number = optax.contrib.MuonDimensionNumbers
    return jax.tree.map(lambda p: number(tuple(range(p.ndim - 1)), p.ndim - 1) if p.ndim > 1 else None, params)


LEARNERS = {
    "adam": optax.adam(1.0, b2=0.99),
    "muon": optax.contrib.muon(1.0, consistent_rms=0.2, adam_b2=0.99, muon_weight_dimension_numbers=_matrices),
}


def start(params: Params, learner: str) -> State:
    """The state before the first iteration."""
    return student.on_device((params, jax.tree.map(jnp.copy, params), LEARNERS[learner].init(params)))


def revived(state: State, images: Array, pooling: Pooling, rng: np.random.Generator) -> State:
    """The state with new filters in place of the dead ones, in the running mean too. See ``revival``."""
    params, mean_params, moments = state
    fresh = revival.fresh_filters(params, images, pooling, rng)
    return student.on_device((revival.planted(params, fresh), revival.planted(mean_params, fresh), moments))


@functools.partial(jax.jit, static_argnames=("pooling", "learner", "average", "pushes"), donate_argnums=(0,))
def iterate(
    state: State,
    rows: Mapping[str, Array],
    taught: Lesson,
    targets: Mapping[str, Moments],
    scales: Mapping[str, Any],
    rate: Array | float,
    *,
    pooling: Pooling,
    learner: str,
    average: float,
    pushes: int,
) -> tuple[State, dict[str, Array], lbfgs.Descent]:
    """One step of the learner, gradients clipped to norm 1, and ``pushes`` L-BFGS steps of the pictures.

    Args:
      state: given up.
      rows, taught, targets, scales, pooling: see ``lesson.loss``.
      rate: the learning rate.
      learner: a name of ``LEARNERS``.
      average: decay of the running mean of the parameters.
      pushes: at least 1.

    Returns the state, the errors for the log, and where the pictures' optimisation is.
    """
    params, mean_params, moments = state
    (_, log), slope = jax.value_and_grad(lesson.loss, has_aux=True)(params, rows, taught, targets, scales, pooling)
    size = optax.tree.norm(slope)
    slope = jax.tree.map(lambda s: s * jnp.minimum(1.0, 1 / (size + 1e-9)), slope)
    update, moments = LEARNERS[learner].update(slope, moments, params)
    pictures = _pushed(params, rows, scales, pooling, pushes)
    params = jax.tree.map(lambda p, u: p + (rate if p.ndim > 1 else BIAS_RATE * rate) * u, params, update)
    mean_params = jax.tree.map(lambda m, p: average * m + (1 - average) * p, mean_params, params)
    return (params, mean_params, moments), log, pictures


def prepare(poolings: Sequence[Pooling], state: State, *example: Any, **static: Any) -> None:
    """Compiles ``iterate`` for these poolings side by side, for arguments such as these; the state is kept."""

    def tried(pooling: Pooling) -> None:
        jax.block_until_ready(iterate(jax.tree.map(jnp.copy, state), *example, pooling=pooling, **static))

    with concurrent.futures.ThreadPoolExecutor(len(poolings)) as pool:
        list(pool.map(tried, poolings))


def _pushed(
    params: Params, rows: Mapping[str, Array], scales: Mapping[str, Any], pooling: Pooling, pushes: int
) -> lbfgs.Descent:
    """The batch's pictures after some steps that lower the student's stylisation loss and the total variation.

    The responses to the pictures before the first step, and to the paintings, are the lesson's: XLA sees that they are
    the same, and computes them once.
    """
    goals = student.goals(params, rows, scales, pooling)
    variation = functools.partial(total_variation, kind="neighbours")
    smoothing = jax.grad(lambda x: jnp.vdot(rows["tv_weight"], jax.vmap(variation)(x)))
    pictures = lbfgs.Descent(**{name: rows[name] for name in lbfgs.Descent._fields})
    for _ in range(pushes):  # written out: XLA's convolutions are several times slower inside a loop on a CPU
        gradient = student.image_gradient(params, goals, pictures.x, scales, pooling)
        pictures = jax.vmap(lbfgs.step)(pictures, gradient + smoothing(pictures.x))
    return pictures
