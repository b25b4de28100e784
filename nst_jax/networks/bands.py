"""The 3×3 convolution of a picture that lies in bands of rows, as a TPU takes it fast.

A TPU's convolution works on eight entries of a batch at once. A single picture leaves seven of them empty; XLA then
parts the rows of a picture itself, but puts it together again between layers, which moves five times as many bytes.
Here a picture [1, H, W, C] is [n, H/n, W, C] from the first layer to the last. What a band needs of its neighbours is
one row on each side, which XLA reads as part of the convolution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.choices import Padding

#: As many bands as a TPU takes at once, or fewer where the rows do not allow so many.
NUMBERS = (8, 4, 2)
#: The fewest rows of a band: "reflect" asks for the second one from its border.
ROWS = 2
#: NumPy's names of the ways a picture can go on beyond its border.
BEYOND: dict[Padding, Any] = {"replicate": "edge", "reflect": "reflect", "wrap": "wrap"}


def number_of(batch: int, height: int) -> int:
    """How many bands a picture is parted into; 1 for several pictures, which fill a batch themselves."""
    whole = (number for number in NUMBERS if height % number == 0 and height // number >= ROWS)
    return next(whole, 1) if batch == 1 else 1


def pooled(x: Float[Array, "n h w c"], number: int, pool: Callable[[Array], Array]) -> tuple[Array, int]:
    """Bands after a pooling, and how many there are: half as many where it would part a pair of rows, or leave one."""
    while number > 1 and (x.shape[1] % 2 or x.shape[1] < 2 * ROWS):
        x, number = apart(together(x, number), number // 2), number // 2
    return pool(x), number


def apart(x: Float[Array, "b h w c"], number: int) -> Float[Array, "_b _h w c"]:
    """A picture [1, H, W, C] as bands [n, H/n, W, C]; what is no single picture stays with ``number`` 1."""
    batch, height, width, channels = x.shape
    return x.reshape(batch * number, height // number, width, channels)


def together(x: Float[Array, "n h w c"], number: int) -> Float[Array, "_b _h w c"]:
    """What ``apart`` has parted."""
    bands, height, width, channels = x.shape
    return x.reshape(bands // number, number * height, width, channels)


def convolve(
    x: Float[Array, "n h w i"], kernel: Float[Array, "3 3 i o"], padding: Padding = "zeros"
) -> Float[Array, "n h w o"]:
    """``convolution.convolve`` of a picture in bands, which goes on beyond its border as ``padding`` says."""
    if padding == "zeros":
        same: Array = _convolved(x, kernel)
        return same
    x = jnp.pad(_with_rims(x, padding), ((0, 0), (0, 0), (1, 1), (0, 0)), BEYOND[padding])
    return _valid(x, kernel, (0, 0))


def _with_rims(x: Array, padding: Padding) -> Array:
    """Bands with the row above and the row below them."""
    top = {"replicate": x[:1, :1], "reflect": x[:1, 1:2], "wrap": x[-1:, -1:]}.get(padding)
    end = {"replicate": x[-1:, -1:], "reflect": x[-1:, -2:-1], "wrap": x[:1, :1]}.get(padding)
    beyond = jnp.zeros_like(x[:1, :1])
    above = jnp.concatenate([beyond if top is None else top, x[:-1, -1:]])
    below = jnp.concatenate([x[1:, :1], beyond if end is None else end])
    return jnp.concatenate([above, x, below], 1)


def _valid(x: Array, kernel: Array, sides: tuple[int, int]) -> Array:
    edges: Any = ((0, 0), sides)
    found: Array = jax.lax.conv_general_dilated(x, kernel, (1, 1), edges, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return found


@jax.custom_vjp
def _convolved(x: Array, kernel: Array) -> Array:
    return _valid(_with_rims(x, "zeros"), kernel, (1, 1))


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _convolved(x, kernel), (x, kernel)


def _backward(kept: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    """To the responses the same convolution, with the kernel turned around: so the rims are read, not added up."""
    x, kernel = kept
    (to_kernel,) = jax.vjp(lambda kernel: _valid(_with_rims(x, "zeros"), kernel, (1, 1)), kernel)[1](slope)
    return _convolved(slope, kernel[::-1, ::-1].swapaxes(2, 3)), to_kernel


_convolved.defvjp(_forward, _backward)
