"""Peak memory and time of writing a large picture and of reading it again, each in a process of its own.

    python -m benchmarks files --megapixels 100 --formats png tif jpg --read 256 5000

The picture is drawn: slow waves of colour under grain, as a painted picture has it. "array" is its size as floats, 12
bytes a pixel. "peak" is the most memory that the process has while it writes or reads, less what it had before: where
it writes, the array is there before and not in it, and where it reads, the array that it makes is in it. A size under
``--read`` is the longest side wanted; 0 stands for the file's own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Row, table
from benchmarks.processes import in_child, peak_bytes
from nst_jax.pictures import images

COLUMNS = ("file", "depth", "what", "pixels", "file MB", "array MiB", "peak MiB", "seconds")
MEBI = 2**20


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    parser.add_argument("--megapixels", type=float, default=100.0, help="of the picture, four to three")
    parser.add_argument("--formats", nargs="+", default=["png", "tif", "jpg"], help="extensions")
    parser.add_argument("--depths", nargs="+", type=int, default=[8], help="bits of a channel")
    parser.add_argument("--read", nargs="*", type=int, default=[256, 0], help="longest sides in pixels")
    parser.add_argument("--folder", type=Path, help="keep the pictures there")
    parser.add_argument("--here", nargs=2, metavar=("WHAT", "FILE"), help="one row in this process, as JSON")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """A row for each file that is written, and for each time that it is read."""
    if options.here:
        told = here(*options.here, options)
        print(json.dumps(told))
        return told
    rows = list[Row]()
    with tempfile.TemporaryDirectory(prefix="nst-") as place:
        folder = (options.folder or Path(place)).resolve()
        for extension in options.formats:
            for depth in options.depths if extension in ("png", "tif", "tiff") else [8]:
                path = folder / f"{options.megapixels:g}-{depth}.{extension}"
                for what in ("write", *(str(side) for side in options.read)):
                    arguments = ["--megapixels", str(options.megapixels), "--depths", str(depth)]
                    rows.append(in_child("files", [*arguments, "--here", what, str(path)]))
    print(table(rows, COLUMNS))
    return {"rows": rows}


def here(what: str, name: str, options: argparse.Namespace) -> Row:
    """Writes a file in this process, or reads it at a longest side of ``what`` pixels."""
    path, depth = Path(name), options.depths[0]
    width = round(math.sqrt(options.megapixels * 1e6 * 4 / 3))
    height = round(options.megapixels * 1e6 / width)
    pixels = drawn(height, width) if what == "write" else None
    with contextlib.suppress(OSError):  # Linux counts the peak from here on
        Path("/proc/self/clear_refs").write_text("5")
    before, clock = peak_bytes(), time.perf_counter()
    if pixels is not None:
        more: dict[str, Any] = {} if depth == 8 else {"depth": depth}
        images.save_image(path, pixels, **more)
    else:
        pixels = images.load_image(path, longest_side=int(what) or None).pixels
    return {
        "file": path.suffix,
        "depth": depth,
        "what": "write" if what == "write" else f"read at {max(pixels.shape)}",
        "pixels": f"{width} x {height}",
        "file MB": path.stat().st_size / 1e6,
        "array MiB": pixels.nbytes / MEBI,
        "peak MiB": (peak_bytes() - before) / MEBI,
        "seconds": time.perf_counter() - clock,
    }


def drawn(height: int, width: int) -> np.ndarray:
    """A picture [H, W, 3] in [0, 1], made some rows at a time, so that it takes its own memory alone."""
    pixels, grain = np.empty((height, width, 3), np.float32), np.random.default_rng(0)
    across = np.arange(width, dtype=np.float32)[:, None] / (97, 131, 173)
    for top in range(0, height, 64):
        part = pixels[top : top + 64]
        down = np.arange(top, top + len(part), dtype=np.float32)[:, None, None] / (149, 83, 211)
        part[:] = 0.5 + 0.2 * np.sin(across) + 0.2 * np.cos(down)
        part += 0.02 * grain.standard_normal(part.shape, dtype=np.float32)
    return pixels
