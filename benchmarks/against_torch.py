"""Our L-BFGS against PyTorch's on the 2015 objective: the loss after 100 and 300 evaluations, and the seconds.

    pip install torch    # for this comparison only
    python -m benchmarks.against_torch --weights vgg19.h5 --output against_torch.json

Both start from the content picture and see the same float32 objective, written once here in PyTorch and taken from
the package for JAX; the two values at the start are compared first. PyTorch's ``torch.optim.LBFGS`` runs as
neural-style-pt uses it: history 100, step 1, no line search, no tolerance. Its loss is divided by its value at the
start, since it hardly moves with the 2015 loss as it stands and pixels in [0, 1] (after 60 evaluations at 96 px:
8.3e7 as it stands, 3.8e6 for pixels in [0, 255], 3.4e6 divided); what is printed is in the loss's own unit. "After n"
is the lowest total seen in the first n evaluations. The two take turns, 50 evaluations each, so that a machine whose
speed drifts treats both alike.
"""

from __future__ import annotations

import argparse
import json
import time

import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.shared import PAIRS, machine, objective_of, pictures
from nst_jax import layers, optimize
from nst_jax.config import preset
from nst_jax.networks import network
from nst_jax.transfer import loss_of
from nst_jax.weights import find_weights, load_weights

TURN = 50
MARKS = (100, 300)


class TorchLoss:
    """The 2015 objective in plain PyTorch, float32, NCHW."""

    def __init__(self, weights, photograph, painting, config):
        self.config = config
        taps = {**config.content_layer_weights, **config.style_layer_weights}
        self.rows = layers.until(weights.network, taps)
        self.filters = {
            name: (torch.tensor(parts["kernel"]).permute(3, 2, 0, 1).contiguous(), torch.tensor(parts["bias"]))
            for name, parts in weights.arrays.items()
        }
        self.preprocessing = weights.preprocessing
        with torch.no_grad():
            content, style = (self.features(self.tensor(pixels)) for pixels in (photograph, painting))
            self.content = {tap: content[tap] for tap in config.content_layer_weights}
            self.style = {tap: self.gram(style[tap]) for tap in config.style_layer_weights}

    @staticmethod
    def tensor(pixels):
        return torch.tensor(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]

    def features(self, x):
        wanted = self.preprocessing
        x = x.flip(1) if wanted.channel_order == "BGR" else x
        shape = (1, 3, 1, 1)
        x = (x * wanted.range - torch.tensor(wanted.mean).view(shape)) / torch.tensor(wanted.std).view(shape)
        out = {}
        for row in self.rows:
            if row.kind == "conv":
                x = torch.relu(torch.nn.functional.conv2d(x, *self.filters[row.name], padding=1))
            else:
                x = torch.nn.functional.avg_pool2d(x, 2)
            out[row.name] = x
        return out

    @staticmethod
    def gram(x):
        flat = x.flatten(2)[0]
        return flat @ flat.T / flat.shape[1]

    def __call__(self, x):
        seen = self.features(x)
        content = sum(
            w * (seen[tap] - self.content[tap]).square().sum() / 2
            for tap, w in self.config.content_layer_weights.items()
        )
        style = sum(
            w * (self.gram(seen[tap]) - self.style[tap]).square().sum() / (4 * seen[tap].shape[1] ** 2)
            for tap, w in self.config.style_layer_weights.items()
        )
        return self.config.content_weight * content + self.config.style_weight * style


class TorchRun:
    """PyTorch's L-BFGS, a turn of evaluations at a time."""

    def __init__(self, loss, photograph):
        self.loss, self.values, self.seconds = loss, [], 0.0
        self.x = TorchLoss.tensor(photograph)
        self.start = loss(self.x)
        self.x.requires_grad_()
        self.optimizer = torch.optim.LBFGS(
            [self.x], lr=1, max_iter=TURN, max_eval=TURN, history_size=100, tolerance_grad=0, tolerance_change=0
        )

    def closure(self):
        self.optimizer.zero_grad()
        value = self.loss(self.x)
        self.values.append(value.item())
        scaled = value / self.start
        scaled.backward()
        return scaled

    def turn(self):
        started = time.perf_counter()
        self.optimizer.step(self.closure)
        self.seconds += time.perf_counter() - started


class OurRun:
    """Our L-BFGS with the package's own program, a turn of evaluations at a time."""

    def __init__(self, goal, photograph, history):
        self.method, self.goal, self.values, self.seconds = optimize.Method("lbfgs", history), goal, [], 0.0
        self.state = optimize.init(self.method, jnp.asarray(photograph), 1.0)

    def turn(self):
        started = time.perf_counter()
        for _ in range(TURN):
            self.state, terms = optimize.run_chunk(self.method, loss_of, self.goal, self.state, 1)
            self.values.append(float(terms["total"][0]))
        self.seconds += time.perf_counter() - started


def compare(weights, pair, size, history, evaluations):
    """One pair: both runs in turns; a dict of what came out."""
    config = preset("gatys2015")
    photograph, painting = pictures(*pair, size)
    goal = objective_of(network(weights), photograph, painting, config)
    theirs = TorchRun(TorchLoss(weights, photograph, painting, config), photograph)
    ours = OurRun(goal, photograph, history)
    for _ in range(-(-evaluations // TURN)):
        theirs.turn()
        ours.turn()
    start = theirs.values[0] / ours.values[0]
    if abs(start - 1) > 1e-3:
        raise SystemExit(f"the two objectives differ at the start, by a factor of {start:.6f}: nothing is compared")
    row = {"content": pair[0], "style": pair[1], "size": photograph.shape[1::-1], "start": ours.values[0]}
    for mark in [mark for mark in MARKS if mark <= evaluations]:
        mine, torchs = min(ours.values[:mark]), min(theirs.values[:mark])
        row[f"after {mark}"] = {"ours": mine, "torch": torchs, "ratio": mine / torchs}
    row["seconds"] = {"ours, compiling included": ours.seconds, "torch": theirs.seconds}
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", help="a converted VGG-19; default: the one in the user's weights folder")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--history", type=int, default=preset("gatys2015").history)
    parser.add_argument("--evaluations", type=int, default=max(MARKS))
    parser.add_argument("--pairs", type=int, default=len(PAIRS), help="how many of the pairs, from the first")
    parser.add_argument("--output", help="JSON of all that is printed")
    options = parser.parse_args()
    weights = load_weights(options.weights, "vgg19") if options.weights else find_weights("vgg19")
    rows = []
    for pair in PAIRS[: options.pairs]:
        row = compare(weights, pair, options.size, options.history, options.evaluations)
        rows.append(row)
        marks = "  ".join(
            f"{mark}: {value['ours']:.5g} / {value['torch']:.5g} = {value['ratio']:.4f}"
            for mark, value in row.items()
            if mark.startswith("after")
        )
        seconds = " / ".join(f"{value:.0f}" for value in row["seconds"].values())
        print(f"{row['content']} x {row['style']}  {marks}  seconds {seconds}", flush=True)
    if options.output:
        told = {"machine": machine() | {"torch": torch.__version__}, "options": vars(options), "pairs": rows}
        with open(options.output, "w") as file:
            json.dump(told, file, indent=1)


if __name__ == "__main__":
    main()
