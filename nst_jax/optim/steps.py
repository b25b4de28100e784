"""Adam and L-BFGS, a step at a time, around optax transformations. A *step* is one evaluation with its gradient."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from nst_jax.choices import OPTIMIZERS, Optimizer, check_choice
from nst_jax.errors import NSTError
from nst_jax.optim.lbfgs import scale_by_compact_lbfgs

#: L-BFGS takes a trial point whose value is at most this much of the expected decrease below (Armijo's condition).
SUFFICIENT = 1e-4
#: How much shorter the step becomes after a trial point that was not taken.
BACKTRACK = 0.5
Function = Callable[[Any, Array], tuple[Array, Any]]


@dataclasses.dataclass(frozen=True)
class Method:
    """Which optimiser, with its static settings.

    Attributes:
      name: "adam" or "lbfgs".
      history: how many pairs L-BFGS remembers.
      averaging: the decay of the running mean of the points taken; 0 for none.
      second_decay: Adam's β₂.
      bounds: the least and the greatest value that Adam's points may have, or None; L-BFGS, whose approximation
        clamping would spoil, must have none.
      spread: whether the points lie on a mesh of devices, so that no step goes through them piece by piece.

    Raises NSTError for an unknown name, and for bounds of L-BFGS.
    """

    name: Optimizer
    history: int = 20
    averaging: float = 0.0
    second_decay: float = 0.999
    bounds: tuple[float, float] | None = None
    spread: bool = False

    def __post_init__(self) -> None:
        check_choice("optimizer", self.name, OPTIMIZERS)
        if self.bounds and self.name == "lbfgs":
            raise NSTError("lbfgs cannot be clamped to bounds: leave them out, or take adam")


class State(NamedTuple):
    """Where a run is; a pytree of arrays alone.

    Attributes:
      x: the last point taken by Adam, which takes every one; L-BFGS's is in ``inner``, and here is 0. See ``taken``.
      value: the function there; infinite before the first evaluation.
      trial: the point that the next step evaluates.
      slope: the gradient along L-BFGS's step from the last point taken, at full length.
      length: the part of that step which the trial point is away, at most ``rate``.
      scale: what gradients are multiplied with, so that L-BFGS's first step has norm 1 whatever the loss's unit.
      rate: Adam's learning rate, or L-BFGS's longest step; smaller after a recovery.
      mean: Σ (1 − d) d^(k − i) x_i of the points taken, with d the method's ``averaging``; 0 without.
      share: Σ (1 − d) d^(k − i), what ``mean`` is to be divided by.
      inner: the transformation's state: optax's of Adam, ``lbfgs.Pairs``.
    """

    x: Array
    value: Array
    trial: Array
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
    mean = jnp.zeros_like(x) if method.averaging else zero
    first = zero if method.name == "lbfgs" else x
    state = State(first, jnp.float32(jnp.inf), x, zero, zero, zero + 1, zero + rate, mean, zero, inner)
    known = {id(x)}

    def own(leaf: Array) -> Array:
        if id(leaf) in known:
            return jnp.copy(leaf)
        known.add(id(leaf))
        return leaf

    apart: State = jax.tree.map(own, state)  # each leaf a buffer of its own, as donation asks for
    return apart


def taken(method: Method, state: State) -> Array:
    """The last point taken, one of the state's own buffers. L-BFGS's is one whose value was finite, if any was."""
    point: Array = state.inner.params if method.name == "lbfgs" else state.x
    return point


def _transform(method: Method) -> optax.GradientTransformation:
    """What turns gradients into directions; steps are taken here."""
    if method.name == "adam":
        return optax.scale_by_adam(b2=method.second_decay)
    return scale_by_compact_lbfgs(method.history, in_place=True, spread=method.spread)


def step(method: Method, function: Function, argument: Any, state: State) -> tuple[State, Any]:
    """One evaluation of ``function(argument, x) -> (value, terms)`` and what follows from it; also gives the terms."""
    (value, terms), gradient = value_and_gradient(function)(argument, state.trial)
    return advance(method, state, value, gradient), terms


def value_and_gradient(function: Function) -> Callable[[Any, Array], tuple[tuple[Array, Any], Array]]:
    """What gives ((value, terms), gradient): the function's own way where it has one, else JAX's."""
    own = getattr(function, "value_and_gradient", None)
    return own or jax.value_and_grad(function, argnums=1, has_aux=True)


def advance(method: Method, state: State, value: Array, gradient: Array) -> State:
    """What follows from the value and the gradient at the trial point."""
    following = (
        _adam(method, state, value, gradient) if method.name == "adam" else _lbfgs(method, state, value, gradient)
    )
    if decay := method.averaging:
        mean = decay * state.mean + (1 - decay) * taken(method, following)
        following = following._replace(mean=mean, share=decay * state.share + (1 - decay))
    return following


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
    norm = _norm(gradient)
    takes = jnp.isfinite(value) & jnp.isfinite(norm) & (first | fell)
    scale = jnp.where(first & takes, 1 / (norm + 1e-30), state.scale)
    # From a point that is not taken nothing is learnt: the last one, seen again, gives the same direction again.
    x = _taken_or(takes, state.trial, 1.0, state.inner.params)
    seen = _taken_or(takes, gradient, scale, state.inner.updates)
    preconditioned, inner = _transform(method).update(seen, state.inner, x)
    length = jnp.where(takes, state.rate, BACKTRACK * state.length)
    slope, trial = _along(x, seen, length, preconditioned)
    value = jnp.where(takes, value, state.value)
    return state._replace(value=value, trial=trial, slope=slope, length=length, scale=scale, inner=inner)


# Over all pixels, in programs of their own where they are not within one, as in ``lbfgs``. Each buffer that is given up
# becomes one of the new state's.
_norm = jax.jit(jnp.linalg.norm)


@functools.partial(jax.jit, donate_argnums=1)
def _taken_or(takes: Array, new: Array, scale: float | Array, old: Array) -> Array:
    """The new one, scaled, or the old one where the trial point is not taken."""
    return jnp.where(takes, scale * new, old)


@functools.partial(jax.jit, donate_argnums=3)
def _along(x: Array, gradient: Array, length: Array, preconditioned: Array) -> tuple[Array, Array]:
    """The slope along the full step, and the next trial point."""
    return -jnp.vdot(preconditioned, gradient), x - length * preconditioned


@functools.partial(jax.jit, static_argnames="method")
def result(method: Method, state: State) -> Array:
    """What a run has come to: the last point taken, or the mean of those taken, free of the bias to 0 of its start."""
    last = taken(method, state)
    if not method.averaging:
        return last
    share = state.share.reshape(state.share.shape + (1,) * (state.mean.ndim - state.share.ndim))
    return jnp.where(share > 0, state.mean / share, last)


@functools.partial(jax.jit, static_argnames=("height", "width"))
def moments_at(inner: optax.ScaleByAdamState, height: int, width: int) -> optax.ScaleByAdamState:
    """Adam's moments [..., H, W, C] for an image of another size; the second, which are squares, stay at 0 or above."""

    def at_size(moment: Array, method: str) -> Array:
        larger: Array = jax.image.resize(moment, (*moment.shape[:-3], height, width, moment.shape[-1]), method)
        return larger

    return inner._replace(mu=at_size(inner.mu, "cubic"), nu=jnp.maximum(at_size(inner.nu, "linear"), 0))
