"""The losses against loops in float64, their invariances, and their gradients against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from nst_jax.losses import formulas

CONVENTIONS = ("gatys2015", "gatys2016", "normalized")


def draw(*shape, seed=0):
    """Random numbers in float64, for the loops."""
    return np.random.default_rng(seed).normal(size=shape)


def f4(x):
    """The same on the device, for the functions."""
    return jnp.asarray(x, jnp.float32)


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


def loop_variation(image):
    height, width, _ = image.shape
    total = 0.0
    for row in range(height):
        for column in range(width):
            for channel in range(3):
                here = float(image[row, column, channel])
                if row + 1 < height:
                    total += (float(image[row + 1, column, channel]) - here) ** 2
                if column + 1 < width:
                    total += (float(image[row, column + 1, channel]) - here) ** 2
    return total / (height * width * 3)


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


@pytest.mark.parametrize("shape", [(5, 7, 3), (1, 4, 3), (4, 1, 3), (1, 1, 3)])
def test_variation_equals_loops(shape):
    image = draw(*shape)
    np.testing.assert_allclose(formulas.total_variation(f4(image)), loop_variation(image), rtol=1e-5)


def test_chroma_is_what_is_beside_grey():
    image = np.random.default_rng(0).uniform(size=(4, 5, 3))
    found = np.asarray(formulas.strong_chroma(f4(image), 3.0))
    grey = (image[..., :1] + image[..., 1:2] + image[..., 2:]) / 3
    np.testing.assert_allclose(found.mean(-1), grey[..., 0], rtol=1e-5)
    np.testing.assert_allclose(found - grey, 3 * (image - grey), atol=1e-6)
    np.testing.assert_allclose(formulas.strong_chroma(f4(image), 1.0), image, atol=1e-6)
    np.testing.assert_allclose(formulas.strong_chroma(f4(image), 0.0), np.tile(grey, 3), atol=1e-6)


def test_variation_of_flat_and_of_larger_images():
    assert formulas.total_variation(f4(np.full((4, 6, 3), 0.3))) == 0
    checks = (np.indices((8, 8)).sum(axis=0) % 2)[..., None].repeat(3, axis=-1)
    assert formulas.total_variation(f4(np.tile(checks, (8, 8, 1)))) == pytest.approx(
        2, rel=0.02
    )  # does not grow with it


KINDS = ("squares", "absolute", "isotropic", "neighbours")


def loop_kind(image, kind, wrap=False):
    """The kinds of total variation, one value at a time; what is beyond the border does not count unless it wraps."""
    height, width, channels = image.shape

    def difference(y, x, c, down, across):
        y, x, there, beside = y, x, y + down, x + across
        if wrap:
            there, beside = there % height, beside % width
        elif not (0 <= there < height and 0 <= beside < width):
            return 0.0
        return image[there, beside, c] - image[y, x, c]

    def magnitude(square):
        return np.sqrt(square + formulas.SMALL_STEP**2) - formulas.SMALL_STEP

    total = 0.0
    for y, x, c in np.ndindex(*image.shape):
        down, across = difference(y, x, c, 1, 0), difference(y, x, c, 0, 1)
        slants = difference(y, x, c, 1, 1), difference(y, x, c, 1, -1)
        total += {
            "squares": down**2 + across**2,
            "absolute": magnitude(down**2) + magnitude(across**2),
            "isotropic": magnitude(down**2 + across**2),
            "neighbours": 2 / 3 * (down**2 + across**2) + 1 / 6 * (slants[0] ** 2 + slants[1] ** 2),
        }[kind]
    return total / image.size


@pytest.mark.parametrize("wrap", [False, True], ids=["open", "wrapped"])
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_variation_equal_loops(kind, wrap):
    for shape in ((5, 7, 3), (1, 4, 3), (4, 1, 3), (1, 1, 3)):
        image = draw(*shape)
        found = formulas.total_variation(f4(image), kind, wrap)
        np.testing.assert_allclose(found, loop_kind(image, kind, wrap), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("wrap", [False, True], ids=["open", "wrapped"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_kinds_of_variation(kind, wrap):
    """Also of a flat image, and of a chequered one whose differences are all alike."""
    image, direction = draw(4, 5, 3), draw(4, 5, 3, seed=1)
    with jax.enable_x64(True):
        gradient = jax.grad(formulas.total_variation)
        found = np.vdot(gradient(jnp.asarray(image), kind, wrap), direction)
        flat = np.asarray(gradient(jnp.full((4, 5, 3), 0.5), kind, wrap))
        spread = np.asarray(gradient(jnp.full((4, 5, 3), 0.5, jnp.float32), kind, wrap))
    expected = reference.slope(lambda image: loop_kind(image, kind, wrap), image, direction)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert not flat.any()
    assert not spread.any()
    assert formulas.total_variation(jnp.full((4, 5, 3), 0.5), kind, wrap) == 0


def picture(rows):
    """[H, W] repeated over the channels, float32."""
    return f4(np.repeat(np.asarray(rows, float)[..., None], 3, axis=-1))


def test_what_each_kind_of_variation_is_for():
    variation = formulas.total_variation
    edge, ramp = picture([[0.0] * 5 + [1.0] * 5] * 10), picture([np.linspace(0, 1, 10)] * 10)
    assert variation(edge, "squares") > 5 * variation(ramp, "squares")
    assert variation(edge, "absolute") == pytest.approx(float(variation(ramp, "absolute")), rel=0.05)
    assert variation(edge, "isotropic") == pytest.approx(float(variation(ramp, "isotropic")), rel=0.05)

    y, x = 10 * np.indices((60, 60))
    upright, slanted = picture(x), picture((x + y) / np.sqrt(2))  # equally steep, and far from the small step
    assert variation(slanted, "absolute") == pytest.approx(np.sqrt(2) * float(variation(upright, "absolute")), rel=0.1)
    assert variation(slanted, "isotropic") == pytest.approx(float(variation(upright, "isotropic")), rel=0.03)

    y, x = np.indices((60, 60))
    smooth, upright = picture(np.sin(x / 10) * np.cos(y / 12)), picture(np.sin(np.pi / 2 * x + 0.4))
    slanted = picture(np.sin(np.pi / 2 * (x + y) / np.sqrt(2) + 0.4))  # stripes, as wide as the upright ones
    assert variation(smooth, "neighbours") == pytest.approx(float(variation(smooth)), rel=0.03)
    assert variation(slanted, "neighbours") == pytest.approx(float(variation(upright, "neighbours")), rel=0.03)
    assert variation(slanted) > 1.08 * variation(upright)


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_of_variation_grows_with_the_image(kind):
    image = f4(draw(8, 8, 3))
    small, large = (formulas.total_variation(jnp.tile(image, (n, n, 1)), kind, True) for n in (1, 3))
    np.testing.assert_allclose(small, large, rtol=1e-5)


def test_outside_is_the_mean_square_beyond_the_range():
    image = f4([[[-0.5, 0.0, 0.25], [1.0, 1.25, 0.5]]])
    assert formulas.outside(image) == pytest.approx((0.25 + 0.0625) / 6)
    np.testing.assert_allclose(jax.grad(formulas.outside)(image), f4([[[-1, 0, 0], [0, 0.5, 0]]]) / 6, atol=1e-7)
    assert formulas.outside(f4(np.clip(draw(4, 4, 3), 0, 1))) == 0


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


def test_gradient_of_the_variation():
    image, direction = draw(4, 5, 3), draw(4, 5, 3, seed=1)
    with jax.enable_x64(True):
        gradient = np.asarray(jax.grad(formulas.total_variation)(jnp.asarray(image)))
        flat = np.asarray(jax.grad(formulas.total_variation)(jnp.full((4, 5, 3), 0.5)))
    np.testing.assert_allclose(
        np.vdot(gradient, direction), reference.slope(loop_variation, image, direction), rtol=1e-6
    )
    assert not flat.any()


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
