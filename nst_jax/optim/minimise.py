"""Steps of Adam and L-BFGS in chunks that stay on the device. Knows nothing of images, networks or styles.

A *step* is one evaluation of the function and its gradient, for both methods. A chunk is one compiled program, a
``lax.scan`` over steps; between chunks the host looks at the values, and nothing else crosses over.

Several runs that differ in numbers alone are *lanes*: one program, ``vmap`` of the steps of a run, every leaf of the
state with the lanes' axis in front. Then ``argument`` is a pair (shared, own), and the leaves of ``own`` have it too.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

from nst_jax.choices import check_kind
from nst_jax.errors import NSTError
from nst_jax.meshes import on_mesh
from nst_jax.optim.steps import Function, Method, State, advance, init, result, step, taken, value_and_gradient

#: How often a run recovers from a value that is not finite, and how much smaller its steps are then.
RECOVERIES = 3
SAFER = 0.25

#: One value for a single run; a list or NumPy array of one a lane for lanes.
PerRun = Any


def at(method: Method, x: Array | jax.ShapeDtypeStruct) -> Method:
    """The method as it goes where ``x`` lies."""
    return dataclasses.replace(method, spread=isinstance(x.sharding, NamedSharding))


def _start(method: Method, x: Array, rate: PerRun, lanes: bool) -> State:
    """``init``, for each lane where there are lanes; then placed on the devices as ``x`` is."""
    if not lanes and isinstance(x.sharding, NamedSharding):
        where = jax.tree.map(lambda leaf: leaf.sharding, shapes_of_state(method, x))
        spread: State = jax.jit(functools.partial(init, method), out_shardings=where)(x, jnp.float32(rate))
        return spread
    if not lanes:
        return init(method, x, float(rate))
    state: State = jax.device_put(
        jax.vmap(functools.partial(init, method))(x, jnp.asarray(rate, jnp.float32)), x.sharding
    )
    return state


def shapes_of_state(method: Method, x: Array | jax.ShapeDtypeStruct) -> State:
    """The shapes of the state of a single run at ``x``; where that lies on a mesh, with where they lie.

    What is of the shape of ``x`` lies as it does, and so do L-BFGS's pairs, which are flat; the others are everywhere.
    """
    state: State = jax.eval_shape(functools.partial(init, method, rate=1.0), x)
    if not isinstance(x.sharding, NamedSharding):
        return state
    mesh, spec, size = x.sharding.mesh, x.sharding.spec, math.prod(x.shape)

    def placed(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        own = spec if leaf.shape == x.shape else PartitionSpec(None, *spec) if leaf.shape[1:] == (size,) else ()
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, PartitionSpec(*own)))

    found: State = jax.tree.map(placed, state)
    return found


@functools.partial(jax.jit, static_argnames=("method", "function", "length", "lanes"), donate_argnames="state")
def run_chunk(
    method: Method, function: Function, argument: Any, state: State, length: int, lanes: bool = False
) -> tuple[State, Any]:
    """``length`` steps from ``state``, whose buffers are given up, as one program.

    Returns the state and the terms of every evaluation, [length] each, or [length, lanes].

    A single step is no loop. On a CPU longer chunks do not pay: inside a loop, XLA runs convolutions there four to
    five times slower than outside (jax 0.10).
    """

    def body(state: State, _: None) -> tuple[State, Any]:
        if not lanes:
            return step(method, function, argument, state)
        shared, own = argument
        return jax.vmap(lambda own, state: step(method, function, (shared, own), state))(own, state)

    if length > 1:
        return jax.lax.scan(body, state, length=length)
    state, terms = body(state, None)
    return state, jax.tree.map(lambda each: each[None], terms)


def chunk_length(remaining: int, chunk: int) -> int:
    """How many of the ``remaining`` steps to take in one program: ``chunk``, and the rest of the steps one by one.

    So few lengths occur, as each is compiled. Raises NSTError for a ``chunk`` below 1, with which nothing would end.
    """
    if chunk < 1:
        raise NSTError(f"chunk is {chunk}: give a whole number of 1 or more")
    return chunk if remaining >= chunk else 1


def next_length(done: int, steps: int, chunk: int, looks: int = 0, before: int = 0) -> int:
    """How many steps to take after ``done`` of ``steps``, with a look after each ``looks``-th one, if not 0.

    Those are counted from the start of the run, ``before`` of whose steps were taken earlier. Raises NSTError for
    ``looks`` below 0.
    """
    if looks < 0:
        raise NSTError(f"looks is {looks}: give a whole number of 0 or more")
    remaining = steps - done
    if not looks:
        return chunk_length(remaining, chunk)
    return chunk_length(min(remaining, looks - (before + done) % looks), min(chunk, looks))


def compile_chunks(
    method: Method,
    function: Function,
    argument: Any,
    x: jax.ShapeDtypeStruct,
    steps: int,
    chunk: int = 1,
    looks: int = 0,
    before: int = 0,
) -> None:
    """Compiles the programs that ``minimise`` runs for so many steps; of ``argument`` and ``x`` only shapes count."""
    lengths, done = set(), 0
    while done < steps:
        length = next_length(done, steps, chunk, looks, before)
        lengths.add(length)
        done += length
    for length in lengths:
        lowered(method, function, argument, x, length).compile()


def lowered(
    method: Method, function: Function, argument: Any, x: jax.ShapeDtypeStruct, length: int
) -> jax.stages.Lowered:
    """The program of so many steps of a single run, as ``minimise`` calls it; of ``argument`` and ``x`` shapes count.

    They may lie on a mesh of devices that are not there.
    """
    return run_chunk.lower(at(method, x), function, argument, shapes_of_state(method, x), length, False)


def in_python(function: Function) -> bool:
    """Whether a function goes through its parts in Python, and so cannot be within a program: see ``tiles.Tiles``."""
    return bool(getattr(function, "loop", False))


_advance = jax.jit(advance, static_argnames="method", donate_argnames="state")


def _next(
    method: Method, function: Function, argument: Any, state: State, length: int, lanes: bool
) -> tuple[State, Any]:
    """``run_chunk``, or where the function has programs of its own, a single step around them."""
    if not in_python(function):
        found: tuple[State, Any] = run_chunk(method, function, argument, state, length, lanes)
        return found
    (value, terms), gradient = value_and_gradient(function)(argument, state.trial)
    # L-BFGS on one device is not within one program, which with two pairs holds 15 copies of the picture instead of 10
    apart = method.name == "lbfgs" and not method.spread
    state = (advance if apart else _advance)(method, state, value, gradient)
    return state, jax.tree.map(lambda each: each[None], terms)


class Point(NamedTuple):
    """Where ``minimise`` is between two chunks, with all that it needs to go on: a pytree of arrays.

    Attributes:
      state: the optimiser's; its buffers are given up when the next chunk starts.
      good: the last point whose value was finite.
      best, lowest: the best point, and its value.
      shown: the ``result`` so far.
      done, evaluations, recoveries: steps taken, evaluations paid for, and how often it has recovered.
      rates: of each run.
    """

    state: State
    good: Array
    best: Array
    lowest: PerRun
    shown: Array
    done: PerRun
    evaluations: PerRun
    recoveries: PerRun
    rates: PerRun


class Chunk(NamedTuple):
    """What the host sees between two chunks.

    Attributes:
      done: steps taken so far; of lanes a list.
      x: the ``result`` so far, on the device; valid until the next chunk starts.
      terms: of each evaluation of this chunk, NumPy arrays [steps in this chunk], of lanes [steps, lanes]; empty where
        no run came on.
      note: what went wrong and was mended, or "".
      advanced: whether the run came on by this chunk; of lanes a list. The terms of a lane that did not do not count.
      point: where the run is, from which ``minimise`` can go on; valid until the next chunk starts.
    """

    done: PerRun
    x: Array
    terms: dict[str, np.ndarray]
    note: str = ""
    advanced: PerRun = True
    point: Point | None = None


class Stop(Exception):
    """Raised by ``on_chunk`` to end a run early, keeping what there is."""


class Outcome(NamedTuple):
    """The end of a run: its ``result``, its steps, the evaluations paid for, and whether it ended as asked.

    ``reason`` is "" for a run of all its steps, "stopped" after ``Stop``, and "not finite" where the loss became NaN
    or infinite more than ``RECOVERIES`` times; then ``x`` is the best point seen. ``inner`` is the optimiser's own
    state, and ``stopped`` says whether ``Stop`` came, also after the last step. Of lanes, ``x`` and ``inner`` have
    their axis in front, and steps, evaluations and reasons are lists.
    """

    x: Array
    steps: PerRun
    evaluations: PerRun
    reason: PerRun = ""
    inner: Any = None
    stopped: bool = False


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
    chunk: int = 1,
    looks: int = 0,
    before: int = 0,
    leaves: list[Any] | None = None,
) -> Outcome:
    """Lowers ``function(argument, x) -> (value, terms)`` from ``x`` in ``steps`` evaluations with gradient.

    Args:
      method: the optimiser.
      function: pure; the same Python object compiles once. One with a ``value_and_gradient`` of its own is asked for
        that; if it is ``in_python``, each step is a call of it with a program around.
      argument: a pytree; other numbers in it compile nothing. Of lanes, a pair (shared, own), see the module.
      x: the start; not changed. Of lanes, [lanes, ...]; sharded over devices if it is.
      steps: evaluations, the first of which is at ``x`` itself; may be an array, one number a lane.
      rate: Adam's learning rate, or L-BFGS's longest step (1 is Newton's).
      inner: the optimiser's own state from which it goes on; it is given up. None for a new one.
      on_chunk: called between chunks; may raise ``Stop``.
      lanes: whether there are several runs, in one program.
      chunk: the most steps in one program, between two looks of the host: 1 is best on a CPU, 50 on an accelerator.
      looks, before: of a single run, see ``next_length``.
      leaves: those of the ``Point`` from which it goes on, as an earlier call had it; the list is emptied. ``x`` and
        ``inner`` then only tell their shapes and where they are placed.

    Raises ValueError for ``leaves`` of another run.

    Where the value is not finite, the run goes back to the last good chunk and goes on with a rate ``SAFER`` times as
    large and a fresh optimiser, at most ``RECOVERIES`` times. Each lane does so by itself; at the end the others wait.

    Raises NSTError for what is no method, and for a ``chunk`` or ``looks`` with which nothing would end.
    """
    check_kind("method", method, Method, 'a Method, such as Method("lbfgs")')
    method = at(method, x)
    runs = x.shape[:1] if lanes else ()
    steps, rates = np.broadcast_to(steps, runs), np.full(runs, rate, float)
    given_up, lowest = np.zeros(runs, bool), np.full(runs, np.inf)
    reason, stopped = np.full(runs, "", object), False
    state = _start(method, x, rates, lanes)
    if inner is not None:
        state = state._replace(inner=inner)
    none = np.zeros(runs, int)
    # L-BFGS's last point is finite and its best: where pictures are so large that they go by parts, it is not copied
    keeps = method.name == "lbfgs" and in_python(function)
    first = taken(method, state) if keeps else x
    point = Point(state, first, first, lowest, first, none, none.copy(), none.copy(), rates)
    del x, first, state  # with a point of another run, it would be there twice
    if leaves is not None:
        point = _placed(leaves, point)
    state, good, best, lowest, shown, done, evaluations, recoveries, rates = point
    del point
    while (active := ~given_up & (done < steps)).any():
        left = int(np.min(steps - done, where=active, initial=np.iinfo(int).max))
        length = chunk_length(left, chunk) if lanes else next_length(int(done), int(steps), chunk, looks, before)
        state, terms = _next(method, function, argument, state, length, lanes)
        value = np.asarray(state.value)
        advanced = active & np.isfinite(value)
        failed = active & ~advanced
        evaluations += length * active
        done += length * advanced
        last = taken(method, state)
        # the next step gives the state's buffers up; of lanes the choice is a copy
        good = last if keeps else _choose(advanced, last if lanes else jnp.copy(last), good)
        shown = _choose(advanced, result(method, state), shown) if method.averaging else good
        better = advanced & (value <= lowest)
        lowest = np.where(better, value, lowest)
        best = good if keeps else _choose(better, good, best)
        del last
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
            point = Point(state, good, best, lowest, shown, done, evaluations, recoveries, rates)
            chunk_done = Chunk(done.tolist(), shown, told, note, advanced.tolist(), point)
            del point
            try:
                on_chunk(chunk_done)
            except Stop:
                stopped = True
                reason = np.where(given_up | (done >= steps), reason, "stopped")
                break
            del chunk_done  # with arrays that the next chunk replaces
    reason = np.where(given_up, "not finite", reason)
    found = _choose(given_up, best, shown)
    return Outcome(found, done.tolist(), evaluations.tolist(), reason.tolist(), state.inner, stopped)


def _placed(leaves: list[Any], like: Point) -> Point:
    """The leaves of a ``Point`` as one, each where that of ``like`` is: on its devices, or as NumPy's array.

    All are copies: a chunk gives up the buffers of its state, and JAX may share those of what it is given.

    Raises ValueError where they differ from those of ``like`` in number, shape or type.
    """
    wanted, structure = jax.tree.flatten(like)
    shapes = [[(np.shape(leaf), np.dtype(leaf.dtype)) for leaf in each] for each in (leaves, wanted)]
    if shapes[0] != shapes[1]:
        raise ValueError("the point is of another run: its arrays have other shapes or types")
    there = [
        jnp.copy(on_mesh(np.asarray(leaves.pop(0)), one.sharding))
        if isinstance(one, jax.Array)
        else np.array(leaves.pop(0))
        for one in wanted
    ]
    point: Point = jax.tree.unflatten(structure, there)
    return point


def _choose(mask: PerRun, yes: Any, no: Any) -> Any:
    """``yes`` for the runs in ``mask``, ``no`` for the others; pytrees of arrays with the runs' axes in front."""
    if np.ndim(mask) == 0:  # no copies: a picture may be a large part of the memory
        return yes if mask else no
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


def evaluate(
    method: Method, function: Function, argument: Any, x: Array, lanes: bool = False, *, compiled: bool = True
) -> dict[str, Any]:
    """The terms at ``x``, floats or lists of a float a lane.

    They come from the program of steps that ``minimise`` has ``compiled`` for such an argument; where it has not, from
    one without gradient, which is sooner compiled and takes less memory.
    """
    if in_python(function):
        terms = function(argument, x)[1]
    elif compiled:
        method, state = at(method, x), _start(method, x, np.zeros(x.shape[:1] if lanes else ()), lanes)
        _, terms = run_chunk(method, function, argument, state, 1, lanes)
        terms = jax.tree.map(lambda values: values[0], terms)
    else:
        terms = _terms(function, argument, x, lanes)
    return {name: np.asarray(value).tolist() for name, value in terms.items()}


@functools.partial(jax.jit, static_argnames=("function", "lanes"))
def _terms(function: Function, argument: Any, x: Array, lanes: bool) -> dict[str, Array]:
    found: dict[str, Array]
    if not lanes:
        found = function(argument, x)[1]
    else:
        shared, own = argument
        found = jax.vmap(lambda own, x: function((shared, own), x)[1])(own, x)
    return found
