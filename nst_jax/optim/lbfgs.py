"""L-BFGS's direction as an optax transformation: that of ``optax.scale_by_lbfgs``, as a few products of matrices.

optax goes through the pairs one by one, twice, with two passes over all parameters each. The same matrix has a compact
form (Byrd, Nocedal and Schnabel 1994, theorem 2.2): with the pairs as the columns of S and Y, the oldest first,
R_ij = s_iᵀ y_j for i ≤ j, else 0, and D the diagonal of R,

    H = γ I + [S  γY] [ R⁻ᵀ (D + γ YᵀY) R⁻¹   −R⁻ᵀ ] [ Sᵀ  ]
                      [       −R⁻¹              0   ] [ γYᵀ ]

so that H g takes two products with S and Y, and besides them only numbers by the number of pairs. The same R⁻¹ stands
on both sides: with u = R⁻¹Sᵀg, gᵀHg = uᵀDu + γ ‖g − Yu‖², so that −H g leads downhill whatever rounding does to R⁻¹.

What goes over the parameters is in programs of its own. Within another program they are parts of that; outside of one,
little more than the state is in the memory at once.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

#: From so many values on, a CPU takes products with two vectors at once, of so many values at a time: ``_together``.
MANY, PIECE = 1 << 22, 1 << 16
#: A pair is learnt where its curvature sᵀy is more than so many times yᵀy.
CURVED = 1e-10


class Pairs(NamedTuple):
    """What has been learnt: pairs (s, y) of a step and what the gradient changed by, M at most, in slots by turns.

    Attributes:
      learnt: how many, those forgotten included.
      params, updates: the last point and the gradient there.
      steps, changes: s and y, flat, for each array of the parameters.
      inverse: R⁻¹, its rows and columns by slots, not by age.
      diagonal: s_iᵀ y_i.
      squares: y_iᵀ y_j.
      scale: γ, 1 at first. All the others are 0 where there is no pair yet.
    """

    learnt: Int[Array, ""]
    params: PyTree[Array]
    updates: PyTree[Array]
    steps: PyTree[Float[Array, "m _n"]]
    changes: PyTree[Float[Array, "m _n"]]
    inverse: Float[Array, "m m"]
    diagonal: Float[Array, " m"]
    squares: Float[Array, "m m"]
    scale: Float[Array, ""]


def scale_by_compact_lbfgs(
    memory_size: int, in_place: bool = False, spread: bool = False
) -> optax.GradientTransformation:
    """Gradients to H g, of which it remembers ``memory_size`` pairs; γ is sᵀy / yᵀy.

    The parameters are any pytree of float arrays, which H takes as one vector; what is by the number of pairs is
    float32 at least. Unlike optax's it does not learn pairs without positive curvature, which spoil the approximation
    (optax #1708). ``init`` wants the point at which the first gradient is taken, and ``update`` that of its gradient;
    with nothing learnt H is 1. If ``in_place``, ``update`` gives up the pairs of the state that it gets, outside of a
    program too. ``spread`` says that the parameters lie on a mesh of devices, each of which goes through its own part.

    Raises TypeError or ValueError, in one line, for a ``memory_size`` that is no whole number of 1 or more; so do
    ``init`` and ``update`` for arrays that cannot be used.
    """
    if isinstance(memory_size, bool) or not isinstance(memory_size, int):
        raise TypeError(f"memory_size is {memory_size!r}: give a whole number of 1 or more")
    if memory_size < 1:
        raise ValueError(f"memory_size is {memory_size}: give a whole number of 1 or more")

    def init(params: PyTree) -> Pairs:
        params = _arrays("params", params)
        kind = jnp.result_type(jnp.float32, *jax.tree.leaves(params))
        steps, changes = (
            jax.tree.map(lambda leaf: jnp.zeros((memory_size, leaf.size), leaf.dtype), params) for _ in range(2)
        )
        square = jnp.zeros((memory_size, memory_size), kind)
        small = square, jnp.zeros(memory_size, kind), square, jnp.ones((), kind)
        return Pairs(jnp.int32(0), params, jax.tree.map(jnp.zeros_like, params), steps, changes, *small)

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[Any, Pairs]:
        if params is None:
            raise ValueError("scale_by_compact_lbfgs wants the point of the gradient: update(updates, state, params)")
        params, updates = _arrays("params", params, state.params), _arrays("updates", updates, state.params)
        pairs, to_steps, to_changes = _learn(state, params, updates, in_place, spread)
        of_changes = _dot(pairs.inverse, to_steps)
        inner = _dot(pairs.squares, of_changes) - to_changes
        of_steps = _dot(pairs.diagonal * of_changes + pairs.scale * inner, pairs.inverse)
        return _direction(updates, pairs.steps, pairs.changes, of_steps, of_changes, pairs.scale), pairs

    return optax.GradientTransformation(init, update)


def _arrays(name: str, tree: PyTree, like: PyTree | None = None) -> Any:
    """A pytree as JAX's arrays. Raises TypeError or ValueError unless they are floats, and ``like`` others if given."""
    leaves, structure = jax.tree.flatten(tree)
    if not leaves:
        raise ValueError(f"{name} holds no array: give a pytree of float arrays")
    for leaf in leaves:
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise TypeError(f"{name} holds {jnp.result_type(leaf)}: give a pytree of float arrays")
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    if like is not None:
        wanted: Any = jax.tree.structure(like)
        if wanted != structure:
            raise ValueError(f"{name} is {structure}: give {wanted}, as init was given")
        for leaf, known in zip(leaves, jax.tree.leaves(like), strict=True):
            if (leaf.shape, leaf.dtype) != (known.shape, known.dtype):
                given, kept = (f"{array.dtype}{list(array.shape)}" for array in (leaf, known))
                raise ValueError(f"{name} holds {given}: give {kept}, as init was given")
    return jax.tree.unflatten(structure, leaves)


def _learn(pairs: Pairs, params: PyTree, gradient: PyTree, in_place: bool, spread: bool) -> tuple[Pairs, Array, Array]:
    """With the pair of the way to ``params`` instead of the oldest, if its curvature is positive; and Sᵀg and Yᵀg.

    R⁻¹ without the oldest pair has its row and its column left out; a newest pair adds −R⁻¹ Sᵀy / sᵀy as a column and
    1 / sᵀy at its end, as R is triangular.
    """
    curvature, square = _curvature(params, pairs.params, gradient, pairs.updates)
    least = jnp.finfo(square.dtype).tiny  # of which the inverse is finite
    curved = (curvature > jnp.maximum(CURVED * square, least)) & (square > least)
    slot = pairs.learnt % len(pairs.diagonal)
    newest = _with_newest_in_place if in_place else _with_newest
    steps = newest(pairs.steps, slot, curved, params, pairs.params)
    changes = newest(pairs.changes, slot, curved, gradient, pairs.updates)
    steps_y, changes_y, steps_g, changes_g = _products(gradient, pairs.updates, steps, changes, spread)
    inverse = pairs.inverse.at[slot].set(0).at[:, slot].set(0)
    column = (-_dot(inverse, steps_y) / curvature).at[slot].set(1 / curvature)
    small = (
        inverse.at[:, slot].set(column),
        pairs.diagonal.at[slot].set(curvature),
        pairs.squares.at[slot].set(changes_y).at[:, slot].set(changes_y),
        curvature / square,
    )
    known = pairs.inverse, pairs.diagonal, pairs.squares, pairs.scale
    small = jax.tree.map(functools.partial(jnp.where, curved), small, known)
    return Pairs(pairs.learnt + curved, params, gradient, steps, changes, *small), steps_g, changes_g


@jax.jit
def _curvature(params: PyTree, params_before: PyTree, gradient: PyTree, before: PyTree) -> tuple[Array, Array]:
    """sᵀy and yᵀy."""
    s, y = (jax.tree.map(_moved, *both) for both in ((params, params_before), (gradient, before)))
    return _over_all(s, y), _over_all(y, y)


def _newest(known: PyTree, slot: Array, curved: Array, after: PyTree, before: PyTree) -> PyTree:
    """S or Y with the newest s or y in its slot, if that is curved."""

    def learnt(known: Array, after: Array, before: Array) -> Array:
        return known.at[slot].set(jnp.where(curved, _moved(after, before), known[slot]))

    return jax.tree.map(learnt, known, after, before)


_with_newest, _with_newest_in_place = jax.jit(_newest), jax.jit(_newest, donate_argnums=0)


@functools.partial(jax.jit, static_argnames="spread")
def _products(
    gradient: PyTree, before: PyTree, steps: PyTree, changes: PyTree, spread: bool
) -> tuple[Array, Array, Array, Array]:
    """Sᵀy, Yᵀy, Sᵀg and Yᵀg."""
    largest = max(leaf.size for leaf in jax.tree.leaves(gradient))
    if largest < MANY:
        return _apart(gradient, before, steps, changes)
    piece = largest if spread else PIECE  # a loop over pieces would gather them on each device
    found: tuple[Array, Array, Array, Array] = jax.lax.platform_dependent(
        gradient, before, steps, changes, cpu=functools.partial(_together, piece=piece), default=_apart
    )
    return found


def _apart(gradient: PyTree, before: PyTree, steps: PyTree, changes: PyTree) -> tuple[Array, Array, Array, Array]:
    """The products with y, then those with g."""
    y, g = jax.tree.map(_moved, gradient, before), jax.tree.map(flat, gradient)
    return _over_all(steps, y), _over_all(changes, y), _over_all(steps, g), _over_all(changes, g)


def _together(
    gradient: PyTree, before: PyTree, steps: PyTree, changes: PyTree, piece: int
) -> tuple[Array, Array, Array, Array]:
    """The products with y and g as two rows, of ``piece`` values at a time, so that a CPU's sums in float32 are right.

    XLA's products of a matrix with one vector add up value by value there: of 40 million, half a percent is lost. Its
    products of two matrices take room for copies of them, which pieces keep small.
    """
    each = jax.tree.map(functools.partial(_in_pieces, piece), gradient, before, steps, changes)
    of_steps, of_changes = functools.reduce(jnp.add, jax.tree.leaves(each))
    return of_steps[:, 0], of_changes[:, 0], of_steps[:, 1], of_changes[:, 1]


def _in_pieces(piece: int, after: Array, before: Array, steps: Array, changes: Array) -> Float[Array, "2 m 2"]:
    """The products of S and of Y with y and g, of one array of the parameters."""

    def of(start: int | Array, size: int) -> Array:
        arrays = flat(after), flat(before), steps, changes
        g, g_before, s, y = (jax.lax.dynamic_slice_in_dim(array, start, size, axis=-1) for array in arrays)
        both = jnp.stack([g - g_before, g])
        return jnp.stack([_over_all(s, both), _over_all(y, both)])

    full = max(0, after.size - 1) // piece
    last = of(full * piece, after.size - full * piece)
    if not full:
        return last
    total: Array = jax.lax.fori_loop(0, full, lambda index, sums: sums + of(index * piece, piece), last)
    return total


@jax.jit
def _direction(
    gradient: PyTree, steps: PyTree, changes: PyTree, of_steps: Array, of_changes: Array, scale: Array
) -> PyTree:
    """S a + γ (g − Y u), where u is ``of_changes`` and a ``of_steps``."""

    def direction(gradient: Array, steps: Array, changes: Array) -> Array:
        found = _weighed(of_steps, steps) + scale * (flat(gradient) - _weighed(of_changes, changes))
        return shaped(found, gradient.shape).astype(gradient.dtype)

    return jax.tree.map(direction, gradient, steps, changes)


def _weighed(weights: Array, rows: Array) -> Array:
    """Σ w_i r_i. A product takes a CPU less time than a sum, but room for one more row."""
    if rows.shape[1] < MANY:
        return _dot(weights, rows)
    found: Array = jax.lax.platform_dependent(
        weights, rows, cpu=lambda weights, rows: jnp.sum(weights[:, None] * rows, 0), default=_dot
    )
    return found


def _moved(after: Array, before: Array) -> Array:
    """s or y, flat. On a CPU a barrier has XLA sum few values as one vector, whatever program they are in."""
    moved = flat(after - before)
    if moved.size >= MANY:
        return moved
    apart: Array = jax.lax.platform_dependent(moved, cpu=jax.lax.optimization_barrier, default=lambda moved: moved)
    return apart


def flat(array: Array) -> Array:
    """An array's values as a vector: in their order, but on a TPU as ``by_channels`` has them."""
    if array.ndim < 3:
        return array.ravel()
    found: Array = jax.lax.platform_dependent(array, tpu=by_channels, default=jnp.ravel)
    return found


def shaped(vector: Array, shape: tuple[int, ...]) -> Array:
    """The array of this shape of which ``flat`` makes the vector."""
    if len(shape) < 3:
        return vector.reshape(shape)
    found: Array = jax.lax.platform_dependent(
        vector,
        tpu=functools.partial(by_channels_back, shape=shape),
        default=lambda vector: vector.reshape(shape),
    )
    return found


def by_channels(array: Array) -> Array:
    """An image [H, W, C] as a vector, row by row and in each row channel by channel.

    On a TPU the few channels of a pixel stand among zeros, 128 for each pixel, wherever they are put side by side.
    """
    return array.swapaxes(-1, -2).ravel()


def by_channels_back(vector: Array, shape: tuple[int, ...]) -> Array:
    """The image of which ``by_channels`` makes the vector."""
    return vector.reshape(*shape[:-2], shape[-1], shape[-2]).swapaxes(-1, -2)


def _over_all(left: PyTree, right: PyTree) -> Array:
    """Products of vectors that lie in several arrays, rows by rows: the sum of those of each, in float32 at least."""
    kind = jnp.result_type(jnp.float32, *jax.tree.leaves(right))
    each = jax.tree.map(lambda one, other: _dot(one.astype(kind), other.astype(kind).T), left, right)
    total: Array = functools.reduce(jnp.add, jax.tree.leaves(each))
    return total


def _dot(left: Array, right: Array) -> Array:
    return jnp.dot(left, right, precision=jax.lax.Precision.HIGHEST)
