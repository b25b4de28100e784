"""From coarse to fine: the stages of a run in turn, each from the picture of the one before."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.choices import Precision
from nst_jax.optim import minimise
from nst_jax.optim.minimise import Chunk, PerRun, Stop
from nst_jax.optim.steps import Function, Method, moments_at
from nst_jax.options.config import Complete
from nst_jax.runs import scales
from nst_jax.runs.allocator import give_back_freed_memory
from nst_jax.runs.finish import seamless
from nst_jax.runs.memory import is_exhausted
from nst_jax.runs.progress import Recorder, clipped


class Stage(NamedTuple):
    """Some steps at one size, under one network.

    Attributes:
      size: (height, width).
      steps: how many.
      goal: what is lowered, or if its argument is True the same for the losses that are told: in float32, and for
        once. Of lanes a pair (shared, own).
      precision: of the network during the steps.
    """

    size: tuple[int, int]
    steps: int
    goal: Callable[[bool], Any]
    precision: Precision


def stages_at(
    sizes: Sequence[tuple[int, int]],
    config: Complete,
    goal_at: Callable[[tuple[int, int], bool], Any],
    precision: Precision,
) -> list[Stage]:
    """A stage at each (height, width), with the steps of ``config``; ``goal_at(size, told)`` is its goal."""
    return [
        Stage(size, steps, functools.partial(goal_at, size), precision)
        for size, steps in zip(sizes, scales.step_counts(sizes, config), strict=True)
    ]


class Position(NamedTuple):
    """Where a run is between two chunks: all that ``coarse_to_fine`` needs to go on.

    Attributes:
      stage: the number of the stage.
      steps, evaluations: at the stages before.
      image: the result of the stage before, or the start, NumPy.
      leaves: of the ``minimise.Point`` in the stage, by their names; as a run has them, they are on the device, and
        valid until the next chunk starts.
      trace: of the run, up to there.
    """

    stage: int
    steps: int
    evaluations: int
    image: np.ndarray
    leaves: dict[str, Any]
    trace: list[dict[str, float]]


class Made(NamedTuple):
    """What ``coarse_to_fine`` gives, under the names of ``Result``; of lanes, [lanes, H, W, 3] and lists."""

    image: np.ndarray
    losses: dict[str, PerRun]
    steps: PerRun
    evaluations: PerRun
    ended: PerRun


def coarse_to_fine(
    function: Function,
    stages: Sequence[Stage],
    image: np.ndarray,
    config: Complete,
    recorder: Recorder,
    *,
    chunk: int,
    looks: int = 0,
    lanes: bool = False,
    enlarge: Callable[[np.ndarray, tuple[int, int]], np.ndarray],
    place: Callable[[np.ndarray], jax.Array] = jnp.asarray,
    position: Position | None = None,
    keep: Callable[[Position, bool], None] | None = None,
) -> Made:
    """Lowers ``function`` of each stage's goal and the image in turn, from ``image`` on.

    Args:
      function, chunk, looks, lanes: as ``minimise.minimise`` takes them.
      stages: each starts from the result of the one before, clipped to [0, 1], and Adam from its moments; L-BFGS's
        memory is of no use at another size, and starts anew. The losses of the result are the last one's, in float32.
        Where the memory ends in another than the first, a single run ends with the picture of the one before, at its
        size and without losses.
      image: the start, [H, W, 3] or [lanes, H, W, 3].
      config: names the optimiser.
      recorder: takes down the losses; its ``masks`` say what of the image is kept.
      place: puts an image on the device or the devices.
      enlarge: takes the image from one size to the next, (height, width).
      position: where a single run goes on, as an earlier call had it, whose leaves are given up; None for the start.
      keep: of a single run told of the position after every chunk, and whether the run ends there by ``Stop``.

    Raises ValueError for a ``position`` of another run.
    """
    bounds = (0.0, 1.0) if config.pixel_range == "bounded" and config.optimizer == "adam" else None
    method = Method(config.optimizer, config.history, config.averaging, config.second_decay, bounds)
    inner = None
    rate = 1.0 if config.optimizer == "lbfgs" else config.learning_rate
    runs = image.shape[:1] if lanes else ()
    recorder.start(runs, sum(stage.steps for stage in stages))
    steps, evaluations, ended = np.zeros(runs, int), np.ones(runs, int), np.full(runs, "", object)
    last = stages[-1]
    first, leaves = 0, None
    if position is not None:
        first, image = position.stage, position.image
        leaves = [position.leaves.pop(name) for name in list(position.leaves)]
        steps, evaluations = np.asarray(position.steps), np.asarray(position.evaluations)
        recorder.before, recorder.traces = steps, [list(position.trace)]
        if not 0 <= first < len(stages):
            raise ValueError("the position is in a stage that the run does not have")
    for number, stage in enumerate(stages[first:], start=first):
        goal = None  # the one before goes first, to save memory
        at = functools.partial(position_at, number, int(steps), int(evaluations), image) if keep else None
        try:
            if not lanes:  # those are spread over devices, which shapes alone do not tell
                compile_stage(function, method, stage, chunk, looks, int(steps))
            goal, going = stage.goal(False), np.equal(ended, "")
            outcome = minimise.minimise(
                method,
                function,
                goal,
                place(enlarge(image, stage.size)),
                steps=stage.steps * going,
                rate=rate,
                inner=inner,
                on_chunk=functools.partial(look, recorder, at, keep),
                lanes=lanes,
                chunk=chunk,
                looks=0 if lanes else looks,
                before=0 if lanes else int(steps),
                leaves=leaves,
            )
            leaves = None
        except Exception as error:
            if lanes or not number or not is_exhausted(error):
                raise
            goal = inner = leaves = None
            stage, ended = stages[number - 1], np.full(runs, "out of memory", object)
            break
        steps = recorder.before = steps + outcome.steps
        evaluations += outcome.evaluations
        ended = np.where(going, np.array(outcome.reason, object), ended)
        image = clipped(outcome.x, None)  # what is frozen is painted on: it is put in its place in the end
        if method.name == "adam" and stage is not last:
            inner = moments_at(outcome.inner, *stages[number + 1].size)
        del outcome  # with the optimiser's memory, which would be there twice with the next one's
        if np.not_equal(ended, "").all():
            break
    exhausted = np.equal(ended, "out of memory").any()
    if stage.size != last.size and not exhausted:  # ended at a coarse scale: the result has the size asked for
        image = enlarge(image, last.size)
    image = recorder.masks.keep(image) if recorder.masks else image
    if exhausted:
        return Made(image, {}, int(steps), int(evaluations), "out of memory")  # as it is: no more memory is asked for
    if config.tileable:
        image = seamless(image)
    compiled = stage is last and stage.precision == "float32"
    if not compiled:
        goal = None
        give_back_freed_memory()
        goal = last.goal(True)
    losses = minimise.evaluate(method, function, goal, place(image), lanes, compiled=compiled)
    return Made(image, losses, np.asarray(steps).tolist(), evaluations.tolist(), ended.tolist())


def look(
    recorder: Recorder,
    at: Callable[[Chunk, Recorder], Position] | None,
    keep: Callable[[Position, bool], None] | None,
    chunk: Chunk,
) -> None:
    """What is done between two chunks: the recorder takes it down, then the position is kept, also where it stops."""
    try:
        recorder.record(chunk)
    except Stop:
        if at and keep:
            keep(at(chunk, recorder), True)
        raise
    if at and keep:
        keep(at(chunk, recorder), False)


def position_at(
    stage: int, steps: int, evaluations: int, image: np.ndarray, chunk: Chunk, recorder: Recorder
) -> Position:
    """The position of a run after a chunk of a stage, which began with ``image`` after so many steps."""
    return Position(stage, steps, evaluations, image, named_leaves(chunk.point), recorder.traces[0])


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves of a pytree by their places in it, such as ``state.inner.steps``, in their order."""
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def compile_stage(
    function: Function, method: Method, stage: Stage, chunk: int, looks: int = 0, before: int = 0
) -> None:
    """Compiles a stage's programs before its goal is there, of which only shapes are needed.

    Compiling takes hundreds of megabytes; so those are never needed beside the targets and the optimiser's state.
    """
    goal = jax.eval_shape(functools.partial(stage.goal, False))
    start = jax.ShapeDtypeStruct((*stage.size, 3), jnp.float32)
    minimise.compile_chunks(method, function, goal, start, stage.steps, chunk, looks, before)
    give_back_freed_memory()
