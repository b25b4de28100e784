"""Keras's HDF5 files: ``vgg19_weights_tf_dim_ordering_tf_kernels[_notop].h5``, and whole models saved as ``.h5``.

The root (or the group ``model_weights``) has the attribute ``layer_names``; each layer's group has ``weight_names``,
the paths of its datasets. Kernels are HWIO already. Keras's VGG are the Oxford filters.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import h5py

from convert_weights.layer_names import Arrays, Found, by_paper_names
from nst_jax.errors import NSTError, named
from nst_jax.networks import hdf5
from nst_jax.networks.weights import CAFFE

NAME = "Keras HDF5"
_LAYER = re.compile(r"block(\d)_conv(\d)")


def matches(path: Path, data: bytes) -> bool:
    """Any HDF5 file."""
    return data.startswith(hdf5.SIGNATURE)


def read(path: Path, data: bytes, network: str | None) -> Found:
    """The convolutions ``block1_conv1`` …; layers without weights and the fully connected ones are passed over."""
    damaged = f"{path} is truncated or damaged: fetch it again"
    with hdf5.opened(io.BytesIO(data), damaged) as file:
        root = hdf5.member(file, "model_weights") if "model_weights" in file else file
        if "layer_names" not in root.attrs:
            raise NSTError(f"{path} is HDF5 but has no layer_names: give a file of Keras's save_weights(…, .h5)")
        arrays = _arrays(root, path)
    network, arrays = by_paper_names(arrays, network, path)
    return Found(network, arrays, CAFFE, "Keras's VGG keep Caffe's")


def _arrays(root: h5py.Group, path: Path) -> Arrays:
    arrays: Arrays = {}
    for layer in hdf5.texts(root, "layer_names"):
        group = hdf5.member(root, layer)
        names = hdf5.texts(group, "weight_names")
        if any("moving_mean" in name for name in names):
            raise NSTError(f"{path} is a network with batch normalisation ({named(layer)}): give one without")
        match = _LAYER.fullmatch(layer)
        values = [hdf5.stored(hdf5.member(group, name)) for name in names]
        if wanted := [value for value in values if match or len(value.shape) == 4]:
            name = f"conv{match[1]}_{match[2]}" if match else layer
            arrays[name] = {"kernel" if len(value.shape) > 1 else "bias": value for value in wanted}
    return arrays
