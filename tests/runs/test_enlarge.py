"""The start in the painting's colours, the photograph's detail given back, and the content in those colours."""

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from support import random_filters, simple_config, smooth_picture

from nst_jax.errors import NSTError
from nst_jax.pictures.images import Picture, resize
from nst_jax.pictures.transport import in_colors_of
from nst_jax.runs.finish import enlarged
from nst_jax.runs.plan import prepare
from nst_jax.runs.start import start_image
from nst_jax.runs.stylize import stages_of, stylize
from nst_jax.sweeps.grid import Lane
from nst_jax.sweeps.lanes import prepare_lanes

CONTENT, STYLE = smooth_picture(40, 48, 0), np.clip(smooth_picture(48, 36, 1) * [1.0, 0.6, 0.3], 0, 1).astype("f4")
OTHER = np.clip(smooth_picture(36, 40, 2) * [0.3, 0.6, 1.0], 0, 1).astype("f4")


@pytest.fixture
def config(tiny):
    return simple_config(
        network=tiny, size=48, steps=2, coarse_steps=(2,), coarsest=12, history=4, style_weight=5.0, tv_weight=0.0,
        content_layers=("conv2_1",), style_layers=("conv1_1", "pool2"), init="palette", detail=1.0,
    )  # fmt: skip


def ready(config, content=CONTENT, style=STYLE):
    return prepare(content, style, config, weights=random_filters(config.network))


def start(run):
    return start_image(run.pictures, run.sizes[-1], run.config)


def test_the_start_has_the_paintings_colours(config):
    np.testing.assert_array_equal(start(ready(config)), in_colors_of(CONTENT, [STYLE]))


def test_several_paintings_are_mixed_as_their_blend_says(config):
    both = ready(dataclasses.replace(config, style_blend=(3.0, 1.0)), style=[STYLE, OTHER])
    np.testing.assert_array_equal(start(both), in_colors_of(CONTENT, [STYLE, OTHER], [3.0, 1.0]))


def test_a_grey_run_starts_grey(config):
    grey = start(ready(dataclasses.replace(config, keep_colors="luminance")))
    assert np.ptp(grey, axis=-1).max() < 1e-3


def test_each_region_takes_its_own_paintings_colours(config, tmp_path):
    from nst_jax.pictures.images import save_image

    paths = []
    for name, columns in (("left", slice(0, 24)), ("right", slice(24, 48))):
        plane = np.zeros((40, 48, 3), np.float32)
        plane[:, columns] = 1
        paths.append(tmp_path / f"{name}.png")
        save_image(paths[-1], plane)
    run = ready(dataclasses.replace(config, content_mask=tuple(paths)), style=[STYLE, OTHER])
    toned = start(run)
    halves = np.repeat([[1.0] * 24 + [0.0] * 24], 40, 0)
    for part, painting, weights in ((np.s_[:, :24], STYLE, halves), (np.s_[:, 24:], OTHER, 1 - halves)):
        np.testing.assert_allclose(toned[part], in_colors_of(CONTENT, [painting], None, weights)[part], atol=0.01)


def test_what_is_half_transparent_takes_all_of_the_colours(config):
    alpha = np.full(CONTENT.shape[:2], 0.4, np.float32)
    whole, half = (ready(config, Picture(CONTENT, one, Path("a"), "", (48, 40))) for one in (None, alpha))
    np.testing.assert_allclose(half.pictures.toned, whole.pictures.toned, atol=1e-4)
    hidden = np.where(np.arange(48) < 24, alpha, np.float32(0))
    toned = ready(config, Picture(CONTENT, hidden, Path("a"), "", (48, 40))).pictures.toned
    assert np.abs(toned - CONTENT)[:, :24].mean() > 0.02
    np.testing.assert_array_equal(toned[:, 24:], ready(config, Picture(CONTENT, hidden, Path("a"), "", (48, 40)))
                                  .pictures.photograph.pixels[:, 24:])  # fmt: skip


def test_enlarging_gives_the_detail_back(config):
    """An image that is the photograph's own smaller self becomes the photograph again; without detail it does not."""
    small = resize(CONTENT, 20, 24)
    detailed = enlarged(small, (40, 48), config, CONTENT, 1.0)
    np.testing.assert_allclose(detailed, CONTENT, atol=1e-5)
    plain = enlarged(small, (40, 48), dataclasses.replace(config, detail=0.0), CONTENT, 1.0)
    np.testing.assert_array_equal(plain, resize(small, 40, 48))
    assert np.abs(plain - CONTENT).mean() > 10 * np.abs(detailed - CONTENT).mean()
    np.testing.assert_array_equal(enlarged(CONTENT, (40, 48), config, CONTENT, 1.0), CONTENT)  # nothing to enlarge


@pytest.mark.slow
def test_detail_and_start_change_a_run_and_a_tileable_one(config):
    weights = random_filters(config.network)
    for base in (config, dataclasses.replace(config, tileable=True)):
        images = [
            stylize(CONTENT, STYLE, dataclasses.replace(base, **changes), weights=weights).image
            for changes in ({}, {"detail": 0.0}, {"init": "content"})
        ]
        assert all(np.isfinite(image).all() for image in images)
        assert not np.array_equal(images[0], images[1]) and not np.array_equal(images[0], images[2])


@pytest.mark.slow
def test_lanes_start_and_are_enlarged_as_they_are_alone(config):
    """Two paintings and two strengths in one sweep: each lane has its own colours, detail and content."""
    config = dataclasses.replace(config, content_colors="painting")
    weak, strong = (dataclasses.replace(config, strength=strength) for strength in (0.2, 0.9))
    weights, asked = random_filters(config.network), [Lane(weak, 0), Lane(strong, 1), Lane(weak, 1)]
    sweep = prepare_lanes(CONTENT, [STYLE, OTHER], asked, weights=weights)
    together = dict(sweep.run_batch([0, 1, 2], sweep.plan(3, 3), lambda progress: None))
    for number, lane in enumerate(asked):
        alone = stylize(CONTENT, [STYLE, OTHER][lane.style], lane.config, weights=weights)
        assert together[number].losses["total"] == pytest.approx(alone.losses["total"], rel=1e-3)
        np.testing.assert_allclose(together[number].image, alone.image, atol=0.02)


def test_strength_leads_from_the_photographs_colours_to_no_detail(config):
    """At 0 the start and the content are the photograph's own; from 0.5 on the painting's; at 1 no detail is left."""
    toned = in_colors_of(CONTENT, [STYLE])
    for strength, expected in ((0, CONTENT), (0.25, (CONTENT + toned) / 2), (0.5, toned), (1, toned)):
        run = ready(dataclasses.replace(config, strength=strength, content_colors="painting"))
        np.testing.assert_allclose(start(run), expected, atol=1e-6)
        losses = stages_of(run, run.passes[-1])[-1].goal(False)(jnp.asarray(expected))[1]
        assert losses["content"] < 1e-6
    shares = [dataclasses.replace(config, detail=0.8, strength=each).detail_share for each in (None, 0, 0.5, 0.75, 1)]
    np.testing.assert_allclose(shares, [0.8, 0.8, 0.8, 0.4, 0])


def test_the_content_can_be_compared_in_the_paintings_colours(config):
    goals = []
    for colors in ("photograph", "painting"):
        run = ready(dataclasses.replace(config, content_colors=colors))
        goals.append(stages_of(run, run.passes[-1])[-1].goal(False))
    toned = jnp.asarray(start(run))
    losses = [float(goal(toned)[1]["content"]) for goal in goals]
    assert losses[1] < 1e-6 < losses[0]


def test_colours_need_a_photograph_and_a_painting(config):
    with pytest.raises(NSTError, match="--init palette .* no content picture: give one, or --init noise"):
        ready(dataclasses.replace(config, content_layers=()), content=None)
    with pytest.raises(NSTError, match="--init palette .* no style picture: give one, or --init content"):
        ready(dataclasses.replace(config, style_layers=()), style=[])


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_detail_is_a_share(value):
    with pytest.raises(NSTError, match="--detail is .*: give a number from 0 to 1"):
        simple_config(detail=value)
