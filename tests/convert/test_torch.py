"""torch's two forms of a state dict, and pickles that ask for more."""

import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from convert_support import assert_same, convert, make_arrays, torchvision_state
from torch_support import Call, Name, Storages, opcodes, pickled, write_legacy, write_zip

from nst_jax.errors import NSTError
from nst_jax.networks.weights import CAFFE, TORCHVISION

WRITERS = {"zip": write_zip, "legacy": write_legacy}
DENSE = {"classifier.0.weight": np.ones((2, 3), "f4"), "classifier.0.bias": np.ones(2, "f4")}


@pytest.fixture(params=sorted(WRITERS))
def write(request):
    return WRITERS[request.param]


@pytest.mark.parametrize("network", ["vgg19", "vgg16"])
@pytest.mark.parametrize("biases, expected", [("positive", CAFFE), ("mixed", TORCHVISION)])
def test_torchvision_names(tmp_path, write, network, biases, expected):
    arrays = make_arrays(network, biases=biases)
    write(tmp_path / "w.pth", torchvision_state(arrays, network) | DENSE)
    weights, decision = convert(tmp_path / "w.pth")
    assert_same(weights, arrays)
    assert (weights.network, weights.preprocessing) == (network, expected)
    assert "conv1_1 are negative" in decision
    assert weights.metadata["source_format"] == "torch state dict"


def test_preprocessing_can_be_given(tmp_path, write):
    write(tmp_path / "w.pth", torchvision_state(make_arrays()))
    weights, decision = convert(tmp_path / "w.pth", preprocessing="torchvision")
    assert weights.preprocessing == TORCHVISION and "--preprocessing" in decision


def test_gatys_names(tmp_path, write):
    arrays = make_arrays(biases="mixed")
    state = {}
    for name, parts in arrays.items():
        state[f"{name}.weight"], state[f"{name}.bias"] = parts["kernel"].transpose(3, 2, 0, 1), parts["bias"]
    write(tmp_path / "vgg_conv.pth", state)
    weights, decision = convert(tmp_path / "vgg_conv.pth")
    assert_same(weights, arrays)
    assert weights.preprocessing == CAFFE and "Gatys" in decision


@pytest.mark.parametrize("dtype", ["<f8", "<f2"])
def test_other_precisions(tmp_path, write, dtype):
    arrays = make_arrays()
    write(tmp_path / "w.pth", {name: a.astype(dtype) for name, a in torchvision_state(arrays).items()})
    expected = {n: {k: a.astype(dtype).astype("f4") for k, a in parts.items()} for n, parts in arrays.items()}
    assert_same(convert(tmp_path / "w.pth")[0], expected)


def test_tensors_of_the_first_torch(tmp_path):
    arrays = make_arrays()
    write_legacy(tmp_path / "w.pth", torchvision_state(arrays), rebuild="_rebuild_tensor")
    assert_same(convert(tmp_path / "w.pth")[0], arrays)


def test_strided_tensor(tmp_path, monkeypatch):
    """A tensor may be a transposed view of its storage, from an offset on."""
    arrays = make_arrays()
    state = torchvision_state(arrays)
    kernel = state["features.0.weight"]
    wanted = kernel.transpose(1, 2, 3, 0)  # what the storage holds, channels last but one
    storages = Storages(legacy=False)
    tensors = storages(state)
    storages.data["0"] = np.concatenate([np.zeros(5, "f4"), np.ascontiguousarray(wanted).ravel()])
    outputs = kernel.shape[0]
    call = list(tensors["features.0.weight"])
    call[2], call[4] = 5, (1, 9 * outputs, 3 * outputs, outputs)
    tensors["features.0.weight"] = Call(call)
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("x/data.pkl", pickled(tensors))
        for key, data in storages.data.items():
            archive.writestr(f"x/data/{key}", data.tobytes())
    assert_same(convert(tmp_path / "w.pth")[0], arrays)


@pytest.mark.parametrize(
    "position, value", [(2, 10**6), (2, -1), (3, (10**6, 3, 3, 3)), (4, (0, 0, 0, 0)), (4, (-1, 1, 1, 1)), (4, (1,))]
)
def test_tensor_outside_its_storage(tmp_path, position, value):
    storages = Storages(legacy=False)
    tensors = storages(torchvision_state(make_arrays()))
    call = list(tensors["features.0.weight"])
    call[position] = value
    if value == (0, 0, 0, 0):
        call[3] = (10**6, 10**6, 3, 3)
    tensors["features.0.weight"] = Call(call)
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("x/data.pkl", pickled(tensors))
        for key, data in storages.data.items():
            archive.writestr(f"x/data/{key}", data.tobytes())
    with pytest.raises(NSTError, match=r"features\.0\.weight|damaged|conv1_1 kernel is"):
        convert(tmp_path / "w.pth")


def test_batch_normalisation_is_refused(tmp_path, write):
    state = torchvision_state(make_arrays()) | {
        "features.1.running_mean": np.ones(4, "f4"),
        "features.1.num_batches_tracked": np.ones((), "<i8"),
    }
    write(tmp_path / "vgg19_bn.pth", state)
    with pytest.raises(NSTError, match="batch normalisation"):
        convert(tmp_path / "vgg19_bn.pth")


def test_missing_and_unexpected_layers(tmp_path, write):
    state = torchvision_state(make_arrays()) | {"features.40.bias": np.ones(2, "f4"), "extra": np.ones(1, "f4")}
    del state["features.5.weight"], state["features.7.weight"], state["features.7.bias"]
    write(tmp_path / "w.pth", state)
    with pytest.raises(NSTError, match="missing conv2_2; unexpected features.40 extra; conv2_1 has no kernel"):
        convert(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["posix system", "os system", "builtins eval", "torch.nn.modules.conv Conv2d"])
def test_pickle_that_asks_for_more(tmp_path, write, name, capfd):
    write(tmp_path / "w.pth", {"features.0.weight": Call((Name(name), "echo must not run"))})
    with pytest.raises(NSTError, match=rf"is refused: it asks for {name.replace(' ', '[.]')}"):
        convert(tmp_path / "w.pth")
    assert "must not run" not in capfd.readouterr().out


def test_pickle_that_sets_attributes_of_what_it_may_name(tmp_path):
    """BUILD on an allowed name must not change it for the next file."""
    evil = b"\x80\x02" + opcodes(Name("torch._utils _rebuild_tensor_v2")) + b"}X\x01\x00\x00\x00aK\x01sb."
    with zipfile.ZipFile(tmp_path / "evil.pth", "w") as archive:
        archive.writestr("x/data.pkl", evil)
    with pytest.raises(NSTError):
        convert(tmp_path / "evil.pth")
    write_zip(tmp_path / "w.pth", torchvision_state(make_arrays()))
    assert_same(convert(tmp_path / "w.pth")[0], make_arrays())


def test_no_state_dict(tmp_path, write):
    write(tmp_path / "w.pth", {"features.0.weight": 3})
    with pytest.raises(NSTError, match=r"features\.0\.weight is no tensor"):
        convert(tmp_path / "w.pth")
    with open(tmp_path / "x.pth", "wb") as file:
        pickle.dump([1, 2], file, protocol=2)
    with pytest.raises(NSTError, match=r"not of torch\.save"):
        convert(tmp_path / "x.pth")
    with zipfile.ZipFile(tmp_path / "y.pth", "w") as archive:
        archive.writestr("x/data.pkl", pickled((1, 2)))
    with pytest.raises(NSTError, match="holds no state dict"):
        convert(tmp_path / "y.pth")


def test_other_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(NSTError, match=r"neither torch's nor NumPy's"):
        convert(tmp_path / "w.zip")
    (tmp_path / "storages").write_bytes(b"x")
    with tarfile.open(tmp_path / "old.pth", "w") as archive:
        archive.add(tmp_path / "storages", "storages")
    with pytest.raises(NSTError, match="tar form"):
        convert(tmp_path / "old.pth")


def test_big_endian(tmp_path):
    write_zip(tmp_path / "a.pth", torchvision_state(make_arrays()), byteorder=b"big")
    write_legacy(tmp_path / "b.pth", torchvision_state(make_arrays()), little_endian=False)
    for name in ("a.pth", "b.pth"):
        with pytest.raises(NSTError, match="big-endian"):
            convert(tmp_path / name)


@pytest.mark.parametrize("fraction", [0.0001, 0.01, 0.05, 0.3, 0.9, 0.9999])
def test_truncated(tmp_path, write, fraction):
    write(tmp_path / "w.pth", torchvision_state(make_arrays()))
    raw = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(raw[: max(1, int(len(raw) * fraction))])
    with pytest.raises(NSTError) as caught:
        convert(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


def test_damaged_byte_is_found_in_a_zip(tmp_path):
    write_zip(tmp_path / "w.pth", torchvision_state(make_arrays()))
    raw = bytearray((tmp_path / "w.pth").read_bytes())
    weight = np.ascontiguousarray(torchvision_state(make_arrays())["features.2.weight"]).tobytes()
    raw[raw.index(weight) + 9] ^= 1
    (tmp_path / "w.pth").write_bytes(raw)
    with pytest.raises(NSTError, match="damaged"):
        convert(tmp_path / "w.pth")
