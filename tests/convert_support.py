"""Small weights for the tests of ``convert_weights``, and files made of them in the formats that are read."""

import io
import json
import pickle

import h5py
import numpy as np

from convert_weights.convert import convert_bytes
from convert_weights.layer_names import feature_indices
from convert_weights.registry import checked_size
from nst_jax import layers
from nst_jax.networks.weights import Weights


def convert(path, network=None, preprocessing=None):
    """``convert_weights.convert.convert`` in this process: most tests are not about the process of its own."""
    checked_size(path)
    return convert_bytes(path, path.read_bytes(), network, preprocessing)


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


def write_mat(path, arrays, layout, average=(123.68, 116.779, 103.939), compressed=False):
    """MatConvNet's layouts: a cell of structs, with relu and pool between; ``average`` None for no normalization."""
    from scipy.io import savemat

    def cell(items):
        array = np.empty((1, len(items)), object)
        array[0, :] = items
        return array

    structs = []
    for name, parts in arrays.items():
        kernel, bias = parts["kernel"], parts["bias"].reshape(1, -1)
        both = {"filters": kernel, "biases": bias} if layout == "old" else {"weights": cell([kernel, bias])}
        structs += [{"type": "conv", "name": name, "stride": 1.0, **both}, {"type": "relu", "name": f"relu{name[4:]}"}]
        if layout == "new":
            structs[-1]["weights"] = np.empty((0, 0), object)
    fc = {"filters": np.ones((1, 1, 4, 2), "f4"), "biases": np.ones((1, 2), "f4")}
    structs += [
        {"type": "pool", "name": "pool5"},
        {"type": "conv", "name": "fc8", **fc},
        {"type": "softmax", "name": "prob"},
    ]
    content = {"layers": cell(structs)}
    if average is not None:
        image = np.broadcast_to(np.float32(average), (6, 5, 3)) if layout == "old" else np.reshape(average, (1, 1, 3))
        normalization = {"averageImage": image, "imageSize": [224.0, 224.0, 3.0]}
        content |= {"normalization": normalization} if layout == "old" else {"meta": {"normalization": normalization}}
    savemat(path, content, do_compression=compressed)


def tensorflow_vgg(arrays):
    return {name: [parts["kernel"], parts["bias"]] for name, parts in arrays.items()} | {
        "fc6": [np.ones(2), np.ones(2)]
    }


def write_object_npy(path, content, protocol):
    """What np.save writes for an object, with the pickle protocol of NumPy's version and Python's."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    pickle.dump(np.array(content, object), file, protocol=protocol)
    path.write_bytes(file.getvalue())
