"""Filters rescaled so that each one's mean activation is 1 (Gatys, Ecker and Bethge 2016, section 2).

"We normalized the network by scaling the weights such that the mean activation of each convolutional filter over
images and positions is equal to one. Such re-scaling can be done for the VGG network without changing its output,
because it contains only rectifying linear activation functions and no normalization or pooling over feature maps."

With m the mean activation of channel j: kernel and bias of channel j are divided by m_j, and the next layer's kernel is
multiplied by m_j on its input j. A rectifier and both poolings are positively homogeneous, so every response becomes
the old one divided by its mean. A channel that never fires is left as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from convert_weights.layer_names import convolutions
from nst_jax.choices import Pooling
from nst_jax.errors import NSTError
from nst_jax.networks.vgg import Network, features, network
from nst_jax.networks.weights import Weights
from nst_jax.pictures import images
from nst_jax.runs.machine import here

#: Pictures are reduced to this shorter side, and their middle square is taken: what the networks were trained with.
SIDE = 224


def normalize(
    weights: Weights,
    pictures: Sequence[Path],
    pooling: Pooling = "avg",
    progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> Weights:
    """Weights whose every filter has the mean activation 1 over ``pictures``.

    Args:
      weights: the weights as they are.
      pictures: files; each counts the same.
      pooling: "avg" or "max", with which the means are taken; it is written into the metadata.
      progress: wraps the pictures, to show how far it is.

    Raises NSTError for a picture that cannot be read, and for a network whose layers stand for wider ones.
    """
    if any("map" in parts for parts in weights.arrays.values()):
        raise NSTError(
            f"{weights.network} cannot be normalised, as its layers stand for wider ones: give vgg19 or vgg16"
        )
    means = mean_activations(
        network(weights, pooling, lowering=here().lowering), (square(path) for path in progress(pictures))
    )
    arrays = rescale(weights.arrays, means)
    note = f"mean activation 1 over {len(pictures)} pictures ({SIDE} x {SIDE} pixels, {pooling} pooling)"
    return dataclasses.replace(weights, arrays=arrays, metadata={**weights.metadata, "normalized": note})


def square(path: Path) -> np.ndarray:
    """The middle square of a picture: float32 [SIDE, SIDE, 3], RGB in [0, 1]."""
    pixels = images.load_image(path).pixels
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return images.resize(pixels[top : top + side, left : left + side], SIDE, SIDE)


def mean_activations(net: Network, squares: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """Each convolution's mean response over pictures and positions, float64 [channels], after the rectifier."""
    taps = tuple(convolutions(net.name))

    @jax.jit
    def means(net: Network, image: jax.Array) -> dict[str, jax.Array]:
        return {tap: response.mean((0, 1)) for tap, response in features(net, image, taps).items()}

    sums = {tap: np.zeros(()) for tap in taps}
    count = 0
    for image in squares:
        count += 1
        for tap, mean in means(net, image).items():
            sums[tap] = sums[tap] + np.asarray(mean, np.float64)
    return {tap: total / count for tap, total in sums.items()}


def rescale(
    arrays: Mapping[str, Mapping[str, np.ndarray]], means: Mapping[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    """Divides each filter by its mean and multiplies the next layer's inputs by it; ``means`` in network order."""
    rescaled = {}
    before: np.ndarray | None = None
    for name, mean in means.items():
        factor = np.where(mean > 0, mean, 1.0)
        kernel = np.asarray(arrays[name]["kernel"], np.float64) / factor
        if before is not None:
            kernel = kernel * before[:, None]
        bias = arrays[name]["bias"] / factor
        rescaled[name] = {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}
        before = factor
    return rescaled
