"""The 3×3 convolution behind every layer, with several lowerings that give the same numbers at different speeds.

``xla``
    XLA's own convolution. On a GPU or TPU it is the fast one; on a CPU it is for few channels.
``winograd``
    By tiles, in float32: a quarter of the multiplications. On a CPU it is the fast one for many channels; see
    ``nst_jax.winograd`` for its error.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.winograd import winograd

LOWERINGS = ("xla", "winograd")
#: NumPy's names of the ways a picture can go on beyond its border.
BEYOND = {"replicate": "edge", "reflect": "reflect", "wrap": "wrap"}
#: The fewest channels, in times out, and the fewest products over all positions, for which Winograd's transforms are
#: worth their time on a CPU, and the seconds that it takes to compile them.
WINOGRAD_CHANNELS = 64 * 128
WINOGRAD_WORK = 5.5e7


def choose(height: int, width: int, inputs: int, outputs: int, dtype: str) -> str:
    """The fastest lowering for [height, width, inputs] to so many ``outputs`` on JAX's default device."""
    pays = height * width * inputs * outputs >= WINOGRAD_WORK and inputs * outputs >= WINOGRAD_CHANNELS
    return "winograd" if pays and dtype == "float32" and jax.default_backend() == "cpu" else "xla"


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
    lowering = lowering or choose(x.shape[1], x.shape[2], kernel.shape[2], kernel.shape[3], x.dtype.name)
    if padding == "zeros":
        return winograd(x, kernel) if lowering == "winograd" else _xla(x, kernel, "SAME")
    beyond: Any = BEYOND[padding]
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), beyond)
    return winograd(x, kernel)[:, 1:-1, 1:-1] if lowering == "winograd" else _xla(x, kernel, "VALID")


def _xla(x: Array, kernel: Array, edges: str) -> Array:
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), edges, dimension_numbers=("NHWC", "HWIO", "NHWC"))
