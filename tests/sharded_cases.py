"""Shards against the whole on four devices of the CPU, as a process of its own; prints a line of JSON for each case.

    XLA_FLAGS=--xla_force_host_platform_device_count=4 python tests/sharded_cases.py NAME ...
    XLA_FLAGS=--xla_force_host_platform_device_count=2 python tests/sharded_cases.py 127.0.0.1:PORT 0 NAME ...

The second is one of two processes, 0 or 1, that have the devices together. A line has the case's name, the largest
relative errors of the terms and of the gradient in float64 and in float32, and of some how many collectives of each
kind the program of two steps has.
"""

import dataclasses
import json
import os
import sys

import jax
import jax.numpy as jnp
import numpy as np
from runs_support import objective_of, two_regions
from support import TINY, random_filters, smooth_picture

from benchmarks import hlo
from nst_jax import layers
from nst_jax.losses.shards import Shards
from nst_jax.meshes import mesh_of
from nst_jax.networks import vgg
from nst_jax.optim import minimise
from nst_jax.optim.steps import Method
from nst_jax.options.config import Config
from nst_jax.runs import processes
from nst_jax.runs.scales import evenly_parted

SHALLOW = {"content_layers": ("conv1_2",), "style_layers": ("conv1_1", "conv2_1")}
#: By name: (height, width), the preset, devices, the side of tiles, whether there are masks, and further options.
CASES = {
    "odd": ((75, 69), "default", 4, 0, False, {}),
    "whole": ((23, 29), "gatys2015", 4, 0, False, {}),
    "octaves": ((75, 69), "nst_jax-0.1", 3, 8, True, {"style_octaves": 2, "padding": "reflect", "pooling": "max"}),
    "tileable": ((100, 68), "default", 4, 0, True, {"tileable": True, "padding": "wrap"}),
    "few": (
        (13, 9), "default", 4, 0, True,
        {"padding": "replicate", "pixel_range": "bounded", "optimizer": "lbfgs", "tv_kind": "isotropic"},
    ),
    "wrapping": ((75, 69), "nst_jax-0.1", 4, 8, True, {"padding": "wrap"}),
    "tiled": ((75, 69), "spst", 4, 8, False, {"padding": "zeros"}),
    "tiled tileable": ((100, 68), "nst_jax-0.1", 4, 8, True, {"tileable": True, "padding": "wrap"}),
    "crowson": ((64, 20), "crowson-gram", 2, 0, False, {}),
}  # fmt: skip


def errors_of(goal, image, shards):
    """The largest relative errors of the terms and of the gradient."""
    (_, wanted), slope = jax.jit(jax.value_and_grad(lambda goal, x: goal(x), argnums=1, has_aux=True))(goal, image)
    (_, found), gradient = jax.jit(shards.value_and_gradient)(shards.lay(goal), shards.place(image))
    value = max(abs(float(found[name] / wanted[name]) - 1) for name in wanted if wanted[name] != 0)
    return value, float(np.abs(shards.taken(gradient) - slope).max() / np.abs(slope).max())


def collectives_of(goal, shards):
    """Of L-BFGS's program of two steps, each kind of collective and how often it is there."""
    shapes = jax.eval_shape(lambda: goal)
    lowered = minimise.lowered(Method("lbfgs"), shards, shards.abstract(shapes), shards.abstract_image(), 2)
    return hlo.collectives(hlo.program_of(lowered.compile().as_text()))


def case(name):
    """What is told of a case."""
    size, preset, count, side, masked, options = CASES[name]
    config = Config(preset, network="tiny", **{**SHALLOW, **options})
    net = vgg.network(random_filters("tiny"), config.pooling, config.padding)
    paintings = [smooth_picture(83, 79, 1), smooth_picture(78, 85, 3)]
    goal = objective_of(
        net, smooth_picture(*size, 0), paintings, config, two_regions(size, paintings) if masked else None
    )
    multiple = evenly_parted(config.for_network("tiny"))
    shards = Shards(mesh_of(jax.devices()[:count]), size, multiple, side)
    image = 1.2 * smooth_picture(*size, 2) - np.float32(0.1)
    told = {"name": name, "float32": errors_of(goal, image, shards)}
    if name in ("odd", "whole") and not processes.several():
        told["collectives"] = collectives_of(goal, shards)
    with jax.enable_x64(True):
        double = jax.tree.map(lambda leaf: leaf.astype(jnp.float64) if leaf.dtype == jnp.float32 else leaf, goal)
        double = dataclasses.replace(double, network=dataclasses.replace(double.network, precision="float64"))
        told["float64"] = errors_of(double, image.astype("f8"), shards)
    return told


if __name__ == "__main__":
    layers.NETWORKS["tiny"] = TINY
    names = sys.argv[1:]
    if ":" in names[0]:
        processes.start(names.pop(0), int(names.pop(0)), 2, 60)
    for wanted in names:
        print(json.dumps(case(wanted)), flush=True)
    if processes.several():
        processes.any_of(False)  # they wait for each other
        os._exit(0)  # for JAX's own way of parting may hang
