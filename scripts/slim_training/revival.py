"""Filters that hardly ever answer begin anew, so that all of the network's width is used.

A rectifier that is 0 everywhere has no gradient: its filter is dead, and learns nothing any more. A high rate kills
filters by the dozen; without this, four of five in conv3_2 and conv3_3 were dead at the end (docs/slim.md).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nst_jax import layers
from nst_jax.choices import Pooling
from nst_jax.networks import vgg
from nst_jax.networks.convolution import convolve
from nst_jax.networks.pooling import pool
from nst_jax.networks.weights import TORCHVISION, Weights
from slim_training.student import Params

#: A filter is dead that answers at fewer than this part of the positions.
DEAD = 0.02


class Fresh(NamedTuple):
    """New filters of a convolution: which they are, [k]; their kernel [3, 3, n, k] and biases [k]."""

    units: np.ndarray
    kernel: Array
    bias: Array


def fresh_filters(
    params: Params, images: Float[Array, "b h w 3"], pooling: Pooling, rng: np.random.Generator
) -> dict[str, Fresh]:
    """Random filters in place of the dead ones, per convolution that has any and has others that live.

    Each answers at about half of the positions of ``images``, and varies as the living ones of its layer do.
    """
    found: dict[str, Fresh] = {}
    x = vgg.preprocess(vgg.network(Weights("slim", params["net"], TORCHVISION), pooling), images)
    for row in layers.table("slim"):
        if row.kind == "pool":
            x = pool(x, pooling)
            continue
        parts = planted(params, found)["net"][row.name]
        before = convolve(x, parts["kernel"]) + parts["bias"]
        dead = np.asarray(jnp.mean(before > 0, (0, 1, 2)) < DEAD)
        units = np.flatnonzero(dead)
        if 0 < len(units) < row.channels:
            kernel = jnp.asarray(rng.normal(size=(3, 3, row.inputs, len(units))), jnp.float32)
            raw = convolve(x, kernel)
            living = jnp.median(jnp.std(before, (0, 1, 2))[~dead])
            gain = living / jnp.std(raw, (0, 1, 2))
            found[row.name] = Fresh(units, kernel * gain, -gain * jnp.mean(raw, (0, 1, 2)))
            before = before.at[..., units].set(raw * gain + found[row.name].bias)
        x = jax.nn.relu(before)
    return found


def planted(params: Params, fresh: dict[str, Fresh]) -> Params:
    """The parameters with new filters, of which nothing that lives takes notice yet: their outgoing weights are 0.

    So the responses at every tap stay what they were, but for what the dead ones hardly ever said.
    """
    net, maps = dict(params["net"]), dict(params["maps"])
    before: Fresh | None = None
    for row in layers.table("slim"):
        if row.kind == "pool":
            continue
        kernel, bias = net[row.name]["kernel"], net[row.name]["bias"]
        if before is not None:
            kernel = kernel.at[:, :, before.units].set(0)
        before = fresh.get(row.name)
        if before is not None:
            kernel, bias = kernel.at[..., before.units].set(before.kernel), bias.at[before.units].set(before.bias)
            if row.name in maps:
                maps[row.name] = maps[row.name].at[before.units].set(0)
        net[row.name] = {**net[row.name], "kernel": kernel, "bias": bias}
    return {"net": net, "maps": maps}
