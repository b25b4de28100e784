"""Draw the example pictures: `python examples/draw.py [--output DIR]`. Half a minute, with numpy and Pillow only.

Two photographs and three paintings, all made of nothing but the formulas in this folder. The same versions of numpy and
Pillow give the same bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from mosaic import mosaic
from PIL import Image
from scenes import landscape, townhouses
from swirls import swirls
from woodcut import woodcut

PICTURES = {
    "townhouses": townhouses,
    "landscape": landscape,
    "swirls": swirls,
    "mosaic": mosaic,
    "woodcut": woodcut,
}
LONGEST_SIDE = 1024
MAX_BYTES = 300_000


def save(path: Path, pixels: np.ndarray) -> None:
    """Write [H, W, 3] in [0, 1] as the best JPEG of at most MAX_BYTES."""
    image = Image.fromarray((pixels * 255 + 0.5).astype(np.uint8))
    for quality in range(90, 40, -2):
        image.save(path, "JPEG", quality=quality, optimize=True)
        if path.stat().st_size <= MAX_BYTES:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the example pictures.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder (default: this one)")
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        path = folder / f"{name}.jpg"
        save(path, draw(LONGEST_SIDE))
        print(path)


if __name__ == "__main__":
    main()
