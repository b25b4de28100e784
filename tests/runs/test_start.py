"""The images from which a run starts: gray, and blends with noise."""

import dataclasses

import numpy as np
import pytest
from support import compiled_by, random_filters, simple_config, smooth_picture

from nst_jax.errors import NSTError
from nst_jax.pictures import images
from nst_jax.runs import scales
from nst_jax.runs.stylize import stylize
from nst_jax.sweeps import grid
from nst_jax.sweeps.lanes import prepare_lanes

CONTENT, STYLE = smooth_picture(20, 24, 0), smooth_picture(24, 18, 1)


@pytest.fixture
def config(tiny):
    return simple_config(
        network=tiny, size=24, steps=0, scales=1, history=4, style_weight=5.0, tv_weight=0.0,
        content_layers=("conv2_1",), style_layers=("conv1_1", "pool2"),
    )  # fmt: skip


def start(config, content=CONTENT, style=STYLE):
    """The picture of a run of no steps."""
    return stylize(content, style, config, weights=random_filters(config.network)).image


def changed(config, **changes):
    return dataclasses.replace(config, **changes)


def test_gray_is_the_middle_everywhere(config):
    np.testing.assert_array_equal(start(changed(config, init="gray")), np.full((20, 24, 3), 0.5, np.float32))


def test_gray_needs_no_content_picture(config):
    texture = changed(config, init="gray", content_layers=())
    assert (start(texture, content=None) == 0.5).all()


@pytest.mark.parametrize("init", ["content", "style", "gray", "file"])
@pytest.mark.parametrize("share", [0.25, 0.7])
def test_noise_has_its_share_of_the_start(config, tmp_path, init, share):
    if init == "file":
        init = str(tmp_path / "start.png")
        images.save_image(init, smooth_picture(20, 24, 5))
    plain, noise = start(changed(config, init=init)), start(changed(config, init="noise", seed=7))
    blend = start(changed(config, init=init, init_noise=share, seed=7))
    assert blend.dtype == np.float32
    np.testing.assert_allclose(blend, (1 - share) * plain + share * noise, atol=1e-6)


def test_no_share_is_the_start_and_all_of_it_is_noise(config):
    np.testing.assert_array_equal(start(changed(config, init_noise=0.0)), CONTENT)
    noise = start(changed(config, init="noise", seed=3))
    np.testing.assert_array_equal(start(changed(config, init_noise=1.0, seed=3)), noise)
    np.testing.assert_allclose(start(changed(config, init="noise", init_noise=0.4, seed=3)), noise, atol=1e-6)


def test_the_seed_is_that_of_the_blends_noise(config):
    first, again, other = (start(changed(config, init_noise=0.5, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_noise_is_mixed_in_at_the_coarsest_scale(config):
    """Where the run starts; the scales above start from the result of the one before."""
    config = changed(config, scales=2, scale_factor=2.0, coarse_steps=(0,), init_noise=0.5, seed=4)
    assert scales.scale_sizes((20, 24), config) == [(10, 12), (20, 24)]
    noise = np.random.default_rng(4).uniform(size=(10, 12, 3))
    coarse = 0.5 * images.resize(CONTENT, 10, 12) + 0.5 * noise
    np.testing.assert_allclose(start(config), images.resize(coarse, 20, 24), atol=1e-5)


def test_another_start_compiles_nothing(config):
    config, pictures = changed(config, steps=2), []
    start(config)
    for changes in ({"init": "gray"}, {"init_noise": 0.3}):
        assert compiled_by(lambda changes=changes: pictures.append(start(changed(config, **changes)))) == 0
    assert np.abs(pictures[0] - pictures[1]).max() > 0.1


def test_lanes_may_differ_in_their_starts(config):
    changes = [{"init": "gray"}, {"init_noise": 0.5, "seed": 1}, {"init_noise": 0.5, "seed": 2}, {"init": "noise"}]
    lanes = [grid.Lane(changed(config, optimizer="adam", steps=6, **change)) for change in changes]
    prepared = prepare_lanes(CONTENT, [STYLE], lanes, weights=random_filters(config.network))
    [results] = prepared.run(range(4), prepared.plan(4))
    for lane, (_, result) in zip(prepared.lanes, results, strict=True):
        alone = stylize(CONTENT, STYLE, lane.config, weights=random_filters(config.network))
        assert result.losses["total"] == pytest.approx(alone.losses["total"], rel=1e-3)
    assert len({result.image.tobytes() for _, result in results}) == 4


def test_seeds_are_an_axis_where_there_is_noise(config):
    with pytest.raises(NSTError, match="--seeds make no difference to a start from gray: add --init noise or"):
        grid.grid(changed(config, init="gray"), seeds=[1, 2])
    blends = grid.grid(changed(config, init="gray", init_noise=0.2), seeds=[1, 2]).lanes
    assert [lane.config.seed for lane in blends] == [1, 2]
