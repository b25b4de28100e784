"""Whole runs by several ways to the same goal: the loss that each ends at, and how long it takes to get there.

    python -m benchmarks ways --ways default refine --pairs 2 --repeats 2 --output ways.json
    python -m benchmarks ways --ways default bfloat16 --pairs 5 --size 192          # what bfloat16 does to the loss

The loss is VGG-19's at the full size, in float32; "over first" is the final one over that of the pair's first way.
"level" is the highest final loss of the pair's ways, which all of them reach, and "seconds to it" are from the start of
the run. Of several repeats the last is told, in which nothing is compiled. The JSON has every loss with its time.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks.harness import Row, last_steps, table
from benchmarks.pictures import pictures
from benchmarks.slim import ALL_PAIRS, changed
from nst_jax.networks.weights_file import find_weights
from nst_jax.options.config import Config
from nst_jax.runs.stylize import stylize

#: What each way changes.
WAYS: dict[str, dict[str, Any]] = {
    "default": {},
    "refine": {"refine": True},
    "one-size": {"scales": 1},
    "bfloat16": {"precision": "bfloat16"},
}
COLUMNS = ("content", "style", "way", "loss", "over first", "level", "seconds to it", "seconds")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=5, help="how many of the pairs, from the first")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--repeats", type=int, default=1, help="runs of each, of which the last is told")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other options for all of them")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The rows of the table, which it prints pair by pair."""
    held, rows = find_weights("vgg19"), []
    for content, style in ALL_PAIRS[: options.pairs]:
        pair = pictures(content, style, options.size)
        latest: list[Row] = []
        for way in options.ways:
            asked = changed(Config(size=options.size, network="vgg19", **WAYS[way]), options.set)
            for _ in range(options.repeats):
                started = time.perf_counter()
                result = stylize(*pair, asked, weights=held)
                seconds = time.perf_counter() - started
            last = last_steps(result.trace, asked.steps)
            curve = [(row["seconds"], row["total"]) for row in last]
            told = {"content": content, "style": style, "way": way, "loss": result.losses["total"]}
            latest.append({**told, "seconds": seconds, "curve": curve})
        level = max(row["loss"] for row in latest)
        for row in latest:
            row["over first"] = row["loss"] / latest[0]["loss"]
            row["level"] = level
            row["seconds to it"] = next((at for at, loss in row["curve"] if loss <= level), row["seconds"])
        print(table(latest, COLUMNS), flush=True)
        rows += latest
    return {"rows": rows}
