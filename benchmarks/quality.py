"""The presets side by side, judged under VGG-19 over several scales: is the default the one that one would keep?

    python -m benchmarks quality --output quality.json --sheet quality.png                     # each at its own cost
    python -m benchmarks quality --size 320 --evaluations 60 --sheet same_cost.png             # all at the same cost
    python -m benchmarks quality --presets default --strengths 0.1 0.3 0.5 0.7 0.9    # D against content_rel
    python -m benchmarks quality --size 320 --evaluations 60 --pair examples/townhouses.jpg examples/swirls.jpg \\
        --pair examples/landscape.jpg examples/woodcut.jpg --sheet docs/quality.jpg     # the picture of docs/quality.md

Per picture, under VGG-19 with average pooling:

- *D*, style over scales: the mean over the picture at full, half and quarter size, and over the five style layers, of
  ‖G − A‖ / ‖A‖, the painting reduced alike; 0 is the painting's statistics;
- *content_rel*: L_content of the result over L_content of uniform noise; 0 is the photograph;
- *chroma grain*: median absolute 4-neighbour Laplacian of the picture minus its grey version, over the painting's;
- *cost*: evaluations of loss and gradient, each counted by its pixels over those of the full size.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from benchmarks.harness import Row, means_of, table
from benchmarks.pictures import pictures
from benchmarks.slim import ALL_PAIRS, Judge, changed
from nst_jax.losses import formulas, statistics
from nst_jax.networks.vgg import network
from nst_jax.networks.weights import Weights
from nst_jax.networks.weights_file import find_weights
from nst_jax.options.config import Config
from nst_jax.options.preset_table import PRESET_CHANGES
from nst_jax.options.presets import preset
from nst_jax.pages.sheet import Cell, contact_sheet
from nst_jax.pictures import images
from nst_jax.runs import scales
from nst_jax.runs.start import cover
from nst_jax.runs.stylize import stylize

MEASURES = ("D", "D_full", "D_half", "D_quarter", "content_rel", "chroma_grain", "cost", "seconds")
SCALES = {"D_full": 1, "D_half": 2, "D_quarter": 4}


class ScaleJudge:
    """VGG-19 at three sizes, for one pair: how far a picture's Gram matrices are from the painting's."""

    def __init__(self, teacher: Weights, photograph: np.ndarray, painting: np.ndarray) -> None:
        self.net = network(teacher)
        self.wanted = {name: self.grams(painting, factor) for name, factor in SCALES.items()}
        self.rest = Judge(teacher, photograph, painting)

    def __call__(self, image: np.ndarray) -> Row:
        found = {name: distance(self.grams(image, factor), self.wanted[name]) for name, factor in SCALES.items()}
        rest = self.rest(image)
        return {"D": float(np.mean(list(found.values()))), **found, **rest}

    def grams(self, image: np.ndarray, factor: int) -> dict[str, Any]:
        """Of a picture reduced by ``factor``, the Gram matrices of the five style layers."""
        height, width = (max(16, round(side / factor)) for side in image.shape[:2])
        reduced = jnp.asarray(images.resize(image, height, width))
        return {
            tap: found.gram
            for tap, found in statistics.style_targets(self.net, reduced, Config.style_layers)[0].items()
        }


def distance(found: dict[str, Any], wanted: dict[str, Any]) -> float:
    """The mean over the layers of ‖G − A‖ / ‖A‖."""
    far = [formulas.squared_gram_distance(found[tap], wanted[tap]) ** 0.5 for tap in wanted]
    size = [formulas.squared_gram_distance(wanted[tap], 0.0) ** 0.5 for tap in wanted]
    return float(np.mean([float(a / b) for a, b in zip(far, size, strict=True)]))


def cost(config: Config, photograph: np.ndarray) -> float:
    """The evaluations of a run with complete options, each counted by its pixels over those of the full size."""
    height, width = photograph.shape[:2]
    sizes = scales.scale_sizes((height, width), config)
    counts = scales.step_counts(sizes, config)
    octaves = [scales.octaves_at(size, [], config) for size in sizes]
    return sum(
        count * h * w / (height * width) * sum(0.25**octave for octave in range(more))
        for count, (h, w), more in zip(counts, sizes, octaves, strict=True)
    )


def at_cost(config: Config, evaluations: float, photograph: np.ndarray) -> Config:
    """The same complete options with so many times fewer steps at each size that it costs at most ``evaluations``."""
    sizes = scales.scale_sizes(photograph.shape[:2], config)
    factor = min(1.0, evaluations / cost(config, photograph))
    counts = [max(1, round(factor * count)) for count in scales.step_counts(sizes, config)]
    return dataclasses.replace(config, coarse_steps=tuple(counts), steps=None)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument(
        "--aspect", type=float, help="cut photographs to this width over height: then all share the compiled programs"
    )
    parser.add_argument("--pairs", type=int, default=8, help="how many of the pairs, from the first")
    parser.add_argument("--pair", nargs=2, action="append", metavar=("CONTENT", "STYLE"), help="files instead of those")
    parser.add_argument("--presets", nargs="+", default=list(PRESET_CHANGES))
    parser.add_argument("--strengths", nargs="+", type=float, metavar="S", help="each preset with each of these")
    parser.add_argument("--evaluations", type=float, help="cost that every preset is held to, in full-size evaluations")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other options for all presets")
    parser.add_argument("--folder", type=Path, help="where to keep the pictures; those there are not made again")
    parser.add_argument("--sheet", help="a picture of all results")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """All pairs with all presets: the table, which it prints, the means, and the contact sheet."""
    teacher = find_weights("vgg19")
    asked = configs(options)
    rows: list[Row] = []
    cells: list[list[Cell]] = []
    for pair in options.pair or ALL_PAIRS[: options.pairs]:
        photograph, painting = pictures(*pair, options.size)
        content, style = (Path(one).stem for one in pair)
        if options.aspect:
            photograph = cover(photograph, round(options.size / options.aspect), options.size)
        judge = ScaleJudge(teacher, photograph, painting)
        cells.append([Cell(photograph, content), Cell(painting, style)])
        for name, config in asked.items():
            if options.evaluations:
                config = at_cost(config, options.evaluations, photograph)
            image, seconds = made(options.folder, f"{content}.{style}.{name}", photograph, painting, config, teacher)
            told = {"content": content, "style": style, "preset": name}
            rows.append(told | judge(image) | {"cost": cost(config, photograph), "seconds": seconds})
            cells[-1].append(Cell(image, f"{name}: D {rows[-1]['D']:.3f}, content {rows[-1]['content_rel']:.2f}"))
            print(table(rows[-1:], ("content", "style", "preset", *MEASURES)), file=sys.stderr, flush=True)
    means = means_of(rows, "preset", list(asked), MEASURES)
    print("means\n" + table(means, ("preset", *MEASURES)))
    if options.sheet:
        images.save_image(options.sheet, contact_sheet(cells, title="The presets"))
    return {"rows": rows, "means": means}


def configs(options: argparse.Namespace) -> dict[str, Config]:
    """What is compared, complete, by the name of its preset and, where several are asked for, its strength."""
    asked = {}
    for name in options.presets:
        config = dataclasses.replace(changed(preset(name), options.set), size=options.size).for_network("vgg19")
        if options.strengths:
            asked |= {f"{name}-{each:g}": dataclasses.replace(config, strength=each) for each in options.strengths}
        else:
            asked[name] = config
    return asked


def made(
    folder: Path | None, name: str, photograph: np.ndarray, painting: np.ndarray, config: Config, teacher: Weights
) -> tuple[np.ndarray, float]:
    """A run's picture and its seconds; read where the folder has one of the same options."""
    told = json.dumps(config.to_json())
    path = None if folder is None else folder / f"{name}.png"
    if path is not None and path.exists() and images.read_metadata(path).get("options") == told:
        return images.load_image(path).pixels, float(images.read_metadata(path)["seconds"])
    started = time.perf_counter()
    image = stylize(photograph, painting, config, weights=teacher).image
    seconds = time.perf_counter() - started
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        images.save_image(path, image, metadata={"options": told, "seconds": str(seconds)})
    return image, seconds
