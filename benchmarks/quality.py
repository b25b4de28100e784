"""The presets side by side, judged without a network and under VGG-19: is the default the one that one would keep?

    python -m benchmarks quality --output quality.json --sheet quality.png                     # each at its own cost
    python -m benchmarks quality --size 320 --evaluations 60 --sheet same_cost.png             # none at a greater cost
    python -m benchmarks quality --half report --others other_tool=/there/{content}-{style}-256.png     # beside others
    python -m benchmarks quality --half choose --presets default --strengths 0.1 0.3 0.5 0.7 0.9 --curve curve.svg
    python -m benchmarks quality --size 320 --evaluations 60 --pair examples/townhouses.jpg examples/swirls.jpg \\
        --pair examples/landscape.jpg examples/woodcut.jpg --sheet drawn.jpg     # pairs that this project draws

Per picture, without a network, with controls in each pair's table (``python -m benchmarks judge --help`` says more):

- *strokes*, lower is nearer to the painting; *structure*, higher keeps more of the photograph; *colours*, lower is
  nearer to the painting's;
- *chroma grain*: median absolute 4-neighbour Laplacian of the picture minus its grey version, over the painting's.

Under VGG-19 with average pooling, where its weights are installed:

- *D*, style over scales: the mean over the picture at full, half and quarter size, and over the five style layers, of
  ‖G − A‖ / ‖A‖, the painting reduced alike; 0 is the painting's statistics;
- *content_rel*: L_content of the result over L_content of uniform noise; 0 is the photograph.

And of the run:

- *cost*: evaluations of loss and gradient, each counted by its pixels over those of the full size.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from benchmarks import curve, judge, slim
from benchmarks.entries import Pair, add_pairs, kept, named, others_of, pairs_of, title
from benchmarks.harness import Row, means_of, table
from benchmarks.pictures import path_of, pictures
from nst_jax.errors import NSTError
from nst_jax.losses import formulas, statistics
from nst_jax.networks.vgg import network
from nst_jax.networks.weights import Weights
from nst_jax.networks.weights_file import find_weights, network_in_use, weights_folder
from nst_jax.options.config import Config
from nst_jax.options.preset_table import PRESET_CHANGES, is_preset_file
from nst_jax.options.presets import preset
from nst_jax.pages.sheet import Cell, contact_sheet
from nst_jax.pictures import images
from nst_jax.runs import scales
from nst_jax.runs.start import cover
from nst_jax.runs.stylize import stylize

UNDER_VGG = ("D", "D_full", "D_half", "D_quarter", "content_rel")
SCALES = {"D_full": 1, "D_half": 2, "D_quarter": 4}


class ScaleJudge:
    """VGG-19 at three sizes, for one pair: how far a picture's Gram matrices are from the painting's."""

    def __init__(self, teacher: Weights, photograph: np.ndarray, painting: np.ndarray) -> None:
        self.net = network(teacher)
        self.wanted = {name: self.grams(painting, factor) for name, factor in SCALES.items()}
        self.rest = slim.Judge(teacher, photograph, painting)

    def __call__(self, image: np.ndarray) -> Row:
        found = {name: distance(self.grams(image, factor), self.wanted[name]) for name, factor in SCALES.items()}
        rest = self.rest(image)
        del rest["chroma_grain"]  # the judge without a network tells it
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
    """The same complete options, with fewer steps at each size where the cost would be above about ``evaluations``."""
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
    parser.add_argument(
        "--cut-paintings", action="store_true", help="cut paintings to the photograph's size too, to compile less still"
    )
    add_pairs(parser)
    parser.add_argument("--presets", nargs="+", default=list(PRESET_CHANGES))
    parser.add_argument("--network", choices=("vgg19", "slim"), default="vgg19", help="what paints")
    parser.add_argument("--strengths", nargs="+", type=float, metavar="S", help="each preset with each of these")
    parser.add_argument(
        "--evaluations", type=float, help="cost of each preset at most, about, in full-size evaluations"
    )
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other options for all presets")
    parser.add_argument(
        "--others",
        action="append",
        default=[],
        metavar="NAME=PATTERN",
        help="pictures that another tool made, to be judged like the presets: files with {content} and {style} in the"
        " pattern, such as other/{content}-{style}.png; pairs without such a file have no row of it",
    )
    parser.add_argument(
        "--folder", type=Path, help="where to keep the pictures, those of others too; what is there is not made again"
    )
    parser.add_argument("--sheet", help="a picture of all results")
    parser.add_argument(
        "--curve",
        metavar="FILE",
        help="a drawing of strokes against structure as the strength moves, such as curve.svg",
    )


def measure(options: argparse.Namespace) -> dict[str, object]:
    """All pairs with all presets: the tables, which it prints, the means, the contact sheet and the curve."""
    if options.curve:
        curve.check(options.curve, options.strengths)
    asked = configs(options)
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    inputs = {pair: inputs_of(pair, options.size, options.aspect, options.cut_paintings) for pair in pairs_of(options)}
    others = others_of(options.others, {pair: photograph for pair, (photograph, _) in inputs.items()}, asked)
    weights = find_weights(options.network)
    teacher = weights if options.network == "vgg19" else judging_weights()
    measures = (*(UNDER_VGG if teacher else ()), *judge.MEASURES, "cost", "seconds")
    rows: list[Row] = []
    controls: list[Row] = []
    cells: list[list[Cell]] = []
    for pair, (photograph, painting) in inputs.items():
        free = judge.Judge(photograph, painting)
        under_vgg = ScaleJudge(teacher, photograph, painting) if teacher else None
        cells.append([Cell(photograph, named(pair)["content"]), Cell(painting, named(pair)["style"])])
        ours: list[Row] = []
        for name, image, run in results_of(pair, inputs[pair], asked, others, weights, options):
            figures = (under_vgg(image) if under_vgg else {}) | free(image)
            ours.append({**named(pair), "preset": name, **figures, **run})
            caption = ", ".join(
                [f"{name}: strokes {figures['strokes']:.2f}"]
                + ([] if figures["structure"] is None else [f"structure {figures['structure']:.2f}"])
            )
            cells[-1].append(Cell(image, caption))
            print(f"{title(pair)}, {caption}", file=sys.stderr, flush=True)
        known = free.controls()
        print(f"{title(pair)}\n{beside_controls(ours, known, measures)}\n", flush=True)
        rows += ours
        controls += [named(pair) | row for row in known]
    names = [*asked, *others]
    means = means_over(rows, names, measures)
    known = means_of(controls, "picture", [row["picture"] for row in known], judge.MEASURES)
    print(f"means\n{beside_controls(means, known, ('pairs', *measures))}")
    shared = shared_means(rows, names, measures)
    for name, told in shared.items():
        print(f"\nmeans over the pairs of {name}\n{table(told, ('preset', 'pairs', *measures))}")
    if options.sheet:
        images.save_image(options.sheet, contact_sheet(cells, title="The presets"))
    if options.curve:
        curve.draw(options.curve, curve_lines(options, means), floor=known[-1]["strokes"])
    return {"rows": rows, "controls": controls, "means": means, "shared": shared}


def inputs_of(pair: Pair, size: int, aspect: float | None, both: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A pair's photograph, cut where an aspect is asked for, and its painting, cut like it if ``both``; [H, W, 3]."""
    photograph, painting = pictures(*pair, size)
    if aspect:
        photograph = cover(photograph, round(size / aspect), size)
    if both:
        painting = cover(images.load_image(path_of("style", pair[1])).pixels, *photograph.shape[:2])
    return photograph, painting


def results_of(
    pair: Pair,
    inputs: tuple[np.ndarray, np.ndarray],
    asked: dict[str, Config],
    others: dict[str, dict[Pair, np.ndarray]],
    weights: Weights,
    options: argparse.Namespace,
) -> Iterator[tuple[str, np.ndarray, Row]]:
    """A pair's results, with their names and, for our runs, their cost and seconds: first ours, then the others'."""
    for name, config in asked.items():
        if options.evaluations:
            config = at_cost(config, options.evaluations, inputs[0])
        path = kept(options.folder, pair, name) if options.folder else None
        image, seconds = made(path, *inputs, config, weights)
        yield name, image, {"cost": cost(config, inputs[0]), "seconds": seconds}
    for name, theirs in others.items():
        if pair in theirs:
            if options.folder:
                images.save_image(kept(options.folder, pair, name), theirs[pair])
            yield name, theirs[pair], {}


def judging_weights() -> Weights | None:
    """VGG-19's where they are installed; else None, and a note of what is left out."""
    if network_in_use() == "vgg19":
        return find_weights("vgg19")
    print(f"{', '.join(UNDER_VGG)} are left out: no weights for vgg19 in {weights_folder()}", file=sys.stderr)
    return None


def beside_controls(rows: Sequence[Row], controls: Sequence[Row], measures: Sequence[str]) -> str:
    """A table of results and, below them, of controls, which have only the figures of the judge without a network."""
    return table([*rows, *({"preset": row["picture"]} | row for row in controls)], ("preset", *measures))


def means_over(rows: Sequence[Row], names: Sequence[str], measures: Sequence[str]) -> list[Row]:
    """The means of each of ``names``, and over how many pairs."""
    counts = Counter(row["preset"] for row in rows)
    return [row | {"pairs": counts[row["preset"]]} for row in means_of(rows, "preset", names, measures)]


def shared_means(rows: Sequence[Row], names: Sequence[str], measures: Sequence[str]) -> dict[str, list[Row]]:
    """For each name that has not all pairs, the means over those it has, of all names that have them, too."""
    pairs = {name: {(row["content"], row["style"]) for row in rows if row["preset"] == name} for name in names}
    every = set().union(*pairs.values())
    told = {}
    for name, fewer in pairs.items():
        if fewer != every:
            chosen = [row for row in rows if (row["content"], row["style"]) in fewer]
            told[name] = means_over(chosen, [each for each in names if pairs[each] >= fewer], measures)
    return told


def curve_lines(options: argparse.Namespace, means: Sequence[Row]) -> dict[str, list[curve.Point]]:
    """Of each preset, the means' structure and strokes at each strength, in order."""
    found = {row["preset"]: row for row in means}
    lines: dict[str, list[curve.Point]] = {}
    for name in options.presets:
        at = [(strength, found[at_strength(name, strength)]) for strength in sorted(set(options.strengths))]
        lines[name] = [curve.Point(strength, row["structure"], row["strokes"]) for strength, row in at]
    return lines


def at_strength(name: str, strength: float) -> str:
    """What a preset is called where several strengths are compared."""
    return f"{name}-{strength:g}"


def configs(options: argparse.Namespace) -> dict[str, Config]:
    """What is compared, complete, by the name of its preset and, where several are asked for, its strength."""
    asked: dict[str, Config] = {}
    for given in options.presets:
        name = Path(given).stem if is_preset_file(given) else given
        if name in asked:
            raise NSTError(f"two presets are called {name}: give each another name")
        config = dataclasses.replace(slim.changed(preset(given), options.set), size=options.size).for_network(
            options.network
        )
        if options.strengths:
            for each in options.strengths:
                asked[at_strength(name, each)] = dataclasses.replace(config, strength=each)
        else:
            asked[name] = config
    return asked


def made(
    path: Path | None, photograph: np.ndarray, painting: np.ndarray, config: Config, weights: Weights
) -> tuple[np.ndarray, float]:
    """A run's picture and its seconds; read where there is one of the same run at ``path``, else kept there."""
    inputs = hashlib.sha256(b"".join(np.ascontiguousarray(each).tobytes() for each in (photograph, painting)))
    told = json.dumps({**config.to_json(), "inputs": inputs.hexdigest(), "weights": weights.sha256})
    if path is not None and path.exists() and images.read_metadata(path).get("options") == told:
        return images.load_image(path).pixels, float(images.read_metadata(path)["seconds"])
    started = time.perf_counter()
    image = stylize(photograph, painting, config, weights=weights).image
    seconds = time.perf_counter() - started
    if path is not None:
        images.save_image(path, image, metadata={"options": told, "seconds": str(seconds)})
    return image, seconds
