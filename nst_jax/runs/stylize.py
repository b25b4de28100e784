"""``stylize``: one photograph, painted in the style of one or more paintings. Plan, run, result; start reading here."""

from __future__ import annotations

import dataclasses
import functools
import numbers
from collections.abc import Callable, Sequence

import numpy as np

from nst_jax.choices import check_kind
from nst_jax.errors import NSTError
from nst_jax.losses.objective import Objective
from nst_jax.losses.shards import Shards
from nst_jax.losses.tiles import Tiles
from nst_jax.meshes import mesh_of
from nst_jax.networks.vgg import network
from nst_jax.networks.weights import Weights
from nst_jax.options.config import Config
from nst_jax.pictures.sources import Source
from nst_jax.runs import memory, processes, scales
from nst_jax.runs.allocator import keep_no_large_memory
from nst_jax.runs.finish import enlarged, finished
from nst_jax.runs.goals import Extra, Goals, exact, loss_of
from nst_jax.runs.machine import Machine
from nst_jax.runs.plan import Pass, Prepared, prepare, tile_wish
from nst_jax.runs.progress import Progress, Recorder
from nst_jax.runs.pyramid import Made, Position, Stage, coarse_to_fine
from nst_jax.runs.result import Result, origin_of, result_of
from nst_jax.runs.start import start_image


def stylize(
    content: Source | None,
    style: Source | Sequence[Source],
    config: Config | None = None,
    *,
    weights: Weights | None = None,
    more: Sequence[Extra] = (),
    machine: Machine | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    looks: int = 0,
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
      more: further terms of the objective.
      machine: what it runs on; that of JAX's default device where None.
      on_progress: called after every chunk; may raise ``Stop`` to end the run with the picture so far.
      looks: have it called after every so many steps, also where a chunk is longer; 0 for wherever a chunk ends.

    Returns the picture with its losses, trace, timings and origins.

    Raises NSTError, in one line, for pictures, weights or options that cannot be used.
    """
    check_kind("on_progress", on_progress, Callable, "a function of a Progress")
    check_kind("looks", looks, numbers.Integral, "a whole number of 0 or more")
    return paint(prepare(content, style, config, weights=weights, more=more, machine=machine), on_progress, looks)


def paint(
    run: Prepared,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    looks: int = 0,
    *,
    position: Position | None = None,
    keep: Callable[[Position, bool], None] | None = None,
    on_scale: Callable[[np.ndarray], None] | None = None,
) -> Result:
    """Does what ``prepare`` has prepared; ``on_progress``, ``looks`` and the result are as ``stylize`` has them.

    ``position`` is where the run goes on, and ``keep`` is told of each position: see ``pyramid.coarse_to_fine``, which
    has ``on_scale`` too, and ``checkpoints.Checkpoints``. Where several devices share the picture and one is lost, it
    is that of the scale before.
    """
    config, pictures, machine = run.config, run.pictures, run.machine
    image = start_image(pictures, run.passes[0].sizes[0], config)
    finish = functools.partial(finished, photograph=pictures.photograph, config=config)
    taken = position.trace[-1]["seconds"] if position and position.trace else 0.0
    recorder = Recorder(on_progress, run.clock.started - taken, finish, pictures.masks)
    run.clock.loaded()
    stages = [stage for each in run.passes for stage in stages_of(run, each)]
    enlarge = functools.partial(enlarged, config=config, toned=pictures.toned, share=config.detail_share)
    latest: list[np.ndarray] = []

    def scale_done(image: np.ndarray) -> None:
        latest[:] = [image]
        if on_scale:
            on_scale(finish(image))

    keep_no_large_memory(max(height * width for height, width in (run.sizes[-1], *run.footprint.paintings)))
    try:
        made = coarse_to_fine(
            loss_of,
            stages,
            image,
            config,
            recorder,
            chunk=machine.chunk,
            looks=looks,
            enlarge=enlarge,
            position=position,
            keep=keep,
            on_scale=scale_done,
        )
    except Exception as error:
        if machine.shards and processes.is_lost(error) and (latest or not memory.is_exhausted(error)):
            made = without(latest, len(recorder.traces[0]), error)
        elif not memory.is_exhausted(error):
            raise
        else:
            raise NSTError(f"the memory ended, though it was planned with: {smaller(run)}") from None
    seconds, origin = run.clock.seconds(), origin_of(run.weights, stages[-1].precision)
    result = result_of(made, finish(made.image), recorder.traces[0], config, pictures, origin, machine, seconds)
    result = dataclasses.replace(result, left=run.left, way=run.way(looks))
    given_up = [] if isinstance(config.tile, int) else memory.words(run.footprint, run.plan)
    result.notes.extend([*(f"memory: {each}" for each in given_up if run.plan.tile), *made.notes])
    if made.ended == "out of memory":
        height, width = made.image.shape[:2]
        note = f"the memory ended; this is the picture of the scale before, {width} x {height} pixels: {smaller(run)}"
        result.notes.append(note)
    return result


def without(latest: Sequence[np.ndarray], steps: int, error: Exception) -> Made:
    """The ``latest`` picture of a scale, if there is one, after so many steps where a process or a device was lost.

    Raises ``processes.Lost`` where there is none.
    """
    lost = f"a process or a device was lost ({processes.short(error)})"
    if not latest:
        raise processes.Lost(f"{lost}, and there is no picture yet") from None
    height, width = latest[0].shape[:2]
    note = f"{lost}; this is the picture of the scale before, {width} x {height} pixels"
    return Made(latest[0], {}, steps, steps, "lost", (note,))


def smaller(run: Prepared) -> str:
    """What would fit where a run has not, for all its plan: what takes clearly less than was planned with."""
    free = int(memory.USABLE * min(run.plan.needed, run.plan.free))
    precisions = run.machine.precisions(run.config.precision, run.config.network)
    return memory.would_fit(run.footprint, free, precisions, tile_wish(run.config, run.more))


def stages_of(run: Prepared, each: Pass) -> list[Stage]:
    """The scales of one pass of a run."""
    config, pictures = each.config, run.pictures
    net = network(each.weights, config.pooling, config.padding, each.precision, run.machine.lowering, run.plan.remat)

    def goal_at(size: tuple[int, int], tiles: Tiles | None, told: bool) -> Objective:
        seeing = exact(net) if told else net
        goals = Goals(
            seeing,
            pictures.photograph,
            pictures.paintings,
            size,
            config,
            [pictures.masks],
            run.more,
            [pictures.toned],
            tiles,
        )
        return goals.objective(config)

    def stage(size: tuple[int, int], steps: int, way: memory.Way, again: bool = True) -> Stage:
        shared, loop = run.machine.shards, run.machine.platform == "cpu"
        at_once = memory.tiles_at_once(run.footprint, run.plan) if again else 1
        tiles = Tiles(way.tile, loop, at_once) if way.tile else Tiles(memory.SIDES[0], loop) if shared else None
        shards = Shards(mesh_of(shared), size, scales.evenly_parted(config), way.tile) if shared else None
        leaner = functools.partial(stage, size, steps, memory.leaner(way, size), False)
        goal = functools.partial(goal_at, size, tiles)
        retry = leaner if again and tile_wish(config, run.more) != "off" else None
        return Stage(size, steps, goal, each.precision, tiles, way.pairs, retry, shards)

    return [
        stage(size, steps, memory.way_at(run.footprint, run.plan, size, steps))
        for size, steps in zip(each.sizes, each.counts, strict=True)
    ]
