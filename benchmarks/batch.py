"""``nst-batch`` against a shell loop over ``nst-stylize``: pictures an hour, with what has been compiled kept before.

    python -m benchmarks batch --output batch.json
    python -m benchmarks batch --pictures 8 --size 96 --options "--steps 5"     # a trial

The photographs are parts of one, all of one shape; there is one painting. Each way makes them once to fill its
compilation cache, the loop one of them, and is then timed from its start to its end: the loop with a process for each
picture, ``nst-batch`` with an empty folder and its own choice of workers, or ``--workers``. "times as fast" is the
quotient of the pictures an hour. "difference" is the largest one of the final losses from those of the loop: lanes
round differently.
"""

from __future__ import annotations

import argparse
import json
import shlex
import tempfile
import time
from pathlib import Path

from benchmarks.harness import Row, table
from benchmarks.pictures import add_pair, path_of
from benchmarks.processes import STYLIZE, cache_at, finish
from nst_jax.pictures import images

COLUMNS = ("way", "pictures", "seconds", "pictures an hour", "times as fast", "difference")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_pair(parser)
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--loop", type=int, default=0, help="of which the loop makes so many; 0: all")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--network", default="slim")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--lanes", type=int, default=0)
    parser.add_argument("--options", default="", help="further options of both commands, as one argument")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The rows of the table, which it prints."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        photographs = make_photographs(folder / "photographs", options)
        style = str(path_of("style", options.style))
        common = ["--style", style, "--size", str(options.size), "--network", options.network]
        common += shlex.split(options.options)
        loop = by_loop(photographs[: options.loop or None], common, folder)
        rows = [loop, by_batch(photographs, common, folder, options)]
    for row in rows:
        row["pictures an hour"] = 3600 * row["pictures"] / row["seconds"]
        row["times as fast"] = row["pictures an hour"] / loop["pictures an hour"]
        pairs = zip(row["losses"], loop["losses"], strict=False)
        row["difference"] = max(abs(one / other - 1) for one, other in pairs)
    print(table(rows, COLUMNS))
    return {"rows": rows}


def make_photographs(folder: Path, options: argparse.Namespace) -> list[Path]:
    """Parts of the content picture, which differ by where they begin."""
    pixels = images.load_image(path_of("content", options.content), longest_side=2 * options.size).pixels
    height, width = 3 * pixels.shape[0] // 4, 3 * pixels.shape[1] // 4
    folder.mkdir()
    paths = []
    for number in range(options.pictures):
        top = number * (pixels.shape[0] - height) // options.pictures
        left = number * (pixels.shape[1] - width) // options.pictures
        paths.append(folder / f"{number:03d}.png")
        images.save_image(paths[-1], pixels[top : top + height, left : left + width])
    return paths


def by_loop(photographs: list[Path], common: list[str], folder: Path) -> Row:
    """A process for each picture, one after the other."""
    cache, losses = cache_at(folder / "loop-cache"), []
    command = [*STYLIZE, *common, "--report", str(folder / "report.json"), "--output", str(folder / "picture.png")]
    finish([*command, "--content", str(photographs[0])], cache)
    began = time.perf_counter()
    for photograph in photographs:
        finish([*command, "--content", str(photograph)], cache)
        losses.append(json.loads((folder / "report.json").read_text())["losses"]["total"])
    return {
        "way": "loop over nst-stylize",
        "pictures": len(photographs),
        "seconds": time.perf_counter() - began,
        "losses": losses,
    }


def by_batch(photographs: list[Path], common: list[str], folder: Path, options: argparse.Namespace) -> Row:
    """One command for all."""
    cache = cache_at(folder / "batch-cache")
    command = ["scripts/batch.py", *common, "--content", str(photographs[0].parent)]
    command += ["--workers", str(options.workers), "--lanes", str(options.lanes)]
    finish([*command, "--output", str(folder / "first")], cache)
    began = time.perf_counter()
    finish([*command, "--output", str(folder / "second")], cache)
    seconds = time.perf_counter() - began
    rows = map(json.loads, (folder / "second" / "results.jsonl").read_text().splitlines())
    losses = {row["content"]: row["losses"]["total"] for row in rows}
    return {
        "way": "nst-batch",
        "pictures": len(photographs),
        "seconds": seconds,
        "losses": [losses[str(photograph)] for photograph in photographs],
    }
