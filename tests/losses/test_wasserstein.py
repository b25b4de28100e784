"""The distance between Gaussians against eigenvalues in float64, its gradient, and what rounding may not break."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import random_filters, smooth_picture

from nst_jax.errors import NSTError
from nst_jax.losses import statistics, wasserstein
from nst_jax.losses.formulas import style_loss
from nst_jax.losses.style import Style
from nst_jax.networks.vgg import network

RIDGE = 1e-4


def responses(filters, positions, seed):
    """Rectified, correlated responses at so many positions, [positions, filters], float64."""
    draw = np.random.default_rng(seed)
    mixed = draw.normal(size=(positions, filters)) @ draw.normal(size=(filters, filters)) / np.sqrt(filters)
    return np.maximum(mixed + 0.2, 0)


def moments(x):
    """The mean and the second moment of responses [M, N]."""
    return x.mean(0), x.T @ x / len(x)


def exact(ours, theirs, ridge=RIDGE):
    """W₂² of two Gaussians, (mean, second moment) each, by eigenvalues in float64."""
    covariances = [second - np.outer(mean, mean) + ridge * np.eye(len(mean)) for mean, second in (ours, theirs)]
    values, vectors = np.linalg.eigh(covariances[1])
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariances[0] @ root), 0))
    between = np.square(ours[0] - theirs[0]).sum()
    return between + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * inner.sum()


def towards(theirs, ridge=RIDGE):
    """The distance to a Gaussian, as a function of the mean and the second moment of another."""
    mean, second = (jnp.asarray(each) for each in theirs)
    target = wasserstein.covariance(mean, second, ridge)
    root = wasserstein.root_of(target)
    return lambda ours, spread: wasserstein.distance(ours, spread, mean, target, root, ridge)


def f4(arrays):
    return tuple(jnp.asarray(each, jnp.float32) for each in arrays)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("filters", "positions", "others"),
    [(8, 50, 60), (64, 3000, 2500), (16, 1, 100), (16, 100, 1), (32, 10, 12), (512, 16, 600), (512, 600, 20)],
    ids=lambda value: str(value),
)
def test_the_distance_is_that_of_eigenvalues(filters, positions, others):
    """Also of fewer positions than filters, and of a single one, whose covariance is 0."""
    ours, theirs = moments(responses(filters, positions, 0)), moments(responses(filters, others, 1))
    wanted = exact(ours, theirs)
    assert float(towards(f4(theirs))(*f4(ours))) == pytest.approx(wanted, rel=0.005)


@pytest.mark.parametrize("filters", [8, 64, 512])
def test_equal_distributions_are_no_distance_apart(filters):
    same = moments(responses(filters, 100, 0))
    value, slopes = jax.value_and_grad(towards(f4(same)), argnums=(0, 1))(*f4(same))
    assert 0 <= float(value) < 1e-3 * np.trace(same[1])
    assert all(jnp.isfinite(slope).all() for slope in slopes)


def test_the_gradient_is_that_of_finite_differences():
    """In float64, at responses themselves, so that means and second moments are both in it."""
    with jax.enable_x64(True):
        x, theirs = responses(6, 40, 0), moments(responses(6, 50, 1))
        distance = towards(tuple(map(jnp.asarray, theirs)))

        def loss(x):
            return distance(x.mean(0), x.T @ x / len(x))

        slope, value = np.asarray(jax.grad(loss)(jnp.asarray(x))), float(loss(jnp.asarray(x)))
        assert value == pytest.approx(exact(moments(x), theirs), rel=1e-3)
        for position in [(0, 0), (3, 2), (39, 5), (17, 4)]:
            step = np.zeros_like(x)
            step[position] = 1e-5
            difference = (exact(moments(x + step), theirs) - exact(moments(x - step), theirs)) / 2e-5
            assert slope[position] == pytest.approx(difference, rel=0.01, abs=1e-5)


@pytest.mark.parametrize("kind", ["silent", "one position", "one filter alone", "huge", "tiny"])
def test_nothing_is_ever_not_finite(kind):
    x = responses(32, 60, 0)
    ours = {
        "silent": 0 * x,
        "one position": x[:1],
        "one filter alone": x * (np.arange(32) == 3),
        "huge": 1e6 * x,
        "tiny": 1e-6 * x,
    }[kind]
    for first, second in ((ours, x), (x, ours), (ours, ours)):
        distance = towards(f4(moments(second)))
        value, slopes = jax.jit(jax.value_and_grad(distance, argnums=(0, 1)))(*f4(moments(first)))
        assert jnp.isfinite(value) and value >= 0
        assert all(jnp.isfinite(slope).all() for slope in slopes)


def test_lanes_and_loops_give_the_same():
    theirs, lanes = f4(moments(responses(12, 50, 9))), [f4(moments(responses(12, 40, seed))) for seed in range(3)]
    distance = towards(theirs)
    alone = [float(distance(*lane)) for lane in lanes]
    together = jax.vmap(distance)(*(jnp.stack(each) for each in zip(*lanes, strict=True)))
    np.testing.assert_allclose(together, alone, rtol=1e-4)
    roots = wasserstein.root_of(jnp.stack([wasserstein.covariance(*lane, RIDGE) for lane in lanes]))
    np.testing.assert_allclose(roots[1], wasserstein.root_of(wasserstein.covariance(*lanes[1], RIDGE)), atol=1e-5)


@pytest.mark.parametrize(("least", "turns"), [(1e-3, 6), (1e-2, 5)])
def test_the_coefficients_take_all_of_the_interval_to_one(least, turns):
    x = np.geomspace(least, 1, 2001)
    for a, b, c in wasserstein.coefficients(least, turns):
        x = a * x + b * x**3 + c * x**5
    assert np.abs(x - 1).max() < 0.002


def test_the_narrow_distance_is_the_wide_one(stand_in):
    """Of responses that stand for wider ones: in their own space as through their linear map."""
    net = network(random_filters(stand_in))
    layers = {"conv1_1": 0.7, "conv2_1": 0.3}
    ours, theirs = (
        jax.tree.map(
            lambda found: found._replace(mean=100 * found.mean, gram=1e4 * found.gram),  # large beside the ridge
            statistics.style_targets(net, jnp.asarray(smooth_picture(*size, seed)), tuple(layers), True),
            is_leaf=lambda node: isinstance(node, statistics.Statistics),
        )
        for seed, size in ((0, (24, 20)), (1, (28, 26)))
    )
    style = Style.of(net, theirs, layers, "wasserstein")
    for tap in layers:
        wide = []
        for found in (ours[0][tap], theirs[0][tap]):
            across = np.asarray(style.metrics[tap].map, np.float64)
            mean, second = np.asarray(found.mean, np.float64) @ across, across.T @ np.asarray(found.gram) @ across
            wide.append((mean, second))
        ridge = RIDGE * float(style.unit)
        wanted = exact(*wide, ridge) / across.shape[1]
        traces = sum(np.trace(second) for _, second in wide) / across.shape[1]
        assert float(style.compared(tap, ours[0][tap])) == pytest.approx(wanted, abs=2e-3 * traces)


def test_gram_matrices_alone_are_no_distribution():
    with pytest.raises(NSTError, match="unknown convention of Gram matrices 'wasserstein'"):
        style_loss(jnp.eye(3), jnp.eye(3), "wasserstein")
