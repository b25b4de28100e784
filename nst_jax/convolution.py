"""The 3×3 convolution behind every layer, with several lowerings that give the same numbers at different speeds.

``xla``
    XLA's own convolution. On a GPU or TPU it is the fast one; on a CPU it is for few channels.
``winograd``
    F(6×6, 3×3) or F(4×4, 3×3) in float32 (Winograd 1980; Lavin and Gray 2016): tiles of 8 × 8 inputs are taken to a
    basis in which the convolution is one multiplication a value, so that 64 matrix products stand for 324 (of the
    smaller tiles 36 for 144). Its rounding error is bounded by ``WINOGRAD_ERROR``. Faster on CPUs from 128 channels on.

The basis comes from interpolation (Toom and Cook): y = Aᵀ[(G g) ⊙ (Bᵀ d)] for a line of inputs d and a kernel g, where
multiplication at the points of ``POINTS`` and at infinity replaces the product of polynomials. In two dimensions each
matrix acts on rows and columns.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

LOWERINGS = ("xla", "winograd")
#: NumPy's names of the ways a picture can go on beyond its border.
BEYOND = {"replicate": "edge", "reflect": "reflect", "wrap": "wrap"}
#: The outputs that a small and a large tile have along a side; the large one is for at least so many positions an
#: output channel: it takes fewer multiplications, and more filters.
TILES, ROOMY = (4, 6), 36
#: Where a tile's polynomials are multiplied, besides at infinity; a small tile needs the first of them.
POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
#: The largest error against XLA's float32 convolution, over the largest value, on VGG-19's layers.
WINOGRAD_ERROR = 1e-4
#: The fewest channels, in and out, and positions for which Winograd's transforms pay on a CPU.
WINOGRAD_CHANNELS = 128
WINOGRAD_POSITIONS = 256
#: Tiles are worked on in strips of about so many bytes, which a CPU's caches hold, and at most so many strips.
STRIP_BYTES = 24 * 2**20
MOST_STRIPS = 8


def choose(height: int, width: int, inputs: int, outputs: int, platform: str | None = None) -> str:
    """The lowering that is fastest for [height, width, inputs] to so many ``outputs`` on a platform."""
    platform = platform or jax.default_backend()
    enough = min(inputs, outputs) >= WINOGRAD_CHANNELS and height * width >= WINOGRAD_POSITIONS
    return "winograd" if platform == "cpu" and enough else "xla"


def convolve(
    x: Float[Array, "b h w i"], kernel: Float[Array, "3 3 i o"], padding: str = "zeros", lowering: str = ""
) -> Float[Array, "b h w o"]:
    """Σ kernel[r, s] · x[y + r − 1, x + s − 1], the size kept.

    Args:
      x: responses.
      kernel: the filters.
      padding: "zeros", "replicate", "reflect" or "wrap": what lies beyond the border.
      lowering: one of ``LOWERINGS``; "" for ``choose``'s.
    """
    if padding != "zeros":
        beyond: Any = BEYOND[padding]
        return convolve(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), beyond), kernel, "zeros", lowering)[:, 1:-1, 1:-1]
    lowering = lowering or choose(*x.shape[1:3], *kernel.shape[2:])
    return {"xla": _xla, "winograd": _winograd}[lowering](x, kernel)


def _xla(x: Array, kernel: Array) -> Array:
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _winograd(x: Array, kernel: Array) -> Array:
    tile = TILES[x.shape[1] * x.shape[2] >= ROOMY * kernel.shape[3]]
    return _tiled(x, _filters(kernel, tile))


@functools.cache
def bases(tile: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Aᵀ [m, n], G [n, 3] and Bᵀ [n, n] for m = ``tile`` and n = m + 2, so that Aᵀ[(G g) ⊙ (Bᵀ d)] is d * g.

    Row j of G evaluates the kernel at point j, over the product of the point's distances to the others; row j of Bᵀ has
    the coefficients of the polynomial that vanishes at all other points; column j of Aᵀ the powers of point j.
    """
    points = np.array(POINTS[: tile + 1])
    distances = points[:, None] - points + np.eye(len(points))
    evaluate = np.vstack([points[:, None] ** np.arange(3) / distances.prod(1)[:, None], [0, 0, 1]])
    vanishing = [np.poly(np.delete(points, j))[::-1] for j in range(len(points))]
    before = np.vstack([np.pad(vanishing, ((0, 0), (0, 1))), np.poly(points)[::-1]])
    after = np.hstack([points ** np.arange(tile)[:, None], np.eye(tile)[:, -1:]])
    return after, evaluate, before


def _filters(kernel: Array, tile: int) -> Array:
    """The kernel in the basis of a tile: [n · n, I, O], of columns and then rows."""
    _, evaluate, _ = bases(tile)
    both = np.einsum("ir,js->jirs", evaluate, evaluate).reshape(-1, 9).astype(np.float32)
    return (both @ kernel.reshape(9, -1)).reshape(-1, *kernel.shape[2:])


@jax.custom_vjp
def _tiled(x: Array, filters: Array) -> Array:
    """The convolution of x [B, H, W, I] with ``_filters``, by tiles of m × m outputs, in strips of tiles."""
    grid = _Grid(x, filters)
    rows = grid.tiled(x, 1, filters.shape[1])
    parts = [grid.strip(rows[:, start : end + 1], filters) for start, end in grid.strips]
    return jnp.concatenate(parts, 1)[:, : x.shape[1], : x.shape[2]]


def _forward(x: Array, filters: Array) -> tuple[Array, tuple[Array, Array]]:
    return _tiled(x, filters), (x, filters)


def _backward(kept: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    """Every step's transpose, in the opposite order; what is not asked for is not computed."""
    x, filters = kept
    grid = _Grid(x, filters)
    rows, slopes = grid.tiled(x, 1, filters.shape[1]), grid.tiled(slope, 0, filters.shape[2])
    parts, total = [], jnp.float32(0)
    for start, end in grid.strips:
        spread = grid.spread(slopes[:, start:end])
        total += jnp.einsum("kti,kto->kio", grid.tiles(rows[:, start : end + 1]), spread)
        part = grid.gathered(jnp.einsum("kto,kio->kti", spread, filters))
        if parts:  # a strip's last row of tiles lies over the next one's first
            part = part.at[:, :1].add(parts[-1][:, -1:])
            parts[-1] = parts[-1][:, :-1]
        parts.append(part)
    whole = jnp.concatenate(parts, 1).reshape(len(x), -1, (grid.across + 1) * grid.tile, filters.shape[1])
    return whole[:, 1 : x.shape[1] + 1, 1 : x.shape[2] + 1], total


_tiled.defvjp(_forward, _backward)


class _Grid:
    """The tiles of one convolution: m × m outputs each, from n × n inputs, n = m + 2, that overlap by two.

    The barriers keep XLA from computing one pass anew for every use in the next.
    """

    def __init__(self, x: Array, filters: Array):
        self.n = math.isqrt(len(filters))
        self.tile = self.n - 2
        self.after, _, self.before = bases(self.tile)
        self.batch, height, width, _ = x.shape
        self.down, self.across = -(-height // self.tile), -(-width // self.tile)
        size = 4 * len(filters) * self.batch * self.down * self.across * max(filters.shape[1:])
        count = min(MOST_STRIPS, self.down, -(-size // STRIP_BYTES))
        edges = [self.down * strip // count for strip in range(count + 1)]
        self.strips = list(itertools.pairwise(edges))

    def tiled(self, x: Array, margin: int, channels: int) -> Array:
        """[B, H, W, C], zeros around it, as [B, tiles down (+ 1), m, padded width, C]; + 1 with a margin of 1."""
        down, across = ((count + margin) * self.tile for count in (self.down, self.across))
        beyond = ((0, 0), (margin, down - x.shape[1] - margin), (margin, across - x.shape[2] - margin), (0, 0))
        return jnp.pad(x, beyond).reshape(self.batch, -1, self.tile, across, channels)

    def strip(self, rows: Array, filters: Array) -> Array:
        """Of one strip, [B, down + 1, m, padded width, I], the outputs [B, m · down, m · across, O]."""
        down = rows.shape[1] - 1
        product = _barrier(jnp.einsum("kti,kio->kto", self.tiles(rows), filters))
        product = product.reshape(self.n, self.n, self.batch, down, self.across, -1)
        wide = _barrier(_combined(self.after, list(product), 4))  # [rows, B, down, across, m, O]
        return _combined(self.after, list(wide), 2).reshape(self.batch, down * self.tile, self.across * self.tile, -1)

    def tiles(self, rows: Array) -> Array:
        """Of one strip the tiles in the basis, [n · n, B · down · across, I]."""
        down, across, tile, channels = rows.shape[1] - 1, self.across, self.tile, rows.shape[-1]
        lines = [rows[:, k // tile : k // tile + down, k % tile] for k in range(self.n)]
        seen = _barrier(_combined(self.before, lines))
        seen = seen.reshape(self.n, self.batch, down, across + 1, tile, channels)
        columns = [seen[:, :, :, k // tile : k // tile + across, k % tile] for k in range(self.n)]
        return _barrier(_combined(self.before, columns)).reshape(self.n**2, -1, channels)

    def spread(self, slopes: Array) -> Array:
        """The transpose of ``strip``'s end: from [B, down, m, m · across, O] to [n · n, B · down · across, O]."""
        down, channels = slopes.shape[1], slopes.shape[-1]
        lines = [slopes[:, :, k] for k in range(self.tile)]
        wide = _barrier(_combined(self.after.T, lines))
        wide = wide.reshape(self.n, self.batch, down, self.across, self.tile, channels)
        columns = [wide[:, :, :, :, k] for k in range(self.tile)]
        return _barrier(_combined(self.after.T, columns)).reshape(self.n**2, -1, channels)

    def gathered(self, product: Array) -> Array:
        """The transpose of ``tiles``: from [n · n, B · down · across, I] to [B, down + 1, m, padded width, I]."""
        down = product.shape[1] // (self.batch * self.across)
        product = _barrier(product).reshape(self.n, self.n, self.batch, down, self.across, -1)
        wide = _barrier(self._overlapped(_combined(self.before.T, list(product)), 3))
        wide = wide.reshape(self.n, self.batch, down, (self.across + 1) * self.tile, -1)
        return self._overlapped(_combined(self.before.T, list(wide)), 1)

    def _overlapped(self, parts: Array, axis: int) -> Array:
        """Tiles of n along ``axis``, parts[k] the k-th of each, summed where they overlap: one tile more, of m."""
        pad = lambda part, ends: jnp.pad(part, [ends if a == axis else (0, 0) for a in range(part.ndim)])  # noqa: E731
        lines = [
            pad(parts[k], (0, 1)) + (pad(parts[self.tile + k], (1, 0)) if k < self.n - self.tile else 0)
            for k in range(self.tile)
        ]
        return jnp.stack(lines, axis + 1)


def _barrier(x: Array) -> Array:
    return jax.lax.optimization_barrier(x)


def _combined(matrix: np.ndarray, parts: Sequence[Array], axis: int = 0) -> Array:
    """matrix · parts along a new ``axis``, zeros left out."""
    rows = [
        functools.reduce(jnp.add, [np.float32(value) * part for value, part in zip(row, parts, strict=True) if value])
        for row in matrix
    ]
    return jnp.stack(rows, axis)
