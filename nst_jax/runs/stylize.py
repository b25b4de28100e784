"""``stylize``: one photograph, painted in the style of one or more paintings. Plan, run, result; start reading here."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.losses import objective
from nst_jax.networks.vgg import Network, network, once
from nst_jax.networks.weights import Weights
from nst_jax.optim.minimise import Stop
from nst_jax.options.config import Config
from nst_jax.pictures import masks
from nst_jax.pictures.images import Picture
from nst_jax.pictures.masks import Masks
from nst_jax.runs import inputs, scales
from nst_jax.runs.compiling import compile_seconds
from nst_jax.runs.inputs import Pictures, Source
from nst_jax.runs.plan import Pass, prepare
from nst_jax.runs.progress import Progress, Recorder
from nst_jax.runs.pyramid import Stage, coarse_to_fine, stages_at


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
