"""Each format's reader, on small files made in the real format; and files that are no weights at all."""

import json
import os
import pickletools
import shutil

import h5py
import numpy as np
import pytest
import scipy.sparse
from convert_support import (
    assert_same,
    convert,
    keras_name,
    make_arrays,
    tensorflow_vgg,
    torchvision_state,
    write_keras,
    write_mat,
    write_object_npy,
    write_safetensors,
)

from convert_weights import mat5
from convert_weights.preprocessings import CAFFE_RGB, OXFORD_CREDIT
from nst_jax.errors import NSTError
from nst_jax.networks.weights import CAFFE, TORCHVISION, Weights
from nst_jax.networks.weights_file import file_sha256, load_weights, save_weights

# Keras


@pytest.mark.parametrize("network", ["vgg19", "vgg16"])
@pytest.mark.parametrize("options", [{}, {"top": True}, {"as_bytes": True}, {"group": "model_weights"}])
def test_keras(tmp_path, network, options):
    arrays = make_arrays(network)
    write_keras(tmp_path / "w.h5", arrays, **options)
    weights, decision = convert(tmp_path / "w.h5")
    assert_same(weights, arrays)
    assert (weights.network, weights.preprocessing) == (network, CAFFE)
    assert weights.metadata["source_format"] == "Keras HDF5"
    assert weights.metadata["source_file"] == "w.h5"
    assert weights.metadata["source_sha256"] == file_sha256(tmp_path / "w.h5")
    assert "caffe" in decision and "licence" not in weights.metadata


def test_real_keras_file(real, tmp_path):
    weights, _ = convert(real)
    save_weights(tmp_path / "vgg19.h5", weights)
    loaded = load_weights(tmp_path / "vgg19.h5", "vgg19")
    with h5py.File(real, "r") as file:
        for name in weights.arrays:
            group = file[keras_name(name)]
            kernel, bias = (group[inner][()] for inner in group.attrs["weight_names"])
            np.testing.assert_array_equal(loaded.arrays[name]["kernel"], kernel)
            np.testing.assert_array_equal(loaded.arrays[name]["bias"], bias)
    assert len(loaded.arrays) == 16 and loaded.preprocessing == CAFFE
    assert loaded.metadata["licence"] == OXFORD_CREDIT


def test_keras_with_batch_normalisation(tmp_path):
    write_keras(tmp_path / "w.h5", make_arrays())
    with h5py.File(tmp_path / "w.h5", "a") as file:
        file["block5_pool"].attrs["weight_names"] = [f"bn/{part}:0" for part in ("gamma", "moving_mean")]
    with pytest.raises(NSTError, match="batch normalisation"):
        convert(tmp_path / "w.h5")


def test_hdf5_of_something_else(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["x"] = np.ones(3)
    with pytest.raises(NSTError, match="no layer_names"):
        convert(tmp_path / "w.h5")


def test_keras_weight_that_is_not_there(tmp_path):
    write_keras(tmp_path / "w.h5", make_arrays())
    with h5py.File(tmp_path / "w.h5", "a") as file:
        del file["block1_conv1"]["block1_conv1_W_1:0"]
    with pytest.raises(NSTError, match="damaged"):
        convert(tmp_path / "w.h5")


# safetensors


@pytest.mark.parametrize("network", ["vgg19", "vgg16"])
@pytest.mark.parametrize("biases, expected", [("positive", CAFFE), ("mixed", TORCHVISION)])
def test_safetensors_with_torchvision_names(tmp_path, network, biases, expected):
    arrays = make_arrays(network, biases=biases)
    state = torchvision_state(arrays, network) | {
        "classifier.0.weight": np.ones((2, 3)),
        "classifier.0.bias": np.ones(2),
    }
    write_safetensors(tmp_path / "w.safetensors", state)
    weights, _ = convert(tmp_path / "w.safetensors")
    assert_same(weights, arrays)
    assert (weights.network, weights.preprocessing) == (network, expected)


def test_safetensors_with_timm_names(tmp_path):
    arrays = make_arrays()
    state = torchvision_state(arrays) | {"pre_logits.fc1.weight": np.ones((2, 3)), "head.fc.bias": np.ones(2)}
    write_safetensors(tmp_path / "w.safetensors", state)
    weights, decision = convert(tmp_path / "w.safetensors")
    assert_same(weights, arrays)
    assert weights.preprocessing == TORCHVISION and "timm" in decision


def test_safetensors_half_precision(tmp_path):
    arrays = make_arrays()
    write_safetensors(tmp_path / "w.safetensors", torchvision_state(arrays), "F16")
    halves = {n: {k: a.astype("f2").astype("f4") for k, a in parts.items()} for n, parts in arrays.items()}
    assert_same(convert(tmp_path / "w.safetensors")[0], halves)


def test_safetensors_bfloat16(tmp_path):
    arrays = make_arrays()
    for parts in arrays.values():
        for part, array in parts.items():
            parts[part] = (array.view("u4") & 0xFFFF0000).view("f4")
    state = {name: (np.ascontiguousarray(a).view("u4") >> 16) for name, a in torchvision_state(arrays).items()}
    header, data = {}, b""
    for name, bits in state.items():
        raw = bits.astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": list(bits.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    (tmp_path / "w.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    assert_same(convert(tmp_path / "w.safetensors")[0], arrays)


def test_safetensors_integers(tmp_path):
    write_safetensors(tmp_path / "w.safetensors", torchvision_state(make_arrays()), "I64")
    with pytest.raises(NSTError, match=r"features\.0\.weight is I64"):
        convert(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [3, 3]},
        {"shape": [-1, -1]},
        {"data_offsets": [8, 4]},
        {"data_offsets": [-8, 4]},
        {"data_offsets": [0, 10**9]},
        {"data_offsets": "x"},
        {"shape": None},
    ],
)
def test_safetensors_header_that_lies(tmp_path, change):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, torchvision_state(make_arrays()))
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header["features.0.weight"] |= change
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])
    with pytest.raises(NSTError, match="truncated or damaged"):
        convert(path)


# MatConvNet


@pytest.mark.parametrize("network", ["vgg19", "vgg16"])
@pytest.mark.parametrize("layout", ["old", "new"])
@pytest.mark.parametrize("compressed", [False, True])
def test_matconvnet(tmp_path, network, layout, compressed):
    arrays = make_arrays(network)
    write_mat(tmp_path / "w.mat", arrays, layout, (120.0, 110.0, 100.0), compressed)
    weights, decision = convert(tmp_path / "w.mat")
    assert_same(weights, arrays)
    assert weights.network == network
    assert weights.preprocessing.channel_order == "RGB" and weights.preprocessing.range == 255
    np.testing.assert_allclose(weights.preprocessing.mean, (120, 110, 100), rtol=1e-6)
    assert "RGB" in decision


@pytest.mark.parametrize("layout", ["old", "new"])
def test_matconvnet_without_average_image(tmp_path, layout):
    write_mat(tmp_path / "w.mat", make_arrays(), layout, average=None)
    assert convert(tmp_path / "w.mat")[0].preprocessing == CAFFE_RGB


def test_level_5_reader_against_scipy(tmp_path):
    from scipy.io import loadmat, savemat

    rng = np.random.default_rng(0)
    numbers = {
        f"n{index}": (rng.normal(size=shape) * 50).astype(dtype)
        for index, (dtype, shape) in enumerate(
            [
                ("f8", (2, 3)),
                ("f4", (2, 3, 4)),
                ("i4", (1, 1)),
                ("u1", (3, 1)),
                ("i2", (0, 2)),
                ("u8", (1, 2)),
                ("i8", (2,)),
            ]
        )
    }
    cell = np.empty((2, 2), object)
    cell[:] = [[np.float64(1), "two"], [np.zeros((0, 0)), {"three": 3.0}]]
    others = {"text": "Tübingen", "cell": cell, "struct": {"a": 1.0, "long_name": "x", "inner": {"b": "y"}}}
    array = np.zeros((1, 2), [("p", object), ("q", object)])
    array[0, 0], array[0, 1] = (1.0, "a"), (2.0, "b")
    unknown = {"sparse": scipy.sparse.eye(3).tocsc(), "complex": np.array([1j])}
    content = numbers | others | {"array": array} | unknown
    for compressed in (False, True):
        savemat(tmp_path / "x.mat", content, do_compression=compressed)
        read = mat5.load((tmp_path / "x.mat").read_bytes(), content)
        expected = loadmat(tmp_path / "x.mat")
        for name in numbers:
            assert read[name].dtype == expected[name].dtype
            np.testing.assert_array_equal(read[name].read(), expected[name])
        assert read["text"] == "Tübingen" and read["struct"]["inner"] == {"b": "y"}
        assert read["struct"]["a"].read().item() == 1 and read["struct"]["long_name"] == "x"
        first, second, third, fourth = read["cell"]
        assert first.read().item() == 1 and second.shape == (0, 0) and third == "two"
        assert fourth["three"].read().item() == 3
        assert [(item["p"].read().item(), item["q"]) for item in read["array"]] == [(1, "a"), (2, "b")]
        assert mat5.load((tmp_path / "x.mat").read_bytes(), ["n1"]).keys() == {"n1"}


def test_matlab_layer_with_weights_of_zero_size(tmp_path):
    """MATLAB writes the empty weights of a rectifier as a 0 × 0 matrix."""
    from scipy.io import savemat

    layers_ = np.empty((1, 1), object)
    layers_[0, 0] = {"type": "relu", "name": "relu1_1", "weights": np.zeros((0, 0))}
    savemat(tmp_path / "x.mat", {"layers": layers_})
    with pytest.raises(NSTError, match="holds no layers of VGG"):
        convert(tmp_path / "x.mat")


def test_matlab_files_of_other_kinds(tmp_path):
    from scipy.io import savemat

    savemat(tmp_path / "x.mat", {"x": np.ones(3)})
    with pytest.raises(NSTError, match="holds no layers"):
        convert(tmp_path / "x.mat")
    (tmp_path / "y.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(NSTError, match="-v7"):
        convert(tmp_path / "y.mat")


# NumPy


def test_npz_of_oxford_filters_for_rgb(tmp_path):
    arrays = make_arrays("vgg16")
    named = {f"{name}_{part[0].replace('k', 'W')}": a for name, parts in arrays.items() for part, a in parts.items()}
    np.savez(tmp_path / "w.npz", **named, fc6_W=np.ones((2, 3)), fc6_b=np.ones(3))
    weights, _ = convert(tmp_path / "w.npz")
    assert_same(weights, arrays)
    assert (weights.network, weights.preprocessing) == ("vgg16", CAFFE_RGB)


@pytest.mark.parametrize("biases, expected", [("positive", CAFFE), ("mixed", TORCHVISION)])
def test_npz_with_our_names(tmp_path, biases, expected):
    arrays = make_arrays(biases=biases)
    named = {f"{name}/{part}": array for name, parts in arrays.items() for part, array in parts.items()}
    np.savez_compressed(tmp_path / "w.npz", **named)
    weights, _ = convert(tmp_path / "w.npz")
    assert_same(weights, arrays)
    assert weights.preprocessing == expected


def test_npz_with_pickles_inside(tmp_path):
    np.savez(tmp_path / "w.npz", **{"conv1_1/kernel": np.array([{}], object)})
    with pytest.raises(NSTError, match="more than arrays"):
        convert(tmp_path / "w.npz")


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_npy_of_tensorflow_vgg(tmp_path, protocol):
    arrays = make_arrays()
    write_object_npy(tmp_path / "vgg19.npy", tensorflow_vgg(arrays), protocol)
    weights, _ = convert(tmp_path / "vgg19.npy")
    assert_same(weights, arrays)
    assert (weights.network, weights.preprocessing) == ("vgg19", CAFFE)


def test_npy_written_by_python_2(tmp_path):
    """Python 2 wrote an array's bytes as a string, and NumPy's old module name."""
    arrays = make_arrays()
    write_object_npy(tmp_path / "vgg19.npy", tensorflow_vgg(arrays), 3)
    raw = (tmp_path / "vgg19.npy").read_bytes()
    start = raw.index(b"\x80\x03")
    changed, end = b"\x80\x02", start + 2
    for opcode, argument, position in pickletools.genops(raw[start:]):
        if opcode.name in ("BINBYTES", "SHORT_BINBYTES"):  # to BINSTRING
            changed += raw[end : start + position] + b"T" + len(argument).to_bytes(4, "little") + argument
            end = start + position + (5 if opcode.name == "BINBYTES" else 2) + len(argument)
    changed = (changed + raw[end:]).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"cnumpy.core.multiarray" in changed
    (tmp_path / "vgg19.npy").write_bytes(raw[:start] + changed)
    assert_same(convert(tmp_path / "vgg19.npy")[0], arrays)


def test_npy_in_fortran_order(tmp_path):
    arrays = make_arrays()
    content = {name: [np.asfortranarray(p["kernel"]), p["bias"].astype(">f8")] for name, p in arrays.items()}
    write_object_npy(tmp_path / "vgg19.npy", content, 4)
    assert_same(convert(tmp_path / "vgg19.npy")[0], arrays)


def test_npy_of_one_array_or_of_something_else(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    with pytest.raises(NSTError, match="holds one array"):
        convert(tmp_path / "a.npy")
    write_object_npy(tmp_path / "b.npy", [1, 2], 4)
    with pytest.raises(NSTError, match="no dict of layers"):
        convert(tmp_path / "b.npy")
    write_object_npy(tmp_path / "c.npy", {"conv1_1": 3}, 4)
    with pytest.raises(NSTError, match="conv1_1 is no pair"):
        convert(tmp_path / "c.npy")


class Evil:
    def __reduce__(self):
        return os.system, ("echo must not run",)


def test_npy_that_asks_for_more(tmp_path, capfd):
    write_object_npy(tmp_path / "vgg19.npy", {"conv1_1": [Evil(), Evil()]}, 4)
    with pytest.raises(NSTError, match=rf"asks for {os.system.__module__}\.system"):
        convert(tmp_path / "vgg19.npy")
    assert "must not run" not in capfd.readouterr().out


# our own


def test_own_file_keeps_its_origin(tmp_path):
    arrays = make_arrays()
    metadata = {"source_file": "x.pth", "source_sha256": "abc", "normalized": "yes", "licence": "L"}
    save_weights(tmp_path / "a.h5", Weights("vgg19", arrays, TORCHVISION, metadata))
    weights, _ = convert(tmp_path / "a.h5")
    assert_same(weights, arrays)
    assert weights.preprocessing == TORCHVISION
    assert {key: weights.metadata[key] for key in metadata} == metadata
    with pytest.raises(NSTError, match="vgg19, not of vgg16"):
        convert(tmp_path / "a.h5", network="vgg16")


# contents that do not fit


def test_every_problem_is_named(tmp_path):
    arrays = make_arrays()
    del arrays["conv2_1"]
    arrays["conv3_2"]["kernel"] = arrays["conv3_2"]["kernel"][:, :2]
    arrays["conv6_1"] = arrays["conv1_1"]
    del arrays["conv5_1"]["bias"]
    named = {f"{name}/{part}": array for name, parts in arrays.items() for part, array in parts.items()}
    np.savez(tmp_path / "w.npz", **named, surplus=np.ones(1))
    with pytest.raises(NSTError) as caught:
        convert(tmp_path / "w.npz")
    message = str(caught.value)
    for part in (
        "w.npz does not hold vgg19",
        "missing conv2_1",
        "unexpected conv6_1 surplus",
        "conv3_2 kernel is [3, 2, 6, 6] where [3, 3, 6, 6] is right",
        "conv5_1 has no bias",
    ):
        assert part in message
    assert "\n" not in message


def test_values_are_looked_at_once_the_shapes_are_right(tmp_path):
    arrays = make_arrays()
    arrays["conv4_1"]["bias"][1] = np.nan
    arrays["conv1_2"]["kernel"][0, 0, 0, 0] = np.inf
    named = {f"{name}/{part}": array for name, parts in arrays.items() for part, array in parts.items()}
    np.savez(tmp_path / "w.npz", **named)
    with pytest.raises(NSTError) as caught:
        convert(tmp_path / "w.npz")
    assert "conv1_2 kernel holds values that are not finite; conv4_1 bias holds values that" in str(caught.value)


def test_the_wrong_network(tmp_path):
    write_keras(tmp_path / "w.h5", make_arrays("vgg16"))
    with pytest.raises(NSTError, match="does not hold vgg19: missing conv3_4 conv4_4 conv5_4"):
        convert(tmp_path / "w.h5", network="vgg19")


def test_a_vgg19_that_lacks_a_layer_is_still_taken_for_one(tmp_path):
    arrays = make_arrays("vgg19")
    del arrays["conv1_1"], arrays["conv5_4"]
    write_keras(tmp_path / "w.h5", arrays)
    with pytest.raises(NSTError, match="does not hold vgg19: missing conv1_1 conv5_4"):
        convert(tmp_path / "w.h5")


def test_a_network_that_is_no_vgg(tmp_path):
    write_safetensors(tmp_path / "w.safetensors", {"layer1.0.conv1.weight": np.ones((2, 2, 3, 3))})
    with pytest.raises(NSTError, match=r"no layers of VGG-16 or VGG-19 \(it holds layer1\.0\.conv1\.weight\)"):
        convert(tmp_path / "w.safetensors")


def test_integers_are_no_weights(tmp_path):
    named = {f"{n}/{part}": a.astype(int) for n, parts in make_arrays().items() for part, a in parts.items()}
    np.savez(tmp_path / "w.npz", **named)
    with pytest.raises(NSTError, match="conv1_1 kernel holds int64 where floating-point numbers are right"):
        convert(tmp_path / "w.npz")


# files that are no weights


def test_missing_folder_empty_and_text(tmp_path):
    with pytest.raises(NSTError, match="no file at"):
        convert(tmp_path / "nothing.h5")
    with pytest.raises(NSTError, match="is a folder"):
        convert(tmp_path)
    for name in ("w.h5", "w.pth", "w.safetensors", "w.mat", "w.npz", "w.npy"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(NSTError, match="is empty"):
            convert(tmp_path / name)
        (tmp_path / name).write_text("<html>404 Not Found</html>")
        with pytest.raises(NSTError, match="no weights file that can be read"):
            convert(tmp_path / name)


def write_all(folder):
    """One file of each format."""
    arrays = make_arrays()
    named = {f"{name}/{part}": array for name, parts in arrays.items() for part, array in parts.items()}
    write_keras(folder / "keras.h5", arrays)
    write_safetensors(folder / "w.safetensors", torchvision_state(arrays))
    write_mat(folder / "old.mat", arrays, "old")
    np.savez(folder / "w.npz", **named)
    write_object_npy(folder / "w.npy", tensorflow_vgg(arrays), 4)
    save_weights(folder / "own.h5", Weights("vgg19", arrays, CAFFE))


@pytest.mark.parametrize("name", ["keras.h5", "w.safetensors", "old.mat", "w.npz", "w.npy", "own.h5"])
@pytest.mark.parametrize("fraction", [0.001, 0.01, 0.3, 0.9, 0.999])
def test_truncated(tmp_path, name, fraction):
    write_all(tmp_path)
    raw = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(raw[: max(1, int(len(raw) * fraction))])
    with pytest.raises(NSTError) as caught:
        convert(tmp_path / name)
    assert "\n" not in str(caught.value) and str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("name", ["keras.h5", "w.safetensors", "old.mat", "w.npz", "w.npy", "own.h5"])
def test_the_extension_does_not_matter(tmp_path, name):
    write_all(tmp_path)
    shutil.move(tmp_path / name, tmp_path / "weights.bin")
    assert_same(convert(tmp_path / "weights.bin")[0], make_arrays())


def test_matconvnet_with_batch_normalisation(tmp_path):
    from scipy.io import loadmat, savemat

    write_mat(tmp_path / "w.mat", make_arrays(), "new")
    content = loadmat(tmp_path / "w.mat")
    bnorm = np.empty((1, 3), object)
    bnorm[0, :] = [np.ones((4, 1)), np.ones((4, 1)), np.ones((4, 2))]
    layer = np.empty((1, 1), object)
    layer[0, 0] = {"type": "bnorm", "name": "bn1_1", "weights": bnorm}
    savemat(tmp_path / "w.mat", {"layers": np.concatenate([content["layers"], layer], 1), "meta": content["meta"]})
    with pytest.raises(NSTError, match="is a network with batch normalisation .*bn1_1.*: give one without"):
        convert(tmp_path / "w.mat")


def test_an_average_image_that_is_not_finite(tmp_path):
    write_mat(tmp_path / "w.mat", make_arrays(), "new", average=(np.nan, 116.0, 103.0))
    with pytest.raises(NSTError, match="averageImage holds values that are not finite"):
        convert(tmp_path / "w.mat")
