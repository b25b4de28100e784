"""The 3×3 convolution behind every layer, with several lowerings that give the same numbers at different speeds.

``xla``
    XLA's own convolution. On a GPU or TPU it is the fast one; on a CPU it is for few channels.
``winograd``
    By tiles: a quarter of the multiplications. On a CPU it is the fast one for many channels; see ``nst_jax.winograd``
    for its error.
``strides``
    XLA's own, with neighbours in a row made channels: for the few channels of a picture, on a CPU.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.networks.winograd import transformed, winograd

LOWERINGS = ("xla", "winograd", "strides")
#: NumPy's names of the ways a picture can go on beyond its border.
BEYOND = {"replicate": "edge", "reflect": "reflect", "wrap": "wrap"}
#: The fewest channels, in times out, and the fewest products over all positions, for which Winograd's transforms are
#: worth their time on a CPU, and the seconds that it takes to compile them.
WINOGRAD_CHANNELS = {"float32": 64 * 128, "bfloat16": 64 * 64}
WINOGRAD_WORK = 2.3e7
#: The most channels, in times out, for which strides pay on a CPU, and how many outputs a stride makes channels.
STRIDE_CHANNELS = 64
STRIDE = 4


def choose(height: int, width: int, inputs: int, outputs: int, dtype: str) -> str:
    """The fastest lowering for [height, width, inputs] to so many ``outputs`` on JAX's default device."""
    if jax.default_backend() != "cpu" or dtype not in WINOGRAD_CHANNELS:
        return "xla"
    channels = inputs * outputs
    if channels <= STRIDE_CHANNELS and dtype == "float32":
        return "strides"
    pays = channels >= WINOGRAD_CHANNELS[dtype] and height * width * channels >= WINOGRAD_WORK
    return "winograd" if pays else "xla"


def gains_by_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 faster than float32, as far as Linux tells: by AMX, on Arm, on AMD.

    Intel's AVX-512 alone has such products too, at some seven tenths of the speed of float32's.
    """
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    fast = "avx512_bf16|amx_bf16|bf16" if "AuthenticAMD" in told else "amx_bf16|bf16"
    return re.search(rf"\b({fast})\b", told) is not None


def convolve(
    x: Float[Array, "b h w i"],
    kernel: Float[Array, "3 3 i o"],
    padding: str = "zeros",
    lowering: str = "",
    filters: Float[Array, "36 i o"] | None = None,
) -> Float[Array, "b h w o"]:
    """Σ kernel[r, s] · x[y + r − 1, x + s − 1], the size kept.

    Args:
      x: responses, in the type that the result has.
      kernel: the filters.
      padding: "zeros", "replicate", "reflect" or "wrap": what lies beyond the border.
      lowering: one of ``LOWERINGS``; "" for ``choose``'s.
      filters: the kernel as "winograd" takes it, ``winograd.transformed``, where that has been done before.
    """
    lowering = lowering or choose(x.shape[1], x.shape[2], kernel.shape[2], kernel.shape[3], x.dtype.name)
    convolved: Any = {"xla": _xla, "winograd": winograd, "strides": _strides}[lowering]
    if lowering != "winograd":
        kernel = kernel.astype(x.dtype)
    else:
        kernel = transformed(kernel, x.dtype.name) if filters is None else filters
    if padding == "zeros":
        return convolved(x, kernel)
    beyond: Any = BEYOND[padding]
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), beyond)
    return _xla(x, kernel, edges="VALID") if lowering == "xla" else convolved(x, kernel)[:, 1:-1, 1:-1]


def _xla(x: Array, kernel: Array, *, step: int = 1, edges: Any = "SAME") -> Array:
    return jax.lax.conv_general_dilated(x, kernel, (1, step), edges, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@jax.custom_vjp
def _strides(x: Array, kernel: Array) -> Array:
    """The convolution in steps of ``STRIDE`` positions along a row, whose outputs are so many more channels.

    The kernel stands in a window of STRIDE + 2 columns, once for each of the outputs. XLA's convolution has more
    channels to work on at once, and the result is in the usual order as it is.
    """
    batch, height, width, _ = x.shape
    window = [jnp.pad(kernel, ((0, 0), (left, STRIDE - 1 - left), (0, 0), (0, 0))) for left in range(STRIDE)]
    columns = -(-width // STRIDE)
    edges = ((1, 1), (1, 1 + columns * STRIDE - width))
    wide = _xla(x, jnp.concatenate(window, 3), step=STRIDE, edges=edges)
    return wide.reshape(batch, height, columns * STRIDE, -1)[:, :, :width]


def _strides_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _strides(x, kernel), (x, kernel)


def _strides_backward(kept: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    """To the responses the same convolution, with the kernel turned around; to the kernel XLA's."""
    x, kernel = kept
    (to_kernel,) = jax.vjp(lambda kernel: _xla(x, kernel), kernel)[1](slope)
    return _strides(slope, kernel[::-1, ::-1].swapaxes(2, 3)), to_kernel


_strides.defvjp(_strides_forward, _strides_backward)
