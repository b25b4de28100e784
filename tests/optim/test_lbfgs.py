"""The compact L-BFGS against optax's two loops, and against its matrix written out."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import inverse_hessian

from nst_jax.optim import lbfgs
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


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3, 20])
def test_directions_are_those_of_optax(size):
    points = jnp.asarray(points_of(0, 9))
    gradients = gradients_of(points)
    found, _ = directions(scale_by_compact_lbfgs(size), points, gradients)
    wanted, _ = directions(optax.scale_by_lbfgs(size), points, gradients)
    np.testing.assert_array_equal(found[0], gradients[0])  # nothing is learnt yet
    np.testing.assert_allclose(found[1:], wanted[1:], rtol=2e-3, atol=2e-3)


def test_in_place_the_pairs_before_are_given_up():
    points = jnp.asarray(points_of(0, 5))
    gradients = gradients_of(points)
    wanted, _ = directions(scale_by_compact_lbfgs(3), points, gradients)
    transform = scale_by_compact_lbfgs(3, in_place=True)
    found, state = directions(transform, points, gradients)
    np.testing.assert_array_equal(found, wanted)
    transform.update(gradients[0], state, points[0])
    assert state.steps.is_deleted() and state.changes.is_deleted() and not state.params.is_deleted()


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


@pytest.mark.parametrize("spread", [False, True])
def test_of_many_numbers_nothing_is_lost(spread):
    """Of ½ x², whose H is 1: so -H g leads to the least from wherever one is. Sums of 13 million squares in float32."""
    point = jnp.asarray(np.random.default_rng(0).standard_normal((3000, 1500, 3), "f4"))
    transform = scale_by_compact_lbfgs(2, spread=spread)
    state = transform.init(jnp.zeros_like(point))
    _, state = transform.update(point, state, jnp.zeros_like(point))
    direction, state = transform.update(2 * point, state, point)
    np.testing.assert_allclose(state.squares.max(), state.diagonal.max(), rtol=1e-5)
    np.testing.assert_allclose(direction[::100], 2 * point[::100], rtol=1e-5)


def test_many_numbers_may_lie_in_several_arrays():
    """One is empty, one small, and one no whole number of pieces: H g of one pair is that of them as one vector."""
    generator = np.random.default_rng(1)
    sizes = (0, 7, lbfgs.MANY + 5)
    first, second, scales = ([generator.random(size, "f4") for size in sizes] for _ in range(3))
    transform = scale_by_compact_lbfgs(2)
    gradients = [[scale * x for scale, x in zip(scales, each, strict=True)] for each in (first, second)]
    _, state = transform.update(gradients[0], transform.init(first), first)
    found, _ = transform.update(gradients[1], state, second)
    x, after, before, g = (np.concatenate(each).astype("f8") for each in (first, second, *gradients))
    s, y = after - x, g - before
    inner = (s @ y) / (y @ y) * (g - (s @ g) / (s @ y) * y)
    wanted = inner + ((s @ g) - (y @ inner)) / (s @ y) * s  # Nocedal and Wright, algorithm 7.4
    np.testing.assert_allclose(np.concatenate(found), wanted, rtol=1e-4, atol=1e-4)


def test_many_numbers_take_no_room_for_copies():
    """By XLA's account of what goes over S and Y: little besides what comes in and goes out."""
    point, pairs = jax.ShapeDtypeStruct((1500, 1000, 3), jnp.float32), jax.ShapeDtypeStruct((2, 4500000), jnp.float32)
    weights, number = jax.ShapeDtypeStruct((2,), jnp.float32), jax.ShapeDtypeStruct((), jnp.float32)
    lowered = (
        lbfgs._products.lower(point, point, pairs, pairs, spread=False),
        lbfgs._direction.lower(point, pairs, pairs, weights, weights, number),
    )
    for program in lowered:
        account = program.compile().memory_analysis()
        assert account.temp_size_in_bytes < 0.1 * 4 * 4500000


@pytest.mark.slow
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


# ---------------------------------------------------------------- any pytree


def parts_of(flat):
    """A flat array of 60 numbers as a pytree of four arrays."""
    picture, bias, rest = flat[:24].reshape(4, 2, 3), flat[24], flat[25:]
    return {"picture": picture, "others": (bias, {"even": rest[::2], "odd": rest[1::2]}), "none": None}


GIVEN = {"a": jnp.ones(3), "b": jnp.ones(4)}
CURVATURES = parts_of(jnp.geomspace(0.1, 10, 60))


def narrow_valley(tree):
    """Half a quadratic whose curvatures go from 0.1 to 10 over all arrays together."""
    pairs = zip(jax.tree.leaves(CURVATURES), jax.tree.leaves(tree), strict=True)
    return sum(jnp.vdot(curvature * x, x) / 2 for curvature, x in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("size", [3, 20])
def test_directions_in_several_arrays_are_those_of_optax(size):
    flat = jnp.asarray(np.random.default_rng(5).normal(size=(9, 60)), jnp.float32)
    transforms = scale_by_compact_lbfgs(size), optax.scale_by_lbfgs(size)
    states = [transform.init(parts_of(flat[0])) for transform in transforms]
    updates = [jax.jit(transform.update) for transform in transforms]
    for count, point in enumerate(map(parts_of, flat)):
        gradient, found = jax.grad(narrow_valley)(point), []
        for which, update in enumerate(updates):
            direction, states[which] = update(gradient, states[which], point)
            found.append(jax.tree.leaves(direction))
        if count:  # nothing is learnt before, and optax scales the gradient then
            for ours, theirs in zip(*found, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-3)


def test_how_the_numbers_are_spread_over_arrays_makes_no_difference():
    """All in one array, bit for bit wherever that stands in the tree; in several but for the order of sums."""
    flat = jnp.asarray(np.random.default_rng(6).normal(size=(9, 60)), jnp.float32)
    gradients = flat * jnp.geomspace(0.1, 10, 60)
    transform = scale_by_compact_lbfgs(4)
    update = jax.jit(transform.update)

    def nest(x):
        return [{"only": x.reshape(3, 4, 5)}]

    alone, nested, several = (transform.init(spread(flat[0])) for spread in (jnp.asarray, nest, parts_of))
    for point, gradient in zip(flat, gradients, strict=True):
        wanted, alone = update(gradient, alone, point)
        found, nested = update(nest(gradient), nested, nest(point))
        np.testing.assert_array_equal(found[0]["only"].ravel(), wanted)
        found, several = update(parts_of(gradient), several, parts_of(point))
        for part, other in zip(jax.tree.leaves(found), jax.tree.leaves(parts_of(wanted)), strict=True):
            np.testing.assert_allclose(part, other, rtol=1e-3, atol=1e-4)


def test_it_goes_with_what_optax_has():
    """In a chain, in a loop on the device, with updates applied: to the bottom of the valley, arrays as they were."""
    optimiser = optax.chain(scale_by_compact_lbfgs(10), optax.scale(-1.0))
    start = parts_of(jnp.linspace(-1, 1, 60))

    @jax.jit
    def descend(point):
        def step(carry, _):
            point, state = carry
            updates, state = optimiser.update(jax.grad(narrow_valley)(point), state, point)
            return (optax.apply_updates(point, updates), state), None

        # A first step of 1 would leap over the valley: its greatest curvature is 10.
        point = jax.tree.map(lambda x, c: x - 0.1 * c * x, point, CURVATURES)
        return jax.lax.scan(step, (point, optimiser.init(point)), length=60)[0][0]

    end = descend(start)
    assert narrow_valley(end) < 1e-6 * narrow_valley(start)
    assert jax.tree.map(jnp.shape, end) == jax.tree.map(jnp.shape, start)


def test_arrays_keep_their_types():
    """What is by the number of pairs is float32 beside bfloat16 as well."""
    params = {"wide": jnp.ones(3), "narrow": jnp.ones((2, 2), jnp.bfloat16)}
    transform = scale_by_compact_lbfgs(2)
    _, state = transform.update(params, transform.init(params), params)
    halved = jax.tree.map(lambda leaf: leaf / 2, params)
    updates, after = transform.update(halved, state, halved)
    assert jax.tree.map(jnp.result_type, updates) == jax.tree.map(jnp.result_type, params)
    assert jax.tree.map(jnp.result_type, after) == jax.tree.map(jnp.result_type, state)
    assert (int(after.learnt), after.inverse.dtype, after.steps["narrow"].dtype) == (1, jnp.float32, jnp.bfloat16)


@pytest.mark.parametrize(
    ("size", "kind"), [(0, ValueError), (-1, ValueError), (True, TypeError), (2.5, TypeError), ("3", TypeError)]
)
def test_a_memory_that_is_no_whole_number_of_1_or_more(size, kind):
    with pytest.raises(kind) as caught:
        inspect.unwrap(scale_by_compact_lbfgs)(size)  # without the tests' check of annotations
    assert str(caught.value) == f"memory_size is {size!r}: give a whole number of 1 or more"


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda t, s: t.init({}), ValueError, "params holds no array: give a pytree of float arrays"),
        (lambda t, s: t.init({"a": jnp.arange(3)}), TypeError, "params holds int32: give a pytree of float arrays"),
        (lambda t, s: t.init(jnp.ones(2, complex)), TypeError, "params holds complex64: give a pytree of float arrays"),
        (
            lambda t, s: t.update(GIVEN, s),
            ValueError,
            "scale_by_compact_lbfgs wants the point of the gradient: update(updates, state, params)",
        ),
        (
            lambda t, s: t.update([*GIVEN.values()], s, GIVEN),
            ValueError,
            "updates is PyTreeDef([*, *]): give PyTreeDef({'a': *, 'b': *}), as init was given",
        ),
        (
            lambda t, s: t.update(GIVEN, s, GIVEN | {"b": jnp.ones((2, 2))}),
            ValueError,
            "params holds float32[2, 2]: give float32[4], as init was given",
        ),
        (
            lambda t, s: t.update(GIVEN | {"a": jnp.ones(3, jnp.bfloat16)}, s, GIVEN),
            ValueError,
            "updates holds bfloat16[3]: give float32[3], as init was given",
        ),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(call, kind, message):
    transform = scale_by_compact_lbfgs(2)
    with pytest.raises(kind) as caught:
        call(transform, transform.init(GIVEN))
    assert str(caught.value) == message
