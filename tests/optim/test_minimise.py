"""Adam and L-BFGS against the algorithms written once more in NumPy, and the run around them when things go wrong."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from reference import inverse_hessian
from support import network, random_filters, smooth_picture, usual_objective

from nst_jax.errors import NSTError
from nst_jax.optim import minimise as module
from nst_jax.optim.minimise import Stop, minimise
from nst_jax.optim.steps import Method, init

ADAM, LBFGS = Method("adam"), Method("lbfgs", 20)
SPREAD = np.linspace(1, 30, 12)


def with_terms(function):
    """A scalar function as ``minimise`` wants it."""
    return lambda argument, x: (function(argument, x), {"total": function(argument, x), "size": jnp.sum(x * x)})


quadratic = with_terms(lambda middle, x: jnp.sum(jnp.asarray(SPREAD) * (x - middle) ** 2) / 2)
rosenbrock = with_terms(lambda _, x: jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))
cosines = with_terms(lambda _, x: jnp.sum(jnp.asarray(SPREAD[:4]) * jnp.cos(x)))
hole = with_terms(lambda edge, x: jnp.where(jnp.min(x) < edge, jnp.nan, jnp.sum(x * x)))
START = jnp.asarray(np.random.default_rng(0).normal(size=12), jnp.float32)
MIDDLE = jnp.linspace(-1.0, 1.0, 12)
VALLEY = jnp.array([-1.2, 1.0])
HILL = jnp.array([0.4, 0.3, -0.5, 0.2])  # cos is concave there


def trace(method, function, argument, x, steps, rate=1.0):
    """The values at the evaluations of a run, and its outcome."""
    values = []
    outcome = minimise(
        method,
        function,
        argument,
        x,
        steps=steps,
        rate=rate,
        on_chunk=lambda chunk: values.extend(chunk.terms.get("total", [])),
    )
    return np.array(values), outcome


def in_numpy(function, argument):
    """x ↦ (value, gradient) in float64."""
    both = jax.value_and_grad(lambda x: function(argument, x)[0])

    def evaluate(x):
        with jax.enable_x64(True):
            value, gradient = both(jnp.asarray(x, jnp.float64))
        return float(value), np.asarray(gradient, np.float64)

    return evaluate


def naive_adam(evaluate, x, steps, rate, bounds=(-np.inf, np.inf)):
    """Kingma and Ba (2015), algorithm 1, each step clamped: the points that are evaluated."""
    x = np.asarray(x, np.float64)
    m = v = np.zeros_like(x)
    points = []
    for t in range(1, steps + 1):
        points.append(x)
        gradient = evaluate(x)[1]
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        x = np.clip(x - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8), *bounds)
    return points


def naive_lbfgs(evaluate, x, steps, history):
    """L-BFGS with its approximation written out; an evaluation a step; the first step has norm 1.

    Armijo's condition with 1e-4, else half the step; pairs without positive curvature are skipped. Gives the value at
    every evaluation, how many pairs were skipped, and how many trials failed.
    """
    here = np.asarray(x, np.float64)
    value, gradient = evaluate(here)
    values, pairs, skipped, failed = [value], [], 0, 0
    length, direction = 1.0, -gradient / np.linalg.norm(gradient)
    first_norm = np.linalg.norm(gradient)
    while len(values) < steps:
        trial = here + length * direction
        new_value, new_gradient = evaluate(trial)
        values.append(new_value)
        if new_value > value + 1e-4 * length * (gradient @ direction):
            failed += 1
            length /= 2
            continue
        s, y = trial - here, new_gradient - gradient
        if s @ y > 0:
            pairs = [*pairs, (s, y)][-history:]
        else:
            skipped += 1
        here, value, gradient, length = trial, new_value, new_gradient, 1.0
        direction = -inverse_hessian(pairs, len(x)) @ gradient if pairs else -gradient / first_norm
    return np.array(values), skipped, failed


# ---------------------------------------------------------------- the algorithms


def test_adam_equals_numpy():
    evaluate = in_numpy(quadratic, MIDDLE)
    points = naive_adam(evaluate, START, 40, 0.05)
    values, outcome = trace(ADAM, quadratic, MIDDLE, START, 40, rate=0.05)
    np.testing.assert_allclose(values, [evaluate(x)[0] for x in points], rtol=1e-3)
    np.testing.assert_allclose(outcome.x, points[-1], rtol=1e-3, atol=1e-4)
    assert (outcome.steps, outcome.evaluations, outcome.reason) == (40, 40, "")


def test_adam_within_bounds_equals_numpy():
    """Every point that is evaluated is clamped; some coordinates of the optimum are beyond, and end at the bounds."""
    evaluate = in_numpy(quadratic, MIDDLE)
    bounded = Method("adam", bounds=(-0.5, 0.6))
    start = jnp.clip(START, -0.5, 0.6)
    points = naive_adam(evaluate, start, 80, 0.05, bounded.bounds)
    seen = []
    outcome = minimise(bounded, quadratic, MIDDLE, start, steps=80, rate=0.05, on_chunk=lambda c: seen.append(c.x))
    np.testing.assert_allclose(outcome.x, points[-1], rtol=1e-3, atol=1e-4)
    assert all(float(x.min()) >= -0.5 and float(x.max()) <= np.float32(0.6) for x in seen)
    np.testing.assert_allclose(outcome.x, np.clip(MIDDLE, -0.5, 0.6), atol=0.05)
    free = trace(ADAM, quadratic, MIDDLE, start, 80, rate=0.05)[1].x
    assert float(jnp.max(free)) > 0.9


@pytest.mark.parametrize("history", [1, 3, 20])
def test_lbfgs_equals_numpy_on_a_quadratic(history):
    expected, _, _ = naive_lbfgs(in_numpy(quadratic, MIDDLE), START, 12, history)
    values, _ = trace(Method("lbfgs", history), quadratic, MIDDLE, START, 12)
    np.testing.assert_allclose(values, expected, rtol=2e-3)


def test_lbfgs_equals_numpy_on_rosenbrocks_valley():
    expected, _, failed = naive_lbfgs(in_numpy(rosenbrock, None), VALLEY, 14, 20)
    values, _ = trace(LBFGS, rosenbrock, None, VALLEY, 14)
    assert failed > 1  # trials that are not taken are among them
    np.testing.assert_allclose(values, expected, rtol=5e-3)


def test_lbfgs_skips_pairs_of_negative_curvature():
    expected, skipped, _ = naive_lbfgs(in_numpy(cosines, None), HILL, 20, 20)
    values, _ = trace(LBFGS, cosines, None, HILL, 20)
    assert skipped > 0
    np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-3)
    assert values[-1] == pytest.approx(-SPREAD[:4].sum(), rel=1e-4)  # and comes down


def test_lbfgs_never_keeps_a_worse_point():
    best = []

    def on_chunk(chunk):
        best.append(float(rosenbrock(None, chunk.x)[0]))

    minimise(LBFGS, rosenbrock, None, VALLEY, steps=60, rate=1.0, on_chunk=on_chunk)
    assert (np.diff(best) <= 1e-6).all()
    assert best[-1] < 1e-6 * best[0]


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e15])
def test_lbfgs_does_not_depend_on_the_losss_unit(unit):
    values, _ = trace(LBFGS, quadratic_in_unit, (MIDDLE, jnp.float32(unit)), START, 30)
    assert values[-1] < 1e-6 * values[0]


quadratic_in_unit = with_terms(lambda argument, x: argument[1] * quadratic(argument[0], x)[0])


def test_lbfgs_at_the_minimum_stays_there():
    values, outcome = trace(LBFGS, quadratic, MIDDLE, MIDDLE, 5)
    np.testing.assert_array_equal(outcome.x, MIDDLE)
    assert not values.any()


def transfer_loss(goal, x):
    return goal(x)


@pytest.fixture
def goal(tiny):
    return usual_objective(
        network(random_filters(tiny)),
        jnp.asarray(smooth_picture(16, 20, 0)),
        [jnp.asarray(smooth_picture(18, 14, 1))],
        content_layers={"conv2_1": 1.0},
        style_layers={"conv1_1": 0.5, "pool2": 0.5},
        content_weight=1.0,
        style_weight=10.0,
        convention="normalized",
    )


@pytest.mark.slow
def test_lbfgs_does_not_stall_on_a_style_transfer(goal):
    """As low as SciPy's L-BFGS with a strong Wolfe search, for the same number of evaluations."""
    start = smooth_picture(16, 20, 0)
    both = jax.jit(jax.value_and_grad(lambda x: transfer_loss(goal, x)[0]))
    peer = []

    def evaluate(flat):
        value, gradient = both(jnp.asarray(flat.reshape(start.shape), jnp.float32))
        peer.append(float(value))
        return float(value), np.asarray(gradient, np.float64).ravel()

    scipy.optimize.minimize(
        evaluate, start.ravel(), jac=True, method="L-BFGS-B", options={"maxfun": 150, "maxcor": 20, "maxiter": 150}
    )
    values, _ = trace(LBFGS, transfer_loss, goal, jnp.asarray(start), 150)
    lowest = np.minimum.accumulate(values)
    for evaluations in (50, 100, 150):
        assert lowest[evaluations - 1] <= 1.05 * min(peer[:evaluations])
    assert (np.diff(lowest[::25]) < 0).all()  # every 25 evaluations bring something


# ---------------------------------------------------------------- the run around them


@pytest.mark.parametrize("method", [ADAM, LBFGS], ids=["adam", "lbfgs"])
@pytest.mark.parametrize(("chunk", "lengths"), [(5, [5, 5, 1, 1]), (12, [12]), (50, [1] * 12)])
def test_chunks_give_the_same_as_single_steps(method, chunk, lengths):
    """Both bodies of a chunk: a single step, and a scan over several."""
    single, outcome = trace(method, quadratic, MIDDLE, START, 12, rate=0.5)
    chunked, seen = [], []

    def on_chunk(told):
        chunked.extend(told.terms["total"])
        seen.append(len(told.terms["total"]))

    again = minimise(method, quadratic, MIDDLE, START, steps=12, rate=0.5, on_chunk=on_chunk, chunk=chunk)
    assert seen == lengths
    np.testing.assert_allclose(chunked, single, rtol=1e-4)
    np.testing.assert_allclose(again.x, outcome.x, rtol=1e-4, atol=1e-5)
    assert again.steps == again.evaluations == 12


@pytest.mark.parametrize("method", [ADAM, LBFGS], ids=["adam", "lbfgs"])
@pytest.mark.parametrize(
    "problem", [(quadratic, MIDDLE, START), (rosenbrock, 0.0, VALLEY), (cosines, 0.0, HILL), (hole, 0.3, START + 3)]
)
@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_steps_around_a_function_in_python_are_those_within_a_program(method, problem, averaging):
    """Also where a trial point is not taken or not finite, no pair is learnt, or points are averaged."""
    method = dataclasses.replace(method, averaging=averaging)
    function, argument, x = problem

    class InPython:
        loop = True

        def __call__(self, argument, x):
            return function(argument, x)

        def value_and_gradient(self, argument, x):
            return jax.value_and_grad(function, argnums=1, has_aux=True)(argument, x)

    wanted, outcome = trace(method, function, argument, x, 12)
    found, again = trace(method, InPython(), argument, x, 12)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(again.x, outcome.x, rtol=1e-3, atol=1e-4)
    assert (again.steps, again.evaluations, again.reason) == (outcome.steps, outcome.evaluations, outcome.reason)


@pytest.mark.parametrize("method", [ADAM, LBFGS], ids=["adam", "lbfgs"])
def test_lanes_in_chunks_give_the_same_as_each_alone(method):
    """Also where their steps differ: the chunks are as long as the shortest way that is left."""

    def function(argument, x):
        return quadratic(argument[1], x)

    own, starts, steps, lengths = jnp.stack([MIDDLE, 2 * MIDDLE]), jnp.stack([START, START + 1]), [9, 6], []
    found = minimise(
        method, function, (jnp.float32(0), own), starts, steps=steps, rate=0.5, lanes=True, chunk=4,
        on_chunk=lambda chunk: lengths.append(len(chunk.terms["total"])),
    )  # fmt: skip
    assert lengths == [4, 1, 1, 1, 1, 1]
    assert found.steps == found.evaluations == steps
    for lane, (middle, start) in enumerate(zip(own, starts, strict=True)):
        alone = minimise(method, quadratic, middle, start, steps=steps[lane], rate=0.5)
        np.testing.assert_allclose(found.x[lane], alone.x, rtol=1e-3, atol=1e-4)


def test_a_single_step_is_no_loop_and_several_are_one():
    """On a CPU convolutions are slow inside a loop."""

    def program(length):
        state = init(LBFGS, START, 1.0)
        return str(jax.make_jaxpr(lambda state: module.run_chunk(LBFGS, quadratic, MIDDLE, state, length))(state))

    assert "scan[" not in program(1)
    assert program(7).count("scan[") == 1


def test_few_chunk_lengths_are_compiled():
    assert {module.chunk_length(remaining, 1) for remaining in range(1, 200)} == {1}
    assert {module.chunk_length(remaining, 50) for remaining in range(1, 200)} == {1, 50}
    assert all(module.chunk_length(remaining, 50) <= remaining for remaining in range(1, 200))
    lengths, left = [], 107
    while left:
        lengths.append(module.chunk_length(left, 50))
        left -= lengths[-1]
    assert lengths == [50, 50] + [1] * 7


@pytest.mark.parametrize(("steps", "chunk"), [(3, 1), (9, 4), (8, 4), (3, 4)])
def test_what_is_compiled_before_is_what_a_run_needs(steps, chunk):
    """From the shapes alone; then the run traces nothing more."""
    traces = []

    def function(argument, x):
        traces.append(1)
        return quadratic(argument, x)

    shapes = jax.ShapeDtypeStruct(MIDDLE.shape, MIDDLE.dtype), jax.ShapeDtypeStruct(START.shape, START.dtype)
    module.compile_chunks(LBFGS, function, *shapes, steps, chunk)
    before = len(traces)
    assert before == len({module.chunk_length(left, chunk) for left in range(steps, 0, -chunk)})
    minimise(LBFGS, function, MIDDLE, START, steps=steps, rate=1.0, chunk=chunk)
    assert len(traces) == before


@pytest.mark.parametrize("method", [ADAM, LBFGS], ids=["adam", "lbfgs"])
def test_the_callers_start_survives(method):
    start = jnp.array(START)
    minimise(method, quadratic, MIDDLE, start, steps=3, rate=0.1)
    np.testing.assert_array_equal(start, START)


@pytest.mark.parametrize("method", [ADAM, LBFGS], ids=["adam", "lbfgs"])
def test_points_of_chunks_survive(method):
    points = []
    outcome = minimise(
        method, quadratic, MIDDLE, START, steps=5, rate=0.1, on_chunk=lambda chunk: points.append(chunk.x)
    )
    assert [np.asarray(point).shape for point in points] == [START.shape] * 5
    np.testing.assert_array_equal(points[-1], outcome.x)


@pytest.mark.parametrize("method", [ADAM, LBFGS], ids=["adam", "lbfgs"])
def test_the_point_of_a_chunk_has_the_value_that_is_told(method):
    """What is written, and gone back to, is a point that was evaluated."""
    lowest = np.inf

    def on_chunk(chunk):
        nonlocal lowest
        lowest = min(lowest, float(chunk.terms["total"][-1]))
        told = chunk.terms["total"][-1] if method is ADAM else lowest
        assert float(quadratic(MIDDLE, chunk.x)[0]) == pytest.approx(float(told), rel=1e-5)

    minimise(method, quadratic, MIDDLE, START, steps=8, rate=0.3, on_chunk=on_chunk)


@pytest.mark.parametrize("method", [ADAM, LBFGS], ids=["adam", "lbfgs"])
def test_no_steps(method):
    outcome = minimise(method, quadratic, MIDDLE, START, steps=0, rate=0.1)
    np.testing.assert_array_equal(outcome.x, START)
    assert (outcome.steps, outcome.evaluations, outcome.reason) == (0, 0, "")


def test_stop_keeps_what_there_is():
    seen = []

    def on_chunk(chunk):
        seen.append(chunk)
        if chunk.done == 4:
            raise Stop

    outcome = minimise(LBFGS, quadratic, MIDDLE, START, steps=100, rate=1.0, on_chunk=on_chunk)
    assert (outcome.steps, outcome.evaluations, outcome.reason) == (4, 4, "stopped")
    np.testing.assert_array_equal(outcome.x, seen[-1].x)


def test_another_argument_compiles_nothing():
    traces = []

    def function(argument, x):
        traces.append(1)
        return quadratic(argument, x)

    minimise(LBFGS, function, MIDDLE, START, steps=3, rate=1.0)
    once = len(traces)
    minimise(LBFGS, function, 2 * MIDDLE, START + 1, steps=7, rate=0.5)
    module.evaluate(LBFGS, function, MIDDLE, START)
    assert len(traces) == once


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("method", [ADAM, LBFGS], ids=["adam", "lbfgs"])
def test_evaluate_gives_the_terms_at_the_point(method, compiled):
    terms = module.evaluate(method, quadratic, MIDDLE, START, compiled=compiled)
    assert terms["total"] == pytest.approx(float(quadratic(MIDDLE, START)[0]), rel=1e-6)
    assert terms["size"] == pytest.approx(float(jnp.sum(START**2)), rel=1e-6)


@pytest.mark.parametrize("compiled", [True, False])
def test_evaluate_gives_the_terms_of_each_lane(compiled):
    def function(argument, x):
        return quadratic(argument[1], x)

    own, starts = jnp.stack([MIDDLE, 2 * MIDDLE]), jnp.stack([START, START + 1])
    terms = module.evaluate(LBFGS, function, (jnp.float32(0), own), starts, lanes=True, compiled=compiled)
    expected = [float(quadratic(middle, start)[0]) for middle, start in zip(own, starts, strict=True)]
    assert terms["total"] == pytest.approx(expected, rel=1e-6)


# ---------------------------------------------------------------- values that are not finite


def cliff(edge, x):
    """A slope towards −∞ that breaks off at ``edge``; long steps fall over it."""
    value = jnp.where(jnp.min(x) < edge[0], edge[1], jnp.sum(x * x))
    return value, {"total": value}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_adam_goes_back_and_on_with_smaller_steps(bad):
    """From 1 down to 0 by steps of 0.4, with a hole on the way that the smaller steps do not reach."""
    hole = jnp.array([0.5, bad])
    notes, values = [], []

    def on_chunk(chunk):
        notes.append(chunk.note)
        values.extend(chunk.terms.get("total", []))

    outcome = minimise(ADAM, cliff, hole, jnp.ones(3), steps=4, rate=0.4, on_chunk=on_chunk)
    told = [note for note in notes if note]
    assert told[0] == "the loss is not finite after step 2: back to step 2, on with a step size of 0.1"
    assert len(told) == 1
    assert (outcome.steps, outcome.evaluations, outcome.reason) == (4, 5, "")
    assert np.isfinite(values).all()
    assert np.isfinite(cliff(hole, outcome.x)[0])
    assert values[-1] < values[1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_lbfgs_never_takes_a_point_that_is_not_finite(bad):
    hole = jnp.array([0.5, bad])
    chunks = []
    outcome = minimise(LBFGS, cliff, hole, jnp.ones(3), steps=12, rate=1.0, on_chunk=chunks.append)
    assert (outcome.steps, outcome.evaluations, outcome.reason) == (12, 12, "")
    assert not any(chunk.note for chunk in chunks)  # a shorter step is enough
    values = [float(cliff(hole, chunk.x)[0]) for chunk in chunks]
    assert np.isfinite(values).all()
    assert (np.diff(values) <= 0).all()
    assert values[-1] < 1.0  # three quarters, at the edge


@pytest.mark.parametrize("method", [ADAM, LBFGS], ids=["adam", "lbfgs"])
def test_giving_up_at_a_start_that_is_not_finite(method):
    nowhere = jnp.array([2.0, np.nan])
    notes = []
    outcome = minimise(
        method, cliff, nowhere, jnp.ones(3), steps=9, rate=1.0, on_chunk=lambda chunk: notes.append(chunk.note)
    )
    assert (outcome.steps, outcome.evaluations, outcome.reason) == (0, module.RECOVERIES + 1, "not finite")
    np.testing.assert_array_equal(outcome.x, jnp.ones(3))
    assert len(notes) == module.RECOVERIES
    assert all("not finite" in note for note in notes)


def test_giving_up_gives_the_best_point_seen():
    """The optimum lies in the hole: every recovery comes nearer to its edge, and falls in again."""
    hole = jnp.array([0.2, np.nan])
    values = []
    outcome = minimise(
        ADAM,
        cliff,
        hole,
        jnp.ones(3),
        steps=500,
        rate=0.3,
        on_chunk=lambda chunk: values.extend(chunk.terms.get("total", [])),
    )
    assert outcome.reason == "not finite"
    assert outcome.steps == len(values) < 500
    assert outcome.evaluations == outcome.steps + module.RECOVERIES + 1
    assert float(cliff(hole, outcome.x)[0]) == pytest.approx(float(min(values)), rel=1e-5)
    assert min(values) < 0.1 * values[0]


def test_stop_during_a_recovery():
    def on_chunk(chunk):
        if chunk.note:
            raise Stop

    outcome = minimise(ADAM, cliff, jnp.array([0.5, np.nan]), jnp.ones(3), steps=9, rate=0.4, on_chunk=on_chunk)
    assert outcome.reason == "stopped"
    assert np.isfinite(cliff(jnp.array([0.5, np.nan]), outcome.x)[0])


@jax.custom_vjp
def broken_gradient(x, edge):
    """x², finite everywhere, but without a gradient beyond the edge."""
    return jnp.sum(x * x)


broken_gradient.defvjp(
    lambda x, edge: (jnp.sum(x * x), (x, edge)),
    lambda kept, g: (g * jnp.where(jnp.min(kept[0]) < kept[1], jnp.nan, 2 * kept[0]), jnp.zeros_like(kept[1])),
)


@pytest.mark.parametrize("method", [ADAM, LBFGS], ids=["adam", "lbfgs"])
def test_a_gradient_that_is_not_finite_does_not_poison_the_run(method):
    def function(edge, x):
        value = broken_gradient(x, edge)
        return value, {"total": value}

    notes = []
    outcome = minimise(
        method,
        function,
        jnp.float32(0.5),
        jnp.ones(3),
        steps=8,
        rate=1.0 if method is LBFGS else 0.4,
        on_chunk=lambda chunk: notes.append(chunk.note),
    )
    assert np.isfinite(outcome.x).all()
    assert float(jnp.sum(outcome.x**2)) < 3
    if method is LBFGS:  # it never takes such a point, so there is nothing to mend
        assert float(jnp.min(outcome.x)) >= 0.5
        assert not any(notes)


@pytest.mark.parametrize("method", [ADAM, LBFGS])
def test_averaging_gives_the_weighted_mean_of_the_points_taken(method):
    """Σ d^(k − i) x_i over Σ d^(k − i): free of the bias that a mean which starts at 0 has."""
    points = []
    minimise(
        method, quadratic, MIDDLE, START, steps=6, rate=0.3, on_chunk=lambda chunk: points.append(np.array(chunk.x))
    )
    weights = 0.7 ** np.arange(len(points))[::-1]
    expected = np.tensordot(weights, points, 1) / weights.sum()
    found = minimise(dataclasses.replace(method, averaging=0.7), quadratic, MIDDLE, START, steps=6, rate=0.3).x
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(found - points[-1]).max() > 1e-3


@pytest.mark.parametrize("lanes", [False, True])
def test_a_chunk_of_no_steps_is_refused(lanes):
    """It would never end."""
    start = jnp.stack([START]) if lanes else START
    with pytest.raises(NSTError, match="chunk is 0: give a whole number of 1 or more"):
        minimise(LBFGS, quadratic, (MIDDLE, ()) if lanes else MIDDLE, start, steps=2, rate=1.0, chunk=0, lanes=lanes)
    with pytest.raises(NSTError, match="looks is -1: give a whole number of 0 or more"):
        minimise(LBFGS, quadratic, MIDDLE, START, steps=2, rate=1.0, looks=-1)


# ---------------------------------------------------------------- the choice of a method


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_optimizer_is_refused():
    with pytest.raises(NSTError, match="unknown optimizer 'sgd': choose one of lbfgs, adam"):
        Method("sgd")


def test_bounds_are_adams_alone():
    assert Method("adam", bounds=(0.0, 1.0)).bounds == (0.0, 1.0)
    with pytest.raises(NSTError, match="lbfgs cannot be clamped to bounds: leave them out, or take adam"):
        Method("lbfgs", bounds=(0.0, 1.0))


def test_a_method_is_a_constant_of_its_program():
    """Equal ones are the same program, and none changes."""
    assert Method("adam") == Method("adam", averaging=0.0) != Method("adam", averaging=0.9)
    assert hash(Method("lbfgs", 20)) == hash(Method("lbfgs"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        LBFGS.history = 3
