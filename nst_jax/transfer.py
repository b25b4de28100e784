"""``stylize``: one photograph, painted in the style of one or more paintings. Plan, run, result; start reading here."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax import inputs, masks, methods, objective, optimize, scales
from nst_jax.ahead import ahead
from nst_jax.allocator import give_back_freed_memory
from nst_jax.compile_clock import compile_seconds
from nst_jax.config import Config
from nst_jax.images import Picture
from nst_jax.inputs import Pictures, Source
from nst_jax.masks import Masks
from nst_jax.networks import Network, network, once
from nst_jax.optimize import Stop
from nst_jax.prepare import Pass, prepare
from nst_jax.recorder import Progress, Recorder, clipped
from nst_jax.weights import Weights


@dataclasses.dataclass(frozen=True)
class Result:
    """A picture and how it came about.

    Attributes:
      image: float32 RGB in [0, 1], [H, W, 3].
      alpha: the content picture's, float32 in [0, 1], [H, W], or None.
      config: the options, complete.
      losses: of ``image``: content, style, tv (unweighted) and total (weighted). Where luminance alone is painted, of
        the grey picture, before it is given its colours.
      trace: the same for every evaluation, with its ``step``, ``seconds`` since the start, and ``size``, the longest
        side at that scale; losses of different scales, or of ``slim`` before it is refined, do not compare.
      steps: taken, over all scales.
      evaluations: of loss and gradient paid for, at any scale, the last one for ``losses`` included.
      seconds: load, compile, run and total.
      inputs: of each input picture: role, path, sha256 and size (width, height) of the file.
      weights: network, sha256 and metadata of the weights, and the precision of the steps.
      notes: what was wrong with an input but could be passed over, one line each.
      ended: "" after all steps, "stopped" after ``Stop``, "not finite" where the loss did not stay finite.
    """

    image: np.ndarray
    alpha: np.ndarray | None
    config: Config
    losses: dict[str, float]
    trace: list[dict[str, float]]
    steps: int
    evaluations: int
    seconds: dict[str, float]
    inputs: list[dict[str, object]]
    weights: dict[str, object]
    notes: list[str]
    ended: str


def loss_of(goal: objective.Objective, image: jax.Array) -> tuple[jax.Array, objective.Terms]:
    """What is lowered: the objective at an image. One function, so that one compiled program serves every picture."""
    return goal(image)


def stylize(
    content: Source | None,
    style: Source | Sequence[Source],
    config: Config | None = None,
    *,
    weights: Weights | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Result:
    """Paints ``content`` in the style of ``style``.

    Args:
      content: a picture: a file's path, an RGB array in [0, 1] of shape [H, W, 3], or a ``Picture``. None makes a
        texture, of the style's aspect ratio; then there must be no content layers, and another start than "content".
      style: likewise; or several, which count alike or by ``config.style_blend``; a folder's path stands for all
        pictures in it. None of them, [], where there are no style layers: that reconstructs the photograph from its
        content.
      config: the options; the default preset's where None.
      weights: the network's, instead of those that ``config`` names.
      on_progress: called after every chunk; may raise ``Stop`` to end the run with the picture so far.

    Returns the picture with its losses, trace, timings and origins.

    Raises NSTError, in one line, for pictures, weights or options that cannot be used.
    """
    started, compiled = time.perf_counter(), compile_seconds()
    config, weights, pictures, passes, plan = prepare(content, style, config, weights=weights)
    photograph, given = pictures.photograph, pictures.masks
    image = inputs.start_image(pictures, passes[0].sizes[0], config)
    finish = functools.partial(inputs.finished, photograph=photograph, config=config)
    recorder = Recorder(on_progress, started, finish, given)
    loaded = time.perf_counter()
    stages = [stage for each in passes for stage in stages_of(each, pictures, plan.remat)]
    made = coarse_to_fine(loss_of, stages, image, config, recorder)
    return Result(
        image=finish(made.image),
        alpha=photograph.alpha if photograph else None,
        config=config,
        losses=made.losses,
        trace=recorder.traces[0],
        steps=made.steps,
        evaluations=made.evaluations,
        seconds=seconds_since(started, loaded, compiled),
        inputs=inputs.inputs_of(pictures),
        weights=origin_of(weights, stages[-1].precision),
        notes=inputs.notes_of(pictures),
        ended=made.ended,
    )


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
    precision: str


def stages_of(each: Pass, pictures: Pictures, remat: bool) -> list[Stage]:
    """The scales of one pass of a single run."""
    config, photograph, paintings = each.config, pictures.photograph, pictures.paintings
    net = network(each.weights, config.pooling, config.padding, each.precision)
    net = dataclasses.replace(net, remat=remat)

    def goal_at(size: tuple[int, int], told: bool) -> objective.Objective:
        return build_objective(exact(net) if told else net, photograph, paintings, size, config, pictures.masks)

    return stages_at(each.sizes, config, goal_at, net.precision)


def exact(net: Network) -> Network:
    """The network by which the losses of a result are told."""
    return once(dataclasses.replace(net, precision="float32"))


def stages_at(
    sizes: Sequence[tuple[int, int]],
    config: Config,
    goal_at: Callable[[tuple[int, int], bool], Any],
    precision: str,
) -> list[Stage]:
    """A stage at each (height, width), with the steps of ``config``; ``goal_at(size, told)`` is its goal."""
    return [
        Stage(size, steps, functools.partial(goal_at, size), precision)
        for size, steps in zip(sizes, scales.step_counts(sizes, config), strict=True)
    ]


class Made(NamedTuple):
    """What ``coarse_to_fine`` gives, under the names of ``Result``; of lanes, [lanes, H, W, 3] and lists."""

    image: np.ndarray
    losses: dict[str, optimize.PerRun]
    steps: optimize.PerRun
    evaluations: optimize.PerRun
    ended: optimize.PerRun


def coarse_to_fine(
    function: methods.Function,
    stages: Sequence[Stage],
    image: np.ndarray,
    config: Config,
    recorder: Recorder,
    *,
    lanes: bool = False,
    place: Callable[[np.ndarray], jax.Array] = jnp.asarray,
) -> Made:
    """Lowers ``function`` of each stage's goal and the image in turn, from ``image`` on.

    Args:
      function, lanes: as ``optimize.minimise`` takes them.
      stages: each starts from the result of the one before, clipped to [0, 1], and Adam from its moments; L-BFGS's
        memory is of no use at another size, and starts anew. The losses of the result are the last one's, in float32.
      image: the start, [H, W, 3] or [lanes, H, W, 3].
      config: tells the optimiser.
      recorder: takes down the losses; its ``masks`` say what of the image is kept.
      place: puts an image on the device or the devices.
    """
    bounds = (0.0, 1.0) if config.pixel_range == "bounded" and config.optimizer == "adam" else None
    method = methods.Method(config.optimizer, config.history, config.averaging, bounds)
    inner = None
    rate = 1.0 if config.optimizer == "lbfgs" else config.learning_rate
    runs = image.shape[:1] if lanes else ()
    recorder.start(runs, sum(stage.steps for stage in stages))
    steps, evaluations, ended = np.zeros(runs, int), np.ones(runs, int), np.full(runs, "", object)
    last = stages[-1]

    def compile_stage(stage: Stage) -> None:
        if not lanes:  # those are spread over devices, which shapes alone do not tell
            goal = jax.eval_shape(functools.partial(stage.goal, False))
            start = jax.ShapeDtypeStruct((*stage.size, 3), jnp.float32)
            optimize.compile_chunks(method, function, goal, start, stage.steps)
            give_back_freed_memory()

    with ahead([functools.partial(compile_stage, stage) for stage in stages]) as wait:
        for number, stage in enumerate(stages):
            goal = None  # the one before goes first, to save memory
            goal, going = stage.goal(False), np.equal(ended, "")
            wait(number)
            give_back_freed_memory()
            outcome = optimize.minimise(
                method,
                function,
                goal,
                place(inputs.resized(image, *stage.size, config.tileable)),
                steps=stage.steps * going,
                rate=rate,
                inner=inner,
                on_chunk=recorder.record,
                lanes=lanes,
            )
            steps = recorder.before = steps + outcome.steps
            evaluations += outcome.evaluations
            ended = np.where(going, np.array(outcome.reason, object), ended)
            image = clipped(outcome.x, recorder.masks)
            if method.name == "adam" and stage is not last:
                inner = methods.carried(outcome.inner, *stages[number + 1].size)
            if np.not_equal(ended, "").all():
                break
    if stage.size != last.size:  # ended at a coarse scale: the result still has the size that was asked for
        image = inputs.resized(image, *last.size, config.tileable)
        image = recorder.masks.keep(image) if recorder.masks else image
    if config.tileable:
        image = inputs.seamless(image)
    compiled = stage is last and stage.precision == "float32"
    if not compiled:
        goal = None
        give_back_freed_memory()
        goal = last.goal(True)
    losses = optimize.evaluate(method, function, goal, place(image), lanes, compiled=compiled)
    return Made(image, losses, np.asarray(steps).tolist(), evaluations.tolist(), ended.tolist())


def origin_of(weights: Weights, precision: str) -> dict[str, object]:
    """Which network the weights are of, their file's sha256, its metadata, and their precision in use."""
    return {"name": weights.network, "sha256": weights.sha256, **weights.metadata, "precision": precision}


def seconds_since(started: float, loaded: float, compiled: float) -> dict[str, float]:
    """A run's seconds, from the clock at its start and after loading, and the compile clock at its start."""
    ended, compiling = time.perf_counter(), compile_seconds() - compiled
    return {
        "load": loaded - started,
        "compile": compiling,
        "run": max(0.0, ended - loaded - compiling),
        "total": ended - started,
    }


def build_objective(
    net: Network,
    photograph: Picture | None,
    paintings: Sequence[Picture],
    size: tuple[int, int],
    config: Config,
    given: Masks | None = None,
) -> objective.Objective:
    """The objective at one scale: the photograph and masks at ``size``, the paintings reduced by the same factor."""
    reduced = [inputs.painting_at(painting, size, config) for painting in paintings]
    guiding: dict[str, Any] = {}
    if given:
        taps = config.style_layer_weights
        guiding["guidance"] = masks.guidance(given, net.name, size, config.content_layer_weights, taps)
        guiding["painting_guides"] = [
            masks.painting_guides(part, net.name, painting.shape[:2], taps)
            for part, painting in zip(given.parts, reduced, strict=True)
        ]
    return objective_of(
        net,
        None
        if photograph is None
        else inputs.as_painted(inputs.resized(photograph.pixels, *size, config.tileable), config),
        reduced,
        config,
        octaves=scales.octaves_at(size, [painting.shape[:2] for painting in reduced], config),
        **guiding,
    )


def objective_of(
    net: Network,
    photograph: np.ndarray | None,
    paintings: Sequence[np.ndarray | jax.Array],
    config: Config,
    **more: Any,
) -> objective.Objective:
    """The objective of pictures [H, W, 3] as they are, with the layers, weights and constants of ``config``.

    ``more`` is what ``objective.build`` takes of octaves and guidance.
    """
    config = config.for_network(net.name)
    return objective.build(
        net,
        None if photograph is None else jnp.asarray(photograph),
        [jnp.asarray(painting) for painting in paintings],
        content_layers=config.content_layer_weights,
        style_layers=config.style_layer_weights,
        style_blend=config.style_blend,
        convention=config.loss,
        moments=config.moments,
        tv_kind=config.tv_kind,
        tv_chroma=config.tv_chroma or 0.0,
        tileable=config.tileable,
        bounded=config.pixel_range == "bounded" and config.optimizer == "lbfgs",
        **(config.loss_weights | more),
    )


__all__ = ["Config", "Progress", "Result", "Stop", "stylize"]
