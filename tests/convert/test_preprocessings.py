"""Telling the Oxford filters from torchvision's: known files, known filters, the biases of conv1_1."""

import hashlib

import h5py
import numpy as np
import pytest
from convert_support import convert, make_arrays, torchvision_state, write_safetensors

from convert_weights import preprocessings
from convert_weights.download import RELEASES
from nst_jax.errors import NSTError
from nst_jax.networks.weights import CAFFE, TORCHVISION

# As printed by torch from torchvision's vgg16-397923af.pth: features.0.bias.
TORCHVISION_VGG16_BIASES = [
    0.4034, 0.3778, 0.4644, -0.3228, 0.3940, -0.3953, 0.3951, -0.5496, 0.2693, -0.7602, -0.3508, 0.2334, -1.3239,
    -0.1694, 0.3938, -0.1026, 0.0460, -0.6995, 0.1549, 0.5628, 0.3011, 0.3425, 0.1073, 0.4651, 0.1295, 0.0788, -0.0492,
    -0.5638, 0.1465, -0.3890, -0.0715, 0.0649, 0.2768, 0.3279, 0.5682, -1.2640, -0.8368, -0.9485, 0.1358, 0.2727,
    0.1841, -0.5325, 0.3507, -0.0827, -1.0248, -0.6912, -0.7711, 0.2612, 0.4033, -0.4802, -0.3066, 0.5807, -1.3325,
    0.4844, -0.8160, 0.2386, 0.2300, 0.4979, 0.5553, 0.5230, -0.2182, 0.0117, -0.5516, 0.2108,
]  # fmt: skip


def first_layer(bias, kernel=None):
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, len(bias))) if kernel is None else kernel
    return {"conv1_1": {"kernel": kernel, "bias": np.asarray(bias)}}


@pytest.fixture
def oxford(real):
    with h5py.File(real, "r") as file:
        group = file["block1_conv1"]
        kernel, bias = (group[name][()] for name in group.attrs["weight_names"])
    return kernel, bias


def test_real_oxford_filters_are_known(oxford):
    kernel, bias = oxford
    assert preprocessings.decide(first_layer(bias, kernel), "", "f")[0] == CAFFE
    assert preprocessings.decide(first_layer(bias, kernel[:, :, ::-1]), "", "f")[0] == preprocessings.CAFFE_RGB
    assert preprocessings.credit(first_layer(bias, kernel)) == preprocessings.OXFORD_CREDIT


def test_biases_alone_tell_the_real_networks_apart(oxford):
    _, bias = oxford
    assert preprocessings.decide(first_layer(bias), "", "f")[0] == CAFFE
    assert preprocessings.decide(first_layer(TORCHVISION_VGG16_BIASES), "", "f")[0] == TORCHVISION


def test_the_numbers_that_the_choice_rests_on(oxford):
    kernel, bias = oxford
    assert (bias > 0).sum() == 63 and bias.min() > -0.013
    assert (np.array(TORCHVISION_VGG16_BIASES) < 0).sum() == 27
    assert 0.19 < kernel.std() < 0.192 and np.abs(kernel).max() < 0.66


def test_biases_between_the_families_are_not_guessed():
    with pytest.raises(NSTError, match="give --preprocessing caffe .* or --preprocessing torchvision"):
        preprocessings.decide(first_layer([1.0] * 85 + [-1.0] * 15), "", "weights.pth")


@pytest.mark.parametrize(
    "taps, name",
    [((-0.053474, -0.049257, -0.067942), "VGG-19"), ((-0.5537, 0.1427, 0.5290), "VGG-16")],
)
def test_torchvision_filters_are_known(taps, name):
    layer = first_layer(np.ones(64))
    layer["conv1_1"]["kernel"][0, :, 0, 0] = taps
    preprocessing, reason = preprocessings.decide(layer, "", "f")
    assert preprocessing == TORCHVISION and name in reason
    assert preprocessings.credit(layer) == preprocessings.TORCHVISION_CREDIT
    # turned round, torchvision's filters are nobody's
    layer["conv1_1"]["kernel"] = layer["conv1_1"]["kernel"][:, :, ::-1]
    assert preprocessings.first_filter(layer) is None


@pytest.mark.parametrize("digits", sorted(preprocessings.KNOWN_FILES))
def test_a_known_file_outweighs_its_statistics(digits):
    expected, name = preprocessings.KNOWN_FILES[digits]
    biases = TORCHVISION_VGG16_BIASES if expected != TORCHVISION else [1.0] * 64
    preprocessing, reason = preprocessings.decide(first_layer(biases), digits + "0" * 56, "f")
    assert preprocessing == expected and name in reason


def test_hash_is_that_of_the_file(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, torchvision_state(make_arrays(biases="positive")))
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    monkeypatch.setitem(preprocessings.KNOWN_FILES, digits, (TORCHVISION, "a known file"))
    assert convert(path)[0].preprocessing == TORCHVISION


def test_known_filters_outweigh_the_names_of_layers(tmp_path):
    """Gatys's names, which stand for Caffe's networks, and filters of torchvision's."""
    arrays = make_arrays(biases="positive")
    arrays["conv1_1"]["kernel"][0, :, 0, 0] = preprocessings._FIRST_FILTERS["torchvision's VGG-19"]
    state = {f"{name}.{part}": parts[key].transpose(3, 2, 0, 1) if part == "weight" else parts[key]
             for name, parts in arrays.items() for part, key in (("weight", "kernel"), ("bias", "bias"))}  # fmt: skip
    path = tmp_path / "w.safetensors"
    write_safetensors(path, state)
    weights, decision = convert(path)
    assert weights.preprocessing == TORCHVISION and "its first filter is that of torchvision's VGG-19" in decision
    arrays["conv1_1"]["kernel"][0, :, 0, 0] = 0
    write_safetensors(path, state)
    assert convert(path)[0].preprocessing == CAFFE


def test_a_preprocessing_that_there_is_not(tmp_path):
    write_safetensors(tmp_path / "w.safetensors", torchvision_state(make_arrays()))
    with pytest.raises(NSTError, match="preprocessing.*caffe.*torchvision"):
        convert(tmp_path / "w.safetensors", preprocessing="foo")


def test_table_of_releases_agrees_with_itself():
    for (network, source), release in RELEASES.items():
        assert release.url.startswith("https://") and network in release.file_name
        kind, _, digits = release.hash.partition(":")
        assert len(digits) == {"md5": 32, "sha256": 64}[kind]
        if source == "torchvision":
            assert f"-{digits[:8]}.pth" in release.file_name
            assert preprocessings.KNOWN_FILES[digits[:8]][0] == TORCHVISION


def test_descriptions():
    assert preprocessings.describe(CAFFE) == "caffe (BGR, 0-255, minus (103.939, 116.779, 123.68))"
    assert "over (0.229, 0.224, 0.225)" in preprocessings.describe(TORCHVISION)
    assert preprocessings.describe(preprocessings.CAFFE_RGB).startswith("RGB, 0-255")
