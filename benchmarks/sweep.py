"""One sweep as a batch against the same runs one after the other: seconds, pictures a second, peak memory.

    python -m benchmarks sweep --weights vgg19.h5 --size 128 --output sweep.json

Four ratios and five growing sets of style layers, as in figure 3 of the 2015 paper: 20 lanes. Each way runs in a
process of its own, whose seconds count from the first line of the work on, compiling included; the runs one after the
other share their compiled program, as they do in the library. Peak memory is the process's, and the device's where it
tells. "difference" is the largest one of the final losses from those of the first way.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time

from benchmarks.harness import Row, table
from benchmarks.pictures import PAIRS, add_weights, pictures, weights_of
from benchmarks.processes import device_peak_bytes, in_child, peak_bytes
from nst_jax.options.presets import preset
from nst_jax.runs.compiling import compile_seconds
from nst_jax.runs.stylize import stylize
from nst_jax.sweeps.grid import cumulative, grid
from nst_jax.sweeps.lanes import prepare_lanes

RATIOS = (1e-5, 1e-4, 1e-3, 1e-2)
WAYS = ("batched", "one after the other")
COLUMNS = ("way", "seconds", "compiling", "pictures a second", "peak MiB", "times as fast", "difference")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_weights(parser)
    parser.add_argument("--network", default="vgg19")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--lanes", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=0, help="lanes in a batch; 0: as many as there is memory for")
    parser.add_argument("--optimizer", default="lbfgs")
    parser.add_argument("--here", choices=WAYS, help="only this way, in this process, as JSON")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The rows of the table, which it prints."""
    if options.here:
        told = run_here(options)
        print(json.dumps(told))
        return told
    arguments = ["--random"] if options.random else []
    arguments += ["--weights", options.weights] if options.weights else []
    for name in ("network", "size", "steps", "lanes", "at_once", "optimizer"):
        arguments += ["--" + name.replace("_", "-"), str(getattr(options, name))]
    rows = [in_child("sweep", [*arguments, "--here", way]) for way in WAYS]
    for row in rows:
        row["times as fast"] = rows[-1]["seconds"] / row["seconds"]
        row["difference"] = max(abs(a / b - 1) for a, b in zip(row["losses"], rows[0]["losses"], strict=True))
    print(table(rows, COLUMNS))
    return {"rows": rows}


def run_here(options: argparse.Namespace) -> Row:
    """Runs one way, in this process."""
    weights = weights_of(options.network, options)
    config = dataclasses.replace(
        preset("gatys2015"),
        network=options.network,
        size=options.size,
        steps=options.steps,
        optimizer=options.optimizer,
    )
    made = grid(config, ["style"], style_layer_sets=cumulative(config.style_layers), ratios=RATIOS)
    lanes = made.lanes[: options.lanes]
    photograph, painting = pictures(*PAIRS[2], options.size)
    started = time.perf_counter()
    if options.here == "batched":
        sweep = prepare_lanes(photograph, [painting], lanes, weights=weights)
        plan = sweep.plan(len(lanes), options.at_once)
        results = [result for batch in sweep.run(range(len(lanes)), plan) for _, result in batch]
        more = {"at once": plan.batch, "estimated bytes": plan.batch * plan.lane_bytes}
    else:
        results = [stylize(photograph, painting, lane.config, weights=weights) for lane in lanes]
        more = {}
    seconds = time.perf_counter() - started
    return {
        "way": options.here,
        "seconds": seconds,
        "compiling": compile_seconds(),
        "pictures a second": len(lanes) / seconds,
        "peak MiB": peak_bytes() / 2**20,
        "device peak bytes": device_peak_bytes(),
        "losses": [result.losses["total"] for result in results],
        **more,
    }
