"""Whether the tiles of a picture show: the jumps between its lines at their borders, and between its other lines.

    nst-stylize --content photo.jpg --style painting.jpg --network slim --size 2048 --tile 512 --output large.png
    python -m benchmarks seams large.png --network slim --tile 512 --crop detail.png

A jump is the mean difference of two lines that lie beside each other, over the median of the 80 jumps around. Lines at
multiples of what the poolings divide by jump more than others, in every picture, and tiles begin there. So the table
has, for rows and for columns, the mean jump at the tiles' borders and at the other multiples of that, and the largest
one at borders and at all other lines.
``--crop`` writes the pixels around a corner where four tiles meet, to be looked at.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.harness import Row, table
from nst_jax import layers
from nst_jax.losses.tiles import reach, spans
from nst_jax.pictures import images

COLUMNS = ("lines", "tiles", "mean at borders", "largest", "mean elsewhere", "largest elsewhere")
#: Jumps around, to each side, of which the median is taken.
AROUND = 40
#: (height, width) of the crop.
CROP = 400, 600


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    parser.add_argument("picture", help="a result that was made by tiles")
    parser.add_argument("--network", default="slim", help="that made it")
    parser.add_argument("--tile", type=int, default=1024, help="side in pixels of its tiles, as the run said")
    parser.add_argument("--layers", nargs="+", default=["conv5_1"], help="the deepest of its layers is enough")
    parser.add_argument("--crop", type=Path, help="file for a detail")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """A row for the picture's rows, and one for its columns."""
    picture = images.load_image(options.picture).pixels
    rows = layers.until(options.network, options.layers)
    told: list[Row] = []
    corner = []
    for axis, name in enumerate(("rows", "columns")):
        length = picture.shape[axis]
        borders = [span.start + span.first for span in spans(length, options.tile, rows)[1]][1:]
        told.append({"lines": name, "tiles": len(borders) + 1, **jumps(picture, axis, borders, reach(rows)[1])})
        corner.append(borders[len(borders) // 2] if borders else length // 2)
    print(table(told, COLUMNS))
    if options.crop:
        y, x = (max(0, middle - side // 2) for middle, side in zip(corner, CROP, strict=True))
        images.save_image(options.crop, picture[y : y + CROP[0], x : x + CROP[1]])
    return {"rows": told}


def jumps(picture: np.ndarray, axis: int, borders: list[int], stride: int) -> Row:
    """The jumps before the lines that are borders, and before others: the mean of those at multiples of ``stride``."""
    height = np.abs(np.diff(picture, axis=axis)).mean((1 - axis, 2))
    around = [np.median(height[max(0, at - AROUND) : at + AROUND + 1]) for at in range(len(height))]
    jump = height / np.maximum(around, np.finfo("f4").tiny)
    lines = np.arange(1, len(height) + 1)  # the jump before each
    at = np.isin(lines, borders)
    phase = ~at & (lines % stride == 0)
    found: Row = {"mean elsewhere": float(jump[phase].mean()), "largest elsewhere": float(jump[~at].max())}
    if at.any():
        found |= {"mean at borders": float(jump[at].mean()), "largest": float(jump[at].max())}
    return found
