"""A whole run in PyTorch, from the command's start to the written picture: the counterpart of ``scripts/stylize.py``.

    python -m benchmarks.torch_stylize --content a.jpg --style b.jpg --size 256 --network vgg19 --output torch.png

L-BFGS at full size from the photograph, on the objective of the preset nst_jax-0.1. Loads no JAX. Prints the loss and
the wall clock of every evaluation as JSON.
"""

from __future__ import annotations

import argparse
import json

from benchmarks.pictures import pictures
from benchmarks.torch_reference import TorchObjective, TorchRun
from benchmarks.variants import TORCH, plain
from nst_jax.networks.weights_file import choose_weights
from nst_jax.pictures.images import save_image


def main() -> None:
    """Reads the command line, runs, writes the picture, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("content", "style", "output"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--network", default="vgg19")
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("--variant", choices=TORCH, default="torch-float32")
    options = parser.parse_args()
    weights = choose_weights(options.network)
    photograph, painting = pictures(options.content, options.style, options.size)
    config = plain(weights.network, options.size)
    goal = TorchObjective(weights, photograph, painting, config, TORCH[options.variant])
    run = TorchRun(goal, photograph, options.evaluations)
    run.turn()
    save_image(options.output, run.image())
    print(json.dumps({"values": run.values, "times": run.times}))


if __name__ == "__main__":
    main()
