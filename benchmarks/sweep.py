"""One sweep as a batch against the same runs one after the other: seconds, pictures a second, peak memory.

    python -m benchmarks.sweep --weights vgg19.h5 --size 128 --output sweep.json

Four ratios and five growing sets of style layers, as in figure 3 of the 2015 paper: 20 lanes. Each way runs in a
process of its own, whose seconds count from the first line of the work on, compiling included; the runs one after the
other share their compiled program, as they do in the library. Peak memory is the process's, and the device's where it
tells. The largest difference of the final losses between the two ways is printed too.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import time

import jax

from benchmarks.shared import PAIRS, machine, pictures
from nst_jax import transfer
from nst_jax.compile_clock import compile_seconds
from nst_jax.config import preset
from nst_jax.grid import cumulative, grid
from nst_jax.networks import random_weights
from nst_jax.sweep import prepare
from nst_jax.weights import find_weights, load_weights

RATIOS = (1e-5, 1e-4, 1e-3, 1e-2)
WAYS = ("batched", "one after the other")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Runs one way, in this process."""
    network = options.network
    if options.random:
        weights = random_weights(network)
    else:
        weights = load_weights(options.weights, network) if options.weights else find_weights(network)
    config = dataclasses.replace(
        preset("gatys2015"), network=network, size=options.size, steps=options.steps, optimizer=options.optimizer
    )
    made = grid(config, ["style"], style_layer_sets=cumulative(config.style_layers), ratios=RATIOS)
    lanes = made.lanes[: options.lanes]
    photograph, painting = pictures(*PAIRS[2], options.size)
    started = time.perf_counter()
    if options.way == "batched":
        sweep = prepare(photograph, [painting], lanes, weights=weights)
        plan = sweep.plan(len(lanes), options.at_once)
        results = [result for batch in sweep.run(range(len(lanes)), plan) for _, result in batch]
        more = {"at once": plan.batch, "estimated bytes": plan.batch * plan.lane_bytes}
    else:
        results = [transfer.stylize(photograph, painting, lane.config, weights=weights) for lane in lanes]
        more = {}
    seconds = time.perf_counter() - started
    told = jax.local_devices()[0].memory_stats() or {}
    return {
        "seconds": seconds,
        "compiling": compile_seconds(),
        "pictures a second": len(lanes) / seconds,
        "peak bytes of the process": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "peak bytes of the device": told.get("peak_bytes_in_use"),
        "losses": [result.losses["total"] for result in results],
        **more,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="vgg19")
    parser.add_argument("--weights", help="a converted file; default: the one in the user's weights folder")
    parser.add_argument("--random", action="store_true", help="random filters: for a trial without weights")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--lanes", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=0, help="lanes in a batch; 0: as many as there is memory for")
    parser.add_argument("--optimizer", default="lbfgs")
    parser.add_argument("--output", help="JSON of all that is printed")
    parser.add_argument("--way", choices=WAYS, help="only this one, in this process, as JSON")
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options)))
        return
    rows = {}
    for way in WAYS:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.sweep", *sys.argv[1:], "--way", way], stdout=subprocess.PIPE, check=True
        )
        rows[way] = json.loads(done.stdout)
        print(
            f"{way}: {rows[way]['seconds']:.1f} s, {rows[way]['compiling']:.1f} of them compiling;"
            f" {rows[way]['pictures a second']:.3g} pictures/s;"
            f" peak {rows[way]['peak bytes of the process'] / 2**20:.0f} MiB",
            flush=True,
        )
    batched, single = (rows[way] for way in WAYS)
    difference = max(abs(a / b - 1) for a, b in zip(batched["losses"], single["losses"], strict=True))
    print(f"batched is {single['seconds'] / batched['seconds']:.2f} times as fast; losses differ by {difference:.2%}")
    if options.output:
        with open(options.output, "w") as file:
            json.dump({"machine": machine(), "options": vars(options), **rows}, file, indent=1)


if __name__ == "__main__":
    main()
