"""The distance of Gaussians against eigenvalues in float64, its gradient, and what rounding must not break."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from nst_jax.errors import NSTError
from nst_jax.losses import statistics, wasserstein
from nst_jax.losses.formulas import style_loss

EPSILON = 1e-4


def responses(positions, filters, seed=0, rank=None):
    """Rectified responses of correlated filters, [positions, filters], float64, with a variance about 1."""
    draw = np.random.default_rng(seed)
    rank = rank or filters
    mixed = draw.normal(size=(positions, rank)) @ draw.normal(size=(rank, filters)) / np.sqrt(rank)
    return np.maximum(mixed + 0.3, 0)


def moments(rows):
    """The mean and E[x xᵀ] of responses."""
    return rows.mean(0), rows.T @ rows / len(rows)


def f4(arrays):
    return tuple(jnp.asarray(array, jnp.float32) for array in arrays)


def root(matrix):
    """The symmetric root, by eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def exact(ours, theirs, epsilon=EPSILON, channels=None):
    """W² over the filters, of moments in float64."""
    (mean, covariance), (other_mean, other) = (
        (mean, second - np.outer(mean, mean) + epsilon * np.eye(len(mean))) for mean, second in (ours, theirs)
    )
    half = root(other)
    roots = np.sqrt(np.maximum(np.linalg.eigvalsh(half @ covariance @ half), 0))
    spread = np.trace(covariance) + np.trace(other) - 2 * roots.sum()
    return (np.sum((mean - other_mean) ** 2) + spread) / (channels or len(mean))


def exact_of_few(rows, theirs, epsilon=EPSILON, shares=None):
    """The same of responses at fewer positions than filters, where ε has another place."""
    shares = np.full(len(rows), 1 / len(rows)) if shares is None else shares
    mean, (other_mean, second) = shares @ rows, theirs
    other = second - np.outer(other_mean, other_mean) + epsilon * np.eye(len(second))
    centred = np.sqrt(shares)[:, None] * (rows - mean)
    roots = np.sqrt(np.linalg.eigvalsh(centred @ other @ centred.T) + epsilon**2) - epsilon
    spread = np.sum(centred**2) + np.trace(other) - 2 * roots.sum()
    return (np.sum((mean - other_mean) ** 2) + spread) / len(mean)


def float32_epsilon(second):
    """ε with what is added to it for the rounding of float32."""
    return EPSILON + wasserstein.ROUNDING * np.finfo("f4").eps * np.trace(second)


TARGET = jax.jit(wasserstein.target)
DISTANCE = jax.jit(jax.value_and_grad(wasserstein.distance, (0, 1)))


@jax.jit
@jax.value_and_grad
def DISTANCE_OF(responses, target, guide=None):
    """By responses: by the matrix over positions where those are fewer."""
    if responses.shape[0] * responses.shape[1] < responses.shape[2]:
        return wasserstein.distance_of_few(responses, target, guide)
    sums = statistics.sums_of(responses, None if guide is None else guide[None], True)
    found = jax.tree.map(lambda array: array if guide is None else array[0], statistics.statistics_of(sums, None))
    return wasserstein.distance(found.mean, found.gram, target)


def found(ours, theirs):
    """Distance and gradients by the moments, in float32."""
    return DISTANCE(*f4(ours), TARGET(*f4(theirs)))


def test_the_steps_bring_all_to_one_from_below():
    """What docstrings say of the polynomials."""

    def brought(x, steps):
        for a, b, c, d, e in steps:
            s = x * x
            x = x * (a + s * (b + s * (c + s * (d + s * e))))
        return x

    x = np.geomspace(1e-7, 1, 100_000)
    longer = (wasserstein.FIRST, *wasserstein.STEPS)
    for steps, least, gain in ((wasserstein.STEPS, 1 / 300, 790), (longer, 1 / 2190, 5770)):
        far = brought(x, steps)
        assert far.max() < 1 + 1e-6
        assert far[x >= least].min() > 1 - 5e-5
        assert (far >= (1 - 5e-5) * np.minimum(x / least, 1)).all()
        assert far[0] / x[0] == pytest.approx(gain, rel=0.01)
        slightly = np.linspace(1, 1.005, 20)  # as rounding may have it
        assert (np.abs(brought(slightly, steps) - 1) < 1e-3).all()


@pytest.mark.parametrize("filters", [1, 2, 16, 64])
def test_the_distance_is_that_of_eigenvalues(filters):
    ours, theirs = moments(responses(500, filters)), moments(2 * responses(300, filters, 1))
    assert found(ours, theirs)[0] == pytest.approx(exact(ours, theirs), rel=2e-3)


def test_the_distance_of_shifted_and_of_scaled_responses():
    """Of known values: |shift|² / N, and (1 − k)² times the variance."""
    rows = responses(400, 8)
    shifted = found(moments(rows + 3), moments(rows))[0]
    assert shifted == pytest.approx(9, rel=1e-3)
    ours, theirs = moments(2 * (rows - rows.mean(0))), moments(rows - rows.mean(0))
    assert found(ours, theirs)[0] == pytest.approx(rows.var(0).mean(), rel=2e-3)


def test_one_filter_by_hand():
    rows, others = responses(50, 1), 1 + 3 * responses(50, 1, 1)
    by_hand = (rows.mean() - others.mean()) ** 2 + (rows.std() - others.std()) ** 2
    assert found(moments(rows), moments(others))[0] == pytest.approx(by_hand, rel=1e-3)


def test_gradients_equal_finite_differences():
    """By means and second moments, of the target too, in float64."""
    ours, theirs = moments(responses(400, 6)), moments(1.5 * responses(300, 6, 1))
    changes = moments(responses(90, 6, 2) - 0.5)
    with jax.enable_x64(True):

        def distance(ours, theirs):
            return wasserstein.distance(*ours, wasserstein.target(*theirs))

        slopes = jax.grad(distance, (0, 1))(*jax.tree.map(jnp.asarray, (ours, theirs)))
    for side, slope in enumerate(slopes):

        def at(step, side=side):
            moved = [ours, theirs]
            moved[side] = tuple(array + step * change for array, change in zip(moved[side], changes, strict=True))
            return exact(*moved)

        along = sum(np.vdot(each, change) for each, change in zip(slope, changes, strict=True))
        assert along == pytest.approx((at(1e-5) - at(-1e-5)) / 2e-5, rel=1e-4)


@pytest.mark.parametrize("positions", [9, 200], ids=["few positions", "many"])
def test_gradients_by_responses_equal_finite_differences(positions):
    filters = 12
    rows, direction = responses(positions, filters), responses(positions, filters, 2) - 0.5
    theirs = moments(responses(300, filters, 1))
    guide = np.linspace(0.2, 1, positions)[None]
    shares = guide[0] ** 2 / np.sum(guide**2)

    def weighed(rows):
        if positions < filters:
            return exact_of_few(rows, theirs, EPSILON, shares)
        return exact((shares @ rows, (rows.T * shares) @ rows), theirs)

    with jax.enable_x64(True):
        target = wasserstein.target(*map(jnp.asarray, theirs))
        value, slope = DISTANCE_OF(jnp.asarray(rows)[None], target, jnp.asarray(guide))
    assert value == pytest.approx(weighed(rows), rel=1e-3)
    along = np.vdot(slope, direction)
    assert along == pytest.approx(reference.slope(weighed, rows, direction), rel=1e-3)


@pytest.mark.parametrize("positions", [3, 20])
def test_few_positions_hardly_differ(positions):
    """The distance and its gradient by the smaller matrix and by moments, where ε is small beside the variance."""
    rows, theirs = 10 * responses(positions, 24), moments(10 * responses(300, 24, 1))
    target = TARGET(*f4(theirs))
    (few, slope), (rows,) = DISTANCE_OF(f4([rows])[0][None], target), f4([rows])
    many, other = jax.value_and_grad(
        lambda rows: wasserstein.distance(rows.mean(0), rows.T @ rows / positions, target)
    )(rows)
    assert few == pytest.approx(float(many), rel=1e-2)
    assert np.linalg.norm(slope[0] - other) < 0.02 * np.linalg.norm(other)


def test_the_map_moves_one_distribution_to_the_other():
    """I minus the gradient is T with T Σ T = Σ′, and T⁻¹ on the other side."""
    ours, theirs = (np.cov(responses(400, 10, seed), rowvar=False) + 0.01 * np.eye(10) for seed in (0, 1))
    forward, back = (np.eye(10) - each for each in jax.grad(wasserstein.bures, (0, 1))(*f4((ours, theirs))))
    np.testing.assert_allclose(forward @ ours @ forward, theirs, atol=2e-3 * np.abs(theirs).max())
    np.testing.assert_allclose(back @ theirs @ back, ours, atol=2e-3 * np.abs(ours).max())
    np.testing.assert_allclose(forward @ back, np.eye(10), atol=1e-2)
    np.testing.assert_allclose(forward, forward.T)


CASES = {
    "equal": (responses(300, 32), responses(300, 32)),
    "one position": (responses(1, 32), responses(300, 32, 1)),
    "one position in the painting": (responses(300, 32), responses(1, 32, 1)),
    "one position each": (responses(1, 32), responses(1, 32, 1)),
    "nothing responds": (np.zeros((50, 32)), responses(300, 32)),
    "nothing responds to the painting": (responses(300, 32), np.zeros((50, 32))),
    "nothing responds to either": (np.zeros((50, 32)), np.zeros((50, 32))),
    "silent filters": (responses(300, 32) * (np.arange(32) % 3 > 0), responses(300, 32, 1)),
    "flat": (np.full((200, 32), 40.0), responses(300, 32)),
    "flat both": (np.full((200, 32), 40.0), np.full((200, 32), 39.0)),
    "one direction each": (responses(90, 1) * np.eye(32)[3], responses(90, 1, 1) * np.eye(32)[7]),
    "fewer positions than filters": (responses(9, 32), responses(12, 32, 1)),
    "large": (1e5 * responses(300, 32), 1e5 * responses(300, 32, 1)),
    "small": (1e-5 * responses(300, 32), 1e-5 * responses(300, 32, 1)),
    "512 filters, 16 positions": (responses(16, 512, 0, 30), responses(600, 512, 1, 200)),
    "512 filters, a painting of 20 positions": (responses(600, 512, 0, 200), responses(20, 512, 1, 30)),
    "512 filters, equal": (responses(600, 512, 0, 200), responses(600, 512, 0, 200)),
}


@pytest.mark.parametrize("case", CASES)
def test_hard_cases(case):
    """By moments and by responses: finite, not below 0, near the distance by eigenvalues, small for what is equal."""
    rows, others = CASES[case]
    ours, theirs = moments(rows), moments(others)
    size = (np.trace(ours[1]) + np.trace(theirs[1])) / rows.shape[1]  # of which rounding takes its part
    value, gradients = found(ours, theirs)
    of_rows, slope = DISTANCE_OF(f4([rows])[0][None], TARGET(*f4(theirs)))
    for each in (value, of_rows, *gradients, slope):
        assert np.isfinite(each).all()
    lowest = exact(ours, theirs, max(map(float32_epsilon, (ours[1], theirs[1]))))
    highest = exact(ours, theirs, 1e-3 * EPSILON)
    for each in (value, of_rows):
        assert each >= -1e-5 * size
        assert lowest - 2e-3 * size - EPSILON <= each <= highest + 5e-3 * size + EPSILON
    if "equal" in case:
        assert np.abs(slope).max() * slope.size < 1e-2 * np.abs(rows).max() * rows.size / rows.shape[1]


@pytest.mark.parametrize("positions", [5, 300], ids=["few positions", "many"])
@pytest.mark.parametrize("epsilon", [1e-4, 0.1])
def test_the_narrow_form_is_the_wide_one(epsilon, positions):
    """Responses of 7 filters that stand for 12 by a map: the distance of what they are mapped to, for each ε."""
    to_wide = np.random.default_rng(3).normal(size=(7, 12))
    rows, others = responses(positions, 7), responses(200, 7, 1)
    wide = exact(moments(rows @ to_wide), moments(others @ to_wide), epsilon)
    of_wide = wide
    if positions < 7:
        of_wide = exact_of_few(rows @ to_wide, moments(others @ to_wide), epsilon) - epsilon * 5 / 12
    with jax.enable_x64(True):
        target = TARGET(*map(jnp.asarray, (*moments(others), to_wide, epsilon)))
        value, of_rows = DISTANCE(*map(jnp.asarray, moments(rows)), target)[0], DISTANCE_OF(rows[None], target)[0]
    assert target.channels == 12
    assert value == pytest.approx(wide, rel=1e-3)
    assert of_rows == pytest.approx(of_wide, rel=1e-3)
    target = TARGET(*f4([*moments(others), to_wide, epsilon]))
    assert DISTANCE(*f4(moments(rows)), target)[0] == pytest.approx(wide, rel=2e-2)


def test_a_map_without_full_rank():
    to_wide = np.random.default_rng(3).normal(size=(6, 9))
    to_wide[5] = to_wide[0]
    rows, others = responses(300, 6), responses(200, 6, 1)
    value, gradients = DISTANCE(*f4(moments(rows)), TARGET(*f4([*moments(others), to_wide])))
    assert value == pytest.approx(exact(moments(rows @ to_wide), moments(others @ to_wide)), rel=2e-2)
    assert all(np.isfinite(each).all() for each in gradients)


def test_of_regions_lanes_and_in_a_loop():
    """vmap over both sides, jit, and scan give what one call at a time gives."""
    ours = [f4(moments(responses(100, 8, seed))) for seed in (0, 1, 2)]
    theirs = [f4(moments(responses(80, 8, seed))) for seed in (3, 4, 5)]
    stacked, others = (jax.tree.map(lambda *each: jnp.stack(each), *side) for side in (ours, theirs))
    each = [DISTANCE(*our, TARGET(*their)) for our, their in zip(ours, theirs, strict=True)]
    single = [value for value, _ in each]
    targets = jax.vmap(TARGET)(*others)
    together, slopes = jax.vmap(DISTANCE)(*stacked, targets)
    np.testing.assert_allclose(together, single, rtol=1e-4)
    for one, several in zip(each[1][1], slopes, strict=True):
        np.testing.assert_allclose(several[1], one, rtol=1e-3, atol=1e-5)
    in_turn = jax.lax.scan(lambda total, each: (total, wasserstein.distance(*each[0], each[1])), 0, (stacked, targets))
    np.testing.assert_allclose(in_turn[1], single, rtol=1e-4)


def test_statistics_may_be_sums_of_parts():
    """Of tiles, regions and several paintings: the mean of their moments stands for all of them."""
    tiles = [responses(60, 10, seed) for seed in (0, 1)]
    mean, second = (sum(each) / 2 for each in zip(*map(moments, tiles), strict=True))
    theirs = moments(responses(80, 10, 2))
    assert found((mean, second), theirs)[0] == pytest.approx(exact(moments(np.concatenate(tiles)), theirs), rel=2e-3)


def test_bfloat16_responses_are_compared_in_float32():
    rows = jnp.asarray(responses(100, 8), jnp.bfloat16)[None]
    target = TARGET(*f4(moments(responses(80, 8, 1))))
    value, slope = DISTANCE_OF(rows, target)
    assert (value.dtype, slope.dtype) == (jnp.float32, jnp.bfloat16)
    assert value == pytest.approx(float(DISTANCE_OF(rows.astype(jnp.float32), target)[0]), rel=1e-4)


def test_gram_matrices_alone_are_no_distribution():
    with pytest.raises(NSTError, match="unknown convention of Gram matrices 'wasserstein'"):
        style_loss(jnp.eye(3), jnp.eye(3), "wasserstein")
