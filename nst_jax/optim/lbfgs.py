"""L-BFGS's direction as an optax transformation: that of ``optax.scale_by_lbfgs``, as a few products of matrices.

optax goes through the pairs one by one, twice, with two passes over all parameters each. The same matrix has a compact
form (Byrd, Nocedal and Schnabel 1994, theorem 2.2): with the pairs as the columns of S and Y, the oldest first,
R_ij = s_iᵀ y_j for i ≤ j, else 0, and D the diagonal of R,

    H = γ I + [S  γY] [ R⁻ᵀ (D + γ YᵀY) R⁻¹   −R⁻ᵀ ] [ Sᵀ  ]
                      [       −R⁻¹              0   ] [ γYᵀ ]

so that H g takes two products with S and Y, and besides them only numbers by the number of pairs. The same R⁻¹ stands
on both sides: with u = R⁻¹Sᵀg, gᵀHg = uᵀDu + γ ‖g − Yu‖², so that −H g leads downhill whatever rounding does to R⁻¹.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

#: A pair is learnt where its curvature sᵀy is more than so many times yᵀy.
CURVED = 1e-10


class Pairs(NamedTuple):
    """What has been learnt: pairs (s, y) of a step and what the gradient changed by, M at most, in slots by turns.

    Attributes:
      learnt: how many, those forgotten included.
      params, updates: the last point and the gradient there.
      steps, changes: s and y, flat.
      inverse: R⁻¹, its rows and columns by slots, not by age.
      diagonal: s_iᵀ y_i.
      squares: y_iᵀ y_j.
      scale: γ, 1 at first. All the others are 0 where there is no pair yet.
    """

    learnt: Int[Array, ""]
    params: Array
    updates: Array
    steps: Float[Array, "m n"]
    changes: Float[Array, "m n"]
    inverse: Float[Array, "m m"]
    diagonal: Float[Array, " m"]
    squares: Float[Array, "m m"]
    scale: Float[Array, ""]


def scale_by_compact_lbfgs(memory_size: int) -> optax.GradientTransformation:
    """Gradients to H g, for one array as parameters, of which it remembers ``memory_size`` pairs; γ is sᵀy / yᵀy.

    Unlike optax's it does not learn pairs without positive curvature, which spoil the approximation (optax #1708).
    ``init`` wants the point at which the first gradient is taken; with nothing learnt H is 1.
    """

    def init(params: Array) -> Pairs:
        kind = params.dtype
        none = jnp.zeros((memory_size, params.size), kind)
        square = jnp.zeros((memory_size, memory_size), kind)
        small = square, jnp.zeros(memory_size, kind), square, jnp.ones((), kind)
        return Pairs(jnp.int32(0), params, jnp.zeros_like(params), none, none, *small)

    def update(updates: Array, state: Pairs, params: Array) -> tuple[Array, Pairs]:
        pairs = _learn(state, params, updates)
        gradient = updates.ravel()
        of_changes = _dot(pairs.inverse, _dot(pairs.steps, gradient))
        inner = _dot(pairs.squares, of_changes) - _dot(pairs.changes, gradient)
        of_steps = _dot(pairs.diagonal * of_changes + pairs.scale * inner, pairs.inverse)
        direction = _dot(of_steps, pairs.steps) + pairs.scale * (gradient - _dot(of_changes, pairs.changes))
        return direction.reshape(updates.shape), pairs

    return optax.GradientTransformation(init, update)  # type: ignore[arg-type]


def _learn(pairs: Pairs, params: Array, gradient: Array) -> Pairs:
    """With the pair of the way to ``params`` instead of the oldest, if its curvature is positive.

    R⁻¹ without the oldest pair has its row and its column left out; a newest pair adds −R⁻¹ Sᵀy / sᵀy as a column and
    1 / sᵀy at its end, as R is triangular.
    """
    s, y = (params - pairs.params).ravel(), (gradient - pairs.updates).ravel()
    curvature, square = _dot(s, y), _dot(y, y)
    least = jnp.finfo(params.dtype).tiny  # of which the inverse is finite
    curved = (curvature > jnp.maximum(CURVED * square, least)) & (square > least)
    slot = pairs.learnt % len(pairs.steps)
    steps = pairs.steps.at[slot].set(jnp.where(curved, s, pairs.steps[slot]))
    changes = pairs.changes.at[slot].set(jnp.where(curved, y, pairs.changes[slot]))
    inverse = pairs.inverse.at[slot].set(0).at[:, slot].set(0)
    column = (-_dot(inverse, _dot(steps, y)) / curvature).at[slot].set(1 / curvature)
    to_changes = _dot(changes, y)
    small = (
        inverse.at[:, slot].set(column),
        pairs.diagonal.at[slot].set(curvature),
        pairs.squares.at[slot].set(to_changes).at[:, slot].set(to_changes),
        curvature / square,
    )
    known = pairs.inverse, pairs.diagonal, pairs.squares, pairs.scale
    small = jax.tree.map(functools.partial(jnp.where, curved), small, known)
    return Pairs(pairs.learnt + curved, params, gradient, steps, changes, *small)


def _dot(left: Array, right: Array) -> Array:
    return jnp.dot(left, right, precision=jax.lax.Precision.HIGHEST)
