"""A photograph in the painting's colours: distributions, what must stay as it is, and detail given back."""

import numpy as np
import pytest
from conftest import smooth_picture

from nst_jax import images, transport
from nst_jax.transport import in_colors_of, with_detail


def picture(seed, height=60, width=80):
    """Smooth shapes whose channels are correlated, in a range of their own."""
    draw = np.random.default_rng(seed)
    mixed = (smooth_picture(height, width, seed) - 0.5) @ draw.normal(size=(3, 3)) * 0.5
    return np.clip(mixed + draw.uniform(0.3, 0.7, 3), 0, 1).astype("f4")


def apart(one, other, weights=None):
    """The mean distance of the quantiles of two sets of colours, over random axes."""
    axes = np.random.default_rng(7).normal(size=(3, 24))
    axes /= np.linalg.norm(axes, axis=0)
    levels = np.linspace(0.005, 0.995, 100)
    found = one.reshape(-1, 3)
    if weights is not None:
        found = found[weights.ravel() > 0]
    sets = [np.quantile(each.reshape(-1, 3) @ axes, levels, axis=0) for each in (found, other)]
    return np.abs(sets[0] - sets[1]).mean()


@pytest.mark.parametrize("smooth", [False, True])
def test_the_distribution_becomes_the_targets(smooth):
    photograph, painting = picture(0), picture(1, 50, 90)
    found = in_colors_of(photograph, painting, smooth=smooth)
    assert (found.shape, found.dtype) == (photograph.shape, np.float32)
    assert 0 <= found.min() < found.max() <= 1
    before = apart(photograph, painting)
    assert before > 0.05
    assert apart(found, painting) < (0.15 if smooth else 0.05) * before


@pytest.mark.parametrize("smooth", [False, True])
def test_equal_pictures_stay_equal(smooth):
    photograph = picture(0)
    np.testing.assert_allclose(in_colors_of(photograph, photograph.copy(), smooth=smooth), photograph, atol=1e-6)


def test_it_is_the_same_each_time_and_another_for_another_seed():
    photograph, painting = picture(0), picture(1)
    kept = photograph.copy(), painting.copy()
    found = in_colors_of(photograph, painting)
    np.testing.assert_array_equal(found, in_colors_of(photograph, painting))
    assert np.abs(found - in_colors_of(photograph, painting, seed=1)).max() > 0
    for ours, was in zip((photograph, painting), kept, strict=True):
        np.testing.assert_array_equal(ours, was)


def test_what_has_no_weight_does_not_count():
    """Neither of the picture nor of the target; what is hidden is moved all the same."""
    photograph, painting = picture(0), picture(1)
    weights, others = np.zeros(photograph.shape[:2]), np.zeros(painting.shape[:2])
    weights[:, :50], others[20:] = 1, 0.5
    found = in_colors_of(photograph, painting, weights, others, smooth=False)
    changed, repainted = photograph.copy(), painting.copy()
    changed[:, 50:], repainted[:20] = picture(3)[:, 50:], 0.9
    again = in_colors_of(changed, repainted, weights, others, smooth=False)
    np.testing.assert_array_equal(again[:, :50], found[:, :50])
    assert apart(found, painting[20:], weights) < 0.01
    assert np.abs(found[:, 50:] - photograph[:, 50:]).max() > 0.01
    smooth = in_colors_of(photograph, painting, weights, others)
    also = in_colors_of(changed, repainted, weights, others)
    assert np.abs(smooth[:, :45] - also[:, :45]).max() < 0.02  # the filter's windows see a thousandth of it


@pytest.mark.parametrize("weights", [None, np.zeros((60, 80))], ids=["None", "all 0"])
def test_weights_of_nothing_are_none(weights):
    photograph, painting = picture(0), picture(1)
    found = in_colors_of(photograph, painting, weights, weights)
    np.testing.assert_array_equal(found, in_colors_of(photograph, painting))


def test_several_targets_are_mixed_by_their_shares():
    photograph = picture(0)
    dark, light = np.full((9, 9, 3), 0.2, "f4"), np.full((5, 30, 3), 0.8, "f4")
    found = in_colors_of(photograph, [(dark, None, 1.0), (light, None, 3.0)], smooth=False)
    assert np.mean(np.abs(found - 0.2) < 0.05) == pytest.approx(0.25, abs=0.05)
    assert np.mean(np.abs(found - 0.8) < 0.05) == pytest.approx(0.75, abs=0.05)
    alone = in_colors_of(photograph, [(dark, None, 0.0), (picture(1), None, 2.0)])
    np.testing.assert_array_equal(alone, in_colors_of(photograph, picture(1)))


@pytest.mark.parametrize("smooth", [False, True])
def test_flat_and_grey_pictures(smooth):
    """A flat picture becomes a colour that is among the target's; a flat target makes all nearly flat; grey is safe."""
    painting, flat = picture(1), np.full((20, 30, 3), 0.4, "f4")
    found = in_colors_of(flat, painting, smooth=smooth)
    assert np.isfinite(found).all()
    assert np.ptp(found, (0, 1)).max() < 1e-3
    assert (painting.min((0, 1)) - 0.05 <= found[0, 0]).all()
    assert (found[0, 0] <= painting.max((0, 1)) + 0.05).all()
    found = in_colors_of(painting, flat, smooth=smooth)
    np.testing.assert_allclose(found, np.broadcast_to(flat[:1, :1], found.shape), atol=0.03)
    grey = np.repeat(painting[..., :1], 3, -1)
    assert np.isfinite(in_colors_of(grey, painting, smooth=smooth)).all()
    assert apart(in_colors_of(painting, grey, smooth=smooth), grey) < 0.02
    assert in_colors_of(np.zeros((1, 1, 3), "f4"), painting, smooth=smooth).shape == (1, 1, 3)


def sky():
    """A plain sky of a few steps of 8 bits with grain, above ground: [H, W, 3]."""
    draw = np.random.default_rng(0)
    ramp = np.linspace(0.70, 0.75, 60)[:, None, None] + np.array([0, 0.03, 0.1])
    ground = draw.uniform(0, 0.5, (20, 90, 3))
    whole = np.concatenate([np.broadcast_to(ramp, (60, 90, 3)) + draw.normal(0, 0.004, (60, 90, 3)), ground])
    return np.round(np.clip(whole, 0, 1) * 255).astype("f4") / 255


def test_plain_skies_stay_plain():
    """The grain of a sky that has to become all colours grows less than half as much as by the bare map."""

    def grain(image):
        return np.abs(np.diff(image[:55], axis=1)).mean()

    photograph, painting = sky(), picture(1)
    bare, smooth = (in_colors_of(photograph, painting, smooth=each) for each in (False, True))
    assert grain(bare) > 6 * grain(photograph)
    assert grain(smooth) < 0.4 * grain(bare)
    assert np.abs(bare.mean((0, 1)) - smooth.mean((0, 1))).max() < 0.02


def test_edges_stay_sharp():
    """At an edge between two plain halves the smoothing makes no halo."""
    photograph = np.full((40, 80, 3), 0.2, "f4")
    photograph[:, 40:] = [0.8, 0.6, 0.5]
    painting = np.concatenate([np.full((9, 9, 3), [0.1, 0.1, 0.6]), np.full((9, 9, 3), [0.9, 0.8, 0.2])])
    found = in_colors_of(photograph, painting)
    np.testing.assert_allclose(found[:, :40], np.broadcast_to([0.1, 0.1, 0.6], (40, 40, 3)), atol=0.05)
    np.testing.assert_allclose(found[:, 40:], np.broadcast_to([0.9, 0.8, 0.2], (40, 40, 3)), atol=0.05)
    assert np.ptp(found[:, :40], axis=(0, 1)).max() < 0.03


def test_the_smoothing_wraps_around():
    """A tile that is rolled gives the rolled result."""
    tile, painting = picture(0), picture(1)
    size = tile.shape[0] * tile.shape[1]
    shifts = np.random.default_rng(0).normal(size=tile.shape)
    plain = transport._guided(tile, shifts, np.ones(tile.shape[:2]), True)
    rolled = transport._guided(*(np.roll(each, (13, 29), (0, 1)) for each in (tile, shifts)), np.ones((60, 80)), True)
    for one, other in zip(plain, rolled, strict=True):
        np.testing.assert_allclose(np.roll(one, (13, 29), (0, 1)), other, atol=1e-4)
    assert in_colors_of(tile, painting, wrap=True).size == 3 * size


@pytest.mark.parametrize("wrap", [False, True])
def test_large_pictures_are_smoothed_at_a_smaller_size(monkeypatch, wrap):
    photograph, painting = images.resize(picture(0), 120, 150), picture(1)
    whole = in_colors_of(photograph, painting, wrap=wrap)
    monkeypatch.setattr(transport, "MOST", 6000)
    reduced = in_colors_of(photograph, painting, wrap=wrap)
    assert np.abs(whole - reduced).mean() < 0.01
    bare = in_colors_of(photograph, painting, smooth=False)
    monkeypatch.setattr(transport, "MOST", 2**18)
    np.testing.assert_array_equal(bare, in_colors_of(photograph, painting, smooth=False))


def test_detail_comes_back_by_its_share():
    photograph = picture(0, 64, 96)
    small = images.resize(photograph, 32, 48)
    enlarged = images.resize(small, 64, 96)
    np.testing.assert_allclose(with_detail(small, photograph, 1.0, images.resize), photograph, atol=1e-6)
    np.testing.assert_allclose(with_detail(small, photograph, 0.0, images.resize), enlarged, atol=1e-6)
    half = with_detail(small, photograph, 0.5, images.resize)
    np.testing.assert_allclose(half, (enlarged + photograph) / 2, atol=1e-6)
    assert half.dtype == np.float32


def test_detail_keeps_what_the_image_has_made():
    """The coarse part is the image's own, but for what the resizing itself changes; the result stays in [0, 1]."""
    image, photograph = picture(1, 32, 48), picture(0, 64, 96)
    found = with_detail(image, photograph, 1.0, images.resize)
    assert 0 <= found.min() < found.max() <= 1
    assert np.abs(images.resize(found, 32, 48) - image).mean() < 0.015


def test_detail_of_a_tile_by_a_resize_that_wraps():
    def wrapping(pixels, height, width):
        tiled = np.tile(pixels, (3, 3, 1))
        return images.resize(tiled, 3 * height, 3 * width)[height : 2 * height, width : 2 * width]

    image, photograph = picture(1, 16, 24), picture(0, 32, 48)
    found = with_detail(image, photograph, 1.0, wrapping)
    rolled = with_detail(np.roll(image, (8, 8), (0, 1)), np.roll(photograph, (16, 16), (0, 1)), 1.0, wrapping)
    np.testing.assert_allclose(np.roll(found, (16, 16), (0, 1)), rolled, atol=1e-4)
