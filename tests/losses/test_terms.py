"""Content and style as terms: their sums add up over positions, and their values are what the formulas give."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import network, random_filters, smooth_picture

from nst_jax import layers
from nst_jax.errors import NSTError
from nst_jax.losses import formulas, statistics
from nst_jax.losses.objective import objective, taps_of
from nst_jax.losses.pixels import Range, Smoothness
from nst_jax.losses.style import Style
from nst_jax.losses.terms import Content, Seen, Term
from nst_jax.networks import vgg

#: Of the style by Gram matrices.
CONVENTIONS = ("gatys2015", "gatys2016", "crowson", "normalized")
PHOTOGRAPH, PAINTING, IMAGE = (
    jnp.asarray(smooth_picture(*size, seed)) for seed, size in enumerate([(12, 20), (16, 12), (12, 20)], start=20)
)  # even a third has as many positions as filters at every layer
#: The layers with their w_l: of the small network, and of the one whose layers stand for wider ones.
WEIGHTS = {"tiny": {"conv1_1": 0.3, "pool2": 2.0}, "stand-in": {"conv1_1": 0.4, "conv2_1": 1.5}}
SHARES = jnp.array([0.7, 0.2])
MOMENTS = 2.5


@pytest.fixture(params=["tiny", "stand_in"])
def net(request):
    """A network with layers of its own, and one whose layers stand for wider ones."""
    return network(random_filters(request.getfixturevalue(request.param)))


def grids(net, picture, regions, seed):
    """Guides of a picture at each layer, [R, H', W'], none of them 0."""
    generator = np.random.default_rng(seed)
    sizes = {row.name: size for row, size in layers.walk(layers.table(net.name), *picture.shape[:2])}
    return {
        tap: jnp.asarray(generator.uniform(0.1, 1, (regions, *sizes[tap])), jnp.float32) for tap in WEIGHTS[net.name]
    }


def content_of(net, convention="normalized", guided=False):
    guides = {tap: grid[0] for tap, grid in grids(net, PHOTOGRAPH, 1, 3).items()} if guided else None
    return Content.of(net, PHOTOGRAPH, WEIGHTS[net.name], convention, guides)


def style_of(net, convention="normalized", regions=False, moments=0.0, octaves=1):
    guides, theirs = (grids(net, picture, 2, 4) if regions else None for picture in (IMAGE, PAINTING))
    means = moments > 0 or convention == "wasserstein"
    targets = statistics.style_targets(net, PAINTING, tuple(WEIGHTS[net.name]), means, theirs, octaves)
    return Style.of(net, targets, WEIGHTS[net.name], convention, moments, guides, SHARES if regions else None)


TERMS = {
    "content": content_of,
    "content with guides": lambda net: content_of(net, guided=True),
    "style": style_of,
    "style with moments": lambda net: style_of(net, moments=MOMENTS),
    "style of regions": lambda net: style_of(net, regions=True),
    "style of regions with moments": lambda net: style_of(net, regions=True, moments=MOMENTS),
    "style at two sizes": lambda net: style_of(net, octaves=2),
    "style of all": lambda net: style_of(net, regions=True, moments=MOMENTS, octaves=2),
    "style as a distribution": lambda net: style_of(net, "wasserstein"),
    "style as distributions of regions": lambda net: style_of(net, "wasserstein", regions=True),
}


# ---------------------------------------------------------------- what adds up


def cut(array, number, axis=0):
    """The first third, or the rest, along an axis."""
    at = max(1, array.shape[axis] // 3)
    return jax.lax.slice_in_dim(array, at if number else 0, None if number else at, axis=axis)


def part_of(term, number):
    """A term as it is of a part of a picture: what it knows of each position is cut as the picture is."""
    if isinstance(term, Style):
        return dataclasses.replace(term, guides=jax.tree.map(lambda grid: cut(grid, number, 1), term.guides))
    return dataclasses.replace(
        term,
        targets=jax.tree.map(lambda target: cut(target, number), term.targets),
        guides=jax.tree.map(lambda grid: cut(grid, number), term.guides),
    )


#: Whatever has a metric, once more with one.
MAPPED = ("content with guides", "style of all", "style as distributions of regions")


@pytest.mark.parametrize(
    ("net", "which"),
    [*(("tiny", which) for which in TERMS), *(("stand_in", which) for which in MAPPED)],
    indirect=["net"],
)
def test_the_statistics_of_two_parts_are_added_to_those_of_the_whole(net, which):
    """At every layer the responses are cut in two; what is made of the sums is then the whole picture's."""
    term = TERMS[which](net)
    seen = objective(net, [(1.0, term)]).seen(IMAGE)
    parts = [
        part_of(term, number).statistics([jax.tree.map(lambda array, n=number: cut(array, n), each) for each in seen])
        for number in (0, 1)
    ]
    whole = term.statistics(seen)
    added = jax.tree.map(jnp.add, *parts)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5), added, whole)
    np.testing.assert_allclose(term.value(added), term.value(whole), rtol=1e-4)
    assert term.value(whole) > 0


@pytest.mark.parametrize("moments", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sums_of_a_layer_add_up_and_are_exact(dtype, moments):
    """Responses of bfloat16 are summed in float32."""
    response = jnp.abs(jnp.asarray(np.random.default_rng(0).normal(size=(6, 8, 5)), dtype))
    guides = jnp.asarray(np.random.default_rng(1).uniform(0.1, 1, (2, 6, 8)), jnp.float32)
    for given in (None, guides):
        whole = statistics.sums_of(response, given, moments)
        halves = [
            statistics.sums_of(response[:, part], None if given is None else given[:, :, part], moments)
            for part in (np.s_[:3], np.s_[3:])
        ]
        added = jax.tree.map(jnp.add, *halves)
        jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5), added, whole)
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(whole))
        assert (whole.first is not None, whole.weights is not None) == (moments, given is not None)
        assert whole.positions == 48


# ---------------------------------------------------------------- what it comes to


def response_unit(net):
    """The unit of Crowson's constants, written out."""
    wide = any("map" in parts for parts in net.params.values())
    return 0.226 * (255 if wide else float(np.mean(net.range / net.std)))


@pytest.mark.parametrize("guided", [False, True], ids=["everywhere", "guided"])
@pytest.mark.parametrize("convention", [*CONVENTIONS, "wasserstein"])
def test_content_is_the_sum_of_the_layers_losses(net, convention, guided):
    term, taps = content_of(net, convention, guided), tuple(WEIGHTS[net.name])
    seen, wanted = (vgg.responses(net, picture, taps) for picture in (IMAGE, PHOTOGRAPH))
    metrics = statistics.metrics_of(net, taps)
    expected = sum(
        weight * formulas.content_loss(seen[tap], wanted[tap], convention, metrics.get(tap), term.guides.get(tap))
        for tap, weight in WEIGHTS[net.name].items()
    )
    if convention in ("crowson", "wasserstein"):
        expected /= response_unit(net) ** 2
    found = term.value(term.statistics([Seen(IMAGE, seen)]))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert set(term.guides) == (set(taps) if guided else set())


@pytest.mark.parametrize(("net", "regions"), [("tiny", False), ("stand_in", True)], indirect=["net"])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_style_is_the_sum_of_the_layers_losses(net, convention, regions):
    """With moments: of the Gram matrices and of the means and deviations, of each region by its share."""
    taps = tuple(WEIGHTS[net.name])
    term = style_of(net, convention, regions, MOMENTS)
    seen, wanted = (vgg.responses(net, picture, taps) for picture in (IMAGE, PAINTING))
    metrics = statistics.metrics_of(net, taps)
    expected = 0.0
    for tap, weight in WEIGHTS[net.name].items():
        both = []
        for responses, picture in ((seen[tap], IMAGE), (wanted[tap], PAINTING)):
            guides = grids(net, picture, 2, 4)[tap] if regions else jnp.ones((1, *responses.shape[:2]))
            grams = formulas.guided_gram(responses, guides)
            both.append((grams, formulas.moments(responses, grams, metrics.get(tap), guides)))
        (grams, means), (their_grams, their_means) = both
        for region, share in enumerate(SHARES if regions else [1.0]):
            loss = formulas.style_loss(grams[region], their_grams[region], convention, metrics.get(tap))
            loss += MOMENTS * formulas.moments_loss(means[region], their_means[region], convention)
            expected += weight * share * loss
    if convention == "crowson":
        expected /= response_unit(net) ** 2
    found = term.value(term.statistics([Seen(IMAGE, seen)]))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def gaussian(responses, guide, ridge):
    """Mean and covariance of responses by the squares of a guide, in float64, with a ridge on the diagonal."""
    rows, shares = np.asarray(responses, np.float64).reshape(-1, responses.shape[-1]), np.ravel(guide) ** 2
    mean = shares @ rows / shares.sum()
    return mean, (shares * (rows - mean).T) @ (rows - mean) / shares.sum() + ridge * np.eye(len(mean))


def root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


@pytest.mark.parametrize(("net", "regions"), [("tiny", True), ("stand_in", False)], indirect=["net"])
def test_style_as_a_distribution_is_the_distance_of_gaussians(net, regions):
    """W₂² over the number of filters, by eigenvalues in float64; of layers that stand for wider ones, of those.

    To a hundredth: the term's own roots are of so many turns, in float32.
    """
    taps = tuple(WEIGHTS[net.name])
    term = style_of(net, "wasserstein", regions)
    seen, wanted = (vgg.features(net, picture, taps) for picture in (IMAGE, PAINTING))
    unit, expected = response_unit(net) ** 2, 0.0
    for tap, weight in WEIGHTS[net.name].items():
        guides, theirs = (
            grids(net, picture, 2, 4)[tap] if regions else np.ones((1, *each[tap].shape[:2]))
            for picture, each in ((IMAGE, seen), (PAINTING, wanted))
        )
        for share, guide, their in zip(SHARES if regions else [1.0], guides, theirs, strict=True):
            mean, covariance = gaussian(seen[tap], guide, 1e-4 * unit)
            their_mean, their_covariance = gaussian(wanted[tap], their, 1e-4 * unit)
            half = root(covariance)
            distance = np.square(mean - their_mean).sum() + np.trace(
                covariance + their_covariance - 2 * root(half @ their_covariance @ half)
            )
            expected += weight * share * distance / len(mean)
    found = term.value(term.statistics([Seen(IMAGE, vgg.responses(net, IMAGE, taps))]))
    np.testing.assert_allclose(found, expected / unit, rtol=1e-2)


def test_a_silent_picture_costs_what_an_image_without_responses_does(net):
    """``silent_value`` needs no image. All positions of a content count, of a style the Gram matrices at full size."""
    taps = tuple(WEIGHTS[net.name])
    nothing = {tap: jnp.zeros_like(each) for tap, each in vgg.responses(net, IMAGE, taps).items()}
    for guided in (False, True):
        content, style = content_of(net, "gatys2016", guided), style_of(net, "gatys2016", guided)
        whole = content_of(net, "gatys2016", False)
        expected = whole.value(whole.statistics([Seen(IMAGE, nothing)]))
        np.testing.assert_allclose(content.silent_value(), expected, rtol=1e-6)
        expected = style.value(style.statistics([Seen(IMAGE, nothing)]))
        np.testing.assert_allclose(style.silent_value(), expected, rtol=1e-5)
        larger = style_of(net, "gatys2016", guided, MOMENTS, octaves=2)
        np.testing.assert_allclose(larger.silent_value(), expected, rtol=1e-5)


def test_a_region_in_a_row_that_halving_drops_stays_at_the_border():
    """Else it would have no position at half the size, and its statistics no numbers."""
    rows = np.zeros((7, 9), "f4")
    rows[-1] = 1
    found = statistics.halved_guides({"conv1_1": jnp.asarray(np.stack([rows, 1 - rows, rows[::-1]]))})["conv1_1"]
    assert found.shape == (3, 3, 4)
    assert np.all(found[0, -1] > 0) and not np.any(found[0, 0])
    np.testing.assert_array_equal(found[1], np.ones((3, 4)))  # the others are means, as pictures' are
    np.testing.assert_array_equal(found[2], np.repeat([[0.5], [0], [0]], 4, 1))


def test_names_are_the_losses_and_layers_are_asked_for_by_size(net):
    taps = tuple(WEIGHTS[net.name])
    found = [content_of(net), style_of(net, octaves=2), Smoothness(jnp.float32(1)), Range()]
    assert [term.name for term in found] == ["content", "style", "tv", "range"]
    assert all(isinstance(term, Term) for term in found)
    assert not isinstance(statistics, Term)
    assert [taps_of([term]) for term in found] == [[taps], [taps, taps], [()], [()]]
    assert taps_of(found) == [taps, taps]


def test_without_layers_there_is_no_content_and_no_style(tiny):
    net = network(random_filters(tiny))
    content = Content.of(net, None, {})
    style = Style.of(net, statistics.style_targets(net, PAINTING, ()), {})
    assert taps_of([content, style]) == [()]
    for term in (content, style):
        assert term.value(term.statistics([Seen(IMAGE, {})])) == 0


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("empty", [False, True])
def test_an_unknown_convention_is_refused(tiny, empty):
    """Where a term is made, also of one without layers."""
    net, weights = network(random_filters(tiny)), {} if empty else WEIGHTS[tiny]
    with pytest.raises(NSTError, match="unknown convention 'mse': choose one of gatys2015, gatys2016, crowson, norm"):
        Content.of(net, PHOTOGRAPH, weights, "mse")
    targets = statistics.style_targets(net, PAINTING, tuple(weights))
    with pytest.raises(NSTError, match="unknown convention 'mse': choose one of gatys2015, gatys2016, crowson, norm"):
        Style.of(net, targets, weights, "mse")


def test_an_unknown_layer_is_refused(tiny):
    net = network(random_filters(tiny))
    with pytest.raises(NSTError, match="unknown layer 'conv3_1'"):
        Content.of(net, PHOTOGRAPH, {"conv3_1": 1.0})
    with pytest.raises(NSTError, match="unknown layer 'conv3_1'"):
        statistics.style_targets(net, PAINTING, ("conv3_1",))
