"""The small network ``slim`` against random filters of its shape and against VGG-19, judged under VGG-19.

    python -m benchmarks.slim --output slim            # 10 pairs at 256: a table, slim.json and slim.png
    python -m benchmarks.slim --step --output slim     # seconds of one step at 512, slim and VGG-19 in turns

Per picture, with the 2015 losses under VGG-19:

- *style_rel*: L_style of the result over L_style of the content picture; 0 is the painting's statistics;
- *content_rel*: L_content of the result over L_content of uniform noise; 0 is the photograph;
- *chroma grain*: median absolute 4-neighbour Laplacian of the picture minus its grey version, over the style picture's.
"""

from __future__ import annotations

import argparse
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw

from benchmarks.shared import PAIRS, machine, objective_of, pictures
from nst_jax import images, transfer
from nst_jax.config import Config, preset
from nst_jax.networks import network, random_weights
from nst_jax.weights import choose_weights, find_weights

MORE_PAIRS = (
    ("chicago_skyline", "vangogh_wheatfield_cypresses"),
    ("yosemite", "monet_water_lilies_1919"),
    ("red_cottage", "aesust_signac_harbour"),
    ("taj_mahal", "woman_with_hat_matisse_1905"),
    ("kodim24", "paper_femme_nue_assise_picasso_1910"),
)


def chroma_grain(image: np.ndarray) -> float:
    """Median absolute 4-neighbour Laplacian of an image [H, W, 3] minus its grey version."""
    chroma = image - image.mean(-1, keepdims=True)
    inner = chroma[1:-1, 1:-1]
    neighbours = chroma[2:, 1:-1] + chroma[:-2, 1:-1] + chroma[1:-1, 2:] + chroma[1:-1, :-2]
    return float(np.median(np.abs(4 * inner - neighbours)))


class Judge:
    """VGG-19 with the 2015 losses, for one pair."""

    def __init__(self, net, photograph, painting):
        goal = objective_of(net, photograph, painting, preset("gatys2015"))
        self.terms = lambda image: jax.jit(transfer.loss_of)(goal, jnp.asarray(image, jnp.float32))[1]
        self.style = float(self.terms(photograph)["style"])
        noise = np.random.default_rng(0).uniform(size=photograph.shape)
        self.content = float(self.terms(noise)["content"])
        self.grain = chroma_grain(painting)

    def __call__(self, image) -> dict[str, float]:
        terms = self.terms(image)
        return {
            "style_rel": float(terms["style"]) / self.style,
            "content_rel": float(terms["content"]) / self.content,
            "chroma_grain": chroma_grain(image) / self.grain,
        }


def changed(config: Config, words: list[str]) -> Config:
    """A config with KEY=VALUE changes, values as JSON."""
    changes = {key: json.loads(value) for key, _, value in (word.partition("=") for word in words)}
    return Config(**{**vars(config), **{k: tuple(v) if isinstance(v, list) else v for k, v in changes.items()}})


def compare(options) -> dict[str, object]:
    """All pairs with all networks: a table on the screen, the numbers and the contact sheet."""
    teacher = network(find_weights("vgg19"))
    made = {
        "slim": lambda: choose_weights("slim", options.weights),
        "random": lambda: random_weights("slim", seed=0),
        "vgg19": lambda: find_weights("vgg19"),
    }
    weights = {name: made[name]() for name in options.networks}
    pairs = (*PAIRS, *MORE_PAIRS)[: options.pairs]
    rows, cells = [], []
    for content, style in pairs:
        photograph, painting = pictures(content, style, options.size)
        judge = Judge(teacher, photograph, painting)
        cells.append([photograph, painting])
        for name, held in weights.items():
            config = changed(Config(size=options.size, network=held.network), options.set if name != "vgg19" else [])
            started = time.perf_counter()
            result = transfer.stylize(photograph, painting, config, weights=held)
            row = {"content": content, "style": style, "network": name, **judge(result.image)}
            row["seconds"] = time.perf_counter() - started
            rows.append(row)
            cells[-1].append(result.image)
            measures = "  ".join(f"{key} {value:.3f}" for key, value in row.items() if isinstance(value, float))
            print(f"{content} x {style}  {name}: {measures}", flush=True)
    means = {
        name: {
            key: float(np.mean([row[key] for row in rows if row["network"] == name]))
            for key in ("style_rel", "content_rel", "chroma_grain", "seconds")
        }
        for name in weights
    }
    for name, values in means.items():
        print(f"mean {name}: " + "  ".join(f"{key} {value:.3f}" for key, value in values.items()))
    sheet(cells, ["content", "style", *weights]).save(f"{options.output}.png")
    return {"pairs": rows, "means": means}


def sheet(rows, titles, cell=256) -> Image.Image:
    """Pictures [H, W, 3] in [0, 1] in rows, under their titles."""
    page = Image.new("RGB", (len(titles) * (cell + 8), len(rows) * (cell + 8) + 20), "white")
    for column, title in enumerate(titles):
        ImageDraw.Draw(page).text((column * (cell + 8) + 4, 4), title, "black")
        for index, row in enumerate(rows):
            picture = Image.fromarray(images.to_uint8(row[column]))
            picture.thumbnail((cell, cell))
            page.paste(picture, (column * (cell + 8), 20 + index * (cell + 8)))
    return page


def steps(options) -> dict[str, object]:
    """Seconds of one value and gradient at 512 × 384, in turns; the median of each and their ratio."""
    photograph, painting = pictures(*PAIRS[0], 512)
    compiled = jax.jit(jax.value_and_grad(transfer.loss_of, argnums=1, has_aux=True))
    goals, times = {}, {"slim": [], "vgg19": []}
    for name in times:
        held = choose_weights(name, options.weights if name == "slim" else None)
        goals[name] = objective_of(network(held), photograph, painting, Config(network=held.network))
    for turn in range(8):
        for name, goal in goals.items():
            started = time.perf_counter()
            jax.block_until_ready(compiled(goal, jnp.asarray(photograph)))
            if turn:  # the first turn compiles
                times[name].append(time.perf_counter() - started)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    medians["ratio"] = medians["vgg19"] / medians["slim"]
    print("one step at 512: " + "  ".join(f"{name} {value:.3f}" for name, value in medians.items()))
    return {"step at 512": medians}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step", action="store_true", help="time one step at 512 instead")
    parser.add_argument("--weights", help="a file of slim's to use instead of the one in the package")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=10, help="how many of the pairs, from the first")
    parser.add_argument("--networks", nargs="+", default=["slim", "random", "vgg19"])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other options for slim and random")
    parser.add_argument("--output", default="slim", help="stem of the JSON and PNG files")
    options = parser.parse_args()
    told = steps(options) if options.step else compare(options)
    with open(f"{options.output}{'-step' if options.step else ''}.json", "w") as file:
        json.dump({"machine": machine(), "options": vars(options), **told}, file, indent=1)


if __name__ == "__main__":
    main()
