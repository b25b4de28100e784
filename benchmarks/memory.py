"""Peak memory of a run by size, each run in a process of its own.

    python -m benchmarks memory --output memory.json

A run of the default preset with a few steps at full size and one at each coarser scale; later steps take no more.
"peak" is the process's, "loaded" its peak before the run, with JAX, the weights and the pictures in memory; "device
peak" is the accelerator's own, and then the one that counts.
"""

from __future__ import annotations

import argparse
import json

import jax

from benchmarks import variants
from benchmarks.harness import Row, table
from benchmarks.pictures import add_pair, add_weights, pictures, weights_of
from benchmarks.processes import device_peak_bytes, in_child, peak_bytes
from nst_jax.options.config import Config
from nst_jax.runs.stylize import stylize

COLUMNS = ("network", "size", "variant", "peak MiB", "loaded MiB", "device peak MiB", "run bytes per pixel")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_pair(parser)
    add_weights(parser)
    parser.add_argument("--networks", nargs="+", default=["vgg19", "slim"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 512, 1024], help="longest sides in pixels")
    parser.add_argument("--variants", nargs="+", choices=variants.OURS, default=list(variants.OURS))
    parser.add_argument("--steps", type=int, default=3, help="at full size")
    parser.add_argument("--here", action="store_true", help="only the first of each, in this process, as JSON")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The rows of the table, which it prints."""
    if options.here:
        told = run_here(options.networks[0], options.sizes[0], options.variants[0], options)
        print(json.dumps(told))
        return told
    rows = [
        run_in_child(network, size, variant, options)
        for size in options.sizes
        for network in options.networks
        for variant in options.variants
    ]
    print(table(rows, COLUMNS))
    return {"rows": rows}


def run_in_child(network: str, size: int, variant: str, options: argparse.Namespace) -> Row:
    """``run_here`` in a process of its own."""
    arguments = ["--content", options.content, "--style", options.style, "--steps", str(options.steps)]
    arguments += ["--networks", network, "--sizes", str(size), "--variants", variant, "--here"]
    arguments += ["--weights", options.weights] if options.weights else []
    arguments += ["--random"] if options.random else []
    return in_child("memory", arguments)


def run_here(network: str, size: int, variant: str, options: argparse.Namespace) -> Row:
    """One run in this process, and the most memory that the process has had."""
    weights = weights_of(network, options)
    photograph, painting = pictures(options.content, options.style, size)
    plain = Config(network=network, size=size, steps=options.steps, coarse_steps=(1,))
    jax.block_until_ready(jax.numpy.zeros(1))  # the device's own beginnings do not count
    before = peak_bytes()
    stylize(photograph, painting, variants.ours(plain)[variant], weights=weights)
    after, device = peak_bytes(), device_peak_bytes()
    pixels = photograph.shape[0] * photograph.shape[1]
    return {
        "network": network,
        "size": size,
        "variant": variant,
        "pixels": pixels,
        "peak bytes": after,
        "loaded bytes": before,
        "device peak bytes": device,
        "peak MiB": after / 2**20,
        "loaded MiB": before / 2**20,
        "device peak MiB": device and device / 2**20,
        "run bytes per pixel": (device or after - before) / pixels,
    }
