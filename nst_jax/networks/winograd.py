"""A 3×3 convolution by tiles: Winograd's F(4×4, 3×3) (Winograd 1980; Lavin and Gray 2016), with its gradient.

In one dimension y = Aᵀ[(G g) ⊙ (Bᵀ d)]: a line of n = m + 2 inputs d and a kernel g of 3 are taken as polynomials, and
their product is found by interpolation (Toom and Cook): multiplication at n − 1 points and at infinity. In two
dimensions each matrix acts on rows and on columns. Over all channels, n² matrix products do the work of 9 m².
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

#: The outputs that a tile has along a side, its inputs, and where its polynomials are multiplied, besides at infinity:
#: with a point p also −1/p, for ``turned_bases``.
TILE = 4
SEEN = TILE + 2
POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
#: The largest error against XLA's float32 convolution, over the largest value, on VGG-19's layers, by the type of the
#: products. Of bfloat16 that is what rounding the tiles and the filters comes to; sums are always float32.
ERROR = {"float32": 1e-4, "bfloat16": 0.05}
#: Tiles that take more bytes than this are worked on in strips, of about so many or so many strips at most: two bound
#: the memory as well as four do, but for a twelfth in bfloat16, and compile in half the time.
STRIP_BYTES = 64 * 2**20
MOST_STRIPS = 2


@functools.cache
def bases() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Aᵀ [m, n], G [n, 3] and Bᵀ [n, n] for m = ``TILE`` and n = m + 2, so that Aᵀ[(G g) ⊙ (Bᵀ d)] is d * g.

    Row j of G evaluates the kernel at point j, over the product of the point's distances to the others; row j of Bᵀ has
    the coefficients of the polynomial that vanishes at all other points; column j of Aᵀ the powers of point j.
    """
    points = np.array(POINTS)
    distances = points[:, None] - points + np.eye(len(points))
    evaluate = np.vstack([points[:, None] ** np.arange(3) / distances.prod(1)[:, None], [0, 0, 1]])
    vanishing = [np.poly(np.delete(points, j))[::-1] for j in range(len(points))]
    before = np.vstack([np.pad(vanishing, ((0, 0), (0, 1))), np.poly(points)[::-1]])
    after = np.hstack([points ** np.arange(TILE)[:, None], np.eye(TILE)[:, -1:]])
    return _read_only(after), _read_only(evaluate), _read_only(before)


@functools.cache
def turned_bases() -> tuple[np.ndarray, np.ndarray]:
    """Aᵀ and Bᵀ that with G of a kernel give the correlation with the kernel turned around, as gradients take it.

    The polynomial of a kernel at −1/p is, but for a factor, that at p of the kernel turned around and with alternating
    signs; and −1/p is a point where p is one, 0 and infinity among them. So G of the kernel turned around and with
    alternating signs is G of the kernel with its rows in another order, each times a factor. The order is put into both
    matrices, the factors into Bᵀ, the signs into data and outputs.
    """
    after, evaluate, before = bases()
    signs = (-1.0) ** np.arange(SEEN)
    turned = (evaluate * signs[:3])[:, ::-1]
    order = np.abs(_unit(evaluate) @ _unit(turned).T).argmax(1)  # for each row of G the one of ``turned`` along it
    factors = (turned[order] * evaluate).sum(1) / np.square(evaluate).sum(1)
    turned_after = (signs[:TILE, None] * after)[:, order]
    return _read_only(turned_after), _read_only(factors[:, None] * (before * signs)[order])


def _read_only(array: np.ndarray) -> np.ndarray:
    """An array that is cached: whoever changed it would change every convolution after."""
    array.flags.writeable = False
    return array


def _unit(rows: np.ndarray) -> np.ndarray:
    units: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return units


@functools.partial(jax.jit, static_argnames="dtype")
def transformed(kernel: Float[Array, "3 3 i o"], dtype: str = "float32") -> Float[Array, "36 i o"]:
    """The kernel in the basis of the tiles: [n · n, I, O], of columns and then rows."""
    _, evaluate, _ = bases()
    both = np.einsum("ir,js->jirs", evaluate, evaluate).reshape(-1, 9).astype(np.float32)
    filters: Array = (both @ kernel.astype(jnp.float32).reshape(9, -1)).reshape(-1, *kernel.shape[2:]).astype(dtype)
    return filters


@jax.custom_vjp
def winograd(x: Float[Array, "b h w i"], filters: Float[Array, "36 i o"]) -> Float[Array, "b h w o"]:
    """The convolution with ``transformed`` filters, zeros beyond the border, in the type of ``x``; in strips of tiles.

    The products are taken in the type of the filters; the error is ``ERROR`` of the largest value. Differentiable in
    reverse (``grad``, ``vjp``), in both arguments; not forward (``jvp``).
    """
    after, _, before = bases()
    return _convolved(x, filters, after, before, "kti,kio->kto")


def _convolved(x: Array, filters: Array, after: np.ndarray, before: np.ndarray, which: str) -> Array:
    """The outputs of all tiles, strip by strip, cut to the size of ``x``; ``which`` are the products over channels."""
    grid = _Grid(x, filters)
    rows = grid.tiled(x, 1)
    parts = []
    for start, end in grid.strips:
        tiles = grid.tiles(rows[:, start : end + 1], before)
        parts.append(grid.outputs(_products(which, tiles, filters), after))
    return jnp.concatenate(parts, 1)[:, : x.shape[1], : x.shape[2]].astype(x.dtype)


def _forward(x: Array, filters: Array) -> tuple[Array, tuple[Array, Array]]:
    return winograd(x, filters), (x, filters)


def _backward(kept: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    """To the responses the convolution with the kernel turned around; to the filters the products of the tiles with the
    slope as ``outputs`` transposed spreads it. What is not asked for is not computed."""
    x, filters = kept
    grid = _Grid(x, filters)
    rows, slopes = grid.tiled(x, 1), grid.tiled(slope, 0)
    to_filters = jnp.float32(0)
    for start, end in grid.strips:
        tiles = grid.tiles(rows[:, start : end + 1], bases()[2])
        to_filters += _products("kti,kto->kio", tiles, grid.spread(slopes[:, start:end]))
    to_x = _convolved(slope, filters, *turned_bases(), "kto,kio->kti")
    return to_x, to_filters.astype(filters.dtype)


winograd.defvjp(_forward, _backward)


class _Grid:
    """The tiles of one convolution: m × m outputs each, from n × n inputs that overlap by two (m = TILE, n = SEEN).

    The barriers keep XLA from computing one pass anew for every use in the next.
    """

    def __init__(self, x: Array, filters: Array):
        self.dtype = filters.dtype
        self.batch, height, width, _ = x.shape
        self.down, self.across = -(-height // TILE), -(-width // TILE)
        size = 4 * len(filters) * self.batch * self.down * self.across * max(filters.shape[1:])
        count = min(MOST_STRIPS, self.down, -(-size // STRIP_BYTES))
        edges = [self.down * strip // count for strip in range(count + 1)]
        self.strips = list(itertools.pairwise(edges))

    def tiled(self, x: Array, margin: int) -> Array:
        """[B, H, W, C], zeros around it, as [B, tiles down (+ 1), m, padded width, C]; + 1 with a margin of 1."""
        down, across = ((count + margin) * TILE for count in (self.down, self.across))
        beyond = ((0, 0), (margin, down - x.shape[1] - margin), (margin, across - x.shape[2] - margin), (0, 0))
        return jnp.pad(x, beyond).reshape(self.batch, -1, TILE, across, x.shape[-1])

    def tiles(self, rows: Array, before: np.ndarray) -> Array:
        """Of one strip, [B, down + 1, m, padded width, I], the tiles in the basis, [n · n, B · down · across, I]."""
        down, across, channels = rows.shape[1] - 1, self.across, rows.shape[-1]
        lines = [rows[:, k // TILE : k // TILE + down, k % TILE] for k in range(SEEN)]
        seen = _barrier(_summed(before, lines))
        seen = seen.reshape(SEEN, self.batch, down, across + 1, TILE, channels)
        columns = [seen[:, :, :, k // TILE : k // TILE + across, k % TILE] for k in range(SEEN)]
        return _barrier(_combined(before, columns).astype(self.dtype)).reshape(SEEN**2, -1, channels)

    def outputs(self, product: Array, after: np.ndarray) -> Array:
        """Of a strip's products [n · n, B · down · across, O] the outputs [B, m · down, m · across, O]."""
        down = product.shape[1] // (self.batch * self.across)
        product = _barrier(product).reshape(SEEN, SEEN, self.batch, down, self.across, -1)
        wide = _barrier(_summed(after, list(product), 4))  # [rows, B, down, across, m, O]
        return _combined(after, list(wide), 2).reshape(self.batch, down * TILE, self.across * TILE, -1)

    def spread(self, slopes: Array) -> Array:
        """The transpose of ``outputs``: from [B, down, m, m · across, O] to [n · n, B · down · across, O]."""
        down, channels = slopes.shape[1], slopes.shape[-1]
        spreading = bases()[0].T
        wide = _barrier(_summed(spreading, [slopes[:, :, k] for k in range(TILE)]))
        wide = wide.reshape(SEEN, self.batch, down, self.across, TILE, channels)
        columns = [wide[:, :, :, :, k] for k in range(TILE)]
        return _barrier(_combined(spreading, columns).astype(self.dtype)).reshape(SEEN**2, -1, channels)


def _products(which: str, left: Array, right: Array) -> Array:
    return jnp.einsum(which, left, right, preferred_element_type=jnp.float32)


def _barrier(x: Array) -> Array:
    same: Array = jax.lax.optimization_barrier(x)
    return same


def _summed(matrix: np.ndarray, parts: Sequence[Array], axis: int = 0) -> Array:
    """matrix · parts along a new ``axis``, in float32: one sum of products, which is one loop of XLA's.

    For the first of two passes. In the second, whose result is larger, it costs a step more time than ``_combined``.
    """
    columns = matrix.T.astype(np.float32).reshape(len(parts), -1, *[1] * (parts[0].ndim - axis))
    return functools.reduce(jnp.add, map(jnp.multiply, columns, (jnp.expand_dims(part, axis) for part in parts)))


def _combined(matrix: np.ndarray, parts: Sequence[Array], axis: int = 0) -> Array:
    """As ``_summed``, but a loop for each row of the matrix: zeros are left out, ones not multiplied."""

    def times(value: float, part: Array) -> Array:
        return part.astype(jnp.float32) if value == 1 else np.float32(value) * part

    rows = [[times(value, part) for value, part in zip(row, parts, strict=True) if value] for row in matrix]
    return jnp.stack([functools.reduce(jnp.add, row) for row in rows], axis)
