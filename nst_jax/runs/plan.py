"""A run before it starts: its options, weights and pictures read and checked, its scales and its memory planned."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from nst_jax.choices import Precision, check_kind
from nst_jax.errors import NSTError
from nst_jax.networks.weights import Weights
from nst_jax.networks.weights_file import choose_weights, find_weights
from nst_jax.options.config import Complete, Config
from nst_jax.options.folders import expand
from nst_jax.pictures import masks
from nst_jax.pictures.images import Picture
from nst_jax.pictures.masks import Masks
from nst_jax.pictures.sources import Source, as_list
from nst_jax.runs import finish, inputs, memory, scales
from nst_jax.runs.compiling import Clock
from nst_jax.runs.goals import Extra, check_extras, taps_of_extras
from nst_jax.runs.inputs import Pictures
from nst_jax.runs.machine import Machine, here
from nst_jax.runs.start import start_picture


class Pass(NamedTuple):
    """A way from coarse to fine under one network.

    Attributes:
      config: the options, complete for this network.
      weights: the network's.
      sizes: (height, width) of each scale.
      precision: of the steps.
    """

    config: Complete
    weights: Weights
    sizes: list[tuple[int, int]]
    precision: Precision

    @property
    def counts(self) -> list[int]:
        """The steps at each of the scales."""
        return scales.step_counts(self.sizes, self.config)


class Prepared(NamedTuple):
    """A run that has been checked, and of which nothing has been computed.

    Attributes:
      config: the options, complete.
      weights: the network's.
      pictures: all that goes into it.
      passes: in turn, each from the picture of the one before; the last one is by ``config`` under ``weights``.
      footprint, plan: what decides how much memory it takes, and how it uses it.
      machine: what it runs on.
      more: further terms of the objective.
      clock: its seconds, from the start of ``prepare`` on.
      left: the options of which ``config`` has the network's own values, see ``left_to``.
    """

    config: Complete
    weights: Weights
    pictures: Pictures
    passes: list[Pass]
    footprint: memory.Footprint
    plan: memory.Plan
    machine: Machine
    more: Sequence[Extra]
    clock: Clock
    left: tuple[str, ...] = ()

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of each scale of the last pass."""
        return self.passes[-1].sizes

    @property
    def schedule(self) -> list[tuple[tuple[int, int], int]]:
        """((height, width), steps) of each stage in turn."""
        return [stage for each in self.passes for stage in zip(each.sizes, each.counts, strict=True)]

    def way(self, looks: int = 0) -> dict[str, Any]:
        """What decides the last bits besides options, inputs, versions and device, as values that JSON knows.

        Those are ``memory.Plan.way``; the processor's cores; how often the host looks, see ``stylize``; how many
        further terms there are; and the devices that share the picture.
        """
        looks = looks if self.machine.chunk > 1 else 0
        way = self.plan.way() | {"cores": self.machine.cores, "looks": looks, "more": len(self.more)}
        return way | ({"shards": len(self.machine.shards)} if self.machine.shards else {})

    def in_way(self, way: Mapping[str, Any]) -> Prepared:
        """The same run as another was made, of whose ``way`` this has something, whatever memory is free now."""
        way = {"tile": 0} | dict(way)  # older versions knew no tiles
        plan = self.plan._replace(**{name: value for name, value in way.items() if name in self.plan.way()})
        return self._replace(plan=plan, passes=[*self.passes[:-1], self.passes[-1]._replace(precision=plan.precision)])


class Gathered(NamedTuple):
    """The pictures of a run, or of all lanes of a sweep, read and checked.

    Attributes:
      photograph, paintings, palette: see ``inputs.Pictures``.
      sizes: (height, width) of each scale.
      masks: what counts: one entry for a run, or one for each painting of a sweep; None for everywhere.
      toned: likewise the photograph in the paintings' colours; None where nothing asks for it.
    """

    photograph: Picture | None
    paintings: list[Picture]
    palette: Picture | None
    sizes: list[tuple[int, int]]
    masks: list[Masks | None]
    toned: list[np.ndarray | None]

    def tinted(self, style: int, config: Complete) -> np.ndarray | None:
        """The photograph as a run of these options takes it, between its own and the paintings' colours: ``tone``."""
        toned = self.toned[style]
        if toned is None or self.photograph is None or config.tone == 1:
            return toned
        own = finish.as_painted(self.photograph.pixels, config)
        mixed: np.ndarray = own + np.float32(config.tone) * (toned - own)
        return mixed


def prepare(
    content: Source | None,
    style: Source | Sequence[Source],
    config: Config | None = None,
    *,
    weights: Weights | None = None,
    more: Sequence[Extra] = (),
    machine: Machine | None = None,
) -> Prepared:
    """Reads and checks all that ``stylize`` needs, which takes the same and raises the same."""
    clock = Clock()
    asked = Config() if config is None else config
    check_kind("config", asked, Config, "a Config")
    check_extras(more)
    machine = here() if machine is None else machine
    check_kind("machine", machine, Machine, "a Machine")
    weights = choose_weights(asked.network, asked.weights) if weights is None else weights
    check_kind("weights", weights, Weights, "what load_weights or find_weights gives")
    complete = dataclasses.replace(asked.for_network(weights.network), more_taps=taps_of_extras(more))
    paths, complete = expand(as_list(style), complete)
    found = gather(content, paths, complete)
    sizes, given = found.sizes, found.masks[0]
    drafts = [draft(asked, complete, sizes, machine)] if complete.refine else []
    own = sizes[-1:] if drafts else sizes
    stages = [*(size for each in drafts for size in each.sizes), *own]
    last = dataclasses.replace(complete, steps=scales.step_counts(sizes, complete)[-1])
    taken = footprint(last, stages, found, machine)
    tile = tile_wish(complete, more)
    if tile == "off" and machine.shards and not all(extra.parts for extra in more):
        raise NSTError(
            "devices cannot share a picture of which one of the further terms counts the whole: say"
            " Extra(..., parts=True) of terms whose statistics count own positions alone"
        )
    plan = memory.plan(taken, machine.free, machine.precisions(complete.precision, complete.network), tile)
    passes = [*drafts, Pass(last if drafts else complete, weights, own, plan.precision)]
    pictures = Pictures(
        found.photograph, found.paintings, start_picture(complete), found.palette, given, found.tinted(0, complete)
    )
    return Prepared(complete, weights, pictures, passes, taken, plan, machine, more, clock, left_to(asked, complete))


def tile_wish(config: Complete, more: Sequence[Extra]) -> int | Literal["auto", "off"]:
    """Which tiles a run is to be by. Raises NSTError for a number with further terms that count whole pictures."""
    whole = [extra for extra in more if not extra.parts]
    if whole and isinstance(config.tile, int):
        raise NSTError(
            f"--tile is {config.tile}, and {len(whole)} of the further terms count whole pictures: leave it out, or say"
            " Extra(..., parts=True) of terms whose statistics count own positions alone"
        )
    return "off" if whole else config.tile


def left_to(asked: Config, complete: Complete) -> tuple[str, ...]:
    """The options that may be left to the network with the same picture.

    They are those that have its own values, whether these were given or not. In a run that is refined another network
    has its own of them, so there it is those that were not given.
    """
    own = complete.own_values(complete.network)
    same = tuple(name for name, value in own.items() if getattr(complete, name) == value)
    return tuple(name for name in same if getattr(asked, name) is None) if complete.refine else same


def gather(
    content: Source | None, styles: Sequence[Source], config: Complete, *, apart: bool = False, masked: bool = False
) -> Gathered:
    """Reads the pictures at their sizes and in their colours, and their masks.

    Args:
      content, styles: as ``stylize`` takes them, without folders.
      config: the options, with every layer in use.
      apart: whether each painting is a style of its own, with masks of its own.
      masked: whether there are masks even where nothing asks for them, as beside a transparent painting.

    Raises NSTError for whatever cannot be used.
    """
    photograph, paintings = inputs.load_pictures(content, styles, config)
    palette = inputs.palette_picture(config)
    paintings = inputs.recolored(paintings, photograph, palette, config)
    sizes = scales.scale_sizes(scales.full_size(photograph, paintings, config), config)
    groups = [[painting] for painting in paintings] or [[]] if apart else [paintings]
    given: list[Masks | None] = [None] * len(groups)
    seen = finish.painted(photograph, config)
    if masked or masks.needed(config, photograph, paintings):
        given = [masks.load(config, seen, group, sizes[-1]) for group in groups]
    toned = [inputs.toned(seen, group, mask, config) for group, mask in zip(groups, given, strict=True)]
    return Gathered(photograph, paintings, palette, sizes, given, toned)


def footprint(
    config: Complete,
    sizes: Sequence[tuple[int, int]],
    found: Gathered,
    machine: Machine,
    precision: Precision = "float32",
) -> memory.Footprint:
    """What decides how much memory a run over ``sizes`` takes, or a lane of it."""
    given = found.masks[0]
    return memory.Footprint(
        network=config.network,
        taps=config.taps,
        sizes=tuple(sizes),
        pairs=config.history if config.optimizer == "lbfgs" else 0,
        guided=tuple(config.style_layer_weights) if given else (),
        regions=len(given.regions) if given else 0,
        octaves=scales.octaves_at(sizes[-1], [painting.pixels.shape[:2] for painting in found.paintings], config),
        platform=machine.platform,
        lowering=machine.lowering,
        precision=precision,
        paintings=tuple((one.pixels.shape[0], one.pixels.shape[1]) for one in found.paintings),
        distribution=config.loss == "wasserstein",
        automatic=config.scales == "auto",
        steps=scales.step_counts(sizes, config)[-1],
        contents=tuple(config.content_layer_weights),
        wraps=config.padding == "wrap",
        tile=config.tile if isinstance(config.tile, int) else 0,
        shards=max(1, len(machine.shards)),
        at_once=machine.at_once(config.network),
    )


def draft(asked: Config, config: Complete, sizes: list[tuple[int, int]], machine: Machine) -> Pass:
    """The first pass of a run that is refined: all scales under ``slim``, the full size with a coarse one's steps.

    What was not ``asked`` for is as ``slim`` has it; the paintings are those of ``config``, folders expanded. Raises
    NSTError where there is no other network to go on with.
    """
    if config.network == "slim":
        raise NSTError("--refine starts with slim and goes on with another network: give --network vgg19 or vgg16")
    asked = dataclasses.replace(asked, style_blend=config.style_blend, style_scale=config.style_scale)
    own = dataclasses.replace(asked, weights=None, steps=None).for_network("slim")
    own = dataclasses.replace(own, more_taps=config.more_taps)
    return Pass(own, find_weights("slim"), sizes, machine.precisions(own.precision, "slim")[0])
