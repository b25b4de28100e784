"""A run before it starts: its options, weights and pictures read and checked, its scales and its memory planned."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from nst_jax.errors import NSTError
from nst_jax.networks.vgg import precision_of, precisions_of
from nst_jax.networks.weights import Weights
from nst_jax.networks.weights_file import choose_weights, find_weights
from nst_jax.optim.steps import Method
from nst_jax.options import folders
from nst_jax.options.config import Config
from nst_jax.pictures import masks
from nst_jax.runs import inputs, memory, scales
from nst_jax.runs.inputs import Pictures, Source


class Pass(NamedTuple):
    """A way from coarse to fine under one network.

    Attributes:
      config: the options, complete for this network.
      weights: the network's.
      sizes: (height, width) of each scale.
      precision: of the steps, "float32" or "bfloat16".
    """

    config: Config
    weights: Weights
    sizes: list[tuple[int, int]]
    precision: str

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
      plan: what it takes of the memory.
    """

    config: Config
    weights: Weights
    pictures: Pictures
    passes: list[Pass]
    plan: memory.Plan

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of each scale of the last pass."""
        return self.passes[-1].sizes


def prepare(
    content: Source | None,
    style: Source | Sequence[Source],
    config: Config | None = None,
    *,
    weights: Weights | None = None,
) -> Prepared:
    """Reads and checks all that ``transfer.stylize`` needs, which takes the same and raises the same."""
    asked = config or Config()
    weights = weights or choose_weights(asked.network, asked.weights)
    config = asked.for_network(weights.network)
    paths, config = folders.expand(inputs.as_list(style), config)
    photograph, paintings = inputs.load_pictures(content, paths, config)
    palette = inputs.palette_picture(config)
    paintings = inputs.recolored(paintings, photograph, palette, config)
    sizes = scales.scale_sizes(scales.full_size(photograph, paintings, config), config)
    given = None
    if masks.needed(config, photograph, paintings):
        given = masks.load(config, inputs.painted(photograph, config), paintings, sizes[-1])
    drafts = [draft(asked, config, sizes)] if config.refine else []
    own = sizes[-1:] if drafts else sizes
    taps = {**config.content_layer_weights, **config.style_layer_weights}
    guided = dict.fromkeys(config.style_layer_weights, len(given.regions)) if given else {}
    octaves = scales.octaves_at(sizes[-1], [painting.pixels.shape[:2] for painting in paintings], config)
    stages = [*(size for each in drafts for size in each.sizes), *own]
    method, precisions = Method(config.optimizer, config.history), precisions_of(config.precision, config.network)
    plan = memory.plan(config.network, taps, stages, method, guided, octaves, precisions)
    passes = [*drafts, Pass(config, weights, own, plan.precision)]
    pictures = Pictures(photograph, paintings, inputs.start_picture(config), palette, given)
    return Prepared(config, weights, pictures, passes, plan)


def draft(asked: Config, config: Config, sizes: list[tuple[int, int]]) -> Pass:
    """The first pass of a run that is refined: all scales under ``slim``, the full size with a coarse one's steps.

    What was not ``asked`` for is as ``slim`` has it; the paintings are those of ``config``, folders expanded. Raises
    NSTError where there is no other network to go on with.
    """
    if config.network == "slim":
        raise NSTError("--refine starts with slim and goes on with another network: give --network vgg19 or vgg16")
    asked = dataclasses.replace(asked, style_blend=config.style_blend, style_scale=config.style_scale)
    own = dataclasses.replace(asked, weights=None, steps=None).for_network("slim")
    return Pass(own, find_weights("slim"), sizes, precision_of(own.precision, "slim"))
