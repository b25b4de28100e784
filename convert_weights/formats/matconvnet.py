"""MatConvNet's ``imagenet-vgg-verydeep-19.mat`` (MATLAB level 5), in both of its layouts.

Up to beta16 a layer has ``filters`` and ``biases`` and the file ``normalization``; since, a layer has ``weights`` (a
cell of both) and the file ``meta.normalization``. Filters are HWIO: entry [0, 0, :, 0] of the published conv1_1 equals
Keras's with its channels turned round (0.394, 0.464, 0.341), so the transposition that some ports make is not needed.
The network is for RGB pictures in 0–255, minus ``averageImage``.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from convert_weights import mat5
from convert_weights.layer_names import Arrays, Found, by_paper_names
from convert_weights.mat5 import Numbers
from convert_weights.preprocessings import CAFFE_RGB
from nst_jax.errors import NSTError, named
from nst_jax.networks.weights import Preprocessing, Stored

NAME = "MatConvNet"
_LARGEST_AVERAGE = 1024  # pixels a side
_DENSE = re.compile(r"fc\d|prob")


def matches(path: Path, data: bytes) -> bool:
    """A MATLAB file of level 5 or 7.3."""
    return data.startswith((b"MATLAB 5.0", b"MATLAB 7.3"))


def read(path: Path, data: bytes, network: str | None) -> Found:
    """Layers are told by their names. Raises NSTError for a damaged file or one without a simple network's layers."""
    if data.startswith(b"MATLAB 7.3"):
        raise NSTError(f"{path} is a MATLAB file of version 7.3: save it again with -v7")
    content = mat5.load(data, ("layers", "meta", "normalization"))
    if "layers" not in content:
        raise NSTError(
            f"{path} holds no layers: give a network of MatConvNet's simplenn, as imagenet-vgg-verydeep-19.mat"
        )
    layers = content["layers"] if isinstance(content["layers"], list) else [content["layers"]]
    arrays: Arrays = {}
    for layer in layers:
        name, pair = str(_field(layer, "name")), _kernel_and_bias(layer)
        if _field(layer, "type") == "bnorm":
            raise NSTError(f"{path} is a network with batch normalisation ({named(name)}): give one without")
        if pair is not None and not _DENSE.fullmatch(name):
            kernel, bias = pair
            flat = (math.prod(bias.shape),)
            arrays[name] = {
                "kernel": Stored(kernel.shape, kernel.dtype, kernel.read),
                "bias": Stored(flat, bias.dtype, lambda bias=bias: bias.read().reshape(-1)),  # type: ignore[misc]
            }
    network, arrays = by_paper_names(arrays, network, path)
    mean = _average_colour(_field(content.get("meta", content), "normalization"), path)
    if mean is None:
        return Found(network, arrays, CAFFE_RGB, "MatConvNet's VGG are for RGB; the file has no averageImage")
    return Found(
        network, arrays, Preprocessing("RGB", 255.0, mean), "MatConvNet's VGG are for RGB; the file's own mean"
    )


def _field(struct: Any, name: str) -> Any:
    return struct.get(name) if isinstance(struct, dict) else None


def _kernel_and_bias(layer: Any) -> tuple[Numbers, Numbers] | None:
    """The two arrays of a layer in either layout; None for a layer without weights."""
    weights = _field(layer, "weights")
    if weights is None:
        weights = [_field(layer, "filters"), _field(layer, "biases")]
    if isinstance(weights, list) and len(weights) == 2 and all(isinstance(array, Numbers) for array in weights):
        return weights[0], weights[1]
    return None


def _average_colour(normalization: Any, path: Path) -> tuple[float, float, float] | None:
    """``averageImage``, three numbers or the mean of [H, W, 3]; None where it is not there.

    Raises NSTError for one that is too large, or not finite.
    """
    image = _field(normalization, "averageImage")
    if not isinstance(image, Numbers) or not (math.prod(image.shape) == 3 or image.shape[2:] == (3,)):
        return None
    if max(image.shape) > _LARGEST_AVERAGE:
        raise NSTError(f"{path} has an averageImage of {image.shape}: give a network of MatConvNet's simplenn")
    red, green, blue = image.read().reshape(-1, 3).mean(axis=0, dtype=np.float64).tolist()
    if not math.isfinite(red + green + blue):
        raise NSTError(f"{path} is damaged: its averageImage holds values that are not finite")
    return red, green, blue
