"""Our L-BFGS against PyTorch's on the 2015 objective: the loss after 100 and 300 evaluations, and the seconds.

    pip install torch    # for this comparison only
    python -m benchmarks against_torch --weights vgg19.h5 --output against_torch.json

Both start from the content picture and see the same float32 objective, written once in PyTorch (``torch_reference``)
and taken from the package for JAX; the two values at the start are compared first. PyTorch's ``torch.optim.LBFGS`` runs
as neural-style-pt uses it: history 100, step 1, no line search, no tolerance. Its loss is divided by its value at the
start, since it hardly moves with the 2015 loss as it stands and pixels in [0, 1] (after 60 evaluations at 96 px: 8.3e7
as it stands, 3.8e6 for pixels in [0, 255], 3.4e6 divided); what is told is in the loss's own unit. "After n" is the
lowest total seen in the first n evaluations, and "ratio" ours over PyTorch's. The two take turns, 50 evaluations each,
so that a machine whose speed drifts treats both alike. The seconds of ours include compiling.
"""

from __future__ import annotations

import argparse
import time

import jax.numpy as jnp
import numpy as np

from benchmarks.contenders import objective_of
from benchmarks.harness import Row, check_same, share_device, table
from benchmarks.pictures import PAIRS, add_weights, pictures, weights_of
from benchmarks.torch_reference import TorchObjective, TorchRun
from benchmarks.variants import float32
from nst_jax.networks.weights import Weights
from nst_jax.optim import minimise, steps
from nst_jax.options.config import Config
from nst_jax.options.presets import preset
from nst_jax.runs.goals import loss_of

TURN = 50
MARKS = (100, 300)
COLUMNS = ("content", "style", *(f"ratio after {mark}" for mark in MARKS), "seconds ours", "seconds torch")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_weights(parser)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--history", type=int, default=preset("gatys2015").history)
    parser.add_argument("--evaluations", type=int, default=max(MARKS))
    parser.add_argument("--pairs", type=int, default=len(PAIRS), help="how many of the pairs, from the first")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The rows of the table, which it prints as they come."""
    share_device()
    weights = weights_of("vgg19", options)
    rows: list[Row] = []
    for names in PAIRS[: options.pairs]:
        pair = pictures(*names, options.size)
        told = compare(weights, *pair, options.history, options.evaluations)
        rows.append({"content": names[0], "style": names[1], **told})
        print(table(rows[-1:], COLUMNS), flush=True)
    return {"rows": rows}


class OurRun:
    """Our L-BFGS with the package's own program, a turn of evaluations at a time."""

    def __init__(
        self, weights: Weights, photograph: np.ndarray, painting: np.ndarray, config: Config, history: int
    ) -> None:
        self.method, self.values = steps.Method("lbfgs", history), list[float]()
        self.goal = objective_of(weights, photograph, painting, config)
        self.state = steps.init(self.method, jnp.asarray(photograph), 1.0)

    def turn(self) -> None:
        """So many evaluations more."""
        for _ in range(TURN):
            self.state, terms = minimise.run_chunk(self.method, loss_of, self.goal, self.state, 1)
            self.values.append(float(terms["total"][0]))


def compare(weights: Weights, photograph: np.ndarray, painting: np.ndarray, history: int, evaluations: int) -> Row:
    """One pair: both runs in turns; what came out."""
    config = float32(preset("gatys2015"))
    runs: dict[str, TorchRun | OurRun] = {
        "torch": TorchRun(TorchObjective(weights, photograph, painting, config), photograph, TURN),
        "ours": OurRun(weights, photograph, painting, config, history),
    }
    seconds = dict.fromkeys(runs, 0.0)
    for _ in range(-(-evaluations // TURN)):
        for name, run in runs.items():
            started = time.perf_counter()
            run.turn()
            seconds[name] += time.perf_counter() - started
    check_same(runs["ours"].values[0], runs["torch"].values[0])
    told: Row = {"size": photograph.shape[1::-1], "start": runs["ours"].values[0]}
    for mark in [mark for mark in MARKS if mark <= evaluations]:
        lowest = {name: min(run.values[:mark]) for name, run in runs.items()}
        told |= {f"{name} after {mark}": value for name, value in lowest.items()}
        told[f"ratio after {mark}"] = lowest["ours"] / lowest["torch"]
    return told | {f"seconds {name}": value for name, value in seconds.items()}
