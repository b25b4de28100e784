"""What is asked of the pixels alone, against loops in float64 and finite differences; and the terms made of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from support import draw, f4, random_filters

from nst_jax.errors import NSTError
from nst_jax.losses import pixels
from nst_jax.losses.terms import Seen
from nst_jax.losses.tiles import Tiles
from nst_jax.networks import vgg


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


@pytest.mark.parametrize("shape", [(5, 7, 3), (1, 4, 3), (4, 1, 3), (1, 1, 3)])
def test_variation_equals_loops(shape):
    image = draw(*shape)
    np.testing.assert_allclose(pixels.total_variation(f4(image)), loop_variation(image), rtol=1e-5)


def test_chroma_is_what_is_beside_grey():
    image = np.random.default_rng(0).uniform(size=(4, 5, 3))
    found = np.asarray(pixels.strong_chroma(f4(image), 3.0))
    grey = (image[..., :1] + image[..., 1:2] + image[..., 2:]) / 3
    np.testing.assert_allclose(found.mean(-1), grey[..., 0], rtol=1e-5)
    np.testing.assert_allclose(found - grey, 3 * (image - grey), atol=1e-6)
    np.testing.assert_allclose(pixels.strong_chroma(f4(image), 1.0), image, atol=1e-6)
    np.testing.assert_allclose(pixels.strong_chroma(f4(image), 0.0), np.tile(grey, 3), atol=1e-6)


def test_variation_of_flat_and_of_larger_images():
    assert pixels.total_variation(f4(np.full((4, 6, 3), 0.3))) == 0
    checks = (np.indices((8, 8)).sum(axis=0) % 2)[..., None].repeat(3, axis=-1)
    assert pixels.total_variation(f4(np.tile(checks, (8, 8, 1)))) == pytest.approx(2, rel=0.02)  # does not grow with it


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
        return np.sqrt(square + pixels.SMALL_STEP**2) - pixels.SMALL_STEP

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
        found = pixels.total_variation(f4(image), kind, wrap)
        np.testing.assert_allclose(found, loop_kind(image, kind, wrap), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("wrap", [False, True], ids=["open", "wrapped"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_kinds_of_variation(kind, wrap):
    """Also of a flat image, and of a chequered one whose differences are all alike."""
    image, direction = draw(4, 5, 3), draw(4, 5, 3, seed=1)
    with jax.enable_x64(True):
        gradient = jax.grad(pixels.total_variation)
        found = np.vdot(gradient(jnp.asarray(image), kind, wrap), direction)
        flat = np.asarray(gradient(jnp.full((4, 5, 3), 0.5), kind, wrap))
        spread = np.asarray(gradient(jnp.full((4, 5, 3), 0.5, jnp.float32), kind, wrap))
    expected = reference.slope(lambda image: loop_kind(image, kind, wrap), image, direction)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert not flat.any()
    assert not spread.any()
    assert pixels.total_variation(jnp.full((4, 5, 3), 0.5), kind, wrap) == 0


def picture(rows):
    """[H, W] repeated over the channels, float32."""
    return f4(np.repeat(np.asarray(rows, float)[..., None], 3, axis=-1))


def test_what_each_kind_of_variation_is_for():
    variation = pixels.total_variation
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
    small, large = (pixels.total_variation(jnp.tile(image, (n, n, 1)), kind, True) for n in (1, 3))
    np.testing.assert_allclose(small, large, rtol=1e-5)


def test_outside_is_the_mean_square_beyond_the_range():
    image = f4([[[-0.5, 0.0, 0.25], [1.0, 1.25, 0.5]]])
    assert pixels.outside(image) == pytest.approx((0.25 + 0.0625) / 6)
    np.testing.assert_allclose(jax.grad(pixels.outside)(image), f4([[[-1, 0, 0], [0, 0.5, 0]]]) / 6, atol=1e-7)
    assert pixels.outside(f4(np.clip(draw(4, 4, 3), 0, 1))) == 0


def test_gradient_of_the_variation():
    image, direction = draw(4, 5, 3), draw(4, 5, 3, seed=1)
    with jax.enable_x64(True):
        gradient = np.asarray(jax.grad(pixels.total_variation)(jnp.asarray(image)))
        flat = np.asarray(jax.grad(pixels.total_variation)(jnp.full((4, 5, 3), 0.5)))
    np.testing.assert_allclose(
        np.vdot(gradient, direction), reference.slope(loop_variation, image, direction), rtol=1e-6
    )
    assert not flat.any()


# ---------------------------------------------------------------- as terms

CHROMA = jnp.float32(2.5)
VISIBLE = np.random.default_rng(5).uniform(size=(7, 5)).astype("f4")


def sums_of(image, visible, kind, wrap=False):
    """What ``Smoothness`` needs to know of an image, of which the network sees nothing."""
    term = pixels.Smoothness(CHROMA, None if visible is None else f4(visible), kind, wrap)
    return term.statistics([Seen(f4(image), {})])


def assert_same(found, wanted):
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5), found, wanted)


@pytest.mark.parametrize("visible", [None, VISIBLE], ids=["all", "a part"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_sums_of_a_variation_add_up_over_parts_that_share_a_row(kind, visible):
    """So that no pair of neighbours is lost; what the shared row has by itself is then there twice."""
    image = draw(7, 5, 3)

    def rows(start, end):
        return sums_of(image[start:end], None if visible is None else visible[start:end], kind)

    added = jax.tree.map(lambda upper, lower, shared: upper + lower - shared, rows(0, 4), rows(3, 7), rows(3, 4))
    assert_same(added, rows(0, 7))
    assert_same(pixels.variation_value(added), pixels.variation_value(rows(0, 7)))
    alone = jax.tree.map(jnp.add, rows(0, 4), rows(4, 7))
    assert alone.differences < rows(0, 7).differences  # without a shared row


@pytest.mark.slow
@pytest.mark.parametrize("visible", [None, VISIBLE], ids=["all", "a part"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_sums_of_a_variation_that_wraps_are_those_of_a_picture_with_its_other_side_beyond_it(kind, visible):
    image = draw(7, 5, 3)
    larger = np.pad(image, ((0, 1), (0, 1), (0, 0)), "wrap")
    seen = None if visible is None else np.pad(visible, ((0, 1), (0, 1)), "wrap")

    def part(rows, columns):
        return sums_of(larger[rows:, columns:], None if seen is None else seen[rows:, columns:], kind)

    added = jax.tree.map(lambda whole, row, column, corner: whole - row - column + corner,
                         part(0, 0), part(7, 0), part(0, 5), part(7, 5))  # fmt: skip
    assert_same(added, sums_of(image, visible, kind, wrap=True))


def test_the_gradient_of_an_odd_picture_has_no_foreign_numbers():
    """As one program, and not operation by operation: one form of it read memory that nothing had written."""
    image = draw(163, 190, 3)
    expected = np.zeros_like(image)
    for down, right, weight in ((1, 0, 2 / 3), (0, 1, 2 / 3), (1, 1, 1 / 6), (1, -1, 1 / 6)):
        one = np.s_[: 163 - down, max(0, -right) : 190 + min(0, -right)]
        other = np.s_[down:, max(0, right) : 190 + min(0, right)]
        difference = 2 * weight * (image[other] - image[one])
        expected[other] += difference
        expected[one] -= difference
    program = jax.jit(jax.grad(lambda image: pixels.total_variation(image, "neighbours")))
    np.testing.assert_allclose(program(f4(image)), expected / image.size, rtol=1e-4, atol=1e-9)
    excess = pixels.Excess(jnp.full(2, 1e-3))
    gradient = jax.grad(lambda image: excess.value(excess.statistics([Seen(image, {})])))
    np.testing.assert_allclose(jax.jit(gradient)(f4(image)), gradient(f4(image)), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_variation_beside_the_excess_can_be_compiled(kind):
    """Of this size XLA ended the process over the means of both."""
    image = f4(draw(36, 345, 3))
    terms = pixels.Smoothness(jnp.float32(CHROMA), kind=kind), pixels.Excess(jnp.full(2, 1e-2))

    def loss(image, chosen):
        return sum(term.value(term.statistics([Seen(image, {})])) for term in chosen)

    found = jax.jit(lambda image: jax.grad(loss)(image, terms))(image)
    expected = sum(jax.jit(lambda image, term: jax.grad(loss)(image, [term]))(image, term) for term in terms)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * float(jnp.abs(expected).max()))


@pytest.mark.parametrize(
    ("wrap", "padding"), [(False, "reflect"), (False, "wrap"), (True, "wrap")], ids=["open", "seen around", "wrapped"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_the_sums_of_a_variation_are_those_of_its_tiles(kind, wrap, padding):
    """Whose windows overlap, and count what is their own."""
    net = vgg.network(random_filters("slim"), padding=padding)
    image, visible = f4(draw(96, 80, 3)), f4(np.random.default_rng(6).uniform(size=(96, 80)))
    parts = Tiles(16).parts(net, ("conv2_1",), (96, 80))
    assert len(parts) > 4
    each = [pixels.variation_sums(part.cut(image), kind, wrap, part.cut(visible), part) for part in parts]
    added = jax.tree.map(lambda *sums: sum(sums), *each)
    for found, expected in zip(added, pixels.variation_sums(image, kind, wrap, visible), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("wrap", [False, True], ids=["open", "wrapped"])
@pytest.mark.parametrize("kind", KINDS)
def test_smoothness_is_the_variation_with_strong_chroma(kind, wrap):
    image = f4(draw(7, 5, 3))
    for visible in (None, f4(VISIBLE)):
        term = pixels.Smoothness(CHROMA, visible, kind, wrap)
        expected = pixels.total_variation(pixels.strong_chroma(image, CHROMA), kind, wrap, visible)
        np.testing.assert_allclose(term.value(term.statistics([Seen(image, {})])), expected, rtol=1e-6)
        assert expected > 0


def test_the_mean_of_a_variation_is_over_what_is_visible():
    """A pair of neighbours counts by the product of both."""
    image, visible = draw(4, 5, 3), np.random.default_rng(6).uniform(size=(4, 5))
    down = np.square(np.diff(image, axis=0)) * (visible[1:] * visible[:-1])[..., None]
    across = np.square(np.diff(image, axis=1)) * (visible[:, 1:] * visible[:, :-1])[..., None]
    found = pixels.total_variation(f4(image), visible=f4(visible))
    np.testing.assert_allclose(found, (down.sum() + across.sum()) / (3 * visible.sum()), rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_where_each_pixel_counts_in_part_the_variation_is_that_part(kind):
    """The product of the two that a pair has, over the number that counts."""
    image = f4(draw(8, 7, 3))
    for part in (0.5, 0.1):
        found = pixels.total_variation(image, kind, visible=jnp.full((8, 7), part))
        np.testing.assert_allclose(found, part * pixels.total_variation(image, kind), rtol=1e-5)


def test_the_excess_is_what_is_rougher_than_the_painting():
    """Light and colour apart; nothing for the painting itself, for what is smoother, or for a flat picture."""
    painting = f4(draw(12, 10, 3))

    def excess(image, paintings=(painting,)):
        term = pixels.Excess.of(paintings)
        return term.value(term.statistics([Seen(image, {})]))

    def stretched(light, colour):
        grey = painting.mean(-1, keepdims=True)
        return 0.5 + light * (grey - 0.5) + colour * (painting - grey)

    for light, colour in ((1, 1), (0.5, 1), (1, 0), (0, 0)):
        assert excess(stretched(light, colour)) < 1e-8
    np.testing.assert_allclose(excess(stretched(2, 0.5)), (2**2 - 1) ** 2, rtol=1e-4)
    np.testing.assert_allclose(excess(stretched(0.3, 1.5)), (1.5**2 - 1) ** 2, rtol=1e-4)
    np.testing.assert_allclose(excess(stretched(2, 1.5)), 3**2 + 1.25**2, rtol=1e-4)
    flat = jnp.full((4, 4, 3), 0.5)
    assert jnp.isfinite(excess(painting, [flat])) and excess(flat, [flat]) == 0
    both = excess(stretched(2, 1), [painting, flat])  # a limit of half the painting's, for light and colour
    np.testing.assert_allclose(both, (2 * 4 - 1) ** 2 + 1, rtol=1e-3)


def test_the_limits_of_the_excess_are_of_what_counts_of_the_paintings():
    rough, smooth = f4(draw(16, 14, 3)), f4(0.5 + 0.1 * (draw(16, 14, 3, seed=1) - 0.5))
    alone, other, both = (pixels.Excess.of(each).limits for each in ([rough], [smooth], [rough, smooth]))
    np.testing.assert_allclose(both, (alone + other) / 2, rtol=1e-6)
    np.testing.assert_allclose(pixels.Excess.of([rough, smooth], blend=(3.0, 0.0)).limits, alone, rtol=1e-6)
    np.testing.assert_allclose(
        pixels.Excess.of([rough, smooth], blend=(1.0, 3.0)).limits, (alone + 3 * other) / 4, rtol=1e-6
    )
    left = jnp.zeros((16, 14)).at[:, :7].set(1)
    beside_grey = jnp.where(left[..., None] > 0, rough, 0.5)
    part = pixels.Excess.of([rough], parts=[left]).limits
    np.testing.assert_array_equal(part, pixels.Excess.of([beside_grey], parts=[left]).limits)
    np.testing.assert_allclose(part, alone, rtol=0.25)
    assert np.all(part > 1.5 * pixels.Excess.of([beside_grey]).limits)


def test_the_gradient_of_the_excess_is_that_of_finite_differences():
    with jax.enable_x64(True):
        image, painting = draw(6, 7, 3), 0.5 + 0.4 * (draw(6, 7, 3, seed=1) - 0.5)
        term = pixels.Excess.of([jnp.asarray(painting)])

        def value(image):
            return term.value(term.statistics([Seen(jnp.asarray(image), {})]))

        direction = np.random.default_rng(2).normal(size=image.shape)
        slope = np.vdot(jax.grad(value)(jnp.asarray(image)), direction)
        np.testing.assert_allclose(slope, reference.slope(value, image, direction), rtol=1e-4)


def test_the_range_is_what_is_outside_and_adds_up():
    image, term = f4(draw(6, 5, 3)), pixels.Range()
    upper, lower, whole = (term.statistics([Seen(part, {})]) for part in (image[:2], image[2:], image))
    added = jax.tree.map(jnp.add, upper, lower)
    assert_same(added, whole)
    np.testing.assert_allclose(term.value(added), pixels.outside(image), rtol=1e-6)
    assert term.value(whole) == pixels.outside(image) > 0


REFUSED = {
    "total_variation": lambda: pixels.total_variation(jnp.ones((4, 4, 3)), "cubes"),
    "variation_sums": lambda: pixels.variation_sums(jnp.ones((4, 4, 3)), "cubes"),
    "Smoothness": lambda: pixels.Smoothness(CHROMA, None, "cubes"),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("function", REFUSED)
def test_an_unknown_kind_of_variation_is_refused(function):
    with pytest.raises(NSTError, match="unknown kind of total variation 'cubes': choose one of squares, absolute, iso"):
        REFUSED[function]()
