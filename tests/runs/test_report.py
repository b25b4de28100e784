"""What a run leaves behind: the picture's metadata and the report."""

import dataclasses
import json
import math

import jax
import numpy as np
import pytest
from runs_support import KEYS
from support import random_filters, simple_config, smooth_picture

from nst_jax.errors import NSTError
from nst_jax.pictures import images
from nst_jax.pictures.sources import as_picture
from nst_jax.runs import report as runs
from nst_jax.runs.stylize import stylize


@pytest.fixture
def result(pictures, narrow_vgg):
    config = simple_config(size=48, style_size=52, steps=2, scales=1, history=3)
    return stylize(*pictures, config, weights=random_filters("vgg19"))


def test_a_report_has_every_key_and_is_json(result):
    told = json.loads(json.dumps(runs.report(result, "some/out.png"), allow_nan=False))
    assert set(told) >= KEYS
    assert told["config"]["size"] == 48
    assert told["output"] == "some/out.png"
    assert told["size"] == [48, 34]
    assert told["network"]["name"] == "vgg19"
    assert "sha256" in told["network"]
    assert set(told["seconds"]) == {"load", "compile", "run", "total"}
    assert set(told["losses"]) == {"content", "style", "tv", "total"}
    assert [set(row) for row in told["trace"]] == [{"content", "style", "tv", "total", "step", "seconds", "size"}] * 2
    assert {"nst_jax", "jax", "flax", "optax", "numpy"} <= set(told["versions"])
    assert told["device"] == {"platform": "cpu", "kind": jax.devices()[0].device_kind, "count": jax.device_count()}
    assert [entry["role"] for entry in told["inputs"]] == ["content", "style"]
    assert runs.report(result)["output"] is None


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tiff"])
def test_a_picture_tells_how_it_was_made(tmp_path, result, extension):
    path = tmp_path / f"out.{extension}"
    runs.save(path, result)
    told = json.loads(images.read_metadata(path)["nst_jax"])
    assert told["config"] == json.loads(json.dumps(result.config.to_json()))
    assert told["losses"] == result.losses
    assert told["inputs"][0]["sha256"] == result.inputs[0]["sha256"]
    assert images.load_image(path).size == (48, 34)


def test_alpha_is_written(tmp_path, result):
    alpha = np.linspace(0, 1, 34 * 48, dtype="f4").reshape(34, 48)
    runs.save(tmp_path / "out.png", dataclasses.replace(result, alpha=alpha))
    np.testing.assert_allclose(images.load_image(tmp_path / "out.png").alpha, alpha, atol=0.6 / 255)


def test_the_same_run_gives_the_same_file(tmp_path, pictures, narrow_vgg, result):
    again = stylize(*pictures, result.config, weights=random_filters("vgg19"))
    for path, one in (("a.png", result), ("b.png", again)):
        runs.save(tmp_path / path, one)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path, result, monkeypatch):
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(NSTError, match="cannot write the report to .*: No such file or directory"):
        runs.save_report(tmp_path / "nowhere" / "report.json", runs.report(result))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(NSTError, match="cannot write the report to .*: No space left on device"):
        runs.save_report(path, runs.report(result))
    monkeypatch.undo()
    assert path.read_text() == "old"
    runs.save_report(path, runs.report(result, "x.png"))
    assert json.loads(path.read_text())["output"] == "x.png"
    assert not list(tmp_path.glob("*.tmp")) + list(tmp_path.glob(".*.tmp"))


def test_a_report_of_a_loss_that_is_not_finite_is_still_json(tmp_path, result):
    """JSON knows no NaN; what reads reports must not fail on them."""
    spoilt = dataclasses.replace(result, losses={**result.losses, "total": math.nan}, ended="not finite")
    runs.save_report(tmp_path / "report.json", runs.report(spoilt))
    told = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert told["losses"]["total"] is None
    assert told["losses"]["content"] == result.losses["content"]
    runs.save(tmp_path / "out.png", spoilt)
    json.loads(images.read_metadata(tmp_path / "out.png")["nst_jax"], parse_constant=pytest.fail)


def test_pictures_of_arrays_have_no_file(tmp_path, narrow_vgg):
    config = simple_config(size=48, style_size=52, steps=0, scales=1, history=3)
    result = stylize(smooth_picture(34, 48, 0), smooth_picture(52, 40, 1), config, weights=random_filters("vgg19"))
    assert [entry["path"] for entry in result.inputs] == ["array"] * 2


def test_arrays_have_hashes_that_tell_them_apart():
    """By values and shape; not by the size that they are then given, or by the precision of the same values."""
    first, second = smooth_picture(34, 48, 0), smooth_picture(34, 48, 1)

    def digest(array, side=20):
        return as_picture(array, side, enlarge=False).sha256

    assert len(digest(first)) == 64
    assert digest(first) == digest(first.astype(np.float64)) == digest(first, 30)
    assert digest(np.asfortranarray(first)) == digest(first)
    assert len({digest(array) for array in (first, second, first.reshape(48, 34, 3))}) == 3
