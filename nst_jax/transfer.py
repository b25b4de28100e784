"""``stylize``: one photograph, painted in the style of one or more paintings. Plan, run, result; start reading here."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax import images, layers, objective, optimize
from nst_jax.compile_clock import compile_seconds
from nst_jax.config import STARTS, Config
from nst_jax.errors import NSTError
from nst_jax.images import Picture
from nst_jax.networks import Network, network
from nst_jax.optimize import Stop
from nst_jax.weights import Weights, choose_weights

Source = str | os.PathLike[str] | np.ndarray | Picture


@dataclasses.dataclass(frozen=True)
class Progress:
    """What ``on_progress`` is told, after every chunk of steps.

    Attributes:
      step, steps: taken so far, and of the whole run; over all scales.
      terms: the losses of the latest evaluation: content, style, tv (unweighted) and total (weighted).
      size: (width, height) of the picture at the present scale.
      image: gives the picture so far, float32 RGB in [0, 1], [H, W, 3].
      note: what went wrong and was mended since the last time, or "".
    """

    step: int
    steps: int
    terms: dict[str, float]
    size: tuple[int, int]
    image: Callable[[], np.ndarray]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Result:
    """A picture and how it came about.

    Attributes:
      image: float32 RGB in [0, 1], [H, W, 3].
      alpha: the content picture's, float32 in [0, 1], [H, W], or None.
      config: the options, complete.
      losses: of ``image``: content, style, tv (unweighted) and total (weighted).
      trace: the same for every evaluation, with its ``step``, ``seconds`` since the start, and ``size``, the longest
        side at that scale; losses of different scales do not compare.
      steps: taken, over all scales.
      evaluations: of loss and gradient paid for, at any scale, the last one for ``losses`` included.
      seconds: load, compile, run and total.
      inputs: of each input picture: role, path, sha256 and size (width, height) of the file.
      weights: network, sha256 and metadata of the weights.
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
    content: Source,
    style: Source | Sequence[Source],
    config: Config | None = None,
    *,
    weights: Weights | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Result:
    """Paints ``content`` in the style of ``style``.

    Args:
      content: a picture: a file's path, an RGB array in [0, 1] of shape [H, W, 3], or a ``Picture``.
      style: likewise; or several, which then count alike.
      config: the options; the default preset's where None.
      weights: the network's, instead of those that ``config`` names.
      on_progress: called after every chunk; may raise ``Stop`` to end the run with the picture so far.

    Returns the picture with its losses, trace, timings and origins.

    Raises NSTError, in one line, for pictures, weights or options that cannot be used.
    """
    started, compiled = time.perf_counter(), compile_seconds()
    config = config or Config()
    weights = weights or choose_weights(config.network, config.weights)
    config = dataclasses.replace(config, network=weights.network)
    photograph, paintings = load_pictures(content, style, config)
    net = network(weights, config.pooling)
    sizes = scale_sizes(photograph.pixels.shape[:2], config)
    counts = [config.coarse_steps] * (len(sizes) - 1) + [config.steps]
    method = optimize.Method(config.optimizer, config.history)
    rate = 1.0 if config.optimizer == "lbfgs" else config.learning_rate
    loaded = time.perf_counter()

    image = start_image(photograph, paintings, sizes[0], config)
    recorder = _Recorder(on_progress, started, steps=sum(counts))
    evaluations = 0
    for size, count in zip(sizes, counts, strict=True):
        goal = build_objective(net, photograph, paintings, size, config)
        start = jnp.asarray(images.resize(image, *size))
        outcome = optimize.minimise(method, loss_of, goal, start, steps=count, rate=rate, on_chunk=recorder.record)
        recorder.before += outcome.steps
        evaluations += outcome.evaluations
        image = _clipped(outcome.x)
        if outcome.reason:
            break
    if size != sizes[-1]:  # ended at a coarse scale: the result still has the size that was asked for
        image = images.resize(image, *sizes[-1])
        goal = build_objective(net, photograph, paintings, sizes[-1], config)
    losses = optimize.evaluate(method, loss_of, goal, jnp.asarray(image))
    ended = time.perf_counter()
    compiling = compile_seconds() - compiled
    return Result(
        image=image,
        alpha=photograph.alpha,
        config=config,
        losses=losses,
        trace=recorder.trace,
        steps=recorder.before,
        evaluations=evaluations + 1,
        seconds={
            "load": loaded - started,
            "compile": compiling,
            "run": max(0.0, ended - loaded - compiling),
            "total": ended - started,
        },
        inputs=[
            {"role": role, "path": str(picture.path), "sha256": picture.sha256, "size": list(picture.size)}
            for role, picture in [("content", photograph), *(("style", painting) for painting in paintings)]
        ],
        weights={"name": weights.network, "sha256": weights.sha256, **weights.metadata},
        notes=[f"{picture.path}: {note}" for picture in (photograph, *paintings) for note in picture.notes],
        ended=outcome.reason,
    )


def load_pictures(content: Source, style: Source | Sequence[Source], config: Config) -> tuple[Picture, list[Picture]]:
    """The photograph at the size of the result, and the paintings at theirs, all with their aspect ratios.

    Raises NSTError for a picture that cannot be read, is too small for the network's deepest layer, or none at all.
    """
    styles = [style] if isinstance(style, str | os.PathLike | np.ndarray | Picture) else list(style)
    if not styles:
        raise NSTError("no style picture is given: give one at least")
    photograph = as_picture(content, config.size, enlarge=True)
    style_size = config.style_size or config.size
    paintings = [as_picture(one, style_size, enlarge=False) for one in styles]
    taps = {**config.content_layer_weights, **config.style_layer_weights}
    least = layers.smallest_side(config.network, taps)
    for picture in (photograph, *paintings):
        height, width = picture.pixels.shape[:2]
        if min(height, width) < least:
            raise NSTError(
                f"{picture.path} is {width} x {height} pixels at this size; the layers in use need {least} on the"
                " shorter side: give a larger --size, a larger picture or less deep layers"
            )
    return photograph, paintings


def as_picture(source: Source, longest_side: int, *, enlarge: bool) -> Picture:
    """A file, array or ``Picture`` as a ``Picture`` of the size wanted. Raises NSTError for an unusable one."""
    if isinstance(source, str | os.PathLike):
        return images.load_image(source, longest_side=longest_side, enlarge=enlarge)
    if isinstance(source, Picture):
        pixels, origin = source.pixels, source
    else:
        pixels = np.asarray(source, np.float32)
        if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise NSTError(f"an image of shape {list(pixels.shape)} is not RGB: give [height, width, 3]")
        if not (pixels.min() >= 0 and pixels.max() <= 1):
            raise NSTError("an image has values outside [0, 1]: divide by 255, or clip")
        origin = Picture(pixels, None, Path("array"), "", (pixels.shape[1], pixels.shape[0]))
    height, width = pixels.shape[:2]
    size = images.fit_size(height, width, longest_side)
    if size == (height, width) or (max(size) > max(height, width) and not enlarge):
        return origin
    alpha = None if origin.alpha is None else images.resize(origin.alpha, *size)
    return dataclasses.replace(origin, pixels=images.resize(pixels, *size), alpha=alpha)


def scale_sizes(full: tuple[int, int], config: Config) -> list[tuple[int, int]]:
    """(height, width) of each scale, coarse to fine, each twice the one before; the last is ``full``.

    Scales at which the network's deepest layer would keep fewer than 2 × 2 positions are left out.
    """
    taps = {**config.content_layer_weights, **config.style_layer_weights}
    least = 2 * layers.smallest_side(config.network, taps)
    sizes = [full]
    for octave in range(1, config.scales):
        size = images.fit_size(*full, max(1, round(max(full) / 2**octave)))
        if min(size) < least:
            break
        sizes.insert(0, size)
    return sizes


def start_image(photograph: Picture, paintings: list[Picture], size: tuple[int, int], config: Config) -> np.ndarray:
    """The image from which the run starts, float32 RGB in [0, 1], [H, W, 3]: photograph, painting, noise or a file.

    Noise is uniform in [0, 1]. A painting or file is cut about its middle to the photograph's aspect ratio.
    """
    if config.init == "noise":
        return np.random.default_rng(config.seed).uniform(size=(*size, 3)).astype(np.float32)
    if config.init == "content":
        return images.resize(photograph.pixels, *size)
    if config.init == "style":
        return cover(paintings[0].pixels, *size)
    if not Path(config.init).exists():
        raise NSTError(f"no start image {config.init!r}: give {', '.join(STARTS)} or a picture's file")
    return cover(images.load_image(config.init).pixels, *size)


def cover(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """[H, W, 3] resized and cut about its middle to [height, width, 3], without stretching it."""
    factor = max(height / pixels.shape[0], width / pixels.shape[1])
    tall, wide = max(height, round(pixels.shape[0] * factor)), max(width, round(pixels.shape[1] * factor))
    top, left = (tall - height) // 2, (wide - width) // 2
    return images.resize(pixels, tall, wide)[top : top + height, left : left + width]


def build_objective(
    net: Network, photograph: Picture, paintings: list[Picture], size: tuple[int, int], config: Config
) -> objective.Objective:
    """The objective at one scale: the photograph at ``size``, the paintings reduced by the same factor.

    A painting is never reduced to less than the network's deepest layer needs.
    """
    factor = max(size) / max(photograph.pixels.shape[:2])
    least = layers.smallest_side(config.network, {**config.content_layer_weights, **config.style_layer_weights})
    reduced = []
    for painting in paintings:
        height, width = painting.pixels.shape[:2]
        shrink = max(factor, least / min(height, width))
        reduced.append(images.resize(painting.pixels, round(height * shrink), round(width * shrink)))
    return objective.build(
        net,
        jnp.asarray(images.resize(photograph.pixels, *size)),
        [jnp.asarray(pixels) for pixels in reduced],
        content_layers=config.content_layer_weights,
        style_layers=config.style_layer_weights,
        content_weight=config.content_weight,
        style_weight=config.style_weight,
        tv_weight=config.tv_weight,
        convention=config.loss,
    )


@dataclasses.dataclass
class _Recorder:
    """Keeps the trace of a run over all its scales, and passes on its progress."""

    on_progress: Callable[[Progress], None]
    started: float
    steps: int
    before: int = 0  # steps taken at the scales before
    trace: list[dict[str, float]] = dataclasses.field(default_factory=list)

    def record(self, chunk: optimize.Chunk) -> None:
        """Takes down the evaluations of one chunk."""
        done = self.before + chunk.done
        height, width = chunk.x.shape[:2]
        seconds = time.perf_counter() - self.started
        rows = zip(*chunk.terms.values(), strict=True)
        for step, row in enumerate(rows, start=done + 1 - len(next(iter(chunk.terms.values()), ()))):
            terms = dict(zip(chunk.terms, map(float, row), strict=True))
            self.trace.append({"step": step, "seconds": round(seconds, 3), "size": max(height, width), **terms})
        latest = {key: self.trace[-1][key] for key in chunk.terms}
        image = functools.partial(_clipped, chunk.x)
        self.on_progress(Progress(done, self.steps, latest, (width, height), image, chunk.note))


def _clipped(image: jax.Array) -> np.ndarray:
    """An image on the device as NumPy, clipped to [0, 1]."""
    return np.clip(np.asarray(image), 0, 1)


__all__ = ["Config", "Progress", "Result", "Stop", "stylize"]
