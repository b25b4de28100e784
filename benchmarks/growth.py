"""Time and memory per pixel against pixels.

    python -m benchmarks growth --output growth.json

Time: one value and gradient of the default objective, the sizes in turns, the first turn not counted. Memory: that of
``python -m benchmarks memory``, without what was there before the run. "time" and "memory" are what a pixel costs over
what it costs at the first size.
"""

from __future__ import annotations

import argparse

from benchmarks import memory, variants
from benchmarks.contenders import steps
from benchmarks.harness import Row, interleaved, table
from benchmarks.pictures import add_pair, add_weights, pictures, weights_of
from benchmarks.variants import plain

COLUMNS = (
    *("network", "variant", "size", "pixels", "seconds", "seconds per Mpixel", "time"),
    *("peak MiB", "run bytes per pixel", "memory"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_pair(parser)
    add_weights(parser)
    parser.add_argument("--networks", nargs="+", default=["vgg19"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[512, 768, 1024, 1280, 1536])
    parser.add_argument("--variants", nargs="+", choices=variants.OURS, default=list(variants.OURS))
    parser.add_argument("--rounds", type=int, default=5, help="turns that count")
    parser.add_argument("--steps", type=int, default=3, help="of the runs whose memory is measured")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The rows of the table, which it prints; memory first, before this process takes the device."""
    rows = []
    for network in options.networks:
        for variant in options.variants:
            latest = [memory.run_in_child(network, size, variant, options) for size in options.sizes]
            for row, timed in zip(latest, times(network, variant, options), strict=True):
                row |= timed
                if "seconds" in timed:
                    row["seconds per Mpixel"] = 1e6 * row["seconds"] / row["pixels"]
            for name, unit in (("time", "seconds per Mpixel"), ("memory", "run bytes per pixel")):
                for row in latest:
                    row[name] = row[unit] / latest[0][unit] if unit in row and unit in latest[0] else None
            print(table(latest, COLUMNS), flush=True)
            rows += latest
    return {"rows": rows}


def times(network: str, variant: str, options: argparse.Namespace) -> list[Row]:
    """The seconds of a step at each size."""
    weights = weights_of(network, options)
    contenders = {
        size: steps(weights, *pictures(options.content, options.style, size), plain(network, size), [variant])[variant]
        for size in options.sizes
    }
    return list(interleaved(contenders, options.rounds).values())
