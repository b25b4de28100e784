"""One picture for every control, by ``slim`` on the example pictures: the README's ``examples/controls.jpg``.

python examples/controls.py examples/controls.jpg
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nst_jax.choices import KEPT_COLORS, PADDINGS, TV_KINDS
from nst_jax.options.config import Config
from nst_jax.options.preset_table import PRESET_CHANGES
from nst_jax.options.presets import preset
from nst_jax.pages.sheet import Cell, contact_sheet
from nst_jax.pictures import images
from nst_jax.runs.stylize import stylize

HERE = Path(__file__).parent
SIZE, ACROSS = 160, 6


class Control(NamedTuple):
    """What stands below a control's picture, its options, and what it is made of where that is not as usual."""

    caption: str
    options: dict[str, Any]
    paintings: tuple[Path, ...] = (HERE / "swirls.jpg",)
    photograph: Path = HERE / "townhouses.jpg"


def ramp(name: str) -> np.ndarray:
    """Of an example picture's shape, [H, W], 0 on the left and 1 on the right, with a soft border between them."""
    height, width = images.load_image(HERE / f"{name}.jpg", longest_side=SIZE).pixels.shape[:2]
    return np.tile(np.clip((np.arange(width) - 0.45 * width) / (0.1 * width), 0, 1).astype(np.float32), (height, 1))


def save(path: Path, pixels: np.ndarray, alpha: np.ndarray | None = None) -> Path:
    """Writes a picture, or a mask [H, W], and gives its path."""
    images.save_image(path, np.repeat(pixels[..., None], 3, -1) if pixels.ndim == 2 else pixels, alpha)
    return path


def each(flag: str, values: Iterable[Any]) -> list[Control]:
    """A control's values, side by side."""
    return [Control(f"--{flag.replace('_', '-')} {value}", {flag: value}) for value in values]


def controls(folder: Path) -> list[Control]:
    """All of them; the masks and other pictures that they take are written to ``folder``."""
    a, b, c = (HERE / f"{name}.jpg" for name in ("swirls", "woodcut", "mosaic"))
    inside = ramp("townhouses")
    right, left = save(folder / "right.png", inside), save(folder / "left.png", 1 - inside)
    coded = save(folder / "coded.png", np.stack([inside < 0.5, inside < 0, inside >= 0.5], -1).astype(np.float32))
    photograph = images.load_image(HERE / "townhouses.jpg").pixels
    height, width = photograph.shape[:2]
    down, across = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    cut_out = save(folder / "cut_out.png", photograph, (down**2 + across**2 < 0.9).astype(np.float32))
    grey = save(folder / "grey.png", photograph.mean(-1))
    both = folder / "A and B"
    both.mkdir()
    for painting in (a, b):
        save(both / painting.name, images.load_image(painting).pixels)
    mine = folder / "mine.toml"
    mine.write_text('preset = "gatys2016"\nstyle-layers = ["conv1_1", "conv2_1"]\n')
    return [
        Control("default", {}),
        *each("strength", (0.0, 0.25, 0.75, 1.0)),
        *each("preset", (name for name in PRESET_CHANGES if name != "default")),
        Control("--preset mine.toml", {"preset": str(mine)}),
        Control("--content-layers conv2_1", {"content_layers": ("conv2_1",)}),
        Control("--style-layers conv1_1 conv2_1", {"style_layers": ("conv1_1", "conv2_1")}),
        Control("--style A B", {}, (a, b)),
        Control("--style A B --style-blend 1 4", {"style_blend": (1.0, 4.0)}, (a, b)),
        Control("--style FOLDER", {}, (both,)),
        *each("style_size", (80,)),
        *(Control(f"--style-scale {scale}", {"style_scale": (scale,)}) for scale in (0.5, 2.0)),
        Control("--style A B --style-scale 0.5 2", {"style_scale": (0.5, 2.0)}, (a, b)),
        *each("keep_colors", (kept for kept in KEPT_COLORS if kept != "none")),
        Control("--palette C", {"palette": c}),
        Control("a grey photograph, --keep-colors pca", {"keep_colors": "pca"}, photograph=grey),
        Control("--content-mask L R --style A B", {"content_mask": (left, right)}, (a, b)),
        Control(
            "--content-mask M --mask-colors red blue",
            {"content_mask": (coded,), "mask_colors": ("red", "blue")},
            (a, b),
        ),
        Control("--content-mask R", {"content_mask": (right,)}),
        Control("--style-mask R", {"style_mask": (save(folder / "half.png", ramp("swirls")),)}),
        Control("--freeze R", {"freeze": right}),
        Control("a photograph with transparent corners", {}, photograph=cut_out),
        Control("--tileable, twice", {"tileable": True}),
        *each("padding", (padding for padding in PADDINGS if padding != "replicate-first")),
        *each("init", ("content", "style", "noise", "gray")),
        *each("detail", (0.0,)),
        *each("content_colors", ("photograph",)),
        Control("--init C", {"init": str(c)}),
        *each("init_noise", (0.5,)),
        *each("tv_kind", (kind for kind in TV_KINDS if kind != Config().tv_kind)),
        *each("tv_weight", (0.0,)),
        *each("tv_chroma", (5.0,)),
        *each("tv_excess", (0.0,)),
        *each("pixel_range", ("bounded",)),
        *each("style_octaves", (3,)),
        *each("pooling", ("max",)),
        *each("scales", (1,)),
        *each("scale_factor", (1.414,)),
        *each("coarsest", (32,)),
        Control("--coarse-steps 80", {"coarse_steps": (80,)}),
        *each("steps", (10,)),
        Control("--optimizer adam --averaging 0.9", {"optimizer": "adam", "averaging": 0.9}),
        *each("moments", (1.0,)),
    ]


def config_of(control: Control) -> Config:
    """All the options of one control's picture."""
    base = preset(control.options.get("preset", "default"))
    return dataclasses.replace(
        base, size=SIZE, network="slim", **{k: v for k, v in control.options.items() if k != "preset"}
    )


def made(control: Control) -> np.ndarray:
    """The picture of one control; what is transparent in it stands on paper."""
    config = config_of(control)
    result = stylize(control.photograph, control.paintings, config)
    image = result.image
    if result.alpha is not None:
        image = image * result.alpha[..., None] + 1 - result.alpha[..., None]
    return images.resize(np.tile(image, (2, 2, 1)), *image.shape[:2]) if config.tileable else image


def main(output: str) -> None:
    """All controls on one sheet."""
    with tempfile.TemporaryDirectory() as folder:
        cells = []
        for control in controls(Path(folder)):
            print(control.caption, file=sys.stderr, flush=True)
            cells.append(Cell(made(control), control.caption))
    names = [("the photograph", "townhouses"), ("A", "swirls"), ("B", "woodcut"), ("C", "mosaic")]
    given = [Cell(images.load_image(HERE / f"{name}.jpg", longest_side=SIZE).pixels, label) for label, name in names]
    rows = [cells[start : start + ACROSS] for start in range(0, len(cells), ACROSS)]
    images.save_image(output, contact_sheet(rows, inputs=given), quality=85)


if __name__ == "__main__":
    main(*sys.argv[1:])
