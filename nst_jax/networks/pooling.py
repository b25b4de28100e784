"""2×2 pooling of stride 2, by mean or maximum, with gradients of their own, which a CPU does fast.

XLA derives the gradient of a maximum over windows as a scatter, value by value: it took as long as a fifth of VGG-19's
step. Here each window remembers which of its four positions won, in a byte, and hands the slope on to that one. That of
a mean it derives as a sum over windows, in bfloat16 ten times slower than handing a quarter of the slope to each.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.choices import POOLINGS, Pooling, check_choice


def pool(x: Float[Array, "*b h w c"], pooling: Pooling) -> Float[Array, "*b h//2 w//2 c"]:
    """2×2 pooling of stride 2, by mean ("avg") or maximum ("max"); an odd last row or column is dropped.

    Where several values of a window are its maximum, the first of them, row by row, takes the whole slope.
    The 2015 paper: "replacing the max-pooling operation by average pooling improves the gradient flow".
    Raises NSTError for another pooling.
    """
    check_choice("pooling", pooling, POOLINGS)
    height, width = x.shape[-3] // 2 * 2, x.shape[-2] // 2 * 2
    pooled = _mean if pooling == "avg" else _maximum
    return pooled(x[..., :height, :width, :])


def _positions(x: Array) -> list[Array]:
    """What stands at each of the four positions of all windows, row by row."""
    return [x[..., position // 2 :: 2, position % 2 :: 2, :] for position in range(4)]


def _windows(slope: Array) -> Array:
    """A slope of each window, for all of its positions: [..., H, W, C] to [..., H, 1, W, 1, C]."""
    return slope[..., :, None, :, None, :]


def _unfolded(windows: Array) -> Array:
    """[..., H, 2, W, 2, C] to [..., 2 H, 2 W, C]."""
    *batch, height, _, width, _, channels = windows.shape
    return windows.reshape(*batch, 2 * height, 2 * width, channels)


@jax.custom_vjp
def _mean(x: Array) -> Array:
    found: Array = jax.lax.platform_dependent(
        x, tpu=lambda x: windows(x, step=2) / 4, default=lambda x: functools.reduce(jnp.add, _positions(x)) / 4
    )
    return found


def _mean_forward(x: Array) -> tuple[Array, None]:
    return _mean(x), None


def _mean_backward(_: None, slope: Array) -> tuple[Array]:
    found: Array = jax.lax.platform_dependent(slope / 4, tpu=lambda each: windows(each, apart=2), default=_to_all)
    return (found,)


def _to_all(each: Array) -> Array:
    *batch, height, width, channels = each.shape
    return _unfolded(jnp.broadcast_to(_windows(each), (*batch, height, 2, width, 2, channels)))


def windows(x: Array, step: int = 1, apart: int = 1) -> Array:
    """The sums of 2×2 windows, every ``step`` positions, of ``x`` with its values put so far ``apart`` among zeros.

    A TPU writes the four positions apart, and what is handed to each, in a layout that is several times as large;
    windows it takes as they are.
    """

    def by_axis(side: Any, other: Any) -> tuple[Any, ...]:
        return (*(other,) * (x.ndim - 3), side, side, other)

    edges, zero = (apart - 1, apart - 1), jnp.zeros((), x.dtype)
    found: Array = jax.lax.reduce_window(
        x,
        zero,
        jax.lax.add,
        by_axis(2, 1),
        by_axis(step, 1),
        by_axis(edges, (0, 0)),
        base_dilation=by_axis(apart, 1),
    )
    return found


_mean.defvjp(_mean_forward, _mean_backward)


@jax.custom_vjp
def _maximum(x: Array) -> Array:
    return _winners(x)[0]


def _winners(x: Array) -> tuple[Array, Array]:
    """The maximum of each window, and its position: 0, 1 in the upper row, 2, 3 in the lower one."""
    largest, *others = _positions(x)
    position = jnp.uint8(0)
    for other, candidate in enumerate(others, 1):
        position = jnp.where(candidate > largest, jnp.uint8(other), position)
        largest = jnp.maximum(candidate, largest)
    return largest, position


def _maximum_backward(position: Array, slope: Array) -> tuple[Array]:
    places = jnp.arange(4, dtype=jnp.uint8).reshape(2, 1, 2, 1)
    return (_unfolded(jnp.where(_windows(position) == places, _windows(slope), 0)),)


_maximum.defvjp(_winners, _maximum_backward)
