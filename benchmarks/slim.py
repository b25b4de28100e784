"""The small network ``slim`` against random filters of its shape and against VGG-19, judged under VGG-19.

    python -m benchmarks slim --output slim.json --sheet slim.png     # 10 pairs at 256

Per picture, with the 2015 losses under VGG-19:

- *style_rel*: L_style of the result over L_style of the content picture; 0 is the painting's statistics;
- *content_rel*: L_content of the result over L_content of uniform noise; 0 is the photograph;
- *chroma grain*: median absolute 4-neighbour Laplacian of the picture minus its grey version, over the style picture's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw

from benchmarks.contenders import objective_of
from benchmarks.harness import means_of, table
from benchmarks.pictures import PAIRS, pictures
from benchmarks.strokes import STEP
from benchmarks.variants import float32
from nst_jax.errors import NSTError, meant
from nst_jax.networks.vgg import random_weights
from nst_jax.networks.weights import Weights
from nst_jax.networks.weights_file import choose_weights, find_weights
from nst_jax.options.config import Config
from nst_jax.options.presets import preset
from nst_jax.pictures import images
from nst_jax.runs.goals import loss_of
from nst_jax.runs.stylize import stylize

MORE_PAIRS = (
    ("chicago_skyline", "vangogh_wheatfield_cypresses"),
    ("yosemite", "monet_water_lilies_1919"),
    ("red_cottage", "aesust_signac_harbour"),
    ("taj_mahal", "woman_with_hat_matisse_1905"),
    ("kodim24", "paper_femme_nue_assise_picasso_1910"),
)
ALL_PAIRS = (*PAIRS, *MORE_PAIRS)
MEASURES = ("style_rel", "content_rel", "chroma_grain", "seconds")


def chroma_grain(image: np.ndarray) -> float:
    """Median absolute 4-neighbour Laplacian of an image [H, W, 3] minus its grey version."""
    chroma = image - image.mean(-1, keepdims=True)
    inner = chroma[1:-1, 1:-1]
    neighbours = chroma[2:, 1:-1] + chroma[:-2, 1:-1] + chroma[1:-1, 2:] + chroma[1:-1, :-2]
    return float(np.median(np.abs(4 * inner - neighbours)))


class Judge:
    """VGG-19 with the 2015 losses, for one pair."""

    def __init__(self, teacher: Weights, photograph: np.ndarray, painting: np.ndarray) -> None:
        goal = objective_of(teacher, photograph, painting, float32(preset("gatys2015")))
        self.terms = lambda image: jax.jit(loss_of)(goal, jnp.asarray(image, jnp.float32))[1]
        self.style = float(self.terms(photograph)["style"])
        noise = np.random.default_rng(0).uniform(size=photograph.shape)
        self.content = float(self.terms(noise)["content"])
        self.grain = max(chroma_grain(painting), STEP / 4)  # a grey painting has none

    def __call__(self, image: np.ndarray) -> dict[str, float]:
        terms = self.terms(image)
        return {
            "style_rel": float(terms["style"]) / self.style,
            "content_rel": float(terms["content"]) / self.content,
            "chroma_grain": chroma_grain(image) / self.grain,
        }


def changed(config: Config, words: list[str]) -> Config:
    """A config with KEY=VALUE changes, values as JSON, or else words.

    Raises NSTError for an option that there is not, or a value that it does not take.
    """
    changes: dict[str, Any] = {}
    for key, _, text in (word.partition("=") for word in words):
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if key not in vars(config):
            raise NSTError(f"--set {key}: {meant(key, vars(config), 'nst-stylize --help lists the options')}")
        changes[key] = tuple(value) if isinstance(value, list) else value
    return Config(**{**vars(config), **changes})


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    parser.add_argument("--weights", help="a file of slim's to use instead of the one in the package")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=10, help="how many of the pairs, from the first")
    parser.add_argument("--networks", nargs="+", default=["slim", "random", "vgg19"])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other options for slim and random")
    parser.add_argument("--sheet", help="a picture of all results")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """All pairs with all networks: the table, which it prints, the means, and the contact sheet."""
    teacher = find_weights("vgg19")
    made = {
        "slim": lambda: choose_weights("slim", options.weights),
        "random": lambda: random_weights("slim", seed=0),
        "vgg19": lambda: find_weights("vgg19"),
    }
    weights = {name: made[name]() for name in options.networks}
    pairs = ALL_PAIRS[: options.pairs]
    rows, cells = [], []
    for content, style in pairs:
        photograph, painting = pictures(content, style, options.size)
        judge = Judge(teacher, photograph, painting)
        cells.append([photograph, painting])
        for name, held in weights.items():
            config = changed(Config(size=options.size, network=held.network), options.set if name != "vgg19" else [])
            started = time.perf_counter()
            result = stylize(photograph, painting, config, weights=held)
            seconds = time.perf_counter() - started
            told = {"content": content, "style": style, "network": name, "seconds": seconds}
            rows.append(told | judge(result.image))
            cells[-1].append(result.image)
            print(f"{content} x {style}: {name}", file=sys.stderr, flush=True)
    means = means_of(rows, "network", list(weights), MEASURES)
    print(table(rows, ("content", "style", "network", *MEASURES)))
    print("\nmeans\n" + table(means, ("network", *MEASURES)))
    if options.sheet:
        sheet(cells, ["content", "style", *weights]).save(options.sheet)
    return {"rows": rows, "means": means}


def sheet(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], cell: int = 256) -> Image.Image:
    """Pictures [H, W, 3] in [0, 1] in rows, under their titles."""
    page = Image.new("RGB", (len(titles) * (cell + 8), len(rows) * (cell + 8) + 20), "white")
    for column, title in enumerate(titles):
        ImageDraw.Draw(page).text((column * (cell + 8) + 4, 4), title, "black")
        for index, row in enumerate(rows):
            picture = Image.fromarray(images.to_uint8(row[column]))
            picture.thumbnail((cell, cell))
            page.paste(picture, (column * (cell + 8), 20 + index * (cell + 8)))
    return page
