"""VGG-16 and VGG-19 as one stateless Flax module, and its responses at named taps.

The network is a constant of the algorithm: nothing here trains or holds state. A ``Network`` is a pytree, so it can be
an argument of a jitted function; then new weights of the same network compile nothing anew.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nst_jax import layers
from nst_jax.choices import (
    LOWERINGS,
    PADDINGS,
    POOLINGS,
    PRECISIONS,
    Lowering,
    Padding,
    Pooling,
    Precision,
    check_choice,
    check_kind,
)
from nst_jax.errors import NSTError
from nst_jax.networks import bands
from nst_jax.networks.convolution import convolve, way_of
from nst_jax.networks.pooling import pool
from nst_jax.networks.weights import Preprocessing, Weights
from nst_jax.networks.winograd import transformed


class Convolution(nn.Module):
    """A 3×3 convolution with a bias, [B, H, W, I] to [B, H, W, channels]; see ``convolution`` for how it is done."""

    channels: int
    padding: Padding = "zeros"
    lowering: Lowering = "xla"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h w o"]:
        kernel = self.param("kernel", nn.initializers.he_normal(), (3, 3, x.shape[-1], self.channels))
        bias = self.param("bias", nn.initializers.zeros, (self.channels,))
        filters: Array | None = self.get_variable("filters", "kernel")
        way = way_of(self.lowering, (x.shape[1], x.shape[2]), x.shape[3], self.channels, x.dtype.name)
        return convolve(x, kernel, self.padding, way, filters) + bias.astype(x.dtype)


class VGG(nn.Module):
    """The rows of a table in turn: 3×3 convolutions, each with its rectifier, and poolings.

    Attributes:
      rows: the part of the network's table that is run.
      taps: the layers whose responses are returned.
      pooling: "avg" or "max".
      padding: what the convolutions see beyond the border, one of ``choices.PADDINGS``: "replicate-first" is replicate
        for the picture, and zeros for responses.
      precision: "float32" or "bfloat16", that of products and responses; sums over channels are float32.
      lowering: of the convolutions: "xla"; "cpu" for what is fastest on a CPU at each layer; "tpu" for bands of rows.
    """

    rows: tuple[layers.Layer, ...]
    taps: tuple[str, ...]
    pooling: Pooling = "avg"
    padding: Padding = "zeros"
    precision: Precision = "float32"
    lowering: Lowering = "xla"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"]) -> dict[str, Float[Array, "b _h _w _c"]]:
        taps = {}
        x = x.astype(self.precision)
        number = bands.number_of(x.shape[0], x.shape[1]) if self.lowering == "tpu" else 1
        x = bands.apart(x, number)
        for row in self.rows:
            if row.kind == "conv":
                padding = self.padding
                if padding == "replicate-first":
                    padding = "replicate" if row.name == "conv1_1" else "zeros"
                lowering = "xla" if self.lowering == "tpu" and number == 1 else self.lowering
                x = nn.relu(Convolution(row.channels, padding, lowering, name=row.name)(x))
            else:
                x, number = bands.pooled(x, number, functools.partial(pool, pooling=self.pooling))
            if row.name in self.taps:
                taps[row.name] = bands.together(x, number)
        return taps


@flax.struct.dataclass
class Network:
    """A network ready to be applied: which one it is (static) and its numbers (leaves).

    Attributes:
      params: the module's parameters, ``{"conv1_1": {"kernel": [3, 3, I, O], "bias": [O]}, …}``, with a ``"map"``
        [O, N] where a layer stands for a wider one's N channels.
      range, mean, std: the preprocessing, ``(range * image[..., order] - mean) / std`` for an image in [0, 1].
      name: its table in ``layers.NETWORKS``.
      bgr: whether the network expects the channels in the order blue, green, red.
      pooling, padding, precision, lowering: see ``VGG``.
      remat: whether a gradient computes the responses within a block once more instead of keeping them.
      filters: of some layers the kernel as ``winograd`` takes it, ``{"conv2_1": {"kernel": [36, I, O]}, …}``, so that
        it need not be transformed at every step; see ``prepared``.
    """

    params: dict[str, dict[str, Array]]
    range: Array
    mean: Array
    std: Array
    name: str = flax.struct.field(pytree_node=False)
    bgr: bool = flax.struct.field(pytree_node=False)
    pooling: Pooling = flax.struct.field(pytree_node=False)
    padding: Padding = flax.struct.field(pytree_node=False)
    precision: Precision = flax.struct.field(pytree_node=False)
    lowering: Lowering = flax.struct.field(pytree_node=False, default="xla")
    remat: bool = flax.struct.field(pytree_node=False, default=False)
    filters: dict[str, dict[str, Array]] = dataclasses.field(default_factory=dict)


def network(
    weights: Weights,
    pooling: Pooling = "avg",
    padding: Padding = "zeros",
    precision: Precision = "float32",
    lowering: Lowering = "xla",
    remat: bool = False,
) -> Network:
    """Puts loaded weights on the device.

    Args:
      weights: which network, and its numbers.
      pooling, padding, precision, lowering: see ``VGG``; a CPU wants the lowering "cpu", a TPU "tpu", a GPU
        "xla".
      remat: see ``Network``.

    Raises NSTError for an unknown pooling, padding, precision or lowering, and for what is no weights.
    """
    check_kind("weights", weights, Weights, "what load_weights or find_weights gives")
    check_choice("pooling", pooling, POOLINGS)
    check_choice("padding", padding, PADDINGS)
    check_choice("precision", precision, PRECISIONS)
    check_choice("lowering", lowering, LOWERINGS)
    preprocessing = weights.preprocessing
    return Network(
        # jnp.asarray would compile a program for each shape
        params=jax.device_put({name: dict(parts) for name, parts in weights.arrays.items()}, may_alias=False),
        range=jnp.float32(preprocessing.range),
        mean=jnp.asarray(preprocessing.mean, jnp.float32),
        std=jnp.asarray(preprocessing.std, jnp.float32),
        name=weights.network,
        bgr=preprocessing.channel_order == "BGR",
        pooling=pooling,
        padding=padding,
        precision=precision,
        lowering=lowering,
        remat=remat,
    )


def random_weights(name: str, seed: int = 0) -> Weights:
    """Random filters of He's scale in the shape of a network: for tests, and the baseline that training must beat."""
    rows = [row for row in layers.table(name) if row.kind == "conv"]
    generator = np.random.default_rng(seed)
    arrays = {
        row.name: {
            "kernel": generator.normal(0, np.sqrt(2 / (9 * row.inputs)), (3, 3, row.inputs, row.channels)).astype("f4"),
            "bias": np.zeros(row.channels, "f4"),
        }
        | ({"map": _random_map(generator, row)} if row.stands_for else {})
        for row in rows
    }
    return Weights(name, arrays, Preprocessing("RGB", 1.0, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)), {"source": "random"})


def _random_map(generator: np.random.Generator, row: layers.Layer) -> np.ndarray:
    return generator.normal(0, row.channels**-0.5, (row.channels, row.stands_for)).astype("f4")


def preprocess(net: Network, image: Float[Array, "*b h w 3"]) -> Float[Array, "*b h w 3"]:
    """An RGB image in [0, 1] in the channel order, range and mean that the network's filters were trained with."""
    ordered = image[..., ::-1] if net.bgr else image
    return (net.range * ordered - net.mean) / net.std


def responses(
    net: Network, image: Float[Array, "*b h w 3"], taps: Iterable[str]
) -> dict[str, Float[Array, "*b _h _w _c"]]:
    """What the network's own filters give at the layers named: ``features`` before any linear map, in ``precision``."""
    taps = tuple(taps)
    rows = layers.until(net.name, taps)
    x = preprocess(net, image if image.ndim == 4 else image[None])
    found: dict[str, Array] = {}
    for part in layers.blocks(rows) if net.remat else [rows]:
        module = VGG(part, (*taps, part[-1].name), net.pooling, net.padding, net.precision, net.lowering)
        run = functools.partial(_run, module)
        seen = (recomputed(run) if net.remat else run)({"params": net.params, "filters": net.filters}, x)
        x = seen[part[-1].name]
        found |= {tap: response for tap, response in seen.items() if tap in taps}
    return found if image.ndim == 4 else {tap: response[0] for tap, response in found.items()}


def _run(module: VGG, variables: Any, x: Array) -> Any:
    return module.apply(variables, x)


def once(net: Network) -> Network:
    """The network for what is computed once: by XLA's own convolutions, which are compiled four times as soon as tiles.

    That saves more than tiles do in a single pass; see docs/performance.md.
    """
    return dataclasses.replace(net, lowering="xla", filters={})


def prepared(net: Network, taps: Iterable[str], height: int, width: int) -> Network:
    """The network with what is made of its numbers once and not at every step, for images of one size.

    On a CPU those are the filters on their way to ``taps`` that tiles take, see ``Network.filters``. Elsewhere they are
    filters and biases in the network's precision.
    """
    if net.lowering != "cpu":
        rounded = {
            name: {part: each if part == "map" else each.astype(net.precision) for part, each in parts.items()}
            for name, parts in net.params.items()
        }
        return dataclasses.replace(net, params=rounded)
    filters = {}
    for row, size in layers.walk(layers.until(net.name, taps), height, width):
        if row.kind == "conv" and way_of("cpu", size, row.inputs, row.channels, net.precision) == "winograd":
            filters[row.name] = {"kernel": transformed(net.params[row.name]["kernel"], net.precision)}
    return dataclasses.replace(net, filters=filters)


def recomputed(function: Callable[[Any, Array], Any]) -> Callable[[Any, Array], Any]:
    """``function(params, x)``; for its gradient only its arguments are kept, and the rest is computed once more.

    That is ``jax.checkpoint``, but for one thing: on a CPU XLA takes the barriers of ``jax.checkpoint`` away before it
    looks for what is computed twice, and keeps everything after all. Here the second pass needs the gradient that
    comes in, times zero, and so cannot be done before.
    """

    @jax.custom_vjp
    def run(params: Any, x: Array) -> Any:
        return function(params, x)

    def forward(params: Any, x: Array) -> tuple[Any, Any]:
        return function(params, x), (params, x)

    def backward(kept: Any, slopes: Any) -> Any:
        params, x = kept
        nothing = sum(0 * slope.ravel()[0] for slope in jax.tree.leaves(slopes))
        return jax.vjp(function, params, x + nothing)[1](slopes)

    run.defvjp(forward, backward)
    return run


def linear_map(net: Network, tap: str) -> Float[Array, "n N"] | None:
    """E, which takes the responses at ``tap`` to the channels of the layer that they stand for, or None."""
    return net.params[tap].get("map") if tap in net.params else None


def features(
    net: Network, image: Float[Array, "*b h w 3"], taps: Iterable[str]
) -> dict[str, Float[Array, "*b _h _w _c"]]:
    """The responses F^l of the network to an image, at the layers named; nothing deeper than the deepest is run.

    Args:
      net: the network.
      image: RGB in [0, 1], [H, W, 3] or [B, H, W, 3]. Values outside the range are taken as they are.
      taps: layer names, such as "conv4_2" (after the rectifier) or "pool3".

    Returns a dict from tap to [H', W', C] (or [B, H', W', C]), in float32 and in network order. Raises NSTError for an
    unknown layer, for none, and for what is no network or image.
    """
    check_kind("net", net, Network, "what network gives")
    taps = tuple(taps)
    shape: tuple[int, ...] = getattr(image, "shape", ())
    if not taps:
        raise NSTError("taps are none: name layers, such as conv4_2")
    if len(shape) not in (3, 4) or shape[-1] != 3:
        raise NSTError(f"image is of shape {list(shape)}: give [H, W, 3] or [B, H, W, 3]")
    found = {tap: response.astype(jnp.float32) for tap, response in responses(net, image, taps).items()}
    for tap, response in found.items():
        if (map := linear_map(net, tap)) is not None:
            found[tap] = response @ map
    return found
