"""The example pictures: drawn by the project's own code, the same each time, and shipped."""

import dataclasses
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nst_jax.options.config import Config

FOLDER = Path(__file__).parents[2] / "examples"
NAMES = ["townhouses", "landscape", "swirls", "mosaic", "woodcut"]
SMALL = 96


@pytest.fixture(scope="module", autouse=True)
def folder_of_modules():
    """The folder's modules can be imported."""
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def draw(folder_of_modules):
    """The module examples/draw.py."""
    return importlib.import_module("draw")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_drawing_is_deterministic_and_shows_something(draw, name):
    first = draw.PICTURES[name](SMALL)
    assert first.dtype == np.float32 and first.ndim == 3 and max(first.shape) == SMALL and first.shape[2] == 3
    assert first.min() >= 0 and first.max() <= 1
    np.testing.assert_array_equal(first, draw.PICTURES[name](SMALL))
    assert first.std() > 0.12  # light and dark
    steps = np.abs(np.diff(first, axis=1)).mean(axis=(1, 2))
    assert np.median(steps) > 0.01  # texture or edges on most rows
    assert (first.max(axis=-1) - first.min(axis=-1)).max() > 0.4  # colour


def test_pictures_differ(draw):
    small = [
        np.asarray(Image.fromarray((draw.PICTURES[n](SMALL) * 255).astype(np.uint8)).resize((8, 8))) for n in NAMES
    ]
    for i, one in enumerate(small):
        for other in small[:i]:
            assert np.abs(one.astype(int) - other).mean() > 15


@pytest.mark.parametrize("name", NAMES)
def test_shipped_picture_opens_and_is_what_the_code_draws(draw, name):
    path = FOLDER / f"{name}.jpg"
    assert path.stat().st_size <= draw.MAX_BYTES
    with Image.open(path) as im:
        assert im.format == "JPEG" and im.mode == "RGB" and max(im.size) == draw.LONGEST_SIDE
        shipped = np.asarray(im.resize((16, 12), Image.Resampling.BOX), np.float32) / 255
    drawn = Image.fromarray((draw.PICTURES[name](256) * 255).astype(np.uint8)).resize((16, 12), Image.Resampling.BOX)
    assert np.corrcoef(shipped.ravel(), np.asarray(drawn, np.float32).ravel())[0, 1] > 0.9


def test_saved_pictures_stay_below_the_limit(draw, tmp_path):
    draw.save(tmp_path / "noise.jpg", np.random.default_rng(0).random((400, 700, 3)))
    assert 0 < (tmp_path / "noise.jpg").stat().st_size <= draw.MAX_BYTES


def test_the_sheet_of_controls_has_every_option_that_changes_a_picture(tmp_path):
    sheet = importlib.import_module("controls")
    shown = sheet.controls(tmp_path)
    used = {option for control in shown for option in control.options} | {"style"}
    of_a_run = {"size", "network", "weights", "refine", "precision", "tile", "depth"}
    of_the_way = {"seed", "history", "learning_rate", "second_decay"}
    of_the_losses = {"content_weight", "style_weight", "loss"}  # strength and the presets show them
    assert (
        used == {"style", *(field.name for field in dataclasses.fields(Config))} - of_a_run - of_the_way - of_the_losses
    )
    captions = [control.caption for control in shown]
    assert len(set(captions)) == len(captions)
    made = [(sheet.config_of(each).for_network("slim"), each.paintings, each.photograph) for each in shown]
    assert len(set(made)) == len(made)  # none shows what another does
    for control in shown:
        assert sheet.config_of(control).size == sheet.SIZE
        assert all(path.exists() for path in (control.photograph, *control.paintings))
