"""Small weights for the tests of ``convert_weights``, and files made of them in the formats that are read."""

import json

import h5py
import numpy as np

from convert_weights.layer_names import feature_indices
from nst_jax import layers
from nst_jax.networks.weights import Weights


def make_arrays(network="vgg19", seed=0, biases="positive"):
    """Random filters [3, 3, I, O] and biases of a network."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for row in layers.table(network):
        if row.kind == "conv":
            bias = rng.normal(size=row.channels)
            arrays[row.name] = {
                "kernel": rng.normal(0, 0.2, (3, 3, row.inputs, row.channels)).astype("f4"),
                "bias": (np.abs(bias) if biases == "positive" else bias).astype("f4"),
            }
    return arrays


def assert_same(weights: Weights, arrays):
    assert set(weights.arrays) == set(arrays)
    for name, parts in arrays.items():
        for part, array in parts.items():
            assert weights.arrays[name][part].dtype == np.float32
            np.testing.assert_array_equal(weights.arrays[name][part], array, err_msg=f"{name} {part}")


def keras_name(name):
    return name.replace("conv", "block").replace("_", "_conv")


def write_keras(path, arrays, top=False, as_bytes=False, group=None):
    """As Keras's save_weights does: also layers without weights, and (top) fully connected ones."""
    text = (lambda names: np.array([name.encode() for name in names], "S")) if as_bytes else list
    with h5py.File(path, "w") as file:
        root = file.create_group(group) if group else file
        dense = ["flatten", "fc1", "predictions"] if top else []
        names = ["input_1", *map(keras_name, arrays), "block5_pool", *dense]
        root.attrs["layer_names"] = text(names)
        for name in names:
            root.create_group(name).attrs["weight_names"] = np.array([], "S")
        for name, parts in arrays.items():
            layer = keras_name(name)
            inner = [f"{layer}/kernel:0", f"{layer}/bias:0"] if as_bytes else [f"{layer}_W_1:0", f"{layer}_b_1:0"]
            root[layer].attrs["weight_names"] = text(inner)
            root[layer][inner[0]], root[layer][inner[1]] = parts["kernel"], parts["bias"]
        if top:
            root["fc1"].attrs["weight_names"] = text(["fc1_W_1:0", "fc1_b_1:0"])
            root["fc1"]["fc1_W_1:0"], root["fc1"]["fc1_b_1:0"] = np.ones((4, 2), "f4"), np.ones(2, "f4")


def torchvision_state(arrays, network="vgg19"):
    """A state dict's arrays, OIHW, under torchvision's names."""
    state = {}
    for index, name in feature_indices(network).items():
        state[f"features.{index}.weight"] = arrays[name]["kernel"].transpose(3, 2, 0, 1)
        state[f"features.{index}.bias"] = arrays[name]["bias"]
    return state


def write_safetensors(path, state, dtype="F32"):
    """By the format's own description, not by the reader's code."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in state.items():
        raw = np.ascontiguousarray(array, {"F32": "<f4", "F16": "<f2", "I64": "<i8"}[dtype]).tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
