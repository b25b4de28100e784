"""The student: the parameters that are learnt, and the stylisation loss that it sees for itself.

Its parameters are ``{"net": {conv: {"kernel", "bias"}}, "maps": {tap: E [n, N]}}``: the filters of the table ``slim``,
and at each tap the linear map to the teacher's channels. While training, E leads to the teacher's responses divided by
their scale, their root mean square at that tap, so that every map learns at the same rate; a file holds E times it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nst_jax import layers
from nst_jax.choices import Padding, Pooling
from nst_jax.errors import NSTError
from nst_jax.losses import formulas, wasserstein
from nst_jax.losses.terms import UNIT
from nst_jax.networks import vgg
from nst_jax.networks.weights import TORCHVISION, Weights
from nst_jax.networks.weights_file import load_weights, write_arrays
from nst_jax.runs.machine import here

STYLE_TAPS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
CONTENT_TAP = "conv4_2"
#: All layers that the student is taught, in network order.
TAPS = layers.tap_names("slim")
#: What both networks see beyond the border, as in the default preset.
PADDING: Padding = "replicate-first"
#: What the squares of the teacher's responses are divided by in the default preset's losses, see ``terms.unit_of``.
UNIT_SQUARED = (255 * UNIT) ** 2

Params = dict[str, dict[str, Any]]
Scales = dict[str, float]


class Moments(NamedTuple):
    """What of a batch's responses at a layer the style is made of: E[x], [B, n], and E[x xᵀ], [B, n, n]."""

    mean: Array
    second: Array


class Goals(NamedTuple):
    """What a batch of B pictures is stylised towards, as the student sees it.

    Attributes:
      content: its responses to the photographs at the content tap, [B, h, w, n].
      style: the paintings' distributions at each style tap, their arrays with [B] in front.
      style_weights: of the style taps, [B, 5].
      content_weight: [B].
    """

    content: Array
    style: dict[str, wasserstein.Target]
    style_weights: Array
    content_weight: Array


def on_device(numbers: Any) -> Any:
    """Numbers bound to the first device, as a restored state is and all that is computed with it: one compilation."""
    return jax.device_put(jax.tree.map(jnp.asarray, numbers), jax.devices()[0])


def random_start(seed: int) -> Params:
    """He-scaled random filters without biases, and random maps, from a seed."""
    return _parameters(vgg.random_weights("slim", seed).arrays, dict.fromkeys(TAPS, 1.0))


def from_file(path: Path, scales: Scales) -> Params:
    """The parameters from a file that ``export`` wrote, for the teacher's scales.

    Raises NSTError for a file that is none.
    """
    held = load_weights(path)
    if held.network != "slim" or held.preprocessing != TORCHVISION:
        raise NSTError(f"--init-from {path} holds {held.network}, not a student: give a slim.h5 of this script's")
    return _parameters(held.arrays, scales)


def _parameters(arrays: Mapping[str, Mapping[str, np.ndarray]], scales: Scales) -> Params:
    net = {name: {part: jnp.asarray(held[part]) for part in ("kernel", "bias")} for name, held in arrays.items()}
    return {"net": net, "maps": {tap: jnp.asarray(arrays[tap]["map"] / np.float32(scales[tap])) for tap in TAPS}}


def export(path: Path, params: Params, scales: Scales, metadata: Mapping[str, str]) -> None:
    """Writes the student as a weights file of nst_jax's in float16, each map in the teacher's units.

    Raises NSTError where it cannot be written.
    """
    table = " ".join(f"{row.name}:{row.channels}" if row.kind == "conv" else "pool" for row in layers.table("slim"))
    arrays = {
        name: {part: np.asarray(array, np.float16) for part, array in parts.items()}
        for name, parts in params["net"].items()
    }
    for tap, matrix in params["maps"].items():
        arrays[tap]["map"] = np.asarray(np.asarray(matrix) * np.float32(scales[tap]), np.float16)
    write_arrays(path, "slim", TORCHVISION, arrays, {**metadata, "table": table})


def features(
    params: Params, images: Float[Array, "b h w 3"], pooling: Pooling
) -> dict[str, Float[Array, "b _h _w _n"]]:
    """The student's narrow responses at every tap, before the maps, to RGB images in [0, 1]."""
    net = vgg.network(Weights("slim", params["net"], TORCHVISION), pooling, PADDING, lowering=here().lowering)
    return vgg.responses(net, images, TAPS)


def moments_of(responses: Float[Array, "b h w n"]) -> Moments:
    """The moments of a batch's responses at a layer."""
    return Moments(jnp.mean(responses, (1, 2)), formulas.gram(responses))


def goals(params: Params, rows: Mapping[str, Array], scales: Mapping[str, Any], pooling: Pooling) -> Goals:
    """The student's own targets for a batch of the bank's rows."""
    content, paintings = (features(params, rows[name], pooling) for name in ("content", "style"))
    style = {}
    for tap in STYLE_TAPS:
        epsilon = wasserstein.EPSILON * UNIT_SQUARED / scales[tap] ** 2
        make = functools.partial(wasserstein.target, map=params["maps"][tap], epsilon=epsilon)
        style[tap] = jax.vmap(make)(*moments_of(paintings[tap]))
    return Goals(content[CONTENT_TAP], style, rows["style_weights"], rows["content_weight"])


def stylisation_loss(
    params: Params, taps: Mapping[str, Array], goals: Goals, scales: Mapping[str, Any]
) -> Float[Array, " b"]:
    """The losses of each picture as the default preset has them, weighted; they never leave the narrow space.

    A map leads to responses over their scale, so what is a square of them is multiplied by the scale's.
    """
    units = {tap: scales[tap] ** 2 / UNIT_SQUARED for tap in TAPS}
    matrix = params["maps"][CONTENT_TAP]
    metric = formulas.Metric(matrix @ matrix.T, matrix)
    contents = functools.partial(formulas.content_loss, convention="wasserstein", metric=metric)
    style = [
        units[tap] * jax.vmap(wasserstein.distance)(*moments_of(taps[tap]), goals.style[tap]) for tap in STYLE_TAPS
    ]
    content = units[CONTENT_TAP] * jax.vmap(contents)(taps[CONTENT_TAP], goals.content)
    return jnp.sum(goals.style_weights * jnp.stack(style, 1), 1) + goals.content_weight * content


def image_gradient(
    params: Params, goals: Goals, images: Float[Array, "b h w 3"], scales: Mapping[str, Any], pooling: Pooling
) -> Float[Array, "b h w 3"]:
    """The gradient of each picture's stylisation loss with respect to it."""

    def loss(images: Array) -> Array:
        return jnp.sum(stylisation_loss(params, features(params, images, pooling), goals, scales))

    return jax.grad(loss)(images)
