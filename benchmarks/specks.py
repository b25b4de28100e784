"""Whether pictures have specks: pixels that stand out from the eight around them, and whether a grid holds them.

    python -m benchmarks specks result.png --content photo.jpg --style painting.jpg --top 0.4   # upper 40 %: a sky

A pixel stands out by how far its grey is from the median of the 3 × 3 about it. A row has the share of the pixels, in
percent, for which that is more than 0.06, 0.1 and 0.15. The painting, reduced as for a result of this size, and the
photograph are the controls: brushwork has such pixels too, and no more than the painting's are wanted.

What comes from the poolings, or from the tiles of a convolution, repeats itself every 2, 4, 8 or 16 pixels. So the
pixels beyond 0.08 are counted by their place in squares of that side: the variance of these counts over their mean is
about 1 for places that no grid holds, and more where one does.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.harness import Row, table
from nst_jax.pictures import images

BEYOND = (0.06, 0.10, 0.15)
#: What stands out by more than this is counted by its place in squares of these sides.
COUNTED, SIDES = 0.08, (2, 4, 8, 16)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    parser.add_argument("pictures", nargs="+", help="results, all of one size")
    parser.add_argument("--content", help="the photograph, as a control")
    parser.add_argument("--style", help="the painting, as a control")
    parser.add_argument(
        "--top", type=float, default=1.0, help="the share of the picture, from above, that is looked at"
    )


def measure(options: argparse.Namespace) -> dict[str, object]:
    """A row for each picture."""
    size = max(images.load_image(options.pictures[0]).pixels.shape)
    named = {"painting": options.style, "photograph": options.content} | {name: name for name in options.pictures}
    told = []
    for name, path in named.items():
        if path is not None:
            grey = images.load_image(path, longest_side=size).pixels.mean(-1)
            rows = len(grey) if name == "painting" else round(options.top * len(grey))
            told.append({"picture": name, **specks(grey[:rows])})
    print(table(told, tuple(told[0])))
    return {"rows": told}


def specks(grey: np.ndarray) -> Row:
    """What the table has of a grey picture [H, W] in [0, 1]."""
    height, width = (side - 2 for side in grey.shape)
    around = [grey[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    out = np.abs(around[4] - np.median(around, axis=0))
    found: Row = {f"beyond {limit}": 100 * float((out > limit).mean()) for limit in BEYOND}
    rows, columns = np.nonzero(out > COUNTED)
    for side in SIDES:
        counts = np.bincount(rows % side * side + columns % side, minlength=side**2)
        found[f"by {side}"] = float(counts.var(ddof=1) / counts.mean()) if len(rows) else 0.0
    return found
