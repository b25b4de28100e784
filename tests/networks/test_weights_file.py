"""Weights files: there and back, and every way in which a file can be wrong."""

import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from support import random_filters

from nst_jax import apart, files
from nst_jax.errors import NSTError
from nst_jax.networks import weights_file as module
from nst_jax.networks.weights import Preprocessing, check_arrays
from nst_jax.networks.weights_file import find_weights, load_weights, save_weights

pytestmark = pytest.mark.usefixtures("narrow_vgg")


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "vgg19.h5"
    save_weights(path, random_filters("vgg19"))
    return path


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
def test_there_and_back(tmp_path, network):
    preprocessing = Preprocessing("RGB", 1.0, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    before = dataclasses.replace(
        random_filters(network), preprocessing=preprocessing, metadata={"source_file": "ä.pth", "licence": "CC BY 4.0"}
    )
    path = tmp_path / "new" / "folder" / "w.h5"
    save_weights(path, before)
    after = load_weights(path)
    assert after.network == network
    assert after.preprocessing == preprocessing
    assert before.metadata.items() <= after.metadata.items()
    assert after.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert set(after.arrays) == set(before.arrays)
    for name, parts in before.arrays.items():
        for part, array in parts.items():
            assert after.arrays[name][part].dtype == np.float32
            np.testing.assert_array_equal(after.arrays[name][part], array)


def test_maps_of_a_stand_in_are_kept_and_asked_for(tmp_path, stand_in):
    before = random_filters(stand_in)
    save_weights(tmp_path / "w.h5", before)
    after = load_weights(tmp_path / "w.h5", stand_in)
    np.testing.assert_array_equal(after.arrays["conv2_1"]["map"], before.arrays["conv2_1"]["map"])
    arrays = {name: {part: parts[part] for part in ("kernel", "bias")} for name, parts in before.arrays.items()}
    with pytest.raises(NSTError, match="conv1_1 has no map; conv2_1 has no map"):
        check_arrays(stand_in, arrays, "w")


def test_the_same_weights_give_the_same_file(tmp_path):
    paths = tmp_path / "a.h5", tmp_path / "b.h5"
    for path in paths:
        save_weights(path, random_filters("vgg19"))
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_layout_is_the_documented_one(saved):
    with h5py.File(saved) as file:
        assert file.attrs["format"] == "nst_jax weights"
        assert file.attrs["format_version"] == 1
        assert file.attrs["network"] == "vgg19"
        assert file.attrs["channel_order"] == "BGR"
        assert file.attrs["range"] == 255
        np.testing.assert_allclose(file.attrs["mean"], [103.939, 116.779, 123.68])
        np.testing.assert_allclose(file.attrs["std"], 1)
        assert file["conv1_1/kernel"].shape == (3, 3, 3, 4)
        assert file["conv5_4/bias"].shape == (7,)


def test_a_save_that_fails_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(NSTError, match="cannot write weights to .*vgg19.h5: No space left on device"):
        save_weights(saved, random_filters("vgg19", seed=5))
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["vgg19.h5"]


FULL = """
import resource, sys
from support import random_filters
from nst_jax.networks.weights_file import save_weights
filters = random_filters("slim", seed=5)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
save_weights(sys.argv[1], filters)
"""


@pytest.mark.parametrize("room", [100, 20_000, 3_000_000])
def test_a_save_without_room_is_one_error(tmp_path, room):
    """libhdf5 itself ends the process where it cannot write what it must."""
    path = tmp_path / "slim.h5"
    path.write_bytes(b"before")
    ended = subprocess.run([sys.executable, "-c", FULL, path, str(room)], capture_output=True, text=True,
                           env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert f"NSTError: cannot write weights to {path}: File too large" in ended.stderr
    assert path.read_bytes() == b"before" and [each.name for each in tmp_path.iterdir()] == ["slim.h5"]


def test_numbers_too_large_for_the_file_are_refused(saved):
    before, filters = saved.read_bytes(), random_filters("vgg19", seed=5)
    bias = filters.arrays["conv1_1"]["bias"]
    filters.arrays["conv1_1"]["bias"] = np.full(bias.shape, 1e39)
    with pytest.raises(NSTError, match="conv1_1 bias holds values that are not finite"):
        save_weights(saved, filters)
    assert saved.read_bytes() == before


@pytest.mark.parametrize("network", ["vgg11", "auto"])
def test_a_network_that_there_is_not_is_not_advised(network):
    with pytest.raises(NSTError, match="unknown network"):
        find_weights(network)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NSTError, match="cannot write weights to"):
        save_weights(tmp_path / "file" / "w.h5", random_filters("vgg19"))


def test_wrong_arrays_are_all_named(tmp_path):
    arrays = {name: dict(parts) for name, parts in random_filters("vgg19").arrays.items()}
    del arrays["conv1_2"]
    arrays["fc6"] = {"kernel": np.zeros(3)}
    arrays["conv2_1"]["kernel"] = np.zeros((3, 3, 4, 9), "f4")
    del arrays["conv2_2"]["bias"]
    arrays["conv3_1"]["bias"] = np.full(6, np.nan, "f4")
    with pytest.raises(NSTError) as caught:
        check_arrays("vgg19", arrays, "some file")
    assert str(caught.value) == (
        "some file does not hold vgg19: missing conv1_2; unexpected fc6; "
        "conv2_1 kernel is [3, 3, 4, 9] where [3, 3, 4, 5] is right; conv2_2 has no bias; "
        "conv3_1 bias holds values that are not finite"
    )
    with pytest.raises(NSTError, match="missing conv1_2"):
        save_weights(tmp_path / "w.h5", dataclasses.replace(random_filters("vgg19"), arrays=arrays))
    assert not list(tmp_path.iterdir())


def edit(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def truncate(path, keep):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


WRONG = {
    "empty": (lambda path: path.write_bytes(b""), "is truncated or no weights file"),
    "text": (lambda path: path.write_text("hello"), "is truncated or no weights file"),
    "half": (lambda path: truncate(path, 0.5), "is truncated or no weights file"),
    "all but the end": (lambda path: truncate(path, 0.98), "is truncated or no weights file"),
    "a header": (lambda path: truncate(path, 0.01), "is truncated or no weights file"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "is a folder"),
    "missing": (lambda path: path.unlink(), "no weights file at"),
    "foreign": (
        lambda path: edit(path, lambda f: f.attrs.pop("format")),
        "is HDF5 but not of nst_jax: convert it with",
    ),
    "newer": (
        lambda path: edit(path, lambda f: f.attrs.modify("format_version", 2)),
        "has format version 2, newer than 1",
    ),
    "no preprocessing": (lambda path: edit(path, lambda f: f.attrs.pop("mean")), "is truncated or no weights file"),
    "bad version": (
        lambda path: edit(path, lambda f: f.attrs.create("format_version", "one")),
        "is truncated or no weights file",
    ),
    "bad mean": (lambda path: edit(path, lambda f: f.attrs.create("mean", 0.5)), "is truncated or no weights file"),
    "short mean": (
        lambda path: edit(path, lambda f: f.attrs.create("mean", [0.5, 0.5])),
        "is truncated or no weights file",
    ),
    "unknown order": (
        lambda path: edit(path, lambda f: f.attrs.modify("channel_order", "GRB")),
        "has the channel order 'GRB': RGB or BGR is right",
    ),
    "unknown network": (
        lambda path: edit(path, lambda f: f.attrs.modify("network", "alexnet")),
        "holds an unknown network, 'alexnet'",
    ),
    "a loose dataset": (
        lambda path: edit(path, lambda f: f.create_dataset("loose", data=np.zeros(3))),
        "truncated or no weights|unexpected loose",
    ),
    "one group less": (lambda path: edit(path, lambda f: f.pop("conv3_3")), "does not hold vgg19: missing conv3_3"),
}


for name, value in {"range": 0.0, "mean": [0, np.inf, 0], "std": [1, 0, 1]}.items():
    WRONG[f"a {name} of {value}"] = (
        lambda path, name=name, value=value: edit(path, lambda f: f.attrs.create(name, value)),
        f"is damaged: its {name} is .* where finite numbers",
    )


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_files_are_told_in_one_line(saved, kind):
    spoil, message = WRONG[kind]
    spoil(saved)
    with pytest.raises(NSTError, match=message) as caught:
        load_weights(saved)
    assert "\n" not in str(caught.value)


def test_the_wrong_network(saved):
    assert load_weights(saved, "vgg19").network == "vgg19"
    with pytest.raises(NSTError, match="holds the weights of vgg19, not of vgg16: give --network vgg19"):
        load_weights(saved, "vgg16")


def test_a_file_that_libhdf5_reads_for_ever(tmp_path, monkeypatch):
    """The room that is left in its collection of strings has no size: the next thing in it is the same again."""
    monkeypatch.setattr(apart, "_SECONDS", 1)
    data = bytearray((Path(module.__file__).parents[1] / "data" / "slim.h5").read_bytes())
    at = data.index(b"GCOL") + 16
    while data[at] or data[at + 1]:  # strings, each with a number and a size, then the room that is left, number 0
        at += 16 + -(-int.from_bytes(data[at + 8 : at + 16], "little") // 8) * 8
    data[at + 8 : at + 16] = bytes(8)
    (tmp_path / "w.h5").write_bytes(data)
    with pytest.raises(NSTError, match="w.h5 is damaged: reading it takes more than 1 seconds; fetch or convert it"):
        load_weights(tmp_path / "w.h5")


def test_packed_halves_with_a_scale_are_read_as_what_they_stand_for(saved):
    arrays = random_filters("vgg19").arrays

    def pack(file):
        halves = np.float16(arrays["conv1_1"]["kernel"])
        del file["conv1_1/kernel"]
        file.create_dataset("conv1_1/kernel", data=halves, compression="gzip").attrs["scale"] = np.float32(2)

    edit(saved, pack)
    found = load_weights(saved).arrays["conv1_1"]
    np.testing.assert_array_equal(found["kernel"], np.float32(np.float16(arrays["conv1_1"]["kernel"])) * 2)
    np.testing.assert_array_equal(found["bias"], arrays["conv1_1"]["bias"])


def test_values_that_are_not_finite_are_seen_wherever_they_are_read(saved):
    edit(saved, lambda file: file["conv2_1/bias"].__setitem__(1, np.nan))
    with pytest.raises(NSTError, match="conv2_1 bias holds values that are not finite"):
        load_weights(saved)


def test_a_file_whose_name_is_no_utf_8(saved):
    path = saved.with_name("caf\udce9.h5")
    saved.rename(path)
    assert load_weights(path).network == "vgg19"
    path.write_bytes(b"x")
    with pytest.raises(NSTError, match=r"caf\\xe9.h5 is truncated or no weights file"):
        load_weights(path)


def test_what_is_no_path_and_no_network():
    for path in (None, 3, [b"w.h5"]):
        with pytest.raises(NSTError, match="--weights is .*: give a string, such as"):
            load_weights(path)
    with pytest.raises(NSTError, match=r"a\\x00b cannot be the name of a file"):
        load_weights("a\0b")
    for network in (None, ["vgg19"]):
        with pytest.raises(NSTError, match="--network is .*: give a string"):
            find_weights(network)


def test_pipes_and_devices_are_no_weights(tmp_path):
    (tmp_path / "zero.h5").symlink_to("/dev/zero")
    with pytest.raises(NSTError, match="zero.h5 is no ordinary file but a pipe, a device or the like"):
        load_weights(tmp_path / "zero.h5")


def test_a_folder_or_file_that_may_not_be_looked_at(saved, monkeypatch):
    """As another user meets them; and a folder with a name that is too long."""
    monkeypatch.setenv(module.FOLDER_VARIABLE, str(saved.parent / ("long" * 100)))
    for look in (
        lambda: module.choose_weights("auto"),
        lambda: module.network_in_use("auto"),
        lambda: find_weights("vgg19"),
    ):
        with pytest.raises(NSTError, match="cannot read .*: File name too long; give NST_JAX_WEIGHTS a folder"):
            look()
    monkeypatch.setenv(module.FOLDER_VARIABLE, str(saved.parent))

    def closed(path, *_, **__):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "stat", closed)
        with pytest.raises(NSTError, match="cannot read .*vgg19.h5: Permission denied; give NST_JAX_WEIGHTS"):
            module.choose_weights("auto")
    monkeypatch.setattr(module, "ordinary_size", closed)
    with pytest.raises(NSTError, match="cannot read the weights file .*vgg19.h5: Permission denied"):
        load_weights(saved)


def test_found_in_the_users_folder(saved, monkeypatch):
    monkeypatch.setenv(module.FOLDER_VARIABLE, str(saved.parent))
    assert find_weights("vgg19").sha256 == load_weights(saved).sha256
    with pytest.raises(NSTError, match="no weights for vgg16 in .*python -m convert_weights --download vgg16"):
        find_weights("vgg16")


def test_a_user_without_a_home_folder_has_the_shipped_network(monkeypatch):
    def homeless(*_, **__):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv(module.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(module.platformdirs, "user_data_dir", homeless)
    assert module.choose_weights("auto").network == "slim"
    with pytest.raises(NSTError, match="there is no home folder, which weights are in: give NST_JAX_WEIGHTS a folder"):
        module.choose_weights("vgg19")


def test_the_users_folder_is_the_platforms(monkeypatch):
    monkeypatch.delenv(module.FOLDER_VARIABLE, raising=False)
    assert module.weights_folder().name == "weights"
    assert "nst_jax" in str(module.weights_folder())
