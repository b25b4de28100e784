"""2×2 pooling of stride 2, by mean or maximum, with a gradient of its own for the maximum.

XLA derives the gradient of a maximum over windows as a scatter, which a CPU does value by value: it took as long as a
fifth of VGG-19's step. Here each window remembers which of its four positions won, in a byte, and hands the slope on
to that one.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def pool(x: Float[Array, "*b h w c"], pooling: str) -> Float[Array, "*b h//2 w//2 c"]:
    """2×2 pooling of stride 2, by mean ("avg") or maximum ("max"); an odd last row or column is dropped.

    Where several values of a window are its maximum, the first of them, row by row, takes the whole slope.
    The 2015 paper: "replacing the max-pooling operation by average pooling improves the gradient flow".
    """
    if pooling == "avg":
        return nn.avg_pool(x, (2, 2), (2, 2))
    height, width = x.shape[-3] // 2 * 2, x.shape[-2] // 2 * 2
    return _maximum(x[..., :height, :width, :])


@jax.custom_vjp
def _maximum(x: Array) -> Array:
    return _winners(x)[0]


def _winners(x: Array) -> tuple[Array, Array]:
    """The maximum of each window, and its position: 0, 1 in the upper row, 2, 3 in the lower one."""
    largest, position = x[..., ::2, ::2, :], jnp.uint8(0)
    for other in (1, 2, 3):
        candidate = x[..., other // 2 :: 2, other % 2 :: 2, :]
        position = jnp.where(candidate > largest, jnp.uint8(other), position)
        largest = jnp.maximum(candidate, largest)
    return largest, position


def _backward(position: Array, slope: Array) -> tuple[Array]:
    *batch, height, width, channels = slope.shape
    places = jnp.arange(4, dtype=jnp.uint8).reshape(2, 1, 2, 1)
    won = position[..., :, None, :, None, :] == places
    windows = jnp.where(won, slope[..., :, None, :, None, :], 0)
    return (windows.reshape(*batch, 2 * height, 2 * width, channels),)


_maximum.defvjp(_winners, _backward)
