"""What of the library is given what it cannot use: each is one line that says what would be right."""

import io

import numpy as np
import pytest
from PIL import Image

import nst_jax
from nst_jax import Config, NSTError

PICTURE = np.full((24, 32, 3), 0.5, np.float32)
RESULT = "result is of type {}: give what stylize gives"
WEIGHTS = "weights is of type {}: give what load_weights or find_weights gives"


def painted(**more):
    return lambda _: nst_jax.stylize(PICTURE, PICTURE, more.pop("config", Config(network="slim", size=32)), **more)


def saved(name="a.png", pixels=PICTURE, **more):
    return lambda folder: nst_jax.save_image(folder / name, pixels, **more)


MISUSES = {
    "options as a dict": (painted(config={"size": 32}), "config is of type dict: give a Config"),
    "a preset's name for options": (painted(config="default"), "config is of type str: give a Config"),
    "a network's name for weights": (painted(weights="slim"), WEIGHTS.format("str")),
    "weights as an empty dict": (painted(weights={}), WEIGHTS.format("dict")),
    "further terms that are None": (painted(more=None), "more is of type NoneType: give a list of Extra"),
    "a number for a further term": (painted(more=[1]), "one of more is of type int: give an Extra"),
    "a platform for a machine": (painted(machine="cpu"), "machine is of type str: give a Machine"),
    "no function for progress": (painted(on_progress=None), "on_progress is of type NoneType: give a function"),
    "text for looks": (painted(looks="often"), "looks is of type str: give a whole number of 0 or more"),
    "looks backwards": (painted(looks=-1), "looks is -1: give a whole number of 0 or more"),
    "a number for a file": (lambda _: nst_jax.load_image(5), "a int is no file: give a path, or a file"),
    "an array for a file": (lambda _: nst_jax.load_image(PICTURE), "a ndarray is no file: give a path, or a file"),
    "a scale that is text": (lambda _: nst_jax.load_image("a.png", scale="x"), "scale is of type str: give a number"),
    "a scale of NaN": (lambda _: nst_jax.load_image("a.png", scale=np.nan), "scale is nan: give a finite number above"),
    "a scale of 0": (lambda _: nst_jax.load_image("a.png", scale=0), "scale is 0: give a finite number above 0"),
    "no name for a picture": (lambda _: nst_jax.save_image(None, PICTURE), "path is of type NoneType: give a file's"),
    "a picture of Pillow's to save": (
        saved(pixels=Image.new("RGB", (4, 4), "white")),
        "pixels are whole numbers up to 255: give floats in .0, 1., here divided by 255",
    ),
    "words for pixels": (saved(pixels="white"), "pixels are of type <U5: give floats"),
    "complex pixels": (saved(pixels=PICTURE * 1j), "pixels are of type complex64: give floats"),
    "pixels that are not finite": (saved(pixels=PICTURE * np.nan), "pixels have values that are not finite"),
    "no pixels": (saved(pixels=PICTURE[:0]), r"pixels must be \[H, W, 3\], not \[0, 32, 3\]"),
    "alpha that is not finite": (saved(alpha=PICTURE[..., 0] * np.nan), "alpha have values that are not finite"),
    "a quality of text": (saved("a.jpg", quality="best"), "quality is of type str: give a whole number from 1 to 100"),
    "half a quality": (saved("a.jpg", quality=0.5), "quality is of type float: give a whole number from 1 to 100"),
    "metadata that is text": (saved(metadata="x"), "metadata is of type str: give strings by their names"),
    "a number in the metadata": (saved(metadata={"a": 1}), "metadata's a is of type int: give a string"),
    "a name of metadata beyond ASCII": (saved(metadata={"ä": "x"}), "metadata has 'ä': give names of up to 79 letters"),
    "nothing to save": (lambda folder: nst_jax.save(folder / "a.png", None), RESULT.format("NoneType")),
    "an array for a result": (lambda folder: nst_jax.save(folder / "a.png", PICTURE), RESULT.format("ndarray")),
    "a report of nothing": (lambda _: nst_jax.report(None), RESULT.format("NoneType")),
    "a preset of nothing": (
        lambda folder: nst_jax.save_preset(folder / "a.toml", None),
        "config is of type NoneType: give a Config",
    ),
    "no name for a preset": (lambda _: nst_jax.save_preset(None, Config()), "path is of type NoneType: give a file's"),
    "an open file for weights": (lambda _: nst_jax.load_weights(io.BytesIO()), "BytesIO"),
    "a name for a network": (lambda _: nst_jax.network("slim"), WEIGHTS.format("str")),
    "responses of no network": (
        lambda _: nst_jax.features(None, PICTURE, ("conv1_1",)),
        "net is of type NoneType: give what network gives",
    ),
    "responses at no layer": (
        lambda _: nst_jax.features(nst_jax.network(nst_jax.find_weights("slim")), PICTURE, ()),
        "taps are none: name layers",
    ),
    "responses to four channels": (
        lambda _: nst_jax.features(nst_jax.network(nst_jax.find_weights("slim")), np.zeros((9, 9, 4)), ("conv1_1",)),
        r"image is of shape \[9, 9, 4\]: give \[H, W, 3\]",
    ),
    "an objective of no network": (lambda _: nst_jax.objective(None, []), "net is of type NoneType: give what"),
    "numbers for terms": (
        lambda _: nst_jax.objective(nst_jax.network(nst_jax.find_weights("slim")), [1]),
        r"one of terms is int: give pairs \(weight, term\)",
    ),
    "a name for a method": (
        lambda _: nst_jax.minimise("lbfgs", lambda argument, x: x, None, PICTURE, steps=1, rate=1.0),
        "method is of type str: give a Method, such as Method",
    ),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("what", MISUSES)
def test_a_misuse_is_one_line(tmp_path, what):
    call, words = MISUSES[what]
    with pytest.raises(NSTError, match=words) as caught:
        call(tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
