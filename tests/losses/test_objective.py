"""The whole loss: its sum, its parts, its life as a pytree, and its gradient."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from support import random_filters, smooth_picture

from nst_jax.errors import NSTError
from nst_jax.losses import formulas, objective, statistics
from nst_jax.networks import vgg

CONVENTIONS = ("gatys2015", "gatys2016", "normalized")


@dataclasses.dataclass(frozen=True)
class Options:
    """What ``reference.loss_terms`` reads of a Config; the defaults are arbitrary."""

    content_layer_weights: dict = dataclasses.field(default_factory=lambda: {"conv1_2": 0.3, "conv2_1": 0.7})
    style_layer_weights: dict = dataclasses.field(default_factory=lambda: {"conv1_1": 0.2, "pool2": 2.0})
    content_weight: float = 0.5
    style_weight: float = 3.0
    tv_weight: float = 7.0
    tv_chroma: float = 2.5
    loss: str = "normalized"
    pooling: str = "avg"


PHOTOGRAPH, PAINTING, OTHER, IMAGE = (
    jnp.asarray(smooth_picture(*size, seed))
    for seed, size in enumerate([(12, 16), (15, 9), (8, 21), (12, 16)], start=10)
)


def build(weights, options, paintings=(PAINTING,), **more):
    return objective.build(
        vgg.network(weights, options.pooling),
        PHOTOGRAPH,
        list(paintings),
        content_layers=options.content_layer_weights,
        style_layers=options.style_layer_weights,
        content_weight=options.content_weight,
        style_weight=options.style_weight,
        tv_weight=options.tv_weight,
        tv_chroma=options.tv_chroma,
        convention=options.loss,
        **more,
    )


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("paintings", [(PAINTING,), (PAINTING, OTHER)], ids=["one style", "two styles"])
def test_terms_equal_numpy(tiny, convention, paintings):
    weights, options = random_filters(tiny), Options(loss=convention)
    total, terms = build(weights, options, paintings)(IMAGE)
    expected = reference.loss_terms(weights, options, IMAGE, PHOTOGRAPH, paintings)
    assert total == terms["total"]
    assert set(terms) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-4)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_terms_of_a_stand_in_are_those_of_the_mapped_responses(stand_in, convention):
    """Compared without mapping them, through the metric."""
    layer_weights = {"conv1_1": 0.4, "conv2_1": 1.0}
    options = Options(loss=convention, content_layer_weights={"conv2_1": 1.0}, style_layer_weights=layer_weights)
    weights = random_filters(stand_in)
    _, terms = build(weights, options, [PAINTING, OTHER])(IMAGE)
    expected = reference.loss_terms(weights, options, IMAGE, PHOTOGRAPH, [PAINTING, OTHER])
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-4)


def plain_style(weights, options, image, moments=0.0):
    """The style term, written out in float64: of Gram matrices and, with ``moments``, of means and deviations."""
    deepest = "pool2"
    ours, theirs = (reference.responses(weights, each, deepest) for each in (image, PAINTING))
    unit, total = float(weights.preprocessing.range / np.mean(weights.preprocessing.std)) * 0.226, 0.0
    for tap, weight in options.style_layer_weights.items():
        difference = reference.gram(ours[tap]) - reference.gram(theirs[tap])
        if options.loss == "crowson":
            loss = np.square(difference).sum() / np.abs(difference).sum()
        else:
            loss = {
                "gatys2016": np.square(difference).mean(),
                "normalized": np.square(difference).sum() / np.square(reference.gram(theirs[tap])).sum(),
            }[options.loss]
        for statistic in (np.mean, np.std) if moments else ():
            mine, wanted = (statistic(each[tap].reshape(-1, each[tap].shape[-1]), axis=0) for each in (ours, theirs))
            square = np.square(mine - wanted).sum()
            loss += moments * (square / np.square(wanted).sum() if options.loss == "normalized" else square * len(mine))
        total += weight * loss
    return total / (unit**2 if options.loss == "crowson" else 1)


@pytest.mark.parametrize("convention", ["crowson", "gatys2016", "normalized"])
@pytest.mark.parametrize("moments", [0.0, 2.5])
def test_crowsons_losses_and_moments_equal_numpy(tiny, convention, moments):
    weights, options = random_filters(tiny), Options(loss=convention)
    _, terms = build(weights, options, moments=moments)(IMAGE)
    np.testing.assert_allclose(terms["style"], plain_style(weights, options, IMAGE, moments), rtol=1e-3)


def test_a_stand_ins_moments_and_crowsons_loss_are_those_of_the_mapped_responses(stand_in):
    weights = random_filters(stand_in)
    net = vgg.network(weights)
    raw = vgg.responses(net, IMAGE, ["conv1_1"])["conv1_1"]
    mapped = vgg.features(net, IMAGE, ["conv1_1"])["conv1_1"]
    metric = statistics.metrics_of(net, ["conv1_1"])["conv1_1"]
    expected = formulas.moments(mapped, formulas.gram(mapped))
    np.testing.assert_allclose(formulas.moments(raw, formulas.gram(raw), metric), expected, rtol=1e-3, atol=1e-4)
    other = vgg.responses(net, PHOTOGRAPH, ["conv1_1"])["conv1_1"]
    wanted = formulas.gram(vgg.features(net, PHOTOGRAPH, ["conv1_1"])["conv1_1"])
    found = formulas.style_loss(formulas.gram(raw), formulas.gram(other), "crowson", metric)
    np.testing.assert_allclose(found, formulas.style_loss(formulas.gram(mapped), wanted, "crowson"), rtol=1e-3)


def test_octaves_are_the_mean_over_halved_pictures_by_their_pixels(tiny):
    weights, options = random_filters(tiny), Options()
    net = vgg.network(weights)

    def style(image, painting):
        seen, wanted = (reference.responses(weights, np.asarray(each), "pool2") for each in (image, painting))
        return sum(
            weight * np.square(reference.gram(seen[tap]) - reference.gram(wanted[tap])).sum()
            / np.square(reference.gram(wanted[tap])).sum()
            for tap, weight in options.style_layer_weights.items()
        )  # fmt: skip

    def smaller(image):
        return np.asarray(image)[: len(image) // 2 * 2, : image.shape[1] // 2 * 2].reshape(
            len(image) // 2, 2, image.shape[1] // 2, 2, 3
        ).mean((1, 3))  # fmt: skip

    _, terms = build(weights, options, octaves=2)(IMAGE)
    both = style(IMAGE, PAINTING) + style(smaller(IMAGE), smaller(PAINTING)) / 4
    np.testing.assert_allclose(terms["style"], both / (1 + 1 / 4), rtol=1e-4)
    wanted = statistics.style_targets(net, PAINTING, ("conv1_1",), octaves=3)
    assert [set(each) for each in wanted["coarser"]] == [{"style_targets", "moment_targets"}] * 2


def test_content_and_style_of_themselves_are_zero(tiny):
    goal = build(random_filters(tiny), Options())
    assert goal(PHOTOGRAPH)[1]["content"] == pytest.approx(0, abs=1e-9)
    same = build(random_filters(tiny), Options(), [PHOTOGRAPH])
    assert same(PHOTOGRAPH)[1]["style"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("off", ["content_weight", "style_weight", "tv_weight"])
def test_a_weight_of_zero_leaves_the_term_but_not_its_part(tiny, off):
    goal = build(random_filters(tiny), Options())
    total, terms = goal.replace(**{off: jnp.float32(0)})(IMAGE)
    name = off.removesuffix("_weight")
    assert terms[name] == goal(IMAGE)[1][name] > 0
    np.testing.assert_allclose(total, goal(IMAGE)[0] - getattr(goal, off) * terms[name], rtol=1e-5)


def test_a_layer_weight_of_zero_equals_no_layer(tiny):
    weights = random_filters(tiny)
    with_zero = build(weights, Options(style_layer_weights={"conv1_1": 0.2, "conv2_1": 0.0}))
    without = build(weights, Options(style_layer_weights={"conv1_1": 0.2}))
    np.testing.assert_allclose(with_zero(IMAGE)[0], without(IMAGE)[0], rtol=1e-6)


@pytest.mark.parametrize("empty", ["content", "style"])
def test_no_layers_for_one_of_the_terms(tiny, empty):
    goal = build(random_filters(tiny), Options(**{f"{empty}_layer_weights": {}}))
    total, terms = goal(IMAGE)
    assert terms[empty] == 0
    assert np.isfinite(total)
    assert total > 0


def test_the_same_style_twice_counts_once(tiny):
    weights = random_filters(tiny)
    once, twice = (build(weights, Options(), [PAINTING] * count)(IMAGE)[0] for count in (1, 2))
    np.testing.assert_allclose(once, twice, rtol=1e-5)


def test_targets_are_responses_and_mean_gram_matrices(tiny):
    weights = random_filters(tiny)
    goal = build(weights, Options(), [PAINTING, OTHER])
    net = vgg.network(weights)
    np.testing.assert_allclose(
        goal.content_targets["conv2_1"],
        vgg.features(net, PHOTOGRAPH, ["conv2_1"])["conv2_1"],
        rtol=1e-4,
        atol=1e-5,
    )
    grams = [formulas.gram(vgg.features(net, painting, ["pool2"])["pool2"]) for painting in (PAINTING, OTHER)]
    np.testing.assert_allclose(goal.style_targets["pool2"], (grams[0] + grams[1]) / 2, rtol=1e-4, atol=1e-5)


def test_round_trip_as_a_pytree(tiny):
    goal = build(random_filters(tiny), Options())
    leaves, structure = jax.tree.flatten(goal)
    again = jax.tree.unflatten(structure, leaves)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    assert jax.tree.structure(again) == structure
    assert again(IMAGE)[0] == goal(IMAGE)[0]


def test_everything_that_a_run_varies_is_a_leaf(tiny):
    """Other filters, pictures, ratios and layer weights are traced once; another convention is another program."""
    traces = []

    @jax.jit
    def total(goal, image):
        traces.append(1)
        return goal(image)[0]

    values = {
        float(total(build(random_filters(tiny, seed), options, [painting]), image))
        for seed, options, painting, image in (
            (0, Options(), PAINTING, IMAGE),
            (1, Options(), PAINTING, IMAGE),
            (0, Options(content_weight=2.0, style_weight=0.0, tv_weight=1.0), OTHER, IMAGE),
            (0, Options(style_layer_weights={"conv1_1": 5.0, "pool2": 0.0}), PAINTING, PHOTOGRAPH),
        )
    }
    assert len(values) == 4
    assert len(traces) == 1
    total(build(random_filters(tiny), Options(loss="gatys2015")), IMAGE)
    assert len(traces) == 2


def test_vmap_over_the_style_weight_equals_separate_calls(tiny):
    goal = build(random_filters(tiny), Options())
    ratios = jnp.array([0.0, 1.0, 30.0])
    together, terms = jax.vmap(lambda ratio: goal.replace(style_weight=ratio)(IMAGE))(ratios)
    separate = [goal.replace(style_weight=ratio)(IMAGE)[0] for ratio in ratios]
    np.testing.assert_allclose(together, separate, rtol=1e-5)
    assert terms["style"].shape == (3,)


def test_vmap_over_images(tiny):
    goal = build(random_filters(tiny), Options())
    together, _ = jax.vmap(goal)(jnp.stack([IMAGE, PHOTOGRAPH]))
    np.testing.assert_allclose(together, [goal(IMAGE)[0], goal(PHOTOGRAPH)[0]], rtol=1e-5)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_pixels_beyond_the_range_are_penalised_in_the_losss_own_unit(tiny, convention):
    """Times what a picture costs to which no filter responds: the penalty weighs as much in every convention."""
    weights, options = random_filters(tiny), Options(loss=convention)
    free = build(weights, options)
    bounded = free.replace(bounded=True)
    image = 1.5 * IMAGE - 0.2
    total, terms = bounded(image)
    assert "range" not in free(image)[1]
    assert terms["range"] == formulas.outside(image) > 0
    nothing = jax.tree.map(jnp.zeros_like, (free.content_targets, free.style_targets))
    unit = sum(
        weight * layer_weight * loss(zeros[tap], target, convention)
        for loss, weight, layer_weights, zeros, targets in (
            (formulas.content_loss, 0.5, options.content_layer_weights, nothing[0], free.content_targets),
            (formulas.style_loss, 3.0, options.style_layer_weights, nothing[1], free.style_targets),
        )
        for (tap, layer_weight), target in zip(layer_weights.items(), statistics.values(), strict=True)
    )
    np.testing.assert_allclose(bounded.unit(), unit, rtol=1e-4)
    np.testing.assert_allclose(total, free(image)[0] + objective.RANGE_WEIGHT * unit * terms["range"], rtol=1e-4)
    np.testing.assert_allclose(bounded(IMAGE)[0], free(IMAGE)[0], rtol=1e-6)
    if convention == "normalized":
        assert bounded.unit() == pytest.approx(0.5 * (0.3 + 0.7) + 3.0 * (0.2 + 2.0), rel=1e-4)


def test_the_penalty_follows_the_weights_of_a_lane(tiny):
    goal = build(random_filters(tiny), Options()).replace(bounded=True)
    ratios = jnp.array([0.0, 1.0, 30.0])
    together, _ = jax.vmap(lambda ratio: goal.replace(style_weight=ratio)(2 * IMAGE))(ratios)
    separate = [goal.replace(style_weight=ratio)(2 * IMAGE)[0] for ratio in ratios]
    np.testing.assert_allclose(together, separate, rtol=1e-5)


def test_the_kind_of_variation_is_part_of_the_program(tiny):
    options = Options()
    goal, strong = build(random_filters(tiny), options), formulas.strong_chroma(IMAGE, options.tv_chroma)
    for kind in ("squares", "absolute", "isotropic", "neighbours"):
        for tileable in (False, True):
            terms = goal.replace(tv_kind=kind, tileable=tileable)(IMAGE)[1]
            np.testing.assert_allclose(terms["tv"], formulas.total_variation(strong, kind, tileable), rtol=1e-5)


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_gradient_equals_finite_differences(tiny, convention, pooling):
    """The gradient under ``jit`` along random directions; the differences are those of float64 NumPy."""
    weights, options = random_filters(tiny), Options(loss=convention, pooling=pooling)
    goal = build(weights, options)
    gradient, _ = jax.jit(lambda goal, x: jax.grad(goal, has_aux=True)(x))(goal, IMAGE)
    generator = np.random.default_rng(0)
    terms = reference.objective(weights, options, PHOTOGRAPH, [PAINTING])
    for _ in range(3):
        direction = generator.normal(size=IMAGE.shape)
        expected = reference.slope(lambda x: terms(x)["total"], np.asarray(IMAGE, np.float64), direction)
        np.testing.assert_allclose(np.vdot(gradient, direction), expected, rtol=1e-3, atol=1e-5)


def test_unknown_layer(tiny):
    with pytest.raises(NSTError, match="unknown layer 'conv3_1'"):
        build(random_filters(tiny), Options(style_layer_weights={"conv3_1": 1.0}))
