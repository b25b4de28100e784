"""About how long a run will take, told before it."""

import dataclasses

import numpy as np
import pytest
from support import random_filters, simple_config

from nst_jax.runs import duration
from nst_jax.runs.duration import seconds_of
from nst_jax.runs.plan import prepare

LAYERS = {"content_layers": ("conv2_1",), "style_layers": ("conv1_1", "conv2_1")}
IMAGE = np.full((48, 64, 3), 0.5, np.float32)


def prepared(**changes):
    config = simple_config(**{"network": "vgg19", "size": 64, "scales": 1, "steps": 4} | LAYERS | changes)
    return prepare(IMAGE, IMAGE, config, weights=random_filters("vgg19"))


@pytest.fixture
def pixel(monkeypatch):
    """Has a pass take a second a pixel."""
    monkeypatch.setattr(duration, "seconds_a_pixel", lambda *given: 1.0)


def test_the_time_is_that_of_all_pixels_of_all_steps(pixel):
    step, _ = duration.USUAL
    one = step * 4 * 48 * 64
    assert seconds_of(prepared()) == one
    assert seconds_of(prepared(scales=2, coarse_steps=(3,))) == one + step * 3 * 24 * 32
    assert seconds_of(prepared(steps=0)) == 0


def test_octaves_tiles_and_devices_count(pixel):
    run = prepared()
    one = seconds_of(run)
    octaves = run._replace(footprint=dataclasses.replace(run.footprint, octaves=2))
    assert seconds_of(octaves) == 1.25 * one
    tiled = run._replace(plan=run.plan._replace(tile=32))
    assert seconds_of(tiled) == pytest.approx(duration.USUAL[1] * one)
    assert seconds_of(run._replace(plan=run.plan._replace(tile=32, whole=64))) == one
    shared = run._replace(machine=dataclasses.replace(run.machine, shards=(None, None)))
    assert seconds_of(shared) == one / 2


def test_the_pass_is_really_timed():
    assert 1e-9 < seconds_of(prepared()) < 60
