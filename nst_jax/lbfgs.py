"""L-BFGS's direction as an optax transformation: that of ``optax.scale_by_lbfgs``, as a few products of matrices.

optax goes through the pairs one by one, twice, with two passes over all parameters each. The same matrix has a compact
form (Byrd, Nocedal and Schnabel 1994, theorem 2.2): with the pairs as the columns of S and Y, the oldest first,
R_ij = s_iᵀ y_j for i ≤ j, else 0, and D the diagonal of R,

    H = γ I + [S  γY] [ R⁻ᵀ (D + γ YᵀY) R⁻¹   −R⁻ᵀ ] [ Sᵀ  ]
                      [       −R⁻¹              0   ] [ γYᵀ ]

so that H g takes two products with S and Y, and besides them only numbers by the number of pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Int

#: A pair is learnt where its curvature sᵀy is more than so many times yᵀy.
CURVED = 1e-10


class Pairs(NamedTuple):
    """What has been learnt: pairs (s, y) of a step and what the gradient changed by, M at most, in slots by turns.

    Attributes:
      learnt: how many, those forgotten included.
      params, updates: the last point and the gradient there.
      steps, changes: s and y, flat; 0 where there is none yet.
      products: s_iᵀ y_j by their slots; right where y is no older than s.
      squares: y_iᵀ y_j.
    """

    learnt: Int[Array, ""]
    params: Array
    updates: Array
    steps: Float[Array, "m n"]
    changes: Float[Array, "m n"]
    products: Float[Array, "m m"]
    squares: Float[Array, "m m"]


def scale_by_compact_lbfgs(memory_size: int) -> optax.GradientTransformation:
    """Gradients to H g, for one array as parameters, of which it remembers ``memory_size`` pairs.

    Unlike optax's it does not learn pairs without positive curvature, which spoil the approximation (optax #1708).
    ``init`` wants the point at which the first gradient is taken; with nothing learnt H is 1.
    """

    def init(params: Array) -> Pairs:
        none, square = jnp.zeros((memory_size, params.size)), jnp.zeros((memory_size, memory_size))
        return Pairs(jnp.int32(0), params, jnp.zeros_like(params), none, none, square, square)

    def update(updates: Array, state: Pairs, params: Array) -> tuple[Array, Pairs]:
        gradient = updates.ravel()
        s, y = (params - state.params).ravel(), gradient - state.updates.ravel()
        curved = (_dot(s, y) > CURVED * _dot(y, y)) & (_dot(y, y) > 0)
        slot = state.learnt % memory_size
        steps = state.steps.at[slot].set(jnp.where(curved, s, state.steps[slot]))
        changes = state.changes.at[slot].set(jnp.where(curved, y, state.changes[slot]))
        products = state.products.at[:, slot].set(_dot(steps, changes[slot]))
        column = _dot(changes, changes[slot])
        squares = state.squares.at[:, slot].set(column).at[slot].set(column)
        pairs = Pairs(state.learnt + curved, params, updates, steps, changes, products, squares)
        scale, of_steps, of_changes = _shares(pairs, _dot(steps, gradient), _dot(changes, gradient))
        direction = scale * gradient + _dot(of_steps, steps) + _dot(of_changes, changes)
        return direction.reshape(updates.shape), pairs

    return optax.GradientTransformation(init, update)  # type: ignore[arg-type]


def _shares(
    pairs: Pairs, to_steps: Float[Array, " m"], to_changes: Float[Array, " m"]
) -> tuple[Float[Array, ""], Float[Array, " m"], Float[Array, " m"]]:
    """How much of g, of each s and of each y there is in H g, from Sᵀg and Yᵀg."""
    size = len(pairs.steps)
    order = (pairs.learnt + jnp.arange(size)) % size  # of slots, the oldest first; those that are empty before
    slots = jnp.argsort(order)
    products, squares = pairs.products[order][:, order], pairs.squares[order][:, order]
    diagonal = jnp.diag(products)
    upper = jnp.triu(products) + jnp.diag(jnp.where(diagonal == 0, 1.0, 0.0))  # 1 for what is empty
    scale = jnp.where(pairs.learnt > 0, diagonal[-1] / squares[-1, -1], 1.0)
    of_changes = solve_triangular(upper, to_steps[order])
    inner = diagonal * of_changes + scale * (_dot(squares, of_changes) - to_changes[order])
    of_steps = solve_triangular(upper, inner, trans="T")
    return scale, of_steps[slots], -scale * of_changes[slots]


def _dot(left: Array, right: Array) -> Array:
    return jnp.dot(left, right, precision=jax.lax.Precision.HIGHEST)
