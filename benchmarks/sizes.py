"""The same settings at several sizes: is the larger result the smaller one with finer brushwork?

    python -m benchmarks sizes --sheet sizes.jpg               # slim, two drawn pairs
    python -m benchmarks sizes --network vgg19 --sizes 256 512 --pair lion hokusai_great_wave --sheet sizes.png

"far" compares what remains of both when reduced to 64 pixels: the root mean square difference from the first size's
result, over that of the first size's result from the photograph. 0 is the same picture, 1 as far as it was painted. The
sheet has the results at one size, and of each the same part enlarged alike.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np

from benchmarks.harness import Row, table
from benchmarks.pictures import pictures
from benchmarks.slim import changed
from nst_jax.networks.weights_file import choose_weights
from nst_jax.options.config import Config
from nst_jax.pages.sheet import Cell, contact_sheet
from nst_jax.pictures import images
from nst_jax.runs.stylize import stylize

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
DRAWN = tuple(
    (str(EXAMPLES / content), str(EXAMPLES / style))
    for content, style in (("townhouses.jpg", "swirls.jpg"), ("landscape.jpg", "mosaic.jpg"))
)
#: The longest side to which results are reduced to be compared, in pixels.
COARSE = 64
#: The part of a picture that is enlarged, of its width and height, about its middle.
PART = 0.3
COLUMNS = ("content", "style", "size", "far", "seconds")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    parser.add_argument("--network", default="slim")
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=[512, 1024], help="longest sides, the first the smallest"
    )
    parser.add_argument("--pair", nargs=2, action="append", metavar=("CONTENT", "STYLE"), help="names or files")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other options for all of them")
    parser.add_argument("--sheet", help="a picture of all results")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """A row for each size of each pair, and the contact sheet."""
    held, rows, cells = choose_weights(options.network), list[Row](), list[list[Cell]]()
    base = changed(Config(network=options.network), options.set)
    for pair in options.pair or DRAWN:
        found, parts = list[np.ndarray](), list[Cell]()
        for size in options.sizes:
            photograph, painting = pictures(*pair, size)
            started = time.perf_counter()
            config = dataclasses.replace(base, size=size)
            found.append(stylize(photograph, painting, config, weights=held).image)
            seconds = time.perf_counter() - started
            far = difference(found[-1], found[0]) / difference(photograph, found[0])
            content, style = (Path(one).stem for one in pair)
            rows.append({"content": content, "style": style, "size": size, "far": far, "seconds": seconds})
            parts.append(Cell(middle(found[-1]), f"{size}: a part"))
        cells.append([*(Cell(image, f"{size}") for image, size in zip(found, options.sizes, strict=True)), *parts])
    print(table(rows, COLUMNS))
    if options.sheet:
        images.save_image(
            options.sheet, contact_sheet(cells, title=f"The same settings at several sizes, {held.network}")
        )
    return {"rows": rows}


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """The root mean square difference of two pictures, both reduced to ``COARSE``."""
    size = images.fit_size(*one.shape[:2], COARSE)
    return float(np.sqrt(np.mean((images.resize(one, *size) - images.resize(other, *size)) ** 2)))


def middle(image: np.ndarray) -> np.ndarray:
    """``PART`` of a picture [H, W, 3]."""
    height, width = (round(PART * side) for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]
