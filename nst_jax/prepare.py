"""A run before it starts: its options, weights and pictures read and checked, its scales and its memory planned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nst_jax import inputs, masks, memory, styles
from nst_jax.config import Config
from nst_jax.inputs import Pictures, Source
from nst_jax.optimize import Method
from nst_jax.weights import Weights, choose_weights


class Prepared(NamedTuple):
    """A run that has been checked, and of which nothing has been computed.

    Attributes:
      config: the options, complete.
      weights: the network's.
      pictures: all that goes into it.
      sizes: (height, width) of each scale.
      plan: what it takes of the memory.
    """

    config: Config
    weights: Weights
    pictures: Pictures
    sizes: list[tuple[int, int]]
    plan: memory.Plan


def prepare(
    content: Source | None,
    style: Source | Sequence[Source],
    config: Config | None = None,
    *,
    weights: Weights | None = None,
) -> Prepared:
    """Reads and checks all that ``transfer.stylize`` needs, which takes the same and raises the same."""
    config = config or Config()
    weights = weights or choose_weights(config.network, config.weights)
    config = config.for_network(weights.network)
    paths, config = styles.expand(inputs.as_list(style), config)
    photograph, paintings = inputs.load_pictures(content, paths, config)
    palette = inputs.palette_picture(config)
    paintings = inputs.recolored(paintings, photograph, palette, config)
    sizes = inputs.scale_sizes(inputs.full_size(photograph, paintings, config), config)
    given = None
    if masks.needed(config, photograph, paintings):
        given = masks.load(config, inputs.painted(photograph, config), paintings, sizes[-1])
    taps = {**config.content_layer_weights, **config.style_layer_weights}
    guided = dict.fromkeys(config.style_layer_weights, len(given.regions)) if given else {}
    octaves = inputs.octaves_at(sizes[-1], [painting.pixels.shape[:2] for painting in paintings], config)
    plan = memory.plan(config.network, taps, sizes, Method(config.optimizer, config.history), guided, octaves)
    pictures = Pictures(photograph, paintings, inputs.start_picture(config), palette, given)
    return Prepared(config, weights, pictures, sizes, plan)
