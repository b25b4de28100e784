"""Tiles against the whole: value and gradient, whatever the sizes, the network, the padding and the terms."""

import dataclasses
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from runs_support import objective_of, two_regions
from support import random_filters, simple_config, smooth_picture

from nst_jax import layers
from nst_jax.choices import CONVENTIONS, PADDINGS, PIXEL_RANGES, POOLINGS, TV_KINDS
from nst_jax.losses import tiles
from nst_jax.losses.statistics import style_targets
from nst_jax.losses.terms import Content
from nst_jax.losses.tiles import Tiles, margin, reach, spans
from nst_jax.networks import vgg
from nst_jax.networks.weights_file import find_weights
from nst_jax.options.config import Config
from nst_jax.runs import scales

#: So many examples by hand (``NST_JAX_TRIALS=1 python -m pytest -m slow tests/losses/test_tiles.py``), and else.
TRIAL = "NST_JAX_TRIALS" in os.environ
MANY, SOME = (100, 10) if TRIAL else (4, 1)
SHALLOW = {"content_layers": ("conv1_2",), "style_layers": ("conv1_1", "conv2_1")}
WHOLE = jax.jit(jax.value_and_grad(lambda goal, image: goal(image), argnums=1, has_aux=True))
#: Compiling is what takes the time, so few are drawn, the same in every run.
FEW = settings(
    derandomize=True, deadline=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


def in_double(tree):
    """A pytree with its floats in float64, where JAX may."""
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree
    )


def doubled(net):
    """A network that computes in float64."""
    return dataclasses.replace(in_double(net), precision="float64")


def compared(goal, image, way):
    """The largest relative errors of the terms and of the gradient."""
    (_, wanted), slope = WHOLE(goal, image)
    (_, found), gradient = way.value_and_gradient(goal, image)
    errors = [abs(float(found[name] / wanted[name]) - 1) for name in wanted if wanted[name] != 0]
    assert set(found) == set(wanted) and len(errors) > 2
    total = way(goal, image)[0]
    np.testing.assert_allclose(total, found["total"], rtol=1e-6)
    np.testing.assert_allclose(total, wanted["total"], rtol=1e-4)
    if TRIAL:  # the programs of so many examples are more than a process can map
        jax.clear_caches()
    return max(errors), float(jnp.abs(gradient - slope).max() / jnp.abs(slope).max())


# ---------------------------------------------------------------- the grid


@pytest.mark.parametrize(("network", "seen", "beside"), [("vgg19", 70, 80), ("vgg16", 58, 64), ("slim", 61, 64)])
def test_the_margin_is_what_a_position_sees(network, seen, beside):
    rows = layers.until(network, ["conv5_1"])
    assert reach(rows) == (seen, 16)
    assert margin(rows) == beside


@settings(FEW, max_examples=200)
@given(st.integers(1, 400), st.integers(1, 500), st.booleans(), st.sampled_from(["conv1_1", "conv3_1", "conv5_1"]))
def test_windows_share_a_side_out(length, side, wraps, deepest):
    """Each position is the own one of one window, and as far from where a window is cut as the network sees.

    Windows begin where tiles of convolutions lie as in the whole, unless they are as small as those.
    """
    rows = layers.until("vgg16", [deepest])
    (seen, stride), (window, found) = reach(rows), spans(length, side, rows, wraps)
    own = []
    for start, first, end in found:
        assert start % stride == 0 and 0 <= first < end <= window <= length
        assert start % (2 * stride) == 0 or side < 2 * stride
        own += [(start + position) % length for position in range(first, end)]
        if window < length:
            assert wraps or 0 <= start <= length - window
            assert first >= seen or (start == 0 and not wraps)
            assert window // stride * stride - end >= seen or (start + window == length and not wraps)
    assert sorted(own) == list(range(length))
    assert len(found) == 1 or max(end - first for _, first, end in found[1:-1] or found[:1]) <= side + stride + margin(
        rows
    )


# ---------------------------------------------------------------- exactness


@st.composite
def draws(draw, sides, multiple, tiles_of):
    """The options of an objective, the (height, width) of its picture, whether there are regions, and a tile's side."""
    padding = draw(st.sampled_from(PADDINGS))
    tileable = padding == "wrap" and draw(st.booleans())
    multiple = multiple if tileable else 1
    size = tuple(draw(st.integers(*sides)) // multiple * multiple for _ in "hw")
    loss = draw(st.sampled_from(CONVENTIONS))
    options = {
        "loss": loss, "padding": padding, "tileable": tileable,
        "moments": 0.5 if draw(st.booleans()) and loss in ("normalized", "gatys2016") else 0.0,
        "init": "content" if draw(st.booleans()) else "noise", "pooling": draw(st.sampled_from(POOLINGS)),
        "style_octaves": draw(st.integers(1, 2)), "tv_kind": draw(st.sampled_from(TV_KINDS)),
        "tv_weight": draw(st.sampled_from([0.0, 1.0])), "tv_chroma": draw(st.sampled_from([1.0, 2.0])),
        "tv_excess": draw(st.sampled_from([0.0, 1.0])), "pixel_range": draw(st.sampled_from(PIXEL_RANGES)),
        "style_blend": draw(st.sampled_from([(), (1.0, 3.0)])),
    }  # fmt: skip
    return options, size, draw(st.booleans()), draw(st.sampled_from(tiles_of)), draw(st.booleans())


def config_of(options, **fixed):
    """The options that were drawn, on top of the preset of their loss."""
    presets = {"gatys2015": "gatys2015", "gatys2016": "spst", "crowson": "crowson-gram", "normalized": "nst_jax-0.1"}
    rest = {name: value for name, value in options.items() if name != "loss"} | fixed
    if options["init"] == "noise":
        rest["content_layers"] = ()
    return Config(presets.get(options["loss"], "default"), optimizer="lbfgs", **rest)


def goal_and_picture(weights, config, size, masked, precision):
    """The objective in a precision of two paintings, and a picture that goes beyond [0, 1]."""
    double = precision == "float64"
    how = () if double else (precision, "cpu")
    net = vgg.network(weights, config.pooling, config.padding, *how)
    paintings = [smooth_picture(size[0] // 2 + 3, size[1] // 2, 1), smooth_picture(size[0] // 2, size[1] // 2 + 5, 3)]
    given = two_regions(size, paintings) if masked else None
    goal = objective_of(doubled(net) if double else net, smooth_picture(*size, 0), paintings, config, given)
    picture = 1.2 * jnp.asarray(smooth_picture(*size, 2), "float64" if double else "float32") - 0.1
    return in_double(goal) if double else goal, picture


@pytest.mark.slow
@settings(FEW, max_examples=MANY)
@given(draws((20, 52), 4, [4, 8, 12, 60]))
def test_value_and_gradient_are_those_of_the_whole_in_double_precision(tiny, unchecked, monkeypatch, drawn):
    monkeypatch.setattr(scales, "SMALLEST_OCTAVE", 6)  # so that small pictures have octaves
    options, size, masked, side, loop = drawn
    config = config_of(options, network=tiny, **SHALLOW)
    with jax.enable_x64(True):
        goal, picture = goal_and_picture(random_filters(tiny), config, size, masked, "float64")
        value, gradient = compared(goal, picture, Tiles(side, loop, at_once=2))
    assert max(value, gradient) < 1e-9


@pytest.mark.slow
@settings(FEW, max_examples=SOME)
@given(draws((97, 290), 16, [16, 32, 64, 300]))
def test_by_the_real_vgg19_too(vgg19, unchecked, drawn):
    """In double precision to 1e-9; and in those of a run to their rounding."""
    options, size, masked, side, _ = drawn
    config = config_of(options, network="vgg19")
    for precision, *most in (("float64", 1e-9, 1e-9), ("float32", 1e-3, 1e-3), ("bfloat16", 0.02, 0.1)):
        with jax.enable_x64(precision == "float64"):
            errors = compared(*goal_and_picture(vgg19, config, size, masked, precision), Tiles(side, at_once=2))
        assert errors[0] < most[0] and errors[1] < most[1], precision


@pytest.mark.parametrize("loop", [True, False])
def test_octaves_have_tiles_of_their_own(tiny, unchecked, loop):
    size, config = (75, 69), simple_config(network=tiny, style_octaves=2, **SHALLOW)
    with jax.enable_x64(True):
        net = doubled(vgg.network(random_filters(tiny)))
        goal = in_double(objective_of(net, smooth_picture(*size, 0), [smooth_picture(70, 66, 1)], config))
        way = Tiles(16, loop)
        full, half = (len(parts) for _, parts in way._octaves(goal, jnp.zeros((*size, 3))))
        assert full > half > 1
        image = jnp.asarray(smooth_picture(*size, 2), jnp.float64)
        assert max(compared(goal, image, way)) < 1e-9


@pytest.mark.parametrize(("precision", "value", "gradient"), [("float32", 1e-4, 1e-4), ("bfloat16", 0.01, 0.05)])
def test_in_other_precisions_they_agree_to_rounding(tiny, precision, value, gradient):
    size = (43, 38)
    net = vgg.network(random_filters(tiny), "max", "replicate-first", precision, "cpu")
    goal = objective_of(net, smooth_picture(*size, 0), [smooth_picture(40, 41, 1)], Config(network=tiny, **SHALLOW))
    errors = compared(goal, jnp.asarray(smooth_picture(*size, 2)), Tiles(8))
    assert errors[0] < value and errors[1] < gradient


def test_several_at_once_are_the_same_bit_for_bit(tiny):
    size, config = (75, 69), simple_config(network=tiny, style_octaves=2, **SHALLOW)
    net = vgg.network(random_filters(tiny))
    goal = objective_of(net, smooth_picture(*size, 0), [smooth_picture(70, 66, 1)], config)
    image = jnp.asarray(smooth_picture(*size, 2))

    def found(at_once):
        way = Tiles(16, at_once=at_once)
        return way.value_and_gradient(goal, image), way.responses(net, image, ("conv1_2", "conv2_1"))

    one = found(1)
    for at_once in (2, 3):
        jax.tree.map(np.testing.assert_array_equal, found(at_once), one)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "most"), [("float32", 1e-3), ("bfloat16", 0.05)])
def test_slim_as_it_ships(shared, precision, most):
    """With few positions at its deepest layer, whose responses are laid side by side."""
    size, weights = (163, 190), find_weights("slim")
    net = vgg.network(weights, "max", "replicate-first", precision, "cpu")
    goal = objective_of(net, smooth_picture(*size, 0), [smooth_picture(120, 141, 1)], Config(network="slim"))
    errors = compared(goal, jnp.asarray(smooth_picture(*size, 2)), Tiles(32))
    assert max(errors) < most


# ---------------------------------------------------------------- what else goes by tiles


def test_targets_by_tiles_are_those_of_the_whole(tiny):
    net, picture = vgg.network(random_filters(tiny), padding="reflect"), jnp.asarray(smooth_picture(41, 46, 0))
    way = Tiles(8)
    for octaves in (1, 2):
        whole, found = (
            style_targets(net, picture, ("conv1_1", "conv2_1"), True, None, octaves, each) for each in (None, way)
        )
        jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4), found, whole)
    whole, found = (
        Content.of(net, picture, {"conv1_2": 1.0, "conv2_1": 2.0}, tiles=each).targets for each in (None, way)
    )
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4), found, whole)


def test_many_sums_lose_nothing(tiny):
    """A large number and a thousand small ones, which float32 alone would round away."""
    total = tiles._Total(jnp.float32(2**24), jnp.float32(0))

    class Ones:
        taps, network = [()], vgg.network(random_filters(tiny))

        def of(self, seen):
            return jnp.float32(0.25)

    jax.tree_util.register_static(Ones)
    part = Tiles(8).parts(Ones.network, (), (4, 4))[0]
    one = Ones()
    for _ in range(1000):
        total = tiles.add_more(part, tiles.sums_of_tile(one, 0, (4, 4), jnp.zeros((4, 4, 3)), part), total)
    assert float(tiles.together(*total)) == 2**24 + 250
