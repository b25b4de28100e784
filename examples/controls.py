"""One picture for every control, by ``slim`` on the example pictures: the README's ``examples/controls.jpg``.

python examples/controls.py examples/controls.jpg
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from nst_jax import images, transfer
from nst_jax.config import preset
from nst_jax.presets import PRESET_CHANGES
from nst_jax.sheet import Cell, contact_sheet

HERE = Path(__file__).parent
SIZE, ACROSS = 160, 6


def half(folder: Path, name: str) -> Path:
    """A mask of an example picture's shape: white on the right, with a soft border."""
    height, width = images.load_image(HERE / f"{name}.jpg", longest_side=SIZE).pixels.shape[:2]
    ramp = np.clip((np.arange(width) - 0.45 * width) / (0.1 * width), 0, 1).astype(np.float32)
    return save(folder / f"{name}.png", np.tile(ramp[:, None], (height, 1, 3)))


def save(path: Path, pixels: np.ndarray) -> Path:
    """Writes a picture [H, W, 3] and gives its path."""
    images.save_image(path, pixels)
    return path


def controls(folder: Path) -> list[tuple[str, tuple[str, ...], dict[str, Any]]]:
    """What stands below each picture, its paintings, and its options."""
    right = half(folder, "townhouses")
    left = save(folder / "left.png", 1 - images.load_image(right).pixels)
    swirls, both, mosaic = ("swirls",), ("swirls", "woodcut"), HERE / "mosaic.jpg"
    strengths = [(f"--strength {value}", swirls, {"strength": value}) for value in (0.0, 0.25, 0.75, 1.0)]
    presets = [(f"--preset {name}", swirls, {"preset": name}) for name in PRESET_CHANGES if name != "default"]
    colours = [(f"--keep-colors {how}", swirls, {"keep_colors": how}) for how in ("luminance", "cholesky", "histogram")]
    kinds = [(f"--tv-kind {kind}", swirls, {"tv_kind": kind}) for kind in ("absolute", "isotropic", "neighbours")]
    starts = [(f"--init {start}", swirls, {"init": start}) for start in ("style", "noise", "gray")]
    return [
        ("default", swirls, {}),
        *strengths,
        *presets,
        ("--style A B", both, {}),
        ("--style A B --style-blend 1 4", both, {"style_blend": (1.0, 4.0)}),
        ("--style-scale 0.5", swirls, {"style_scale": (0.5,)}),
        ("--style-scale 2", swirls, {"style_scale": (2.0,)}),
        *colours,
        ("--palette C", swirls, {"palette": mosaic}),
        ("--content-mask L R --style A B", both, {"content_mask": (left, right)}),
        ("--content-mask R", swirls, {"content_mask": (right,)}),
        ("--style-mask R", swirls, {"style_mask": (half(folder, "swirls"),)}),
        ("--freeze R", swirls, {"freeze": right}),
        ("--tileable, twice", swirls, {"tileable": True}),
        ("--padding zeros", swirls, {"padding": "zeros"}),
        *starts,
        ("--init-noise 0.5", swirls, {"init_noise": 0.5}),
        *kinds,
        ("--tv-chroma 5", swirls, {"tv_chroma": 5.0}),
        ("--pixel-range bounded", swirls, {"pixel_range": "bounded"}),
        ("--style-octaves 3", swirls, {"style_octaves": 3}),
        ("--pooling max", swirls, {"pooling": "max"}),
        ("--scales 1", swirls, {"scales": 1}),
        ("--optimizer adam --averaging 0.9", swirls, {"optimizer": "adam", "averaging": 0.9}),
        ("--moments 1", swirls, {"moments": 1.0}),
    ]


def made(paintings: tuple[str, ...], options: dict[str, Any]) -> np.ndarray:
    """The picture of one control."""
    base = preset(options.get("preset", "default"))
    config = type(base)(**{**vars(base), "size": SIZE, "network": "slim", **options})
    paths = [HERE / f"{name}.jpg" for name in paintings]
    image = transfer.stylize(HERE / "townhouses.jpg", paths, config).image
    return images.resize(np.tile(image, (2, 2, 1)), *image.shape[:2]) if config.tileable else image


def main(output: str) -> None:
    """All controls on one sheet."""
    with tempfile.TemporaryDirectory() as folder:
        cells = []
        for caption, paintings, options in controls(Path(folder)):
            print(caption, file=sys.stderr, flush=True)
            cells.append(Cell(made(paintings, options), caption))
    names = [("the photograph", "townhouses"), ("A", "swirls"), ("B", "woodcut"), ("C", "mosaic")]
    given = [Cell(images.load_image(HERE / f"{name}.jpg", longest_side=SIZE).pixels, label) for label, name in names]
    rows = [cells[start : start + ACROSS] for start in range(0, len(cells), ACROSS)]
    images.save_image(output, contact_sheet(rows, inputs=given), quality=85)


if __name__ == "__main__":
    main(*sys.argv[1:])
