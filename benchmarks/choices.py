"""What the 2015 paper leaves open: each choice on a pair of the project's own pictures, as a sheet and as losses.

    python -m benchmarks choices --sheet docs/choices.jpg --output choices.json

Every run has the parameters of the preset ``gatys2015`` but for the one thing that its row varies. Each result is
judged by the same losses, those of the first run: *style_rel* is L_style over that of the photograph, *content_rel*
L_content over that of uniform noise. Filters are rescaled to mean activation 1 over the example pictures.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import table
from benchmarks.pictures import add_weights, weights_of
from benchmarks.slim import Judge
from convert_weights.normalize import normalize
from nst_jax.options.presets import preset
from nst_jax.pages.sheet import Cell, contact_sheet
from nst_jax.pictures import images
from nst_jax.runs.stylize import stylize

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
#: The pictures over which filters are rescaled.
DRAWN = ("landscape", "mosaic", "swirls", "townhouses", "woodcut")
RESCALED = "filters of mean activation 1"
#: Rows of (caption, the options that differ from the preset's).
CHOICES: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "pooling": (("average, as the paper", {}), ("maximum", {"pooling": "max"})),
    "start": (("from the photograph", {"init": "content"}), ("from the painting", {"init": "style"})),
    "filters": (
        (f"{RESCALED}, ratio 1e-3", {}),
        (f"{RESCALED}, ratio 3e-6", {"content_weight": 3e-6}),
    ),
    "ratio": (("1e-4", {"content_weight": 1e-4}), ("1e-2", {"content_weight": 1e-2})),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_weights(parser)
    parser.add_argument("--content", type=Path, default=EXAMPLES / "townhouses.jpg")
    parser.add_argument("--style", type=Path, default=EXAMPLES / "swirls.jpg")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--sheet", help="a picture of all results")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Runs every choice and prints the table."""
    weights = weights_of("vgg19", options)
    rescaled = normalize(weights, [EXAMPLES / f"{name}.jpg" for name in DRAWN])
    config = dataclasses.replace(preset("gatys2015"), network="vgg19", size=options.size, steps=options.steps)
    photograph, painting = (
        images.load_image(path, longest_side=options.size).pixels for path in (options.content, options.style)
    )
    judge = Judge(weights, photograph, painting)
    rows: list[dict[str, Any]] = []
    cells: list[list[Cell]] = []
    for choice, values in CHOICES.items():
        cells.append([])
        for caption, changes in values:
            held = rescaled if caption.startswith(RESCALED) else weights
            result = stylize(photograph, painting, dataclasses.replace(config, **changes), weights=held)
            told = judge(result.image)
            rows.append({"choice": choice, "value": caption, **told})
            numbers = f"style {told['style_rel']:.3f}, content {told['content_rel']:.2f}"
            cells[-1].append(Cell(result.image, f"{caption}: {numbers}"))
            print(f"{choice}: {caption}", file=sys.stderr, flush=True)
    print(table(rows, ("choice", "value", "style_rel", "content_rel")))
    if options.sheet:
        inputs = [Cell(photograph, "photograph"), Cell(painting, "painting")]
        made = contact_sheet(cells, title="What the paper leaves open", inputs=inputs, rows=list(CHOICES))
        images.save_image(options.sheet, np.asarray(made))
    return {"rows": rows}
