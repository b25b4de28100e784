"""The whole loss: its sum, its parts, its life as a pytree, and its gradient."""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from support import network, random_filters, simple_config, smooth_picture, usual_objective

from nst_jax.errors import NSTError
from nst_jax.losses import formulas, objective, pixels, statistics
from nst_jax.losses.pixels import Range, Smoothness
from nst_jax.losses.style import Style
from nst_jax.networks import vgg
from nst_jax.pictures.images import Picture
from nst_jax.runs import goals

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
    return usual_objective(
        network(weights, options.pooling),
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


def weighed(goal, **weights):
    """The objective with other weights of the terms named."""
    return goal.replace(terms=tuple((jnp.asarray(weights.get(term.name, weight)), term) for weight, term in goal.terms))


def with_term(goal, other, weight=None):
    """The objective with another term in the place of that of its name, or beside them all."""
    if weight is not None:
        return goal.replace(terms=(*goal.terms, (jnp.float32(weight), other)))
    return goal.replace(terms=tuple((w, other if term.name == other.name else term) for w, term in goal.terms))


def term_of(goal, name):
    """The term of a name."""
    (found,) = (term for _, term in goal.terms if term.name == name)
    return found


@pytest.mark.slow
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


@pytest.mark.slow
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
    net = network(weights)
    raw = vgg.responses(net, IMAGE, ["conv1_1"])["conv1_1"]
    mapped = vgg.features(net, IMAGE, ["conv1_1"])["conv1_1"]
    metric = statistics.metrics_of(net, ["conv1_1"])["conv1_1"]
    expected = formulas.moments(mapped, formulas.gram(mapped))
    np.testing.assert_allclose(formulas.moments(raw, formulas.gram(raw), metric), expected, rtol=1e-3, atol=1e-4)
    other = vgg.responses(net, PHOTOGRAPH, ["conv1_1"])["conv1_1"]
    wanted = formulas.gram(vgg.features(net, PHOTOGRAPH, ["conv1_1"])["conv1_1"])
    found = formulas.style_loss(formulas.gram(raw), formulas.gram(other), "crowson", metric)
    np.testing.assert_allclose(found, formulas.style_loss(formulas.gram(mapped), wanted, "crowson"), rtol=1e-3)


@pytest.mark.slow
def test_octaves_are_the_mean_over_halved_pictures_by_their_pixels(tiny):
    weights, options = random_filters(tiny), Options()
    net = network(weights)

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
    assert [set(each) for each in wanted] == [{"conv1_1"}] * 3
    for octave, picture in enumerate([PAINTING, smaller(PAINTING), smaller(smaller(PAINTING))]):
        seen = reference.responses(weights, picture, "conv1_1")["conv1_1"]
        np.testing.assert_allclose(wanted[octave]["conv1_1"].gram, reference.gram(seen), rtol=1e-4)
        assert wanted[octave]["conv1_1"].moments is None


def test_content_and_style_of_themselves_are_zero(tiny):
    goal = build(random_filters(tiny), Options())
    assert goal(PHOTOGRAPH)[1]["content"] == pytest.approx(0, abs=1e-9)
    same = build(random_filters(tiny), Options(), [PHOTOGRAPH])
    assert same(PHOTOGRAPH)[1]["style"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("off", ["content", "style", "tv"])
def test_a_weight_of_zero_leaves_the_term_but_not_its_part(tiny, off):
    options = Options()
    goal = build(random_filters(tiny), options)
    total, terms = weighed(goal, **{off: 0.0})(IMAGE)
    assert terms[off] == goal(IMAGE)[1][off] > 0
    np.testing.assert_allclose(total, goal(IMAGE)[0] - getattr(options, f"{off}_weight") * terms[off], rtol=1e-5)


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


@pytest.mark.slow
def test_targets_are_responses_and_mean_gram_matrices(tiny):
    weights = random_filters(tiny)
    goal = build(weights, Options(), [PAINTING, OTHER])
    net = network(weights)
    np.testing.assert_allclose(
        term_of(goal, "content").targets["conv2_1"],
        vgg.features(net, PHOTOGRAPH, ["conv2_1"])["conv2_1"],
        rtol=1e-4,
        atol=1e-5,
    )
    grams = [formulas.gram(vgg.features(net, painting, ["pool2"])["pool2"]) for painting in (PAINTING, OTHER)]
    (found,) = term_of(goal, "style").targets
    np.testing.assert_allclose(found["pool2"].gram, (grams[0] + grams[1]) / 2, rtol=1e-4, atol=1e-5)
    blended = term_of(build(weights, Options(), [PAINTING, OTHER], blend=(3, 1)), "style").targets[0]["pool2"].gram
    np.testing.assert_allclose(blended, 0.75 * grams[0] + 0.25 * grams[1], rtol=1e-4, atol=1e-5)


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
    together, terms = jax.jit(jax.vmap(lambda ratio: weighed(goal, style=ratio)(IMAGE)))(ratios)
    separate = [weighed(goal, style=ratio)(IMAGE)[0] for ratio in ratios]
    np.testing.assert_allclose(together, separate, rtol=1e-5)
    assert terms["style"].shape == (3,)


def test_vmap_over_images(tiny):
    goal = build(random_filters(tiny), Options())
    together, _ = jax.jit(lambda images: jax.vmap(goal)(images))(jnp.stack([IMAGE, PHOTOGRAPH]))
    np.testing.assert_allclose(together, [goal(IMAGE)[0], goal(PHOTOGRAPH)[0]], rtol=1e-5)


def goals_of(weights, options):
    """The same as ``build``, from the options of a run that is bounded; its goals and its options."""
    config = simple_config(
        network=weights.network, size=max(IMAGE.shape), pixel_range="bounded", padding="zeros", style_octaves=1,
        content_weight=options.content_weight, style_weight=options.style_weight, tv_weight=options.tv_weight,
        tv_chroma=options.tv_chroma, loss=options.loss,
        content_layers=tuple(f"{tap}:{weight}" for tap, weight in options.content_layer_weights.items()),
        style_layers=tuple(f"{tap}:{weight}" for tap, weight in options.style_layer_weights.items()),
    ).for_network(weights.network)  # fmt: skip
    photograph, painting = (
        Picture(np.asarray(pixels), None, "array", "", pixels.shape[1::-1]) for pixels in (PHOTOGRAPH, PAINTING)
    )
    net = network(weights, options.pooling)
    return goals.Goals(net, photograph, [painting], IMAGE.shape[:2], config, [None]), config


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_pixels_beyond_the_range_are_penalised_in_the_losss_own_unit(tiny, convention):
    """Times what a picture costs to which no filter responds: the penalty weighs as much in every convention."""
    weights, options = random_filters(tiny), Options(loss=convention)
    free = build(weights, options)
    made, config = goals_of(weights, options)
    bounded = made.objective(config)
    image = 1.5 * IMAGE - 0.2
    total, terms = bounded(image)
    assert "range" not in free(image)[1]
    assert terms["range"] == pixels.outside(image) > 0
    content, (style,) = term_of(free, "content"), term_of(free, "style").targets
    targets = content.targets, {tap: found.gram for tap, found in style.items()}
    nothing = jax.tree.map(jnp.zeros_like, targets)
    unit = sum(
        weight * layer_weight * loss(zeros[tap], statistics[tap], convention)
        for loss, weight, layer_weights, zeros, statistics in (
            (formulas.content_loss, 0.5, options.content_layer_weights, nothing[0], targets[0]),
            (formulas.style_loss, 3.0, options.style_layer_weights, nothing[1], targets[1]),
        )
        for tap, layer_weight in layer_weights.items()
    )
    found = goals.unit_loss(0.5, term_of(bounded, "content"), 3.0, term_of(bounded, "style"))
    np.testing.assert_allclose(found, unit, rtol=1e-4)
    np.testing.assert_allclose(total, free(image)[0] + goals.RANGE_WEIGHT * unit * terms["range"], rtol=1e-4)
    np.testing.assert_allclose(bounded(IMAGE)[0], free(IMAGE)[0], rtol=1e-6)
    if convention == "normalized":
        assert found == pytest.approx(0.5 * (0.3 + 0.7) + 3.0 * (0.2 + 2.0), rel=1e-4)


@pytest.mark.slow
def test_the_penalty_follows_the_weights_of_a_lane(tiny):
    made, config = goals_of(random_filters(tiny), Options())
    ratios = 0.0, 1.0, 30.0
    lanes = [made.objective(dataclasses.replace(config, style_weight=ratio)) for ratio in ratios]
    weights = [{term.name: weight for weight, term in lane.terms} for lane in lanes]
    units = [1 * 0.5 + ratio * (0.2 + 2.0) for ratio in ratios]
    np.testing.assert_allclose([each["range"] for each in weights], goals.RANGE_WEIGHT * np.array(units), rtol=1e-4)
    shared = lanes[0]
    together, _ = jax.vmap(lambda own: weighed(shared, **own)(2 * IMAGE))(
        jax.tree.map(lambda *each: jnp.stack(each), *weights)
    )
    np.testing.assert_allclose(together, [lane(2 * IMAGE)[0] for lane in lanes], rtol=1e-5)


def test_the_kind_of_variation_is_part_of_the_program(tiny):
    options = Options()
    goal, strong = build(random_filters(tiny), options), pixels.strong_chroma(IMAGE, options.tv_chroma)
    for kind in ("squares", "absolute", "isotropic", "neighbours"):
        for tileable in (False, True):
            smoothness = term_of(goal, "tv").replace(kind=kind, wrap=tileable)
            terms = with_term(goal, smoothness)(IMAGE)[1]
            np.testing.assert_allclose(terms["tv"], pixels.total_variation(strong, kind, tileable), rtol=1e-5)


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


# ---------------------------------------------------------------- of any terms


@flax.struct.dataclass
class Loudness:
    """The mean response at one layer, at half the size: a term that the package does not know."""

    layer: str = flax.struct.field(pytree_node=False)
    name: str = flax.struct.field(pytree_node=False, default="loudness")

    @property
    def taps(self):
        return (), (self.layer,)

    def statistics(self, seen):
        return seen[1].responses[self.layer].sum(), jnp.float32(seen[1].responses[self.layer].size)

    def value(self, sums):
        return sums[0] / sums[1]


def test_each_layer_is_asked_for_once_at_each_size(tiny):
    content, style, tv = (term for _, term in build(random_filters(tiny), Options(), octaves=2).terms)
    assert content.taps == (("conv1_2", "conv2_1"),)
    assert list(style.taps) == [("conv1_1", "pool2")] * 2
    taps_of = objective.taps_of
    assert taps_of([]) == taps_of([tv]) == taps_of([Range(), tv]) == [()]
    assert taps_of([content, tv]) == [("conv1_2", "conv2_1")]
    assert taps_of([content, style, tv]) == [("conv1_2", "conv2_1", "conv1_1", "pool2"), ("conv1_1", "pool2")]
    assert taps_of([style, content]) == [("conv1_1", "pool2", "conv1_2", "conv2_1"), ("conv1_1", "pool2")]
    assert taps_of([tv, Loudness("pool2")]) == [(), ("pool2",)]
    assert taps_of([style, Loudness("pool2"), Loudness("conv1_2")]) == [
        ("conv1_1", "pool2"),
        ("conv1_1", "pool2", "conv1_2"),
    ]


def test_terms_see_the_image_and_what_they_ask_for_at_each_size(tiny):
    goal = with_term(build(random_filters(tiny), Options()), Loudness("conv1_2"), weight=2.0)
    whole, half = goal.seen(IMAGE)
    assert set(whole.responses) == {"conv1_2", "conv2_1", "conv1_1", "pool2"}
    assert set(half.responses) == {"conv1_2"}
    np.testing.assert_array_equal(whole.image, IMAGE)
    np.testing.assert_allclose(half.image, reference.halved(IMAGE), rtol=1e-6)
    expected = reference.responses(random_filters(tiny), reference.halved(IMAGE), "conv1_2")["conv1_2"]
    np.testing.assert_allclose(half.responses["conv1_2"], expected, rtol=1e-4, atol=1e-5)


def test_another_term_is_added_with_its_weight(tiny):
    goal = build(random_filters(tiny), Options())
    total, terms = with_term(goal, Loudness("conv1_2"), weight=2.0)(IMAGE)
    expected = reference.responses(random_filters(tiny), reference.halved(IMAGE), "conv1_2")["conv1_2"].mean()
    np.testing.assert_allclose(terms["loudness"], expected, rtol=1e-4)
    np.testing.assert_allclose(total, goal(IMAGE)[0] + 2 * expected, rtol=1e-5)
    assert set(terms) == {"content", "style", "tv", "loudness", "total"}


def test_an_image_is_seen_only_where_a_term_asks(tiny):
    """Without taps no layer runs: not even the network's numbers are needed."""
    net = network(random_filters(tiny)).replace(params={})
    goal = objective.objective(net, [(3.0, Smoothness(jnp.float32(1))), (1.0, Range())], IMAGE.shape[:2])
    total, terms = goal(2 * IMAGE)
    assert set(terms) == {"tv", "range", "total"}
    np.testing.assert_allclose(total, 3 * pixels.total_variation(2 * IMAGE) + pixels.outside(2 * IMAGE), rtol=1e-6)


def test_the_total_is_made_of_the_statistics(tiny):
    goal = build(random_filters(tiny), Options(), octaves=2, moments=2.0)
    total, terms = goal.total(goal.statistics(IMAGE))
    assert total == goal(IMAGE)[0]
    assert terms == goal(IMAGE)[1]
    assert list(terms) == ["content", "style", "tv", "total"]


def test_two_terms_of_one_name_are_refused(tiny):
    net = network(random_filters(tiny))
    with pytest.raises(NSTError, match="two terms are called 'range': give each term a name of its own"):
        objective.objective(net, [(1.0, Range()), (1.0, Smoothness(jnp.float32(1))), (2.0, Range())])
    with pytest.raises(NSTError, match="two terms are called 'total'"):
        objective.objective(net, [(1.0, Loudness("pool2", "total"))])
    apart = objective.objective(net, [(1.0, Loudness("conv1_1", "one")), (1.0, Loudness("pool2", "other"))])
    assert set(apart(IMAGE)[1]) == {"one", "other", "total"}


def build_style(net, taps):
    """A style that asks for layers; of no painting."""
    nothing = {tap: statistics.Statistics(jnp.eye(3), None) for tap in taps}
    return Style.of(net, (nothing,), dict.fromkeys(taps, 1.0))


def test_filters_are_transformed_once_for_a_size():
    """Those on the way to what the terms ask for at the full size; none where no size is told."""
    net = network(vgg.random_weights("vgg19"))
    style = build_style(net, ("conv2_2",))
    assert objective.objective(net, [(1.0, style)]).network.filters == {}
    assert set(objective.objective(net, [(1.0, style)], (64, 96)).network.filters) == {"conv2_2"}
    assert objective.objective(net, [(1.0, style)], (16, 16)).network.filters == {}
    assert objective.objective(net, [(1.0, Loudness("conv2_2"))], (64, 96)).network.filters == {}
