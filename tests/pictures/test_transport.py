"""A photograph in a painting's colours, and the detail that an enlarged picture is given back."""

import numpy as np
import pytest
from support import smooth_picture

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


def test_what_was_one_colour_stays_one(pair):
    photo, painting = pair
    photo = photo.copy()
    photo[:20, :20] = [0.3, 0.6, 0.8]
    found = in_colors_of(photo, [painting])
    assert np.ptp(found[:20, :20].reshape(-1, 3), axis=0).max() == 0


def test_a_picture_in_its_own_colours_is_the_same(pair):
    assert np.abs(in_colors_of(pair[0], [pair[0]]) - pair[0]).max() < 0.02


def test_grey_and_flat_pictures(pair):
    flat = np.full((10, 12, 3), 0.4, np.float32)
    assert np.isfinite(in_colors_of(flat, [pair[1]])).all()
    np.testing.assert_allclose(in_colors_of(pair[0], [flat]), 0.4, atol=0.01)
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


def test_detail_is_given_back():
    picture = smooth_picture(40, 40, 3)
    coarse = resize(resize(picture, 20, 20), 40, 40)
    np.testing.assert_allclose(with_detail(coarse, picture, coarse, 1.0), picture, atol=1e-6)
    np.testing.assert_array_equal(with_detail(coarse, picture, coarse, 0.0), coarse)
    halfway = with_detail(coarse, picture, coarse, 0.5)
    np.testing.assert_allclose(halfway, np.clip((coarse + picture) / 2, 0, 1), atol=1e-6)
    assert with_detail(np.ones((2, 4, 4, 3)), np.ones((4, 4, 3)), np.zeros((4, 4, 3)), 1.0).max() == 1
