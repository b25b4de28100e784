"""The teacher, VGG-19, and what it says of a batch: here in float32 JAX, in ``torch_teacher`` in bfloat16."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from convert_weights.convert import convert
from nst_jax import layers
from nst_jax.errors import NSTError
from nst_jax.losses import formulas
from nst_jax.networks import vgg
from nst_jax.networks.weights import Weights
from nst_jax.networks.weights_file import find_weights
from nst_jax.runs.machine import here
from slim_training.contract import Lesson, Numbers, Targets, Teacher, tap_channels, window
from slim_training.student import CONTENT_TAP, STYLE_TAPS, TAPS


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


def choose(name: Literal["auto", "jax", "torch"]) -> Literal["jax", "torch"]:
    """ "auto" as one that there is: "torch" beside a JAX on the CPU where PyTorch is installed, else "jax"."""
    if name != "auto":
        return name
    return "torch" if jax.default_backend() == "cpu" and importlib.util.find_spec("torch") else "jax"


def build(name: str, filters: Weights) -> Teacher:
    """The teacher of this name, "jax" or "torch". Raises NSTError for "torch" where PyTorch is not installed."""
    if name == "jax":
        return JaxTeacher(filters)
    try:
        from slim_training.torch_teacher import TorchTeacher
    except ImportError as error:
        raise NSTError(f"--teacher torch needs PyTorch ({error}): give --teacher jax or pip install torch") from error
    return TorchTeacher(filters)


class JaxTeacher:
    """VGG-19 in float32 JAX, on whatever JAX runs on: the choice on a GPU."""

    def __init__(self, filters: Weights):
        self.channels = tap_channels(filters)
        self.net = vgg.network(filters, lowering=here().lowering)

    def features(self, images: np.ndarray) -> dict[str, Numbers]:
        """See ``Teacher``."""
        return _features(self.net, images)

    def targets(self, photographs: np.ndarray, paintings: np.ndarray) -> Targets:
        """See ``Teacher``."""
        return jax.tree.map(np.asarray, _targets(self.net, photographs, paintings))

    def lesson(
        self,
        images: np.ndarray,
        targets: Targets,
        style_weights: np.ndarray,
        content_weight: np.ndarray,
        with_gradient: bool,
    ) -> Lesson:
        """See ``Teacher``. All but the losses stays on the device."""
        lesson = _lesson(self.net, images, targets, style_weights, content_weight, with_gradient)
        return lesson._replace(losses=np.asarray(lesson.losses))


@jax.jit
def _features(net: vgg.Network, images: jax.Array) -> dict[str, jax.Array]:
    return window(vgg.responses(net, images, TAPS))


@jax.jit
def _targets(net: vgg.Network, photographs: jax.Array, paintings: jax.Array) -> Targets:
    content = vgg.responses(net, photographs, (CONTENT_TAP,))[CONTENT_TAP]
    style = vgg.responses(net, paintings, STYLE_TAPS)
    return Targets(content.astype(jnp.float16), {tap: formulas.gram(style[tap]) for tap in STYLE_TAPS})


@functools.partial(jax.jit, static_argnames="with_gradient")
def _lesson(
    net: vgg.Network,
    images: jax.Array,
    targets: Targets,
    style_weights: jax.Array,
    content_weight: jax.Array,
    with_gradient: bool,
) -> Lesson:
    style_losses = jax.vmap(functools.partial(formulas.style_loss, convention="normalized"))
    content_losses = jax.vmap(functools.partial(formulas.content_loss, convention="normalized"))

    def total(images: jax.Array) -> tuple[jax.Array, Lesson]:
        taps = vgg.responses(net, images, TAPS)
        grams = {tap: formulas.gram(taps[tap]) for tap in STYLE_TAPS}
        each = [style_losses(grams[tap], targets.style[tap]) for tap in STYLE_TAPS]
        each.append(content_losses(taps[CONTENT_TAP], targets.content.astype(jnp.float32)))
        weights = jnp.column_stack([style_weights, content_weight])
        return jnp.sum(weights * jnp.stack(each, 1)), Lesson(jnp.stack(each, 1), window(taps), grams)

    if not with_gradient:
        return total(images)[1]
    gradient, lesson = jax.grad(total, has_aux=True)(images)
    return lesson._replace(gradient=gradient)
