"""A photograph in a painting's colours, and the detail that an enlarged picture is given back."""

import numpy as np
import pytest
from support import smooth_picture

from nst_jax.pictures import transport
from nst_jax.pictures.images import resize
from nst_jax.pictures.transport import in_colors_of, with_detail


def far(one, other):
    """How far the colours of two pictures are apart: the mean difference of quantiles along five axes of RGB."""
    axes = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.6, 0.6], [0.7, -0.7, 0.1]])
    levels = np.linspace(0.02, 0.98, 25)
    quantiles = [np.quantile(each.reshape(-1, 3) @ axes.T, levels, axis=0) for each in (one, other)]
    return np.abs(quantiles[0] - quantiles[1]).mean()


@pytest.fixture
def pair():
    """A photograph and a painting of other colours."""
    return smooth_picture(60, 80, 0), np.clip(smooth_picture(70, 50, 1) * [0.9, 0.5, 0.2] + [0.1, 0.0, 0.3], 0, 1)


def test_the_colours_become_the_paintings(pair):
    photo, painting = pair
    found = in_colors_of(photo, [painting])
    assert found.shape == photo.shape and found.dtype == np.float32
    assert found.min() >= 0 and found.max() <= 1
    assert far(found, painting) < 0.1 * far(photo, painting)
    np.testing.assert_array_equal(found, in_colors_of(photo, [painting]))  # the same every time


def test_a_picture_in_its_own_colours_is_the_same(pair):
    assert np.abs(in_colors_of(pair[0], [pair[0]]) - pair[0]).max() < 0.02


def test_grey_and_flat_pictures(pair):
    flat = np.full((10, 12, 3), 0.4, np.float32)
    assert np.isfinite(in_colors_of(flat, [pair[1]])).all()
    np.testing.assert_allclose(in_colors_of(pair[0], [flat]), 0.4, atol=0.03)
    grey = np.repeat(pair[1].mean(-1, keepdims=True), 3, -1)
    found = in_colors_of(np.repeat(pair[0].mean(-1, keepdims=True), 3, -1), [grey])
    assert np.ptp(found, axis=-1).max() < 1e-3


def test_what_does_not_count_is_not_seen(pair):
    photo, painting = pair
    odd, weights = painting.copy(), np.ones(painting.shape[:2], np.float32)
    odd[:30], weights[:30] = [0, 1, 0], 0
    found = in_colors_of(photo, [odd], target_weights=[weights])
    assert far(found, painting[30:]) < 0.02
    half = np.ones(photo.shape[:2], np.float32)
    half[:, 40:] = 0
    assert far(in_colors_of(photo, [painting], weights=half)[:, :40], painting) < 0.02


def test_several_paintings_are_mixed_by_their_shares(pair):
    photo = pair[0]
    dark, light = (np.full((8, 8, 3), value, np.float32) for value in (0.1, 0.9))
    found = in_colors_of(photo, [dark, light], [3.0, 1.0])
    assert np.mean(found < 0.5) == pytest.approx(0.75, abs=0.03)


def test_large_pictures_are_learnt_from_a_sample(pair):
    """Of more pixels than the sample has, the result is near that of all of them."""
    photo = resize(pair[0], 300, 400)
    assert far(in_colors_of(photo, [pair[1]]), pair[1]) < 0.02


def grain(image):
    return np.abs(np.diff(image[:55], axis=1)).mean()


def sky():
    """A plain sky of a few steps of 8 bits with grain, above ground: [H, W, 3]."""
    draw = np.random.default_rng(0)
    ramp = np.linspace(0.70, 0.75, 60)[:, None, None] + np.array([0, 0.03, 0.1])
    ground = draw.uniform(0, 0.5, (20, 90, 3))
    whole = np.concatenate([np.broadcast_to(ramp, (60, 90, 3)) + draw.normal(0, 0.004, (60, 90, 3)), ground])
    return np.round(np.clip(whole, 0, 1) * 255).astype("f4") / 255


def test_plain_skies_keep_plain_colours(monkeypatch):
    """A sky that has to become all colours has less than half the bare map's grain of colour, and the same light."""
    photograph, painting = sky(), smooth_picture(50, 90, 1)
    smooth = in_colors_of(photograph, [painting])
    monkeypatch.setattr(transport, "RIDGE", 1e-12)
    monkeypatch.setattr(transport, "WINDOW", 10**6)
    bare = in_colors_of(photograph, [painting])
    grey, bare_grey = (each.mean(-1, keepdims=True) for each in (smooth, bare))
    assert grain(bare - bare_grey) > 3 * grain(photograph)
    assert grain(smooth - grey) < 0.5 * grain(bare - bare_grey)
    assert np.abs(grey - bare_grey).mean() < 0.01


def test_edges_stay_sharp():
    """At an edge between two plain halves the smoothing makes no halo."""
    photograph = np.full((40, 80, 3), 0.2, "f4")
    photograph[:, 40:] = [0.8, 0.6, 0.5]
    painting = np.concatenate([np.full((9, 9, 3), [0.1, 0.1, 0.6]), np.full((9, 9, 3), [0.9, 0.8, 0.2])])
    found = in_colors_of(photograph, [painting])
    np.testing.assert_allclose(found[:, :40], np.broadcast_to([0.1, 0.1, 0.6], (40, 40, 3)), atol=0.05)
    np.testing.assert_allclose(found[:, 40:], np.broadcast_to([0.9, 0.8, 0.2], (40, 40, 3)), atol=0.05)
    assert np.ptp(found[:, :40], axis=(0, 1)).max() < 0.03


def test_the_smoothing_wraps_around():
    """A tile that is rolled gives the rolled result."""
    tile, shifts = smooth_picture(60, 80, 0), np.random.default_rng(0).normal(size=(60, 80, 3))
    plain = transport._guided(tile, shifts, np.ones((60, 80)), True)
    rolled = transport._guided(*(np.roll(each, (13, 29), (0, 1)) for each in (tile, shifts)), np.ones((60, 80)), True)
    for one, other in zip(plain, rolled, strict=True):
        np.testing.assert_allclose(np.roll(one, (13, 29), (0, 1)), other, atol=1e-4)


@pytest.mark.parametrize("wrap", [False, True])
def test_large_pictures_are_smoothed_at_a_smaller_size(monkeypatch, pair, wrap):
    photograph = resize(pair[0], 120, 150)
    whole = in_colors_of(photograph, [pair[1]], wrap=wrap)
    monkeypatch.setattr(transport, "MOST", 6000)
    assert np.abs(whole - in_colors_of(photograph, [pair[1]], wrap=wrap)).mean() < 0.015


def test_detail_is_given_back():
    picture = smooth_picture(40, 40, 3)
    coarse = resize(resize(picture, 20, 20), 40, 40)
    np.testing.assert_allclose(with_detail(coarse, picture, coarse, 1.0), picture, atol=1e-6)
    np.testing.assert_array_equal(with_detail(coarse, picture, coarse, 0.0), coarse)
    halfway = with_detail(coarse, picture, coarse, 0.5)
    np.testing.assert_allclose(halfway, np.clip((coarse + picture) / 2, 0, 1), atol=1e-6)
    assert with_detail(np.ones((2, 4, 4, 3)), np.ones((4, 4, 3)), np.zeros((4, 4, 3)), 1.0).max() == 1
