"""The 3×3 convolution behind every layer, in several ways that give the same numbers at different speeds.

``xla``
    XLA's own convolution. On a GPU or TPU it is the fast one; on a CPU it is for few channels.
``winograd``
    By tiles: a quarter of the multiplications. On a CPU it is the fast one for many channels; see
    ``nst_jax.networks.winograd`` for its error.
``strides``
    XLA's own, with neighbours in a row made channels: for the few channels of a picture, on a CPU.
``bands``
    XLA's own, of a picture that lies in bands of rows, on a TPU; see ``nst_jax.networks.bands``.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.choices import LOWERINGS, PADDINGS, Lowering, Padding, check_choice
from nst_jax.networks import bands
from nst_jax.networks.bands import BEYOND
from nst_jax.networks.winograd import transformed, winograd

Way = Literal["xla", "winograd", "strides", "bands"]
WAYS: tuple[Way, ...] = get_args(Way)
#: The fewest channels, in times out, and the fewest products over all positions, for which Winograd's transforms are
#: worth their time on a CPU, and the seconds that it takes to compile them.
WINOGRAD_CHANNELS = {"float32": 64 * 128, "bfloat16": 64 * 64}
WINOGRAD_WORK = 2.3e7
#: The most channels, in times out, for which strides pay on a CPU, and how many outputs a stride makes channels.
STRIDE_CHANNELS = 64
STRIDE = 4


def fastest_on_cpu(height: int, width: int, inputs: int, outputs: int, precision: str) -> Way:
    """The way that is fastest on a CPU from [height, width, inputs] to so many ``outputs``."""
    if precision not in WINOGRAD_CHANNELS:
        return "xla"
    channels = inputs * outputs
    if channels <= STRIDE_CHANNELS and precision == "float32":
        return "strides"
    pays = channels >= WINOGRAD_CHANNELS[precision] and height * width * channels >= WINOGRAD_WORK
    return "winograd" if pays else "xla"


def way_of(lowering: Lowering, size: tuple[int, int], inputs: int, outputs: int, precision: str) -> Way:
    """How a layer's convolution at (height, width) is done: XLA's way, or with the lowering "cpu" the fastest there.

    With the lowering "tpu" the picture lies in bands. Raises NSTError for an unknown lowering.
    """
    check_choice("lowering", lowering, LOWERINGS)
    if lowering == "tpu":
        return "bands"
    return fastest_on_cpu(*size, inputs, outputs, precision) if lowering == "cpu" else "xla"


def convolve(
    x: Float[Array, "b h w i"],
    kernel: Float[Array, "3 3 i o"],
    padding: Padding = "zeros",
    way: Way = "xla",
    filters: Float[Array, "36 i o"] | None = None,
) -> Float[Array, "b h w o"]:
    """Σ kernel[r, s] · x[y + r − 1, x + s − 1], the size kept.

    Args:
      x: responses, in the type that the result has; for "bands" those of one picture, from the top.
      kernel: the filters.
      padding: "zeros", "replicate", "reflect" or "wrap": what lies beyond the border.
      way: one of ``WAYS``.
      filters: the kernel as "winograd" takes it, ``winograd.transformed``, where that has been done before.

    Raises NSTError for an unknown padding or way.
    """
    check_choice("way of a convolution", way, WAYS)
    check_choice("padding", padding, tuple(each for each in PADDINGS if each != "replicate-first"))
    if way == "bands":
        return bands.convolve(x, kernel.astype(x.dtype), padding)
    convolved: Any = {"xla": _xla, "winograd": winograd, "strides": _strides}[way]
    if way != "winograd":
        kernel = kernel.astype(x.dtype)
    else:
        kernel = transformed(kernel, x.dtype.name) if filters is None else filters
    if padding == "zeros":
        same: Array = convolved(x, kernel)
        return same
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), BEYOND[padding])
    return _xla(x, kernel, edges="VALID") if way == "xla" else convolved(x, kernel)[:, 1:-1, 1:-1]


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
