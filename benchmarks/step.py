"""Seconds of one value and gradient of the default objective: our precisions and PyTorch's variants, in turns.

    python -m benchmarks step --output step.json
    python -m benchmarks step --sizes 96 --networks slim --rounds 2 --variants jax-float32 torch-float32    # a trial

Content conv4_2, five style layers and total variation, at the photograph. For each size all networks and variants take
turns; the first turn, which compiles, is told as "first" and does not count. "speed" is the seconds of PyTorch float32
in its better layout over the variant's; "loss error" is the loss's difference from that of the network's first variant.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from benchmarks import variants
from benchmarks.contenders import steps
from benchmarks.harness import Call, Row, interleaved, share_device, table
from benchmarks.pictures import add_pair, add_weights, pictures, weights_of
from benchmarks.variants import plain
from nst_jax.runs.machine import here

COLUMNS = ("network", "size", "variant", "seconds", "speed", "loss error", "first")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_pair(parser)
    add_weights(parser)
    parser.add_argument("--networks", nargs="+", default=["vgg19", "slim"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 512, 1024], help="longest sides in pixels")
    parser.add_argument("--variants", nargs="+", choices=variants.names(), default=list(variants.names()))
    parser.add_argument("--rounds", type=int, default=5, help="turns that count")
    parser.add_argument("--calls", type=int, default=0, help="steps in a turn; 0: 1 on a CPU, else 10")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The rows of the table, which it prints as they come."""
    share_device()
    calls = options.calls or (1 if here().platform == "cpu" else 10)
    rows: list[Row] = []
    for size in options.sizes:
        photograph, painting = pictures(options.content, options.style, size)
        contenders: dict[tuple[str, str], Callable[[], Call]] = {}
        for network in options.networks:
            held = weights_of(network, options)
            config = plain(network, size)
            made = steps(held, photograph, painting, config, options.variants)
            contenders |= {(network, variant): make for variant, make in made.items()}
        told = interleaved(contenders, options.rounds, calls)
        shape = {"size": size, "width": photograph.shape[1], "height": photograph.shape[0]}
        latest = [{"network": network, **shape, "variant": variant, **row} for (network, variant), row in told.items()]
        for network in options.networks:
            compare([row for row in latest if row["network"] == network])
        print(table(latest, COLUMNS), flush=True)
        rows += latest
    return {"calls": calls, "rows": rows}


def compare(rows: list[Row]) -> None:
    """Adds to one network's rows how fast they are beside PyTorch float32, and how far their loss is off."""
    baselines = [row["seconds"] for row in rows if row["variant"] in variants.BASELINES and "seconds" in row]
    reference = next((row["loss"] for row in rows if "loss" in row), None)
    for row in rows:
        if "seconds" in row:
            row["speed"] = min(baselines) / row["seconds"] if baselines else None
            row["loss error"] = row["loss"] / reference - 1
