"""About how long the steps of a run will take, for ``--dry-run``: by its network's pass over a small picture, here."""

from __future__ import annotations

import functools
import math
import time

import jax
import numpy as np

from nst_jax.networks.vgg import Network, network, prepared, responses
from nst_jax.runs.memory import way_at
from nst_jax.runs.plan import Pass, Prepared

#: Height and width of that picture in pixels. An accelerator has enough to do only with a larger one.
SAMPLE = {"cpu": (384, 512), "gpu": (768, 1024), "tpu": (768, 1024)}
#: How long a step takes over a forward pass, with the gradient, the losses and the optimiser; and a step by tiles over
#: one of the whole picture, see docs/sizes.md. Of VGG-19, and of networks that take other shares.
USUAL, OTHERS = (2.5, 1.1), {"slim": (3.0, 1.7)}
#: The same where responses are computed again for the gradient, over one where they are kept.
AGAIN = 1.3
#: How often the pass is timed; the quickest counts.
TIMES = 3


def seconds_of(run: Prepared) -> float:
    """About how many seconds all steps of a run take: right within a factor of two, if nothing else runs.

    Compiling, what is done once for a picture, and files are not in it.
    """
    return sum(_seconds_of_pass(run, each) for each in run.passes)


def _seconds_of_pass(run: Prepared, each: Pass) -> float:
    pixels = 0.0
    step, by_tiles = OTHERS.get(each.weights.network, USUAL)
    for size, steps in zip(each.sizes, each.counts, strict=True):
        tiled = way_at(run.footprint, run.plan, size, steps).tile
        pixels += steps * math.prod(size) * (by_tiles if tiled else 1)
    if not pixels or not each.config.taps:
        return 0.0
    octaves = sum(4.0**-octave for octave in range(run.footprint.octaves))  # each is a quarter of the one before
    again = AGAIN if run.plan.remat else 1.0
    net = network(each.weights, each.config.pooling, each.config.padding, each.precision, run.machine.lowering)
    parts = max(1, len(run.machine.shards))
    return pixels * octaves * again * step * seconds_a_pixel(net, each.config.taps, run.machine.platform) / parts


def seconds_a_pixel(net: Network, taps: tuple[str, ...], platform: str) -> float:
    """How long the network's responses at some layers take for each pixel of a picture, on the first device."""
    height, width = SAMPLE[platform]
    image = np.random.default_rng(0).random((height, width, 3), np.float32)
    see = functools.partial(_see, prepared(net, taps, height, width), jax.device_put(image), taps)
    jax.block_until_ready(see())  # compiles it
    found = []
    for _ in range(TIMES):
        began = time.perf_counter()
        jax.block_until_ready(see())
        found.append(time.perf_counter() - began)
    return min(found) / (height * width)


_see = jax.jit(responses, static_argnums=2)
