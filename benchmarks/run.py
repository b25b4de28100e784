"""Whole runs in fresh processes: to the written picture, and to the loss that PyTorch's L-BFGS reaches.

    python -m benchmarks run --output run.json
    python -m benchmarks run --networks slim --sizes 96 --repeats 1 --evaluations 10     # a trial

Ours is ``scripts/stylize.py`` with the preset nst_jax-0.1, coarse to fine, with an empty compilation cache ("cold") and
with what that run left in it ("warm"); PyTorch's is ``benchmarks.torch_stylize``: float32 L-BFGS from the photograph on
the same objective at full size. They take turns. All seconds count from the start of the process: "picture" until the
file was written, "target" until the first evaluation at full size whose loss is no more than the lowest of PyTorch's
300. Ours in other settings: ``--ours "" "--precision bfloat16"``.

Our evaluations are stamped from the start of ``stylize`` within the process; they are told as if writing the picture
took no time, which counts against us. "lowest / target" is the lowest loss over the target, in the precision that the
run was made in; "written / target" that of the written picture, 8 bits a sample, in float32. "times torch" is PyTorch's
seconds to the target over the run's. Needs the networks' weights in the weights folder, as the commands do.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shlex
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contenders import objective_of
from benchmarks.harness import Row, check_same, last_steps, median_of, table
from benchmarks.pictures import add_pair, path_of, pictures
from benchmarks.processes import STYLIZE, cache_at, finish
from benchmarks.variants import PLAIN, TORCH, float32, plain
from nst_jax.choices import flag
from nst_jax.networks.weights_file import choose_weights
from nst_jax.pictures.images import load_image
from nst_jax.runs.goals import loss_of

MEASURES = ("picture", "compile", "evaluations", "target", "times torch", "lowest / target", "written / target")
COLUMNS = ("network", "size", "contender", *MEASURES)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_pair(parser)
    parser.add_argument("--networks", nargs="+", default=["vgg19"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 512], help="longest sides in pixels")
    parser.add_argument(
        "--repeats", nargs="+", type=int, default=[3, 1], help="for each size; the last one for all further ones"
    )
    parser.add_argument("--evaluations", type=int, default=300, help="of PyTorch's L-BFGS")
    parser.add_argument("--torch", choices=TORCH, default="torch-float32", help="PyTorch's variant")
    parser.add_argument("--ours", nargs="+", default=[""], help="options of nst-stylize, each set as one argument")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The rows, one a process, and their medians as a table, which it prints."""
    rows: list[Row] = []
    medians: list[Row] = []
    more = [options.repeats[-1]] * len(options.sizes)
    for size, repeats in zip(options.sizes, [*options.repeats, *more], strict=False):
        for network in options.networks:
            latest = [row for _ in range(repeats) for row in one_of_each(network, size, options)]
            rows += latest
            shown = []
            for contender in dict.fromkeys(row["contender"] for row in latest):
                same = [row for row in latest if row["contender"] == contender]
                shown.append({key: same[0][key] for key in ("network", "size", "contender")})
                shown[-1] |= {key: median_of(same, key) for key in MEASURES}
            print(table(shown, COLUMNS), flush=True)
            medians += shown
    return {"rows": rows, "medians": medians}


def one_of_each(network: str, size: int, options: argparse.Namespace) -> list[Row]:
    """A process of each contender, one after the other, and how long each took to PyTorch's lowest loss."""
    judge = Judge(network, size, options)
    common = ["--content", str(path_of("content", options.content)), "--style", str(path_of("style", options.style))]
    common += ["--size", str(size), "--network", network]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "picture.png"
        common += ["--output", str(output)]
        for number, words in enumerate(options.ours):
            cache = cache_at(Path(folder) / f"cache-{number}")
            same = [word for name, value in PLAIN.items() for word in (flag(name), str(value))]
            for state in ("cold", "warm"):
                told = our_run([*common, *same, *shlex.split(words)], output, cache)
                rows.append({"contender": " ".join(["jax", state, words]).strip(), **told, "written": judge(output)})
        if importlib.util.find_spec("torch"):
            told = torch_run([*common, "--evaluations", str(options.evaluations), "--variant", options.torch], output)
            check_same(judge.start, told["losses"][0])
            rows.append({"contender": options.torch, **told, "written": judge(output)})
            target = min(told["losses"])
            for row in rows:
                compare(row, target)
            for row in rows:
                row["times torch"] = row["target"] and rows[-1]["target"] / row["target"]
    return [{"network": network, "size": size, **row} for row in rows]


def our_run(arguments: list[str], output: Path, cache: dict[str, str]) -> Row:
    """``scripts/stylize.py``: its seconds, and the loss and the time of every evaluation at full size."""
    report = output.with_suffix(".json")
    done = finish([*STYLIZE, *arguments, "--report", str(report)], cache)
    told = json.loads(report.read_text())
    picture = done.since_start(output)
    before = picture - told["seconds"]["total"]
    trace = last_steps(told["trace"], told["config"]["steps"])
    return {
        "picture": picture,
        "compile": told["seconds"]["compile"],
        "evaluations": told["evaluations"],
        "losses": [row["total"] for row in trace],
        "times": [before + row["seconds"] for row in trace],
        "config": told["config"],
    }


def torch_run(arguments: list[str], output: Path) -> Row:
    """``benchmarks.torch_stylize``: likewise."""
    done = finish(["-m", "benchmarks.torch_stylize", *arguments])
    told = json.loads(done.told.splitlines()[-1])
    return {
        "picture": done.since_start(output),
        "evaluations": len(told["values"]),
        "losses": told["values"],
        "times": [clock - done.started for clock in told["times"]],
    }


def compare(row: Row, target: float) -> None:
    """Adds when a run reached the target, None for never, and where its losses ended."""
    reached = [when for loss, when in zip(row["losses"], row["times"], strict=True) if loss <= target]
    row["target"] = min(reached, default=None)
    row["lowest / target"] = min(row["losses"]) / target
    row["written / target"] = row["written"] / target


class Judge:
    """The objective of the preset nst_jax-0.1 at full size, in float32; it judges pictures as they were written.

    Attributes:
      start: the loss of the photograph, from which PyTorch starts.
    """

    def __init__(self, network: str, size: int, options: argparse.Namespace) -> None:
        photograph, painting = pictures(options.content, options.style, size)
        config = float32(plain(network, size))
        self.goal = objective_of(choose_weights(network), photograph, painting, config)
        self.start = self.loss(photograph)

    def loss(self, pixels: np.ndarray) -> float:
        """Of an image [H, W, 3]."""
        return float(jax.jit(loss_of)(self.goal, jnp.asarray(pixels))[0])

    def __call__(self, path: Path) -> float:
        """The loss of a picture's file."""
        return self.loss(load_image(path).pixels)
