"""The losses against loops in float64, their invariances, and their gradients against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from support import draw, f4

from nst_jax.errors import NSTError
from nst_jax.losses import formulas

CONVENTIONS = ("gatys2015", "gatys2016", "normalized")


def loop_gram(x):
    height, width, n = x.shape
    out = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            for row in range(height):
                for column in range(width):
                    out[i, j] += float(x[row, column, i]) * float(x[row, column, j])
    return out / (height * width)


def loop_square(x, y):
    return sum((float(a) - float(b)) ** 2 for a, b in zip(np.ravel(x), np.ravel(y), strict=True))


def loop_content(x, target, convention):
    height, width, n = x.shape
    square = loop_square(x, target)
    if convention == "gatys2015":
        return square / 2
    if convention == "gatys2016":
        return square / (height * width * n)
    return square / loop_square(target, np.zeros_like(target))


def loop_style(gram, target, convention):
    n = len(gram)
    square = loop_square(gram, target)
    if convention == "gatys2015":
        return square / (4 * n**2)
    if convention == "gatys2016":
        return square / n**2
    return square / loop_square(target, np.zeros_like(target))


def test_gram_equals_loops():
    x = draw(4, 5, 3)
    np.testing.assert_allclose(formulas.gram(f4(x)), loop_gram(x), rtol=1e-5, atol=1e-6)


def test_gram_of_a_batch():
    batch = draw(2, 3, 4, 5, 3)
    found = formulas.gram(f4(batch))
    assert found.shape == (2, 3, 3, 3)
    np.testing.assert_allclose(found[1, 2], loop_gram(batch[1, 2]), rtol=1e-5, atol=1e-6)


def test_gram_is_symmetric_and_positive_semidefinite():
    gram = np.asarray(formulas.gram(f4(draw(3, 3, 20))), np.float64)  # 9 positions: of rank 9 at most
    np.testing.assert_array_equal(gram, gram.T)
    eigenvalues = np.linalg.eigvalsh(gram)
    assert eigenvalues.min() > -1e-6 * eigenvalues.max()
    assert (eigenvalues > 1e-4 * eigenvalues.max()).sum() == 9


def test_gram_forgets_where_things_are():
    x = draw(4, 6, 5)
    shuffled = np.random.default_rng(1).permutation(x.reshape(24, 5)).reshape(8, 3, 5)
    np.testing.assert_allclose(formulas.gram(f4(shuffled)), formulas.gram(f4(x)), rtol=1e-5, atol=1e-6)


def test_gram_of_a_tiling_is_that_of_the_tile():
    x = draw(4, 6, 5)
    np.testing.assert_allclose(formulas.gram(f4(np.tile(x, (3, 2, 1)))), formulas.gram(f4(x)), rtol=1e-5, atol=1e-6)


def test_gram_scales_with_the_square():
    x = draw(4, 6, 5)
    np.testing.assert_allclose(formulas.gram(f4(4 * x)), 16 * formulas.gram(f4(x)), rtol=1e-6)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_content_equals_loops(convention):
    x, target = draw(4, 5, 3), draw(4, 5, 3, seed=1)
    found = formulas.content_loss(f4(x), f4(target), convention)
    np.testing.assert_allclose(found, loop_content(x, target, convention), rtol=1e-5)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_style_equals_loops(convention):
    x, target = loop_gram(draw(4, 5, 3)), loop_gram(draw(3, 7, 3, seed=1))
    found = formulas.style_loss(f4(x), f4(target), convention)
    np.testing.assert_allclose(found, loop_style(x, target, convention), rtol=1e-5)


def test_the_papers_style_loss_in_its_own_terms():
    """1/(4 N² M²) Σ (G − A)² with undivided Gram matrices, equation 4, for images of one size."""
    x, painting = draw(4, 5, 3), draw(4, 5, 3, seed=1)
    g, a = 20 * loop_gram(x), 20 * loop_gram(painting)
    expected = loop_square(g, a) / (4 * 3**2 * 20**2)
    found = formulas.style_loss(formulas.gram(f4(x)), formulas.gram(f4(painting)), "gatys2015")
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_no_distance_no_loss(convention):
    x = draw(4, 5, 3)
    assert formulas.content_loss(f4(x), f4(x), convention) == 0
    assert formulas.style_loss(formulas.gram(f4(x)), formulas.gram(f4(x)), convention) == 0


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_zero_targets_give_finite_losses_and_gradients(convention):
    x, zero = f4(draw(4, 5, 3)), jnp.zeros((4, 5, 3))
    for function, at, target in (
        (formulas.content_loss, x, zero),
        (formulas.content_loss, zero, zero),
        (formulas.style_loss, formulas.gram(x), jnp.zeros((3, 3))),
        (formulas.style_loss, jnp.zeros((3, 3)), jnp.zeros((3, 3))),
    ):
        value, gradient = jax.value_and_grad(function)(at, target, convention)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_the_normalized_losses_have_no_unit():
    x, target = draw(4, 5, 3), draw(4, 5, 3, seed=1)
    for factor in (1e-2, 1e2):
        np.testing.assert_allclose(
            formulas.content_loss(f4(factor * x), f4(factor * target), "normalized"),
            formulas.content_loss(f4(x), f4(target), "normalized"),
            rtol=1e-4,
        )


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_metric_compares_as_mapping_would(convention):
    x, target, map = draw(4, 5, 3), draw(4, 5, 3, seed=1), draw(3, 7, seed=2)
    metric = formulas.Metric(f4(map @ map.T), f4(map))
    np.testing.assert_allclose(
        formulas.content_loss(f4(x), f4(target), convention, metric),
        loop_content(x @ map, target @ map, convention),
        rtol=1e-4,
    )
    np.testing.assert_allclose(
        formulas.style_loss(formulas.gram(f4(x)), formulas.gram(f4(target)), convention, metric),
        loop_style(loop_gram(x @ map), loop_gram(target @ map), convention),
        rtol=1e-4,
    )


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_gradients_equal_finite_differences(convention):
    """Of both losses through the Gram matrix, in float64; flat responses among them."""
    target = draw(4, 5, 3, seed=1)
    target_gram = loop_gram(target)
    functions = {
        "content": (
            lambda x: formulas.content_loss(x, jnp.asarray(target), convention),
            lambda x: loop_content(x, target, convention),
        ),
        "style": (
            lambda x: formulas.style_loss(formulas.gram(x), jnp.asarray(target_gram), convention),
            lambda x: loop_style(loop_gram(x), target_gram, convention),
        ),
    }
    with jax.enable_x64(True):
        for x in (draw(4, 5, 3), np.full((4, 5, 3), 0.7)):
            for ours, loops in functions.values():
                gradient = np.asarray(jax.grad(ours)(jnp.asarray(x)))
                for seed in (2, 3):
                    direction = draw(4, 5, 3, seed=seed)
                    expected = reference.slope(loops, x, direction)
                    np.testing.assert_allclose(np.vdot(gradient, direction), expected, rtol=1e-6, atol=1e-8)


def test_gram_gradient_is_that_of_the_formula():
    x, slope = f4(draw(2, 4, 3, 5)), f4(draw(2, 5, 5))
    wanted = jax.vjp(lambda x: jnp.einsum("bhwi,bhwj->bij", x, x) / 12, x)[1](slope)[0]
    np.testing.assert_allclose(jax.vjp(formulas.gram, x)[1](slope)[0], wanted, rtol=1e-5, atol=1e-6)


def test_gram_has_second_derivatives():
    """Along a change of the responses, reverse over reverse, as the training of the small network takes them."""
    x, change = f4(draw(4, 3, 5)), f4(draw(4, 3, 5, seed=1))

    def slope(x, gram):
        return jnp.vdot(jax.grad(lambda x: jnp.sum(gram(x) ** 2))(x), change)

    one, other = (jax.grad(slope)(x, gram) for gram in (formulas.gram, lambda x: jnp.einsum("hwi,hwj->ij", x, x) / 12))
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_gram_of_bfloat16_responses():
    """The same matrix as of those responses in float32, and a gradient of their type, by one rounded product."""
    x, slope = f4(draw(4, 3, 5)).astype(jnp.bfloat16), f4(draw(5, 5))
    exact, exact_gradient = jax.vjp(formulas.gram, x.astype(jnp.float32))
    found, gradient = jax.vjp(formulas.gram, x)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, exact, rtol=1e-6)
    ours, wanted = gradient(slope)[0], exact_gradient(slope)[0]
    assert ours.dtype == jnp.bfloat16
    assert 0 < np.abs(ours.astype(jnp.float32) - wanted).max() < 0.02 * np.abs(wanted).max()


@pytest.mark.parametrize("convention", ["gatys2015", "normalized"])
def test_losses_of_bfloat16_responses_are_those_in_float32(convention):
    x, target = (f4(draw(4, 3, 5, seed=seed)).astype(jnp.bfloat16) for seed in (0, 1))
    exact_x, exact_target = (each.astype(jnp.float32) for each in (x, target))
    np.testing.assert_allclose(
        formulas.content_loss(x, target, convention),
        formulas.content_loss(exact_x, exact_target, convention),
        rtol=1e-6,
    )
    guide, metric = jnp.abs(f4(draw(4, 3, seed=2))), formulas.Metric(jnp.eye(5), jnp.eye(5))
    for more in ({"metric": metric}, {"guide": guide}):
        np.testing.assert_allclose(
            formulas.content_loss(x, target, convention, **more),
            formulas.content_loss(exact_x, exact_target, convention, **more),
            rtol=1e-6,
        )
    guides = jnp.stack([guide, guide + 1])
    grams = formulas.guided_gram(x, guides)
    np.testing.assert_allclose(grams, formulas.guided_gram(exact_x, guides), rtol=1e-6)
    for statistics, given in ((formulas.gram(x), None), (grams, guides)):
        one, other = (formulas.moments(each, statistics, guides=given) for each in (x, exact_x))
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_of_many_positions_no_region_loses_any():
    """One region as several: a CPU's product with a single row would add up value by value, in float32."""
    features, guides = jnp.full((1500, 1400, 3), 0.1), jnp.full((2, 1500, 1400), 0.7)
    for regions in (guides[:1], guides):
        found = formulas.sums(features, regions)
        np.testing.assert_allclose(found, np.full((len(regions), 3), 0.49 * 0.1 * 1500 * 1400), rtol=4e-5)


def test_moments_are_means_and_deviations():
    """Over all positions, or of each region by the squares of its guide; of mapped responses with a metric."""
    x, guides, map = draw(4, 5, 3), np.abs(draw(2, 4, 5, seed=1)), draw(3, 7, seed=2)
    metric = formulas.Metric(f4(map @ map.T), f4(map))

    def expected(x, share):
        mean = np.einsum("hw,hwn->n", share, x) / share.sum()
        return [mean, np.sqrt(np.einsum("hw,hwn->n", share, (x - mean) ** 2) / share.sum())]

    whole = formulas.moments(f4(x), formulas.gram(f4(x)))
    np.testing.assert_allclose(whole, expected(x, np.ones((4, 5))), rtol=1e-4, atol=1e-5)
    each = formulas.moments(f4(x), formulas.guided_gram(f4(x), f4(guides)), metric, f4(guides))
    for found, guide in zip(each, guides, strict=True):
        np.testing.assert_allclose(found, expected(x @ map, guide**2), rtol=1e-3, atol=1e-4)


PARTS = {"rows": (np.s_[:2, :], np.s_[2:, :]), "columns": (np.s_[:, :4], np.s_[:, 4:])}


@pytest.mark.parametrize("parts", PARTS)
def test_what_adds_up_over_positions(parts):
    x, target, guides, map = draw(5, 6, 3), draw(5, 6, 3, seed=1), np.abs(draw(2, 5, 6, seed=2)), draw(3, 7, seed=3)
    metric = formulas.Metric(f4(map @ map.T), f4(map))
    functions = {
        "correlations": lambda part: formulas.correlations(f4(x[part])),
        "sums": lambda part: formulas.sums(f4(x[part])),
        "sums of regions": lambda part: formulas.sums(f4(x[part]), f4(guides[:, *part])),
        "distance": lambda part: formulas.content_distance(f4(x[part]), f4(target[part])),
        "guided distance": lambda part: formulas.content_distance(
            f4(x[part]), f4(target[part]), metric, f4(guides[0][part])
        ),
    }
    for name, function in functions.items():
        one, other = (function(part) for part in PARTS[parts])
        np.testing.assert_allclose(one + other, function(np.s_[:, :]), rtol=1e-5, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(functions["correlations"](np.s_[:, :]) / 30, loop_gram(x), rtol=1e-5, atol=1e-6)


REFUSED = {
    "content_loss": lambda: formulas.content_loss(jnp.ones((2, 2, 3)), jnp.ones((2, 2, 3)), "mse"),
    "content_scale": lambda: formulas.content_scale(jnp.ones((2, 2, 3)), "mse"),
    "style_loss": lambda: formulas.style_loss(jnp.eye(3), jnp.eye(3), "mse"),
    "moments_loss": lambda: formulas.moments_loss(jnp.ones((2, 3)), jnp.ones((2, 3)), "mse"),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("function", REFUSED)
def test_an_unknown_convention_is_refused(function):
    message = "unknown convention.* 'mse': choose one of gatys2015, gatys2016, crowson, normalized"
    with pytest.raises(NSTError, match=message):
        REFUSED[function]()


def test_a_distribution_is_no_gram_matrix():
    with pytest.raises(NSTError, match="unknown convention of Gram matrices 'wasserstein': choose one of gatys2015"):
        formulas.style_loss(jnp.eye(3), jnp.eye(3), "wasserstein")
