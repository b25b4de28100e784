"""Normalisation: mean activation 1 for each filter, and each response the old one over its mean."""

import jax.numpy as jnp
import numpy as np
import pytest
from convert_support import make_arrays
from PIL import Image

from convert_weights.cli import main
from convert_weights.normalize import SIDE, normalize, rescale, square
from nst_jax.errors import NSTError
from nst_jax.networks.vgg import features, network
from nst_jax.networks.weights import CAFFE, Weights
from nst_jax.networks.weights_file import load_weights, save_weights
from nst_jax.options.folders import pictures_in


@pytest.fixture
def pictures(tmp_path):
    """Three pictures of different sizes, and what is none."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for index, size in enumerate([(40, 60), (250, 230), (64, 64)]):
        small = rng.integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    for name in ("readme.txt", "._0.png"):
        (folder / name).write_text("no picture")
    (folder / "more.png").mkdir()
    return folder


def reference_means(arrays, images, pooling):
    """Plain NumPy, float64: every convolution's mean response over images and positions."""
    sums = {}
    for image in images:
        x = 255 * image[..., ::-1].astype(np.float64) - np.array(CAFFE.mean)
        for name, parts in arrays.items():
            if name.endswith("_1") and name != "conv1_1":
                blocks = x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, -1)
                x = blocks.mean((1, 3)) if pooling == "avg" else blocks.max((1, 3))
            padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
            height, width = x.shape[:2]
            x = sum(
                padded[i : i + height, j : j + width] @ parts["kernel"][i, j].astype(np.float64)
                for i in range(3)
                for j in range(3)
            )
            x = np.maximum(x + parts["bias"], 0)
            sums[name] = sums.get(name, 0) + x.mean((0, 1))
    return {name: total / len(images) for name, total in sums.items()}


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_mean_activations_become_one_and_responses_keep_their_shape(pictures, pooling):
    arrays = make_arrays()
    arrays["conv2_2"]["kernel"][..., 1] = 0  # a filter that never fires
    arrays["conv2_2"]["bias"][1] = -1
    weights = Weights("vgg19", arrays, CAFFE, {"source_file": "x"})
    files = pictures_in(pictures)
    assert [file.name for file in files] == ["0.png", "1.png", "2.png"]
    normalized = normalize(weights, files, pooling)
    squares = [square(file) for file in files]
    means = reference_means(arrays, squares, pooling)
    after = reference_means(normalized.arrays, squares, pooling)
    for name, mean in means.items():
        np.testing.assert_allclose(after[name], (mean > 0).astype(float), rtol=2e-4, err_msg=name)
    assert means["conv2_2"][1] == 0
    image = jnp.asarray(squares[0])
    before = features(network(weights, pooling), image, list(arrays))
    now = features(network(normalized, pooling), image, list(arrays))
    for name, mean in means.items():
        expected = np.asarray(before[name]) / np.where(mean > 0, mean, 1)
        np.testing.assert_allclose(now[name], expected, rtol=1e-3, atol=1e-3, err_msg=name)
    assert normalized.preprocessing == CAFFE
    assert f"3 pictures ({SIDE} x {SIDE} pixels, {pooling} pooling)" in normalized.metadata["normalized"]
    assert normalized.metadata["source_file"] == "x"


def test_rescaling_by_ones_changes_nothing():
    arrays = make_arrays()
    same = rescale(arrays, {name: np.ones(parts["bias"].shape) for name, parts in arrays.items()})
    for name, parts in arrays.items():
        for part, array in parts.items():
            np.testing.assert_array_equal(same[name][part], array)
            assert same[name][part].dtype == np.float32


def test_square_is_the_middle(tmp_path):
    pixels = np.zeros((30, 90, 3), np.uint8)
    pixels[:, 30:60] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = square(tmp_path / "a.png")
    assert found.shape == (SIDE, SIDE, 3) and found.dtype == np.float32 and found.min() > 0.99


def test_command(pictures, tmp_path, capsys):
    save_weights(tmp_path / "vgg19.h5", Weights("vgg19", make_arrays(), CAFFE))
    command = [str(tmp_path / "vgg19.h5"), "--normalize", str(pictures), "--pooling", "max"]
    assert main([*command, "--output", str(tmp_path / "n.h5")]) == 0
    assert "max pooling" in load_weights(tmp_path / "n.h5").metadata["normalized"]
    assert "mean activation 1 over 3 pictures" in capsys.readouterr().out


def test_folders_that_will_not_do(tmp_path, capsys, pictures):
    with pytest.raises(NSTError, match="is no folder"):
        pictures_in(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NSTError, match="is a folder without pictures"):
        pictures_in(tmp_path / "empty")
    (pictures / "3.png").write_bytes((pictures / "2.png").read_bytes()[:50])
    save_weights(tmp_path / "vgg19.h5", Weights("vgg19", make_arrays(), CAFFE))
    command = [str(tmp_path / "vgg19.h5"), "--normalize", str(pictures), "--output", str(tmp_path / "n.h5")]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "3.png" in error and error.count("\n") == 1 and not (tmp_path / "n.h5").exists()


def test_a_network_that_stands_for_another_is_refused():
    arrays = {name: {**parts, "map": np.ones((1, 1), "f4")} for name, parts in make_arrays().items()}
    with pytest.raises(NSTError, match="vgg19 cannot be normalised, as its layers stand for wider ones"):
        normalize(Weights("vgg19", arrays, CAFFE), [])
