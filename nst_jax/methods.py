"""Adam and L-BFGS, a step at a time, around optax's directions. A *step* is one evaluation with its gradient."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

#: L-BFGS takes a trial point whose value is at most this much of the expected decrease below (Armijo's condition).
SUFFICIENT = 1e-4
#: How much shorter the step becomes after a trial point that was not taken.
BACKTRACK = 0.5
Function = Callable[[Any, Array], tuple[Array, Any]]


class Method(NamedTuple):
    """Which optimiser, with its static settings.

    Attributes:
      name: "adam" or "lbfgs".
      history: how many pairs L-BFGS remembers.
      averaging: the decay of the running mean of the points taken; 0 for none.
      bounds: the least and the greatest value that Adam's points may have, or None; L-BFGS, whose approximation
        clamping would spoil, must have none.
    """

    name: str
    history: int = 50
    averaging: float = 0.0
    bounds: tuple[float, float] | None = None


class State(NamedTuple):
    """Where a run is; a pytree of arrays alone.

    Attributes:
      x: the last point taken; Adam takes every one.
      value: the function there; infinite before the first evaluation.
      trial: the point that the next step evaluates.
      direction: L-BFGS's step from ``x`` at full length.
      slope: the gradient along ``direction``.
      length: of the present step along ``direction``, at most ``rate``.
      scale: what gradients are multiplied with, so that L-BFGS's first step has norm 1 whatever the loss's unit.
      rate: Adam's learning rate, or L-BFGS's longest step; smaller after a recovery.
      mean: Σ (1 − d) d^(k − i) x_i of the points taken, with d the method's ``averaging``; 0 without.
      share: Σ (1 − d) d^(k − i), what ``mean`` is to be divided by.
      inner: optax's state.
    """

    x: Array
    value: Array
    trial: Array
    direction: Array
    slope: Array
    length: Array
    scale: Array
    rate: Array
    mean: Array
    share: Array
    inner: Any


def init(method: Method, x: Array, rate: float | Array) -> State:
    """The state of a run that starts at ``x`` with a learning rate (Adam) or longest step (L-BFGS, usually 1)."""
    zero = jnp.float32(0)
    inner = _transform(method).init(x)
    blank = jnp.zeros_like(x) if method.name == "lbfgs" else zero
    mean = jnp.zeros_like(x) if method.averaging else zero
    state = State(x, jnp.float32(jnp.inf), x, blank, zero, zero, zero + 1, zero + rate, mean, zero, inner)
    return jax.tree.map(jnp.copy, state)  # each leaf a buffer of its own, as donation asks for


def _transform(method: Method) -> optax.GradientTransformation:
    """The part of optax that turns gradients into directions; steps are taken here."""
    if method.name == "adam":
        return optax.scale_by_adam()
    return optax.scale_by_lbfgs(memory_size=method.history)


def step(method: Method, function: Function, argument: Any, state: State) -> tuple[State, Any]:
    """One evaluation of ``function(argument, x) -> (value, terms)`` and what follows from it; also gives the terms."""
    (value, terms), gradient = jax.value_and_grad(function, argnums=1, has_aux=True)(argument, state.trial)
    following = (
        _adam(method, state, value, gradient) if method.name == "adam" else _lbfgs(method, state, value, gradient)
    )
    if decay := method.averaging:
        mean = decay * state.mean + (1 - decay) * following.x
        following = following._replace(mean=mean, share=decay * state.share + (1 - decay))
    return following, terms


def _adam(method: Method, state: State, value: Array, gradient: Array) -> State:
    """x ← x − rate · m̂ / (√v̂ + ε) (Kingma and Ba 2015), then clamped to the bounds."""
    direction, inner = _transform(method).update(gradient, state.inner)
    trial = state.trial - state.rate * direction
    if method.bounds:
        trial = jnp.clip(trial, *method.bounds)
    return state._replace(x=state.trial, value=value, trial=trial, inner=inner)


def _lbfgs(method: Method, state: State, value: Array, gradient: Array) -> State:
    """Take the trial point if the value fell enough there, else come back and try a shorter step next time.

    The first point is always taken: its value is compared with infinity. A point whose value or gradient is not finite
    is never taken.
    """
    first = jnp.isinf(state.value)
    fell = value <= state.value + SUFFICIENT * state.length * state.slope / state.scale
    norm = jnp.linalg.norm(gradient)
    taken = jnp.isfinite(value) & jnp.isfinite(norm) & (first | fell)
    scale = jnp.where(first, 1 / (norm + 1e-30), state.scale)

    def advance(state: State) -> State:
        scaled = scale * gradient
        preconditioned, inner = _transform(method).update(
            scaled, _repeat_unless_curved(state.inner, state.trial, scaled), state.trial
        )
        slope = -jnp.vdot(preconditioned, scaled)
        return state._replace(
            x=state.trial,
            value=value,
            trial=state.trial - state.rate * preconditioned,
            direction=-preconditioned,
            slope=slope,
            length=state.rate,
            scale=scale,
            inner=inner,
        )

    def back(state: State) -> State:
        length = BACKTRACK * state.length
        return state._replace(trial=state.x + length * state.direction, length=length)

    return jax.lax.cond(taken, advance, back, state)


def _repeat_unless_curved(inner: Any, x: Array, gradient: Array) -> Any:
    """optax's state, set so that a pair (s, y) without positive curvature is not learnt.

    optax stores s = x − x_last and y = g − g_last even where sᵀy ≤ 0, which spoils the approximation (optax #1708).
    Pretending that the last point was one *older* step away stores the newest good pair once more instead, and a BFGS
    update with the same pair twice changes nothing.
    """
    s, y = x - inner.params, gradient - inner.updates
    curved = (jnp.vdot(s, y) > 1e-10 * jnp.vdot(y, y)) | (inner.count == 0)
    newest = (inner.count - 2) % inner.weights_memory.shape[0]
    return inner._replace(
        params=jnp.where(curved, inner.params, x - inner.diff_params_memory[newest]),
        updates=jnp.where(curved, inner.updates, gradient - inner.diff_updates_memory[newest]),
    )


@functools.partial(jax.jit, static_argnames="method")
def result(method: Method, state: State) -> Array:
    """What a run has come to: the last point taken, or the mean of those taken, free of the bias to 0 of its start."""
    if not method.averaging:
        return state.x
    share = state.share.reshape(state.share.shape + (1,) * (state.mean.ndim - state.share.ndim))
    return jnp.where(share > 0, state.mean / share, state.x)


@functools.partial(jax.jit, static_argnames=("height", "width"))
def carried(inner: optax.ScaleByAdamState, height: int, width: int) -> optax.ScaleByAdamState:
    """Adam's moments [..., H, W, C] for an image of another size; the second, which are squares, stay at 0 or above."""

    def resized(moment: Array, method: str) -> Array:
        return jax.image.resize(moment, (*moment.shape[:-3], height, width, moment.shape[-1]), method)

    return inner._replace(mu=resized(inner.mu, "cubic"), nu=jnp.maximum(resized(inner.nu, "linear"), 0))
