"""The compact L-BFGS against optax's two loops, and against its matrix written out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import inverse_hessian

from nst_jax.optim.lbfgs import scale_by_compact_lbfgs

SHAPE = (3, 2)
HESSIAN = np.diag(np.linspace(1, 5, 6))


def points_of(seed, count):
    return np.random.default_rng(seed).normal(size=(count, *SHAPE)).astype("f4")


def gradients_of(points):
    return jnp.asarray((points.reshape(len(points), -1) @ HESSIAN).reshape(points.shape), jnp.float32)


def directions(transform, points, gradients):
    """Of a transformation that sees points and their gradients in turn, and its state at the end."""
    state, found = transform.init(points[0]), []
    for point, gradient in zip(points, gradients, strict=True):
        direction, state = transform.update(gradient, state, point)
        found.append(direction)
    return jnp.stack(found), state


@pytest.mark.parametrize("size", [1, 3, 20])
def test_directions_are_those_of_optax(size):
    points = jnp.asarray(points_of(0, 9))
    gradients = gradients_of(points)
    found, _ = directions(scale_by_compact_lbfgs(size), points, gradients)
    wanted, _ = directions(optax.scale_by_lbfgs(size), points, gradients)
    np.testing.assert_array_equal(found[0], gradients[0])  # nothing is learnt yet
    np.testing.assert_allclose(found[1:], wanted[1:], rtol=2e-3, atol=2e-3)


def test_errors_do_not_add_up():
    """R⁻¹ is carried on from pair to pair: after 300 of them it is still that of the last 20, in float32."""
    generator = np.random.default_rng(3)
    hessian = np.diag(np.geomspace(0.01, 10, 60))
    points = generator.normal(size=60) * 0.98 ** np.arange(301)[:, None] + 0.03 * generator.normal(size=(301, 60))
    points = points.astype("f4").astype("f8")
    gradients = (points @ hessian).astype("f4").astype("f8")
    transform = scale_by_compact_lbfgs(20)
    state, update = transform.init(jnp.asarray(points[0], jnp.float32)), jax.jit(transform.update)
    for point, gradient in zip(points, gradients, strict=True):
        direction, state = update(jnp.asarray(gradient, jnp.float32), state, jnp.asarray(point, jnp.float32))
    pairs = list(zip(np.diff(points, axis=0), np.diff(gradients, axis=0), strict=True))
    wanted = inverse_hessian(pairs[-20:], 60) @ gradients[-1]
    assert np.linalg.norm(direction - wanted) < 1e-3 * np.linalg.norm(wanted)


def test_on_its_own_way_directions_are_those_of_the_matrix():
    """Down a narrow valley, where steps that follow each other are alike: 40 pairs, of which 20 are remembered."""
    hessian = np.geomspace(0.01, 10, 60)
    transform = scale_by_compact_lbfgs(20)
    point = jnp.asarray(np.random.default_rng(4).normal(size=60), jnp.float32)
    state, update, seen = transform.init(point), jax.jit(transform.update), []
    for _ in range(41):
        gradient = jnp.asarray(hessian, jnp.float32) * point
        direction, state = update(gradient, state, point)
        seen.append(np.asarray((point, gradient), np.float64))
        point = point - direction * (0.1 if len(seen) == 1 else 1)
    pairs = [tuple(after - before) for before, after in zip(seen, seen[1:], strict=False)]
    assert all(s @ y > 0 for s, y in pairs)
    wanted = inverse_hessian(pairs[-20:], 60) @ seen[-1][1]
    assert np.linalg.norm(direction - wanted) < 0.01 * np.linalg.norm(wanted)


def test_many_at_once_are_the_same_as_each():
    points = np.stack([points_of(seed, 7) for seed in range(4)])
    points[1, 3], points[2, 1] = points[1, 2], points[2, 0]  # a lane that learns less has other slots
    points = jnp.asarray(points)
    gradients = jnp.stack([gradients_of(each) for each in points])
    transform = scale_by_compact_lbfgs(3)
    found = jax.vmap(lambda points, gradients: directions(transform, list(points), list(gradients))[0])(
        points, gradients
    )
    for lane in range(4):
        wanted = directions(transform, points[lane], gradients[lane])[0]
        np.testing.assert_allclose(found[lane], wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("learnt", [1, 3, 7])
def test_a_pair_without_positive_curvature_is_not_learnt(learnt):
    """The direction after it is that of the good pairs alone, at the new gradient; 4 pairs are remembered."""
    points = jnp.asarray(points_of(1, learnt + 1))
    transform = scale_by_compact_lbfgs(4)
    _, state = directions(transform, points, gradients_of(points))
    flat = np.asarray(points, np.float64).reshape(len(points), -1)
    pairs = [(b - a, HESSIAN @ (b - a)) for a, b in zip(flat, flat[1:], strict=False)]
    uphill = np.arange(6.0)
    point, gradient = flat[-1] + uphill, HESSIAN @ flat[-1] - 0.5 * uphill  # sᵀy < 0
    direction, after = transform.update(
        jnp.asarray(gradient.reshape(SHAPE), jnp.float32), state, jnp.asarray(point.reshape(SHAPE), jnp.float32)
    )
    np.testing.assert_allclose(direction.ravel(), inverse_hessian(pairs[-4:], 6) @ gradient, rtol=2e-3, atol=2e-3)
    assert int(after.learnt) == int(state.learnt) == learnt
    np.testing.assert_allclose(after.params.ravel(), point, rtol=1e-6)


def test_a_point_seen_again_teaches_nothing_and_gives_the_same_direction():
    points = jnp.asarray(points_of(2, 5))
    gradients = gradients_of(points)
    transform = scale_by_compact_lbfgs(3)
    before, state = directions(transform, points, gradients)
    again, after = transform.update(gradients[-1], state, points[-1])
    np.testing.assert_array_equal(again, before[-1])
    assert int(state.learnt) == 4
    jax.tree.map(np.testing.assert_array_equal, after, state)
