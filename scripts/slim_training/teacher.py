"""The teacher, VGG-19, and what it says of a batch: in float32, on whatever JAX runs on."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from convert_weights.convert import convert
from nst_jax import layers
from nst_jax.choices import Pooling
from nst_jax.losses import formulas
from nst_jax.networks import vgg
from nst_jax.networks.weights import Weights
from nst_jax.networks.weights_file import find_weights
from nst_jax.runs.machine import here
from slim_training.student import CONTENT_TAP, PADDING, STYLE_TAPS, TAPS, Moments, Scales, moments_of


class Targets(NamedTuple):
    """What a batch of B pictures is stylised towards, as the teacher sees it.

    Attributes:
      content: responses to the photographs at the content tap, [B, h, w, N] in float16.
      style: the paintings' moments at each style tap.
    """

    content: Array
    style: dict[str, Moments]


class Lesson(NamedTuple):
    """What the teacher says of a batch of B pictures.

    Attributes:
      losses: how far they are from their targets, unweighted, for the log: of the style taps Σ (G - A)² / Σ A² of the
        second moments, of the content tap Σ (F - P)² / Σ P², [B, 6].
      features: the responses at each tap, as ``window`` leaves them, [B, h, w, N].
      style: the moments at each style tap.
    """

    losses: Array
    features: dict[str, Array]
    style: dict[str, Moments]


def read_filters(data: Path) -> Weights:
    """VGG-19 from ``weights/vgg19_notop.h5`` in the data folder, or else the user's weights folder; without what is
    deeper than the deepest tap.

    Raises NSTError where it is in neither.
    """
    path = data / "weights" / "vgg19_notop.h5"
    found = convert(path, "vgg19")[0] if path.exists() else find_weights("vgg19")
    needed = {row.name for row in layers.until("vgg19", TAPS)}
    arrays = {name: parts for name, parts in found.arrays.items() if name in needed}
    return Weights(found.network, arrays, found.preprocessing, found.metadata, found.sha256)


def source_sha256(filters: Weights) -> str:
    """The SHA-256 of the file that the filters were first read from."""
    return filters.metadata.get("source_sha256", filters.sha256)


def window(taps: dict[str, Any]) -> dict[str, Any]:
    """Responses {tap: [B, h, w, N]} as they are compared: of conv1_1's, many and easy, the middle quarter is enough."""
    quarter = taps["conv1_1"].shape[1] // 4
    return taps | {"conv1_1": taps["conv1_1"][:, quarter:-quarter, quarter:-quarter]}


class Teacher:
    """VGG-19 of either pooling. Pictures are [B, H, W, 3], RGB in [0, 1]; answers stay on the device.

    Attributes:
      channels: N at each tap.
    """

    def __init__(self, filters: Weights):
        self.channels = {tap: filters.arrays[tap]["bias"].size for tap in TAPS}
        self.net = vgg.network(filters, padding=PADDING, lowering=here().lowering)

    def scales(self, images: np.ndarray) -> Scales:
        """The root mean square of the responses at each tap to some pictures, with average pooling."""
        return {tap: float(scale) for tap, scale in _scales(self._with("avg"), images).items()}

    def targets(self, photographs: np.ndarray, paintings: np.ndarray, pooling: Pooling) -> Targets:
        """What pictures of these photographs in the manner of these paintings are stylised towards."""
        return _targets(self._with(pooling), photographs, paintings)

    def lesson(self, images: Array | np.ndarray, targets: Targets, pooling: Pooling) -> Lesson:
        """What there is to learn of pictures that are being stylised."""
        return _lesson(self._with(pooling), images, targets)

    def _with(self, pooling: Pooling) -> vgg.Network:
        return dataclasses.replace(self.net, pooling=pooling)


@jax.jit
def _scales(net: vgg.Network, images: Array) -> dict[str, Array]:
    return {tap: jnp.sqrt(jnp.mean(jnp.square(f))) for tap, f in window(vgg.responses(net, images, TAPS)).items()}


@jax.jit
def _targets(net: vgg.Network, photographs: Array, paintings: Array) -> Targets:
    content = vgg.responses(net, photographs, (CONTENT_TAP,))[CONTENT_TAP]
    style = vgg.responses(net, paintings, STYLE_TAPS)
    return Targets(content.astype(jnp.float16), {tap: moments_of(style[tap]) for tap in STYLE_TAPS})


@jax.jit
def _lesson(net: vgg.Network, images: Array, targets: Targets) -> Lesson:
    style_losses = jax.vmap(functools.partial(formulas.style_loss, convention="normalized"))
    content_losses = jax.vmap(functools.partial(formulas.content_loss, convention="normalized"))
    taps = vgg.responses(net, images, TAPS)
    style = {tap: moments_of(taps[tap]) for tap in STYLE_TAPS}
    each = [style_losses(style[tap].second, targets.style[tap].second) for tap in STYLE_TAPS]
    each.append(content_losses(taps[CONTENT_TAP], targets.content.astype(jnp.float32)))
    return Lesson(jnp.stack(each, 1), window(taps), style)
