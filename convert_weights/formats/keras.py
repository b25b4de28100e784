"""Keras's HDF5 files: ``vgg19_weights_tf_dim_ordering_tf_kernels[_notop].h5``, and whole models saved as ``.h5``.

The root (or the group ``model_weights``) has the attribute ``layer_names``; each layer's group has ``weight_names``,
the paths of its datasets. Kernels are HWIO already. Keras's VGG are the Oxford filters.
"""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np

from convert_weights.layer_names import Arrays, Found, by_paper_names
from nst_jax.errors import NSTError
from nst_jax.networks.weights import CAFFE

NAME = "Keras HDF5"
SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: What h5py raises for a file that is damaged, wherever the damage lies.
DAMAGED = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError)
_LAYER = re.compile(r"block(\d)_conv(\d)")


def matches(path: Path, head: bytes) -> bool:
    """Any HDF5 file."""
    return head.startswith(SIGNATURE)


def read(path: Path, network: str | None) -> Found:
    """The convolutions ``block1_conv1`` …; layers without weights and the fully connected ones are passed over."""
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            if "layer_names" not in root.attrs:
                raise NSTError(f"{path} is HDF5 but has no layer_names: give a file of Keras's save_weights(…, .h5)")
            arrays = _arrays(root, path)
    except NSTError:
        raise
    except DAMAGED as error:
        raise NSTError(f"{path} is truncated or damaged: fetch it again") from error
    network, arrays = by_paper_names(arrays, network, path)
    return Found(network, arrays, CAFFE, "Keras's VGG keep Caffe's")


def _arrays(root: h5py.Group, path: Path) -> Arrays:
    arrays: Arrays = {}
    for layer in map(_text, root.attrs["layer_names"]):
        names = [_text(name) for name in root[layer].attrs["weight_names"]]
        if any("moving_mean" in name for name in names):
            raise NSTError(f"{path} is a network with batch normalisation ({layer}): give one without")
        match = _LAYER.fullmatch(layer)
        values = [np.asarray(root[layer][name]) for name in names if match or root[layer][name].ndim == 4]
        if values:
            name = f"conv{match[1]}_{match[2]}" if match else layer
            arrays[name] = {"kernel" if value.ndim > 1 else "bias": value for value in values}
    return arrays


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
