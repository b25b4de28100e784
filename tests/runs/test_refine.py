"""``refine``: the first steps under ``slim``, the last under another network."""

import dataclasses

import numpy as np
import pytest
import reference
from support import random_filters, simple_config, smooth_picture

from nst_jax.cli.stylize import plan_lines
from nst_jax.errors import NSTError
from nst_jax.networks import weights_file
from nst_jax.pictures import images
from nst_jax.runs.plan import prepare
from nst_jax.runs.progress import Stop
from nst_jax.runs.stylize import stylize
from nst_jax.sweeps.grid import Lane
from nst_jax.sweeps.lanes import prepare_lanes

pytestmark = pytest.mark.usefixtures("narrow_vgg")

CONTENT, STYLE = smooth_picture(72, 96, 0), smooth_picture(72, 60, 1)
PLAIN = {"padding": "zeros", "style_octaves": 1, "style_weight": 5.0, "tv_weight": 10.0}
CONFIG = simple_config(**PLAIN, network="vgg19", size=96, coarsest=48, coarse_steps=(3, 2), steps=4, refine=True)


def run(config=CONFIG, **options):
    return stylize(CONTENT, STYLE, config, weights=random_filters("vgg19"), **options)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_it_is_a_run_of_slim_and_from_its_picture_one_of_the_network(optimizer, tmp_path):
    config = dataclasses.replace(CONFIG, optimizer=optimizer)
    result = run(config)
    assert [(row["size"], row["step"]) for row in result.trace] == [(48, 1), (48, 2), (48, 3)] + [
        (96, step) for step in range(4, 10)
    ]
    assert (result.steps, result.evaluations) == (9, 10)
    assert result.weights["name"] == result.config.network == "vgg19"

    slim = dataclasses.replace(config, network="slim", steps=2, refine=False)
    draft = stylize(CONTENT, STYLE, slim, weights=weights_file.find_weights("slim"))
    for ours, theirs in zip(result.trace, draft.trace, strict=False):
        assert ours["total"] == pytest.approx(theirs["total"], rel=1e-4)
    if optimizer == "lbfgs":  # which begins anew, so that the rest is a run of its own; Adam's moments go on
        images.save_image(tmp_path / "draft.png", draft.image)
        alone = dataclasses.replace(config, refine=False, scales=1, init=str(tmp_path / "draft.png"))
        last = run(alone)
        assert result.trace[5]["total"] == pytest.approx(last.trace[0]["total"], rel=0.01)  # 8 bits a value
    expected = reference.loss_terms(random_filters("vgg19"), config, result.image, CONTENT, [STYLE])
    assert result.losses == {name: pytest.approx(value, rel=1e-4) for name, value in expected.items()}


def test_slim_has_its_own_weights_of_the_losses_unless_they_are_given():
    asked = dataclasses.replace(CONFIG, style_weight=None)
    draft, last = prepare(CONTENT, STYLE, asked, weights=random_filters("vgg19")).passes
    for one, network in ((draft, "slim"), (last, "vgg19")):
        own = simple_config(network=network).for_network(network)
        assert (one.config.style_weight, one.config.tv_weight) == (own.style_weight, 10)
    assert (draft.sizes, draft.counts, last.sizes, last.counts) == ([(36, 48), (72, 96)], [3, 2], [(72, 96)], [4])


def test_a_folder_of_paintings_is_expanded_for_both(tmp_path):
    for name, seed in (("a.png", 1), ("b.png", 2)):
        images.save_image(tmp_path / name, smooth_picture(72, 60, seed))
    asked = dataclasses.replace(CONFIG, style_blend=(2.0,), style_scale=(0.9,))
    draft, last = prepare(CONTENT, [tmp_path], asked, weights=random_filters("vgg19")).passes
    assert draft.config.style_blend == last.config.style_blend and len(last.config.style_blend) == 2
    assert draft.config.style_scale == last.config.style_scale


@pytest.mark.slow
def test_stopped_under_slim_it_tells_the_networks_losses_at_the_full_size():
    def stop(progress):
        if progress.step == 2:
            raise Stop

    result = run(on_progress=stop)
    assert (result.steps, result.ended, result.image.shape) == (2, "stopped", (72, 96, 3))
    expected = reference.loss_terms(random_filters("vgg19"), CONFIG, result.image, CONTENT, [STYLE])
    assert result.losses == {name: pytest.approx(value, rel=1e-4) for name, value in expected.items()}


def test_a_dry_run_tells_both(monkeypatch):
    lines = plan_lines(prepare(CONTENT, STYLE, CONFIG, weights=random_filters("vgg19")))
    assert "steps: 48 x 36: 3 with slim, 96 x 72: 2 with slim, 96 x 72: 4; by lbfgs" in lines


def test_the_full_size_has_its_own_count_of_steps():
    """That of a run over all sizes, though the network sees one of them."""
    asked = dataclasses.replace(CONFIG, steps=None, coarse_steps=(5, 3, 2), coarsest=24, content_layers=("conv2_1",),
                                style_layers=("conv1_1", "conv2_1"))  # fmt: skip
    found = prepare(CONTENT, STYLE, asked, weights=random_filters("vgg19"))
    assert len(found.passes[0].sizes) == 3
    assert (found.passes[-1].counts, found.footprint.steps) == ([2], 2)


def test_where_it_is_of_no_use():
    with pytest.raises(NSTError, match="--refine starts with slim .*: give --network vgg19"):
        stylize(CONTENT, STYLE, dataclasses.replace(CONFIG, network="slim"))
    with pytest.raises(NSTError, match="--refine is for a single picture"):
        prepare_lanes(CONTENT, [STYLE], [Lane(CONFIG, 0)], weights=random_filters("vgg19"))


@pytest.mark.slow
def test_without_it_nothing_is_slims():
    plain = dataclasses.replace(CONFIG, refine=False)
    assert [each.config.network for each in prepare(CONTENT, STYLE, plain, weights=random_filters("vgg19")).passes] == [
        "vgg19"
    ]
    assert np.abs(run(plain).image - run().image).max() > 0.01
