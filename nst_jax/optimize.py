"""Adam and L-BFGS from optax, in chunks that stay on the device. Knows nothing of images, networks or styles.

A *step* is one evaluation of the function and its gradient, for both methods. A chunk is one compiled program, a
``lax.scan`` over steps; between chunks the host looks at the values, and nothing else crosses over.

Several runs that differ in numbers alone are *lanes*: one program, ``vmap`` of the steps of a run, every leaf of the
state with the lanes' axis in front. Then ``argument`` is a pair (shared, own), and the leaves of ``own`` have it too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

#: The most steps between two looks of the host.
CHUNK = 50
#: L-BFGS takes a trial point whose value is at most this much of the expected decrease below (Armijo's condition).
SUFFICIENT = 1e-4
#: How much shorter the step becomes after a trial point that was not taken.
BACKTRACK = 0.5
#: How often a run recovers from a value that is not finite, and how much smaller its steps are then.
RECOVERIES = 3
SAFER = 0.25

Function = Callable[[Any, Array], tuple[Array, Any]]
#: One value for a single run; a list or NumPy array of one a lane for lanes.
PerRun = Any


class Method(NamedTuple):
    """Which optimiser, with its static settings.

    Attributes:
      name: "adam" or "lbfgs".
      history: how many pairs L-BFGS remembers.
      averaging: the decay of the running mean of the points taken; 0 for none.
      bounds: the least and the greatest value that Adam's points may have, or None; L-BFGS, whose approximation
        clamping would spoil, must have none.
    """

    name: str
    history: int = 50
    averaging: float = 0.0
    bounds: tuple[float, float] | None = None


class State(NamedTuple):
    """Where a run is; a pytree of arrays alone.

    Attributes:
      x: the last point taken; Adam takes every one.
      value: the function there; infinite before the first evaluation.
      trial: the point that the next step evaluates.
      direction: L-BFGS's step from ``x`` at full length.
      slope: the gradient along ``direction``.
      length: of the present step along ``direction``, at most ``rate``.
      scale: what gradients are multiplied with, so that L-BFGS's first step has norm 1 whatever the loss's unit.
      rate: Adam's learning rate, or L-BFGS's longest step; smaller after a recovery.
      mean: Σ (1 − d) d^(k − i) x_i of the points taken, with d the method's ``averaging``; 0 without.
      share: Σ (1 − d) d^(k − i), what ``mean`` is to be divided by.
      inner: optax's state.
    """

    x: Array
    value: Array
    trial: Array
    direction: Array
    slope: Array
    length: Array
    scale: Array
    rate: Array
    mean: Array
    share: Array
    inner: Any


def init(method: Method, x: Array, rate: float | Array) -> State:
    """The state of a run that starts at ``x`` with a learning rate (Adam) or longest step (L-BFGS, usually 1)."""
    zero = jnp.float32(0)
    inner = _transform(method).init(x)
    blank = jnp.zeros_like(x) if method.name == "lbfgs" else zero
    mean = jnp.zeros_like(x) if method.averaging else zero
    state = State(x, jnp.float32(jnp.inf), x, blank, zero, zero, zero + 1, zero + rate, mean, zero, inner)
    return jax.tree.map(jnp.copy, state)  # each leaf a buffer of its own, as donation asks for


def _transform(method: Method) -> optax.GradientTransformation:
    """The part of optax that turns gradients into directions; steps are taken here."""
    if method.name == "adam":
        return optax.scale_by_adam()
    return optax.scale_by_lbfgs(memory_size=method.history)


def _start(method: Method, x: Array, rate: PerRun, lanes: bool) -> State:
    """``init``, for each lane where there are lanes; then placed on the devices as ``x`` is."""
    if not lanes:
        return init(method, x, float(rate))
    return jax.device_put(jax.vmap(functools.partial(init, method))(x, jnp.asarray(rate, jnp.float32)), x.sharding)


def step(method: Method, function: Function, argument: Any, state: State) -> tuple[State, Any]:
    """One evaluation of ``function(argument, x) -> (value, terms)`` and what follows from it; also gives the terms."""
    (value, terms), gradient = jax.value_and_grad(function, argnums=1, has_aux=True)(argument, state.trial)
    following = (
        _adam(method, state, value, gradient) if method.name == "adam" else _lbfgs(method, state, value, gradient)
    )
    if decay := method.averaging:
        mean = decay * state.mean + (1 - decay) * following.x
        following = following._replace(mean=mean, share=decay * state.share + (1 - decay))
    return following, terms


def _adam(method: Method, state: State, value: Array, gradient: Array) -> State:
    """x ← x − rate · m̂ / (√v̂ + ε) (Kingma and Ba 2015), then clamped to the bounds."""
    direction, inner = _transform(method).update(gradient, state.inner)
    trial = state.trial - state.rate * direction
    if method.bounds:
        trial = jnp.clip(trial, *method.bounds)
    return state._replace(x=state.trial, value=value, trial=trial, inner=inner)


def _lbfgs(method: Method, state: State, value: Array, gradient: Array) -> State:
    """Take the trial point if the value fell enough there, else come back and try a shorter step next time.

    The first point is always taken: its value is compared with infinity. A point whose value or gradient is not finite
    is never taken.
    """
    first = jnp.isinf(state.value)
    fell = value <= state.value + SUFFICIENT * state.length * state.slope / state.scale
    norm = jnp.linalg.norm(gradient)
    taken = jnp.isfinite(value) & jnp.isfinite(norm) & (first | fell)
    scale = jnp.where(first, 1 / (norm + 1e-30), state.scale)

    def advance(state: State) -> State:
        scaled = scale * gradient
        preconditioned, inner = _transform(method).update(
            scaled, _repeat_unless_curved(state.inner, state.trial, scaled), state.trial
        )
        slope = -jnp.vdot(preconditioned, scaled)
        return state._replace(
            x=state.trial,
            value=value,
            trial=state.trial - state.rate * preconditioned,
            direction=-preconditioned,
            slope=slope,
            length=state.rate,
            scale=scale,
            inner=inner,
        )

    def back(state: State) -> State:
        length = BACKTRACK * state.length
        return state._replace(trial=state.x + length * state.direction, length=length)

    return jax.lax.cond(taken, advance, back, state)


def _repeat_unless_curved(inner: Any, x: Array, gradient: Array) -> Any:
    """optax's state, set so that a pair (s, y) without positive curvature is not learnt.

    optax stores s = x − x_last and y = g − g_last even where sᵀy ≤ 0, which spoils the approximation (optax #1708).
    Pretending that the last point was one *older* step away stores the newest good pair once more instead, and a BFGS
    update with the same pair twice changes nothing.
    """
    s, y = x - inner.params, gradient - inner.updates
    curved = (jnp.vdot(s, y) > 1e-10 * jnp.vdot(y, y)) | (inner.count == 0)
    newest = (inner.count - 2) % inner.weights_memory.shape[0]
    return inner._replace(
        params=jnp.where(curved, inner.params, x - inner.diff_params_memory[newest]),
        updates=jnp.where(curved, inner.updates, gradient - inner.diff_updates_memory[newest]),
    )


@functools.partial(jax.jit, static_argnames=("method", "function", "length", "lanes"), donate_argnames="state")
def run_chunk(
    method: Method, function: Function, argument: Any, state: State, length: int, lanes: bool = False
) -> tuple[State, Any]:
    """``length`` steps from ``state``, whose buffers are given up, as one program.

    Returns the state and the terms of every evaluation, [length] each, or [length, lanes].

    On a CPU the steps are written out one after the other: inside a loop, XLA runs convolutions there four to five
    times slower than outside (jax 0.10).
    """

    def body(state: State, _: None) -> tuple[State, Any]:
        if not lanes:
            return step(method, function, argument, state)
        shared, own = argument
        return jax.vmap(lambda own, state: step(method, function, (shared, own), state))(own, state)

    if jax.default_backend() != "cpu":
        return jax.lax.scan(body, state, length=length)
    terms = []
    for _ in range(length):
        state, latest = body(state, None)
        terms.append(latest)
    return state, jax.tree.map(lambda *each: jnp.stack(each), *terms)


def chunk_length(remaining: int) -> int:
    """How many of the ``remaining`` steps to take in one program; few lengths occur, as each is compiled.

    On a CPU a step takes longer than a look of the host, so a chunk is one step. Elsewhere it is ``CHUNK``, and the
    rest of the steps one by one.
    """
    return 1 if jax.default_backend() == "cpu" or remaining < CHUNK else CHUNK


def compile_chunks(method: Method, function: Function, argument: Any, x: jax.ShapeDtypeStruct, steps: int) -> None:
    """Compiles the programs that ``minimise`` runs for so many steps; of ``argument`` and ``x`` only shapes count."""
    state = jax.eval_shape(functools.partial(init, method, rate=1.0), x)
    for length in {chunk_length(left) for left in range(steps, 0, -CHUNK)}:
        run_chunk.lower(method, function, argument, state, length, False).compile()  # as minimise calls it


@functools.partial(jax.jit, static_argnames="method")
def result(method: Method, state: State) -> Array:
    """What a run has come to: the last point taken, or the mean of those taken, free of the bias to 0 of its start."""
    if not method.averaging:
        return state.x
    share = state.share.reshape(state.share.shape + (1,) * (state.mean.ndim - state.share.ndim))
    return jnp.where(share > 0, state.mean / share, state.x)


@functools.partial(jax.jit, static_argnames=("height", "width"))
def carried(inner: optax.ScaleByAdamState, height: int, width: int) -> optax.ScaleByAdamState:
    """Adam's moments [..., H, W, C] for an image of another size; the second, which are squares, stay at 0 or above."""

    def resized(moment: Array, method: str) -> Array:
        return jax.image.resize(moment, (*moment.shape[:-3], height, width, moment.shape[-1]), method)

    return inner._replace(mu=resized(inner.mu, "cubic"), nu=jnp.maximum(resized(inner.nu, "linear"), 0))


class Chunk(NamedTuple):
    """What the host sees between two chunks.

    Attributes:
      done: steps taken so far; of lanes a list.
      x: the ``result`` so far, on the device; valid until the next chunk starts.
      terms: of each evaluation of this chunk, NumPy arrays [steps in this chunk], of lanes [steps, lanes]; empty where
        no run came on.
      note: what went wrong and was mended, or "".
      advanced: whether the run came on by this chunk; of lanes a list. The terms of a lane that did not do not count.
    """

    done: PerRun
    x: Array
    terms: dict[str, np.ndarray]
    note: str = ""
    advanced: PerRun = True


class Stop(Exception):
    """Raised by ``on_chunk`` to end a run early, keeping what there is."""


class Outcome(NamedTuple):
    """The end of a run: its ``result``, its steps, the evaluations paid for, and whether it ended as asked.

    ``reason`` is "" for a run of all its steps, "stopped" after ``Stop``, and "not finite" where the loss became NaN
    or infinite more than ``RECOVERIES`` times; then ``x`` is the best point seen. ``inner`` is the optimiser's own
    state. Of lanes, ``x`` and ``inner`` have their axis in front, and the others are lists.
    """

    x: Array
    steps: PerRun
    evaluations: PerRun
    reason: PerRun = ""
    inner: Any = None


def minimise(
    method: Method,
    function: Function,
    argument: Any,
    x: Array,
    *,
    steps: PerRun,
    rate: float,
    inner: Any = None,
    on_chunk: Callable[[Chunk], None] = lambda chunk: None,
    lanes: bool = False,
) -> Outcome:
    """Lowers ``function(argument, x) -> (value, terms)`` from ``x`` in ``steps`` evaluations with gradient.

    Args:
      method: the optimiser.
      function: pure; the same Python object compiles once.
      argument: a pytree; other numbers in it compile nothing. Of lanes, a pair (shared, own), see the module.
      x: the start; not changed. Of lanes, [lanes, ...]; sharded over devices if it is.
      steps: evaluations, the first of which is at ``x`` itself; may be an array, one number a lane.
      rate: Adam's learning rate, or L-BFGS's longest step (1 is Newton's).
      inner: the optimiser's own state from which it goes on; it is given up. None for a new one.
      on_chunk: called between chunks; may raise ``Stop``.
      lanes: whether there are several runs, in one program.

    Where the value is not finite, the run goes back to the last good chunk and goes on with a rate ``SAFER`` times as
    large and a fresh optimiser, at most ``RECOVERIES`` times. Each lane does so by itself; at the end the others wait.
    """
    runs = x.shape[:1] if lanes else ()
    steps, rates = np.broadcast_to(steps, runs), np.full(runs, rate, float)
    done, evaluations, recoveries = (np.zeros(runs, int) for _ in range(3))
    given_up, lowest = np.zeros(runs, bool), np.full(runs, np.inf)
    reason = np.full(runs, "", object)
    state = _start(method, x, rates, lanes)
    if inner is not None:
        state = state._replace(inner=inner)
    good = best = x
    shown = good
    while (active := ~given_up & (done < steps)).any():
        length = chunk_length(int(np.min(steps - done, where=active, initial=np.iinfo(int).max)))
        state, terms = run_chunk(method, function, argument, state, length, lanes)
        value = np.asarray(state.value)
        advanced = active & np.isfinite(value)
        failed = active & ~advanced
        evaluations += length * active
        done += length * advanced
        good = _choose(advanced, state.x, good)
        shown = _choose(advanced, result(method, state), shown) if method.averaging else good
        better = advanced & (value <= lowest)
        lowest = np.where(better, value, lowest)
        best = _choose(better, good, best)
        note = ""
        if failed.any():
            recoveries += failed
            rates = np.where(failed, SAFER * rates, rates)
            given_up |= recoveries > RECOVERIES
            failed &= ~given_up
            if failed.any():
                state = _choose(failed, _start(method, good, rates, lanes), state)
                note = _note(failed, done, rates)
        if (advanced | failed).any():
            told = {name: np.asarray(values) for name, values in terms.items()} if advanced.any() else {}
            try:
                on_chunk(Chunk(done.tolist(), shown, told, note, advanced.tolist()))
            except Stop:
                reason = np.where(given_up | (done >= steps), reason, "stopped")
                break
    reason = np.where(given_up, "not finite", reason)
    found = _choose(given_up, best, shown)
    return Outcome(found, done.tolist(), evaluations.tolist(), reason.tolist(), state.inner)


def _choose(mask: PerRun, yes: Any, no: Any) -> Any:
    """``yes`` for the runs in ``mask``, ``no`` for the others; pytrees of arrays with the runs' axes in front."""
    return _select(jnp.asarray(mask), yes, no)


@jax.jit
def _select(mask: Array, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape(mask.shape + (1,) * (a.ndim - mask.ndim)), a, b), yes, no)


def _note(failed: PerRun, done: PerRun, rates: PerRun) -> str:
    """What is said of the runs that failed and go on."""
    notes = []
    for run in zip(*np.nonzero(np.atleast_1d(failed)), strict=True):
        step, rate = np.atleast_1d(done)[run], np.atleast_1d(rates)[run]
        name = f"lane {run[0]} of these {failed.size}: " if failed.ndim else ""
        notes.append(
            f"{name}the loss is not finite after step {step}: back to step {step}, on with a step size of {rate:g}"
        )
    return "; ".join(notes)


def evaluate(method: Method, function: Function, argument: Any, x: Array, lanes: bool = False) -> dict[str, Any]:
    """The terms at ``x``, floats or lists of a float a lane, by the program that ``minimise`` has compiled already."""
    state = _start(method, x, np.zeros(x.shape[:1] if lanes else ()), lanes)
    _, terms = run_chunk(method, function, argument, state, 1, lanes)
    return {name: np.asarray(values[0]).tolist() for name, values in terms.items()}
