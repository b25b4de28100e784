"""torch's two forms of a state dict, written here by hand as torch.save writes them; and pickles that ask for more."""

import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from convert_support import assert_same, make_arrays, torchvision_state

from convert_weights.convert import convert_here as convert
from nst_jax.errors import NSTError
from nst_jax.networks.weights import CAFFE, TORCHVISION

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
KINDS = {"<f4": "FloatStorage", "<f8": "DoubleStorage", "<f2": "HalfStorage", "<i8": "LongStorage"}


class Name(str):
    """A global, "module name"."""


class Call(tuple):
    """A callable's name and its arguments."""


class Persistent(tuple):
    """What torch gives as a persistent id."""


def opcodes(value) -> bytes:
    """A value's pickle opcodes of protocol 2."""
    if isinstance(value, Name):
        return b"c" + value.replace(" ", "\n").encode() + b"\n"
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if value is None:
        return b"N"
    if isinstance(value, Call):
        return opcodes(value[0]) + opcodes(tuple(value[1:])) + b"R"
    if isinstance(value, Persistent):
        return opcodes(tuple(value)) + b"Q"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(opcodes, value)) + b"t"
    assert isinstance(value, dict), value
    items = b"".join(opcodes(key) + opcodes(item) for key, item in value.items())
    return opcodes(Call([Name("collections OrderedDict")])) + b"(" + items + b"u"


def pickled(value) -> bytes:
    return b"\x80\x02" + opcodes(value) + b"."


class Storages:
    """Gives each array a storage, as torch does, and keeps the bytes."""

    def __init__(self, legacy: bool, rebuild="_rebuild_tensor_v2", view=None):
        self.legacy, self.rebuild, self.view, self.data = legacy, rebuild, view, {}

    def tensor(self, array) -> Call:
        key = str(len(self.data))
        flat = np.ascontiguousarray(array)
        self.data[key] = flat.ravel()
        storage = ("storage", Name(f"torch {KINDS[flat.dtype.str]}"), key, "cpu", flat.size)
        if self.legacy:
            storage = (*storage, self.view)
        stride = tuple(step // flat.itemsize for step in flat.strides)
        tail = (False, {}) if self.rebuild.endswith("v2") else ()
        return Call((Name(f"torch._utils {self.rebuild}"), Persistent(storage), 0, flat.shape, stride, *tail))

    def __call__(self, state) -> dict:
        return {name: self.tensor(array) if isinstance(array, np.ndarray) else array for name, array in state.items()}


def write_zip(path, state, byteorder=b"little"):
    storages = Storages(legacy=False)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(storages(state)))
        archive.writestr("archive/byteorder", byteorder)
        for key, data in storages.data.items():
            archive.writestr(f"archive/data/{key}", data.tobytes())
        archive.writestr("archive/version", b"3\n")


def write_legacy(path, state, little_endian=True, **options):
    storages = Storages(legacy=True, **options)
    sizes = {
        "protocol_version": PROTOCOL,
        "little_endian": little_endian,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    with open(path, "wb") as file:
        for value in (MAGIC, PROTOCOL, sizes):
            pickle.dump(value, file, protocol=2)
        file.write(pickled(storages(state)))
        pickle.dump(sorted(storages.data), file, protocol=2)
        for key in sorted(storages.data):
            file.write(struct.pack("<q", storages.data[key].size) + storages.data[key].tobytes())


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
