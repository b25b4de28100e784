"""From coarse to fine: the stages of a run in turn, each from the picture of the one before."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.choices import Precision
from nst_jax.losses.shards import Laid, Shards
from nst_jax.losses.tiles import Tiles
from nst_jax.meshes import whole
from nst_jax.optim import minimise
from nst_jax.optim.minimise import Chunk, PerRun, Stop
from nst_jax.optim.steps import Function, Method, moments_at
from nst_jax.options.config import Complete
from nst_jax.runs import processes, scales
from nst_jax.runs.allocator import forget_programs, give_back_freed_memory
from nst_jax.runs.finish import seamless
from nst_jax.runs.memory import counted, is_exhausted
from nst_jax.runs.progress import Recorder, clipped


class Stage(NamedTuple):
    """Some steps at one size, under one network.

    Attributes:
      size: (height, width).
      steps: how many.
      goal: what is lowered, or if its argument is True the same for the losses that are told: in float32, and for
        once. Of lanes a pair (shared, own).
      precision: of the network during the steps.
      tiles: how the goal is evaluated part by part; None for the whole at once.
      shards: how the image lies on several devices, where it does; then the goal's numbers are laid out so.
      history: pairs that L-BFGS remembers; None for as many as the options say.
      leaner: the same in less memory, for where that ends; None for none.
    """

    size: tuple[int, int]
    steps: int
    goal: Callable[[bool], Any]
    precision: Precision
    tiles: Tiles | None = None
    history: int | None = None
    leaner: Callable[[], Stage] | None = None
    shards: Shards | None = None

    def way(self, function: Function) -> Function:
        """How ``function`` of the goal and the image is evaluated."""
        return self.shards or self.tiles or function

    def laid_goal(self, told: bool) -> Any:
        """The goal, on the devices."""
        goal = self.goal(told)
        return self.shards.lay(goal) if self.shards else goal


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
      leaner: whether the memory had ended, so that stages are in less of it: see ``Stage.leaner``.
      steps, evaluations: at the stages before.
      image: the result of the stage before, or the start, NumPy.
      leaves: of the ``minimise.Point`` in the stage, by their names; as a run has them, they are on the device, and
        valid until the next chunk starts.
      trace: of the run, up to there.
    """

    stage: int
    leaner: bool
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
    notes: tuple[str, ...] = ()


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
    on_scale: Callable[[np.ndarray], None] | None = None,
) -> Made:
    """Lowers ``function`` of each stage's goal and the image in turn, from ``image`` on.

    Args:
      function, chunk, looks, lanes: as ``minimise.minimise`` takes them.
      stages: each starts from the result of the one before, clipped to [0, 1], and Adam from its moments; L-BFGS's
        memory is of no use at another size, and starts anew. The losses of the result are the last one's, in float32.
        Where the memory ends, a single run goes on in less of it, once, by the stage's ``leaner``. Where it ends again
        in another than the first, the run ends with the picture of the one before, at its size and without losses.
      image: the start, [H, W, 3] or [lanes, H, W, 3].
      config: names the optimiser.
      recorder: takes down the losses; its ``masks`` say what of the image is kept.
      place: puts an image on the device or the devices, where the stage has no shards.
      enlarge: takes the image from one size to the next, (height, width).
      position: where a single run goes on, as an earlier call had it, whose leaves are given up; None for the start.
      keep: of a single run told of the position after every chunk, and whether the run ends there by ``Stop``.
      on_scale: told of the image that each stage gives, as the result would be.

    Raises ValueError for a ``position`` of another run.
    """
    inner: Any = None
    notes, stages, number, leaner, leaves = [], list(stages), 0, False, None
    rate = 1.0 if config.optimizer == "lbfgs" else config.learning_rate
    runs = image.shape[:1] if lanes else ()
    recorder.start(runs, sum(stage.steps for stage in stages))
    steps, evaluations, ended = np.zeros(runs, int), np.ones(runs, int), np.full(runs, "", object)
    if position is not None:
        number, image, leaner = position.stage, position.image, position.leaner
        leaves = [position.leaves.pop(name) for name in list(position.leaves)]
        steps, evaluations = np.asarray(position.steps), np.asarray(position.evaluations)
        recorder.before, recorder.traces = steps, [list(position.trace)]
        if not 0 <= number < len(stages):
            raise ValueError("the position is in a stage that the run does not have")
        if leaner:
            stages[number:] = in_less(stages[number:])
    while number < len(stages):
        stage, goal, exhausted = stages[number], None, False  # the goal before goes first, to save memory
        method = method_of(config, stage.history)
        way, put = stage.way(function), stage.shards.place if stage.shards else place
        if stage.tiles and number:
            forget_programs(math.prod(stage.size))
        at = functools.partial(position_at, number, leaner, int(steps), int(evaluations), image) if keep else None
        try:
            if not lanes:  # those are spread over devices, which shapes alone do not tell
                compile_stage(way, method, stage, chunk, looks, int(steps))
            goal, going = stage.laid_goal(False), np.equal(ended, "")
            outcome = minimise.minimise(
                method,
                way,
                goal,
                put(enlarge(image, stage.size)),
                steps=stage.steps * going,
                rate=rate,
                inner=inner,
                on_chunk=functools.partial(look, recorder, at, keep, stage.shards, bool(looks)),
                lanes=lanes,
                chunk=chunk,
                looks=0 if lanes else looks,
                before=0 if lanes else int(steps),
                leaves=leaves,
            )
            leaves = None
        except Exception as error:
            alone = not (lanes or processes.several())  # others would not know that this one goes another way
            if not alone or not is_exhausted(error) or not (number or stage.leaner):
                raise
            exhausted = True
        if exhausted:  # no more within the except, where the error holds what was in the memory
            goal = inner = leaves = None
            if stage.leaner:
                leaner, stages[number:] = True, in_less(stages[number:])
                del recorder.traces[0][int(steps) :]  # the stage starts anew
                notes.append(f"the memory ended at {max(stage.size)} pixels; it went on {words_of(stages[number])}")
                continue
            stage, ended = stages[number - 1], np.full(runs, "out of memory", object)
            break
        steps = recorder.before = steps + outcome.steps
        evaluations += outcome.evaluations
        ended = np.where(going, np.array(outcome.reason, object), ended)
        if outcome.stopped and number + 1 < len(stages):  # also where this was the stage's last step
            ended = np.where(np.equal(ended, ""), "stopped", ended)
        # what is frozen is painted on: it is put in its place in the end
        image = clipped(seen(outcome.x, stage.shards), None)
        if method.name == "adam" and number + 1 < len(stages):
            inner = moments(outcome.inner, stage, stages[number + 1])
        del outcome  # with the optimiser's memory, which would be there twice with the next one's
        if on_scale:
            on_scale(recorder.masks.keep(image) if recorder.masks else image)
        if np.not_equal(ended, "").all():
            break
        number += 1
    last, exhausted = stages[-1], np.equal(ended, "out of memory").any()
    if stage.size != last.size and not exhausted:  # ended at a coarse scale: the result has the size asked for
        image = enlarge(image, last.size)
    image = recorder.masks.keep(image) if recorder.masks else image
    if exhausted:
        # as it is: no more memory is asked for
        return Made(image, {}, int(steps), int(evaluations), "out of memory", tuple(notes))
    if config.tileable:
        image = seamless(image)
        image = recorder.masks.keep(image) if recorder.masks else image
    compiled = stage is last and stage.precision == "float32"
    if not compiled:
        goal = None
        give_back_freed_memory()
        goal = last.laid_goal(True)
    placed = last.shards.place(image) if last.shards else place(image)
    losses = minimise.evaluate(method, last.way(function), goal, placed, lanes, compiled=compiled)
    return Made(image, losses, np.asarray(steps).tolist(), evaluations.tolist(), ended.tolist(), tuple(notes))


def method_of(config: Complete, history: int | None = None) -> Method:
    """The optimiser of a run; L-BFGS remembers so many pairs, or as many as the options say."""
    bounds = (0.0, 1.0) if config.pixel_range == "bounded" and config.optimizer == "adam" else None
    pairs = config.history if history is None else history
    return Method(config.optimizer, pairs, config.averaging, config.second_decay, bounds)


def in_less(stages: Sequence[Stage]) -> list[Stage]:
    """Stages in less memory, those of which have a way to do so."""
    return [each.leaner() if each.leaner else each for each in stages]


def words_of(stage: Stage) -> str:
    """How a stage gets along with less memory, for a note."""
    pairs = f" and {counted(stage.history)}" if stage.history else ""
    return f"with tiles of {stage.tiles.side} pixels{pairs}" if stage.tiles else "once more"


def look(
    recorder: Recorder,
    at: Callable[[Chunk, Recorder], Position] | None,
    keep: Callable[[Position, bool], None] | None,
    shards: Shards | None,
    shown: bool,
    chunk: Chunk,
) -> None:
    """What is done between two chunks: the recorder takes it down, then the position is kept, also where it stops.

    Several processes stop together. They fetch the image together, too, where it may be ``shown``.
    """
    image, stopped = seen(chunk.x, shards), False
    if shown and processes.several():
        image = np.asarray(image)
    try:
        recorder.record(chunk._replace(x=image))
    except Stop:
        stopped = True
    stopped = processes.any_of(stopped)
    if at and keep:
        keep(at(chunk, recorder), stopped)
    if stopped:
        raise Stop


def seen(image: jax.Array, shards: Shards | None) -> Any:
    """An image on the devices, as what NumPy takes."""
    return Laid(shards, image) if shards else image


def moments(inner: Any, before: Stage, after: Stage) -> Any:
    """Adam's moments at a stage, from those at the one before, where that is to place them."""
    if one := before.shards:
        inner = jax.tree.map(lambda leaf: jnp.asarray(one.taken(leaf) if leaf.ndim else whole(leaf)), inner)
    larger = moments_at(inner, *after.size)
    if not (other := after.shards):
        return larger
    return jax.tree.map(lambda leaf: other.place(leaf) if leaf.ndim else other.everywhere([leaf])[0], larger)


def position_at(
    stage: int, leaner: bool, steps: int, evaluations: int, image: np.ndarray, chunk: Chunk, recorder: Recorder
) -> Position:
    """The position of a run after a chunk of a stage, which began with ``image`` after so many steps."""
    return Position(stage, leaner, steps, evaluations, image, named_leaves(chunk.point), recorder.traces[0])


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
    if minimise.in_python(function):
        return
    goal = jax.eval_shape(functools.partial(stage.goal, False))
    start = jax.ShapeDtypeStruct((*stage.size, 3), jnp.float32)
    if stage.shards:
        goal, start = stage.shards.abstract(goal), stage.shards.abstract_image()
    minimise.compile_chunks(method, function, goal, start, stage.steps, chunk, looks, before)
    give_back_freed_memory()
