"""From coarse to fine: the stages of a run in turn, each from the picture of the one before."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.choices import Precision
from nst_jax.losses.tiles import Tiles
from nst_jax.optim import minimise
from nst_jax.optim.minimise import PerRun
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
      tiles: how the goal is evaluated part by part; None for the whole at once.
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
      place: puts an image on the device or the devices.
      enlarge: takes the image from one size to the next, (height, width).
    """
    bounds = (0.0, 1.0) if config.pixel_range == "bounded" and config.optimizer == "adam" else None
    inner, notes, stages, completed = None, [], list(stages), 0
    rate = 1.0 if config.optimizer == "lbfgs" else config.learning_rate
    runs = image.shape[:1] if lanes else ()
    recorder.start(runs, sum(stage.steps for stage in stages))
    steps, evaluations, ended = np.zeros(runs, int), np.ones(runs, int), np.full(runs, "", object)
    for number, stage in enumerate(stages):
        goal = None  # the one before goes first, to save memory
        history = config.history if stage.history is None else stage.history
        method = Method(config.optimizer, history, config.averaging, config.second_decay, bounds)
        lowered, exhausted = stage.tiles or function, False
        try:
            if not lanes:  # those are spread over devices, which shapes alone do not tell
                compile_stage(lowered, method, stage, chunk, looks, int(steps))
            goal, going = stage.goal(False), np.equal(ended, "")
            outcome = minimise.minimise(
                method,
                lowered,
                goal,
                place(enlarge(image, stage.size)),
                steps=stage.steps * going,
                rate=rate,
                inner=inner,
                on_chunk=recorder.record,
                lanes=lanes,
                chunk=chunk,
                looks=0 if lanes else looks,
                before=0 if lanes else int(steps),
            )
        except Exception as error:
            if lanes or not is_exhausted(error) or not (completed or stage.leaner):
                raise
            exhausted = True
        if exhausted:  # no more within the except, where the error holds what was in the memory
            goal = inner = None
            if stage.leaner:
                stages[number + 1 :] = [each.leaner() if each.leaner else each for each in stages[number:]]
                notes.append(f"the memory ended at {max(stage.size)} pixels; it went on {words_of(stages[number + 1])}")
                continue
            stage, ended = stages[number - 1], np.full(runs, "out of memory", object)
            break
        completed += 1
        steps = recorder.before = steps + outcome.steps
        evaluations += outcome.evaluations
        ended = np.where(going, np.array(outcome.reason, object), ended)
        image = clipped(outcome.x, None)  # what is frozen is painted on: it is put in its place in the end
        if method.name == "adam" and number + 1 < len(stages):
            inner = moments_at(outcome.inner, *stages[number + 1].size)
        del outcome  # with the optimiser's memory, which would be there twice with the next one's
        if np.not_equal(ended, "").all():
            break
    last, exhausted = stages[-1], np.equal(ended, "out of memory").any()
    if stage.size != last.size and not exhausted:  # ended at a coarse scale: the result has the size asked for
        image = enlarge(image, last.size)
    image = recorder.masks.keep(image) if recorder.masks else image
    if exhausted:
        # as it is: no more memory is asked for
        return Made(image, {}, int(steps), int(evaluations), "out of memory", tuple(notes))
    if config.tileable:
        image = seamless(image)
    compiled = stage is last and stage.precision == "float32"
    if not compiled:
        goal = None
        give_back_freed_memory()
        goal = last.goal(True)
    losses = minimise.evaluate(method, last.tiles or function, goal, place(image), lanes, compiled=compiled)
    return Made(image, losses, np.asarray(steps).tolist(), evaluations.tolist(), ended.tolist(), tuple(notes))


def words_of(stage: Stage) -> str:
    """How a stage gets along with less memory, for a note."""
    pairs = f" and {stage.history} pairs of steps" if stage.history else ""
    return f"with tiles of {stage.tiles.side} pixels{pairs}" if stage.tiles else "once more"


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
    minimise.compile_chunks(method, function, goal, start, stage.steps, chunk, looks, before)
    give_back_freed_memory()
